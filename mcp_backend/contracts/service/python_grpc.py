# ruff: noqa: E501 - long conditions of one rule stand together
"""A gRPC server in Python, read without running it: the classes that serve, and the descriptors in generated code.

Nothing is called: an rpc may have side effects, and reflection cannot see which of them nobody wrote.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.protobuf.compiling import compiled
from mcp_backend.contracts.protobuf.names import Index
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec

FILES = 2_000
SERVES = re.compile(r"\badd_\w+Servicer_to_server\b|\b\w+Servicer\b")


_PLAIN = frozenset({"object", "ABC", "Protocol", "Generic"})


@dataclass(frozen=True, slots=True)
class Served:
    """What a server holds: methods by the simple name of the service, and the descriptors it was generated from.
    `unclear` services have a base class that is nowhere here."""

    classes: dict[str, frozenset[str]]
    index: Index | None
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unclear: frozenset[str] = frozenset()


def read(source: Source, spec: Spec, path: str) -> Served:
    """The server at `path`, a file or a folder; "" for the whole repository."""
    files = [f for f in source.files if f.endswith(".py") and (not path or f == path or f.startswith(f"{path}/"))]
    texts = source.texts(files[:FILES])
    servers = [f for f, t in texts.items() if not f.endswith(("_pb2.py", "_pb2_grpc.py")) and SERVES.search(t)]
    # The classes that servicers are made of may be in any file.
    others = source.texts(_others(source, servers)).values()
    known = {name: facts for text in others for name, facts, _ in classes(text)}
    held = [(name, facts) for f in servers for name, facts, _ in classes(texts[f])]
    served, unclear = resolved(held, known)
    folder = path.rpartition("/")[0] if path.endswith(".py") else path
    index, note = _descriptors(source, spec, folder)
    return Served(served, index, tuple(servers), (note,) if note else (), unclear)


def _others(source: Source, servers: list[str]) -> list[str]:
    """The files beside those that serve, without tests and generated code."""
    roots = {f.partition("/")[0] if "/" in f else "" for f in servers}
    inside = [f for f in source.files if f.endswith(".py") and not f.endswith(("_pb2.py", "_pb2_grpc.py"))]
    return [f for f in inside if "" in roots or f.partition("/")[0] in roots][:FILES]


Facts: TypeAlias = "tuple[list[str], list[str], bool]"
"""Of a class: the last names of its bases, the methods it implements, and whether it may have others."""


def classes(text: str) -> list[tuple[str, Facts, int]]:
    """The classes of a module by name, with the line each begins at."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [(node.name, _facts(node), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def _facts(node: ast.ClassDef) -> Facts:
    bases: list[str] = []
    for base in node.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        bases.append(base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else "?")
    methods = [
        m.name for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _refuses(m)
    ] + [t.id for a in node.body if isinstance(a, ast.Assign) for t in a.targets if isinstance(t, ast.Name)]
    return bases, methods, "__getattr__" in methods or "__getattribute__" in methods


def resolved(
    held: Sequence[tuple[str, Facts]], known: Mapping[str, Facts]
) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """The methods of each service that one of the classes `held` serves, also by bases among those `known`; and the
    services some class of which has a base that is nowhere here."""
    found: dict[str, set[str]] = {}
    unclear: set[str] = set()
    every = {**known, **dict(held)}
    for name, _ in held:
        methods, services, whole = set[str](), set[str](), True
        todo, seen = [name], set[str]()
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            if one.endswith("Servicer") and one not in every:
                services.add(one.removesuffix("Servicer"))
            elif one in every:
                bases, own, more = every[one]
                methods |= set(own)
                whole = whole and not more
                todo += bases
            elif one not in _PLAIN:
                whole = False
        for service in services:
            found.setdefault(service, set()).update(methods)
            if not whole:
                unclear.add(service)
    return {service: frozenset(methods) for service, methods in found.items()}, frozenset(unclear)


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
        files = [d for f in generated[:FILES] for d in _embedded(source.texts([f]).get(f, ""))]
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
