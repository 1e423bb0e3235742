# ruff: noqa: E501 - long conditions of one rule stand together
"""A gRPC server in Python, read without running it: the classes that serve, and the descriptors in generated code.

Nothing is called: an rpc may have side effects, and reflection cannot see which of them nobody wrote.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.protobuf.compiling import compiled
from mcp_backend.contracts.protobuf.names import Index
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.workspace import listing

FILES = 2_000
SERVES = re.compile(r"\badd_\w+Servicer_to_server\b|\b\w+Servicer\b")


@dataclass(frozen=True, slots=True)
class Served:
    """What a server holds: methods by the simple name of the service, and the descriptors it was generated from."""

    classes: dict[str, frozenset[str]]
    index: Index | None
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read(source: Source, spec: Spec, path: str) -> Served:
    """The server at `path`, a file or a folder; "" for the whole repository."""
    files = [f for f in source.files if f.endswith(".py") and (not path or f == path or f.startswith(f"{path}/"))]
    texts = {f: text for f in files[:FILES] if (text := listing.text(source.root, f, 2_000_000))}
    servers = {f: t for f, t in texts.items() if not f.endswith(("_pb2.py", "_pb2_grpc.py")) and SERVES.search(t)}
    classes: dict[str, frozenset[str]] = {}
    for text in servers.values():
        for service, methods in _classes(text):
            classes[service] = classes.get(service, frozenset()) | methods
    folder = path.rpartition("/")[0] if path.endswith(".py") else path
    index, note = _descriptors(source, spec, folder)
    return Served(classes, index, tuple(servers), (note,) if note else ())


def _classes(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    """The services that classes of a module serve, with the methods written for them, also by base classes here."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    own = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in own.values():
        methods: set[str] = set()
        services: set[str] = set()
        todo, seen = [node], set[str]()
        while todo:
            one = todo.pop()
            if one.name in seen:
                continue
            seen.add(one.name)
            methods |= {
                m.name for m in one.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _refuses(m)
            }
            for base in one.bases:
                name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
                if name in own:
                    todo.append(own[name])
                elif name.endswith("Servicer"):
                    services.add(name.removesuffix("Servicer"))
        for service in services:
            yield service, frozenset(methods)


def _refuses(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether all a method does is to say that it is not implemented."""
    body = [s for s in method.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if not body:
        return True
    text = ast.unparse(ast.Module(body, []))
    short = len(body) <= 3
    return short and ("NotImplementedError" in text or "StatusCode.UNIMPLEMENTED" in text)


def _descriptors(source: Source, spec: Spec, folder: str) -> tuple[Index | None, str]:
    """The descriptors that the server was generated from: in its generated modules, else in `.proto` files beside it."""
    generated = [f for f in source.files if f.endswith("_pb2.py") and (not folder or f.startswith(f"{folder}/"))]
    generated = generated or [f for f in source.files if f.endswith("_pb2.py")]
    if generated:
        files = [d for f in generated[:FILES] for d in _embedded(listing.text(source.root, f, 4_000_000) or "")]
        if files:
            return Index(files, [d.name for d in files]), ""
    protos = [f for f in source.files if f.endswith(".proto") and folder and f.startswith(f"{folder}/")]
    if protos and not set(protos) & set(spec.files):
        try:
            made = compiled(source, Spec(folder, "protobuf", tuple(protos), (folder, *spec.roots)))
        except Broken as error:
            return None, f"the protos beside the server cannot be compiled: {error}"
        return Index(made.files, made.own), ""
    return None, "no generated code is in the repository, so the server uses whatever the specification generates"


def _embedded(text: str) -> Iterable[Any]:
    """The serialized descriptor that protoc writes into a module."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if (
            (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "AddSerializedFile"
            )
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, bytes)
        ):
            try:
                yield descriptor_pb2.FileDescriptorProto.FromString(node.args[0].value)
            except DecodeError:
                continue
