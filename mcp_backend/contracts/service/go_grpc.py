# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What Go source serves over gRPC: the types handed to `RegisterXServer` (grpc-go) or `NewXHandler` (connect-go), or
that embed `UnimplementedXServer`, with their methods.

https://grpc.io/docs/languages/go/generated-code/ · https://connectrpc.com/docs/go/getting-started
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_backend.contracts.service.go_source import Function, GoNode, Module, children, text, walk

_REGISTERS = re.compile(r"(?:^|\.)(?:Register(\w+)Server|New(\w+)Handler)$")
_EMBEDS = re.compile(r"(?:^|\.)Unimplemented(\w+?)(?:Server|Handler)$")
_REFUSES = re.compile(r"codes\.Unimplemented\b|connect\.CodeUnimplemented\b")
_GENERATED = re.compile(r"(\.pb|_grpc\.pb|\.connect)\.go$")
_DEPTH = 6


@dataclass(slots=True)
class Served:
    """Methods by the simple name of the service; `open` services may have methods that cannot be seen; `places` is
    where the type of a service is declared. What is embedded from elsewhere has no methods here."""

    methods: dict[str, frozenset[str]]
    open: set[str]
    places: dict[str, tuple[str, int]]


def served(module: Module) -> Served:
    """The services of a module. Generated code serves nothing by itself."""
    kinds: dict[str, set[str]] = {}
    lost: set[str] = set()
    for name, (node, path) in module.types.items():
        if not _GENERATED.search(path):
            for embedded in _embedded(node):
                if hit := _EMBEDS.search(embedded):
                    kinds.setdefault(hit[1], set()).add(name)
    for function in (f for some in module.functions.values() for f in some if not _GENERATED.search(f.path)):
        for call in walk(function.node):
            hit = (
                _REGISTERS.search(text(call.child_by_field_name("function")))
                if call.type == "call_expression"
                else None
            )
            arguments = children(call.child_by_field_name("arguments")) if hit else []
            if hit is None or not arguments or (hit[1] and len(arguments) < 2):
                continue
            kind = _kind(module, function, arguments[1] if hit[1] else arguments[0], 0)
            if kind in module.types and module.types[kind][0].type == "struct_type":
                kinds.setdefault(hit[1] or hit[2], set()).add(kind)
            else:
                lost.add(hit[1] or hit[2])
    found = Served({}, lost - kinds.keys(), {})
    for service, names in kinds.items():
        methods: set[str] = set()
        for name in sorted(names):
            more, whole = _methods(module, name, service, 0)
            methods |= more
            if not whole or name in module.twice:
                found.open.add(service)
            node, path = module.types[name]
            found.places[service] = (path, int(node.start_point[0]) + 1)
        found.methods[service] = frozenset(methods)
    return found


def _embedded(node: GoNode) -> Iterator[str]:
    """The names of the types that a struct embeds."""
    if node is None or node.type != "struct_type":
        return
    for field in walk(node):
        if field.type == "field_declaration" and field.child_by_field_name("name") is None:
            yield text(field.child_by_field_name("type")).lstrip("*").partition("[")[0]


def _methods(module: Module, kind: str, service: str, depth: int) -> tuple[set[str], bool]:
    """The methods of a type that do something, with those it embeds, and whether that is all of them."""
    found = {
        f.name for some in module.functions.values() for f in some
        if f.receiver == kind and not _GENERATED.search(f.path) and not _refuses(f)
    }  # fmt: skip
    whole = True
    for embedded in _embedded(module.types[kind][0]):
        last = embedded.rpartition(".")[2]
        if _EMBEDS.search(embedded) or re.search(r"(?i)mutex|UnsafeServer|^Unsafe", last):
            continue
        known = module.types.get(last)
        if known is None or known[0].type != "struct_type" or depth > _DEPTH:
            whole = False  # its methods are promoted, whatever they are
            continue
        more, inner = _methods(module, last, service, depth + 1)
        found |= more
        whole = whole and inner
    return found, whole


def _refuses(function: Function) -> bool:
    """Whether all a method does is to say that it is not implemented."""
    body = function.node.child_by_field_name("body")
    return body is not None and len(children(body)) <= 2 and _REFUSES.search(text(body)) is not None


def _kind(module: Module, function: Function, node: GoNode, depth: int) -> str:
    """The name of the type of an expression; empty where the source does not tell."""
    if node is None or depth > _DEPTH:
        return ""
    if node.type in ("unary_expression", "parenthesized_expression") and node.named_children:
        return _kind(module, function, node.named_children[-1], depth + 1)
    if node.type == "composite_literal":
        return _plain(text(node.child_by_field_name("type")))
    if node.type == "call_expression":
        called, arguments = text(node.child_by_field_name("function")), children(node.child_by_field_name("arguments"))
        if called == "new" and arguments:
            return _plain(text(arguments[0]))
        made = module.function(called.rpartition(".")[2])
        return _made(module, made, depth) if made else ""
    if node.type == "selector_expression":
        owner = _kind(module, function, node.child_by_field_name("operand"), depth + 1)
        return _field(module, owner, text(node.child_by_field_name("field"))) if owner in module.types else ""
    return _variable(module, function, text(node), depth) if node.type == "identifier" else ""


def _made(module: Module, function: Function, depth: int) -> str:
    """The type that a function returns; where it says an interface, what it makes."""
    result = function.node.child_by_field_name("result")
    said = _plain(text(result).strip("()").partition(",")[0].strip().rpartition(" ")[2]) if result else ""
    if said in module.types and module.types[said][0].type == "struct_type":
        return said
    returned = [children(node)[0] for node in walk(function.node) if node.type == "return_statement" and children(node)]
    values = [children(node)[0] if node.type == "expression_list" else node for node in returned]
    kinds = {_kind(module, function, value, depth + 1) for value in values if text(value) != "nil"}
    return kinds.pop() if len(kinds) == 1 else ""


def _variable(module: Module, function: Function, name: str, depth: int) -> str:
    for declared in children(function.node.child_by_field_name("receiver"), "parameter_declaration"):
        if name in [text(n) for n in declared.children_by_field_name("name")]:
            return function.receiver
    if kind := dict(function.parameters).get(name):
        return _plain(kind)
    for node in walk(function.node):
        if node.type == "short_var_declaration":
            left, right = children(node.child_by_field_name("left")), children(node.child_by_field_name("right"))
            if name in (names := [text(n) for n in left]) and right:
                return _kind(module, function, right[min(names.index(name), len(right) - 1)], depth + 1)
        elif node.type == "var_spec" and name in [text(n) for n in node.children_by_field_name("name")]:
            values = children(node.child_by_field_name("value"))
            kind = text(node.child_by_field_name("type"))
            return _plain(kind) if kind else _kind(module, function, values[0], depth + 1) if values else ""
    return ""


def _field(module: Module, kind: str, name: str) -> str:
    for field in walk(module.types[kind][0]):
        if field.type == "field_declaration" and name in [text(n) for n in field.children_by_field_name("name")]:
            return _plain(text(field.child_by_field_name("type")))
    return ""


def _plain(kind: str) -> str:
    return kind.lstrip("*&").partition("[")[0].rpartition(".")[2]
