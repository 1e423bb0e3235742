# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Pointers in Go that are never nil, as far as the source tells."""

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
                given = {
                    text(parts[0]).lower(): text(parts[-1])
                    for element in children(node.child_by_field_name("body"), "keyed_element")
                    if len(parts := element.named_children) == 2
                }
                if not given.get(wanted, "").startswith("&"):
                    return False
                found = True
    return found


def _name(written: str) -> str:
    return written.lstrip("*[]").rpartition(".")[2]
