# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Pointers in Go that are never nil, as far as the source tells."""

import re

from mcp_backend.contracts.service.go_source import Module, children, text, walk


def always_set(module: Module, kind: str, name: str) -> bool:
    """Whether every literal of the struct `kind` gives its field `name` an address, and there is one."""
    wanted, needle, found = name.replace("_", "").lower(), kind.encode() + b"{", False
    for functions in module.functions.values():
        for function in functions:
            if needle not in function.node.text:
                continue
            for node in walk(function.node):
                if node.type != "composite_literal" or _name(text(node.child_by_field_name("type"))) != kind:
                    continue
                inside = children(node.child_by_field_name("body"))
                given = {
                    text(parts[0]).lower(): text(parts[-1])
                    for element in inside
                    if element.type == "keyed_element" and len(parts := element.named_children) == 2
                } or dict(zip(_fields(module, kind), map(text, inside), strict=False))
                value = given.get(wanted, "")
                made = re.search(rf"\b{re.escape(value)}\s*:=\s*(new\(|&)", text(function.node)) if value else None
                if not value.startswith("&") and not made:
                    return False
                found = True
    return found


def _fields(module: Module, kind: str) -> list[str]:
    """The fields of a struct in their order, for literals that name none."""
    node = module.types[kind][0] if kind in module.types else None
    declared = [n for n in walk(node) if n.type == "field_declaration"] if node is not None else []
    return [text(name).lower() for field in declared for name in field.children_by_field_name("name")]


def _name(written: str) -> str:
    return written.lstrip("*[]").rpartition(".")[2]
