"""Which rpcs of a tree's `.proto` files its servers implement, in Python and Go, from the source alone."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from mcp_backend.contracts.gate import apps
from mcp_backend.contracts.gate.tree_files import TreeFiles
from mcp_backend.contracts.service import python_grpc
from mcp_backend.errors import Unavailable
from mcp_backend.facts import ContractDeviation

Json: TypeAlias = Any
_TOKEN = re.compile(rb'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\b(package|service|rpc)\s+([\w.]+)|[{}]', re.DOTALL)
_GO = re.compile(rb"\bRegister\w+Server\(|\bNew\w+Handler\(|\bUnimplemented\w+(Server|Handler)\b")
_GENERATED = (".pb.go", ".connect.go", "_pb2.py", "_pb2_grpc.py")
ACTUAL = "only generated code answers it: UNIMPLEMENTED"


@dataclass(frozen=True, slots=True)
class _Written:
    """Methods by the simple name of their service, where its class is, and the services that may have more."""

    methods: Mapping[str, frozenset[str]]
    places: Mapping[str, tuple[str, int]]
    unclear: frozenset[str]


def judged(before: TreeFiles, after: TreeFiles, touched: set[str]) -> list[ContractDeviation]:
    """What servers do not implement. Held is what they did before: nobody has to write a service at once."""
    services = _services(after)
    if not services:
        return []
    one, two = _written(before), _written(after)
    told: list[ContractDeviation] = []
    for full, (spec, rpcs) in sorted(services.items()):
        simple = full.rpartition(".")[2]
        methods = two.methods.get(simple)
        if methods is None or simple in two.unclear or sum(s.rpartition(".")[2] == simple for s in services) > 1:
            continue  # another service of that name may be meant
        path, line = two.places[simple]
        had = one.methods.get(simple, frozenset())
        for rpc in rpcs:
            held = rpc in had
            fresh = held or simple not in one.methods
            if rpc not in methods and (fresh or path in touched):
                name = f"{full}.{rpc}"
                told.append(ContractDeviation(
                    path, line, spec, name, "rpc-unimplemented", name, "a method", ACTUAL, held=held, fresh=fresh,
                ))  # fmt: skip
    return told


def _services(tree: TreeFiles) -> dict[str, tuple[str, list[str]]]:
    """The services by full name: their file and rpcs."""
    paths = [p for p in tree.oids if p.endswith(".proto") and apps.part_of_program(p)]
    found: dict[str, tuple[str, list[str]]] = {}
    for path, said in tree.about(paths, "services:1", _declared).items():
        for name, rpcs in said:
            found[name] = (path, rpcs)
    return found


def _declared(data: bytes) -> Json:
    """https://protobuf.dev/reference/protobuf/proto3-spec/#service_definition"""
    package, depth, found = "", 0, list[list[Json]]()
    for token in _TOKEN.finditer(data):
        word = (token[1] or b"").decode()
        name = (token[2] or b"").decode("ascii", "replace")
        if word == "package" and depth == 0:
            package = f"{name}."
        elif word == "service" and depth == 0:
            found.append([package + name, []])
        elif word == "rpc" and depth == 1 and found:
            found[-1][1].append(name)
        depth += {b"{": 1, b"}": -1}.get(token[0], 0)
    return found


def _written(tree: TreeFiles) -> _Written:
    own = [p for p in tree.oids if apps.part_of_program(p) and not p.endswith(_GENERATED)]
    methods, places, unclear = _python(tree, [p for p in own if p.endswith(".py")])
    try:
        inside, where, more = _go(tree, [p for p in own if p.endswith(".go")])
    except Unavailable:
        inside, where, more = dict[str, frozenset[str]](), dict[str, tuple[str, int]](), frozenset[str]()
    both = methods.keys() & inside.keys()  # whichever serves it
    return _Written({**methods, **inside}, {**places, **where}, unclear | more | both)


_Found: TypeAlias = "tuple[dict[str, frozenset[str]], dict[str, tuple[str, int]], frozenset[str]]"


def _python(tree: TreeFiles, paths: list[str]) -> _Found:
    facts = tree.about(paths, "servicers:1", _classes)
    known: dict[str, python_grpc.Facts] = {}
    held: list[tuple[str, python_grpc.Facts]] = []
    places: dict[str, tuple[str, int]] = {}
    for path, said in facts.items():
        for name, bases, methods, more, line in said:
            known[name] = (bases, methods, more)
            if any(base.endswith("Servicer") for base in bases):
                held.append((name, (bases, methods, more)))
                places |= {base.removesuffix("Servicer"): (path, line) for base in bases if base.endswith("Servicer")}
    found, unclear = python_grpc.resolved(held, known)
    return {name: methods for name, methods in found.items() if name in places}, places, unclear


def _classes(data: bytes) -> Json:
    if b"class " not in data:
        return []
    return [[name, *facts, line] for name, facts, line in python_grpc.classes(data.decode("utf-8", "replace"))]


def _go(tree: TreeFiles, paths: list[str]) -> _Found:
    serving = tree.about(paths, "serves:1", lambda data: _GO.search(data) is not None)
    packages = {path.rpartition("/")[0] for path, serves in serving.items() if serves}
    chosen = sorted(p for p in paths if p.rpartition("/")[0] in packages)
    if not chosen:
        return {}, {}, frozenset()
    key = f"go-rpcs:1:{hashlib.sha256(chr(10).join(f'{p} {tree.oids[p]}' for p in chosen).encode()).hexdigest()}"
    said = tree.kept.get([key]).get(key)
    if said is None:
        from mcp_backend.contracts.service import go_grpc, go_source

        served = go_grpc.served(go_source.parsed(tree.source().texts(chosen)))
        said = [{name: sorted(some) for name, some in served.methods.items()}, served.places, sorted(served.open)]
        tree.kept.put({key: said})
    methods, places, unclear = cast("list[Any]", said)
    return (
        {name: frozenset(some) for name, some in methods.items()},
        {name: (path, line) for name, (path, line) in places.items()},
        frozenset(unclear),
    )
