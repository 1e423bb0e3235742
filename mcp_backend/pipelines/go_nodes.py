"""Looks at the syntax tree of a Go source."""

import re
from typing import TYPE_CHECKING

from mcp_backend.pipelines.nodes import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_BEGIN = re.compile(r"\.(?:Begin|BeginTx|BeginTxx|Beginx|Transaction|RunInTx|WithTx)\(")


def at_top(node: "Node") -> bool:
    """Outside of every function."""
    outer = node.parent
    while outer is not None and outer.type in ("const_declaration", "var_declaration", "var_spec_list"):
        outer = outer.parent
    return outer is not None and outer.type == "source_file"


def callee(call: "Node") -> tuple[str, str]:
    """The name that is called, and what it is a method of."""
    function = call.child_by_field_name("function")
    if function is None:
        return "", ""
    if function.type == "selector_expression":
        return text_of(function.child_by_field_name("field")), text_of(function.child_by_field_name("operand"))[-80:]
    return (text_of(function), "") if function.type == "identifier" else ("", "")


def without_context(given: "list[Node]") -> "list[Node]":
    """Arguments without the context that newer clients take first."""
    first = text_of(given[0]) if given else ""
    return given[1:] if re.search(r"(?i)ctx$|context\.(?:Background|TODO)\(\)|\.Context\(\)$", first) else given


def elements(literal: "Node") -> "dict[str, Node]":
    """The elements of a composite literal that have a key."""
    found: dict[str, Node] = {}
    body = literal.child_by_field_name("body")
    for element in body.named_children if body is not None else ():
        if element.type == "keyed_element" and len(element.named_children) == 2:
            value = element.named_children[1]
            found[text_of(element.named_children[0])] = value.named_children[0] if value.named_children else value
    return found


def streams_of(node: "Node", local: "dict[str, Node]") -> "list[Node]":
    """The names in what `XReadGroup` is given: the first half of a list, names before where each is read from; or the
    whole expression where they are only known at run time."""
    known = local.get(text_of(node), node)
    body = known.child_by_field_name("body") if known.type == "composite_literal" else None
    listed = body.named_children if body is not None else []
    return listed[: max(1, len(listed) // 2)] or [node]


def parameters(node: "Node") -> tuple[str, ...]:
    """The names a function is called with."""
    found = node.child_by_field_name("parameters")
    names: list[str] = []
    for part in found.named_children if found is not None else ():
        names += [text_of(c) for c in part.children_by_field_name("name")]
    return tuple(names)


def in_loop(node: "Node") -> bool:
    """Inside a loop, or in a function that is called for each message."""
    outer = node.parent
    while outer is not None:
        if outer.type in ("for_statement", "func_literal"):
            return True
        outer = outer.parent
    return False


def in_transaction(node: "Node") -> bool:
    """Between the beginning of a transaction and its commit, as they follow each other in the function."""
    outer = node
    while outer.parent is not None and outer.type not in ("function_declaration", "method_declaration"):
        outer = outer.parent
    text, at = outer.text or b"", node.start_byte - outer.start_byte
    before, after = text[:at].decode("utf-8", "replace"), text[at:].decode("utf-8", "replace")
    return bool(_BEGIN.search(before)) and ".Commit(" in after and ".Commit(" not in before


def last(expression: str) -> str:
    """The name that an expression of a key ends in."""
    names = re.findall(
        r"[A-Za-z_]\w*",
        re.sub(
            r"\b(?:byte|string|StringEncoder|ByteEncoder|sarama|fmt|strconv|Sprint\w*|FormatInt|Itoa)\b",
            " ",
            expression,
        ),
    )
    return names[-1] if names else ""
