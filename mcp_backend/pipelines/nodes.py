"""Small looks at syntax trees that both languages share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

AT_ONCE = frozenset(
    ("create_task", "gather", "ensure_future", "TaskGroup", "run_in_executor", "start_soon", "as_completed")
)
"""Calls that start work beside the rest."""
CONVERTS = frozenset((
    "int", "float", "str", "bool", "Decimal", "UUID", "fromisoformat", "strptime", "fromtimestamp", "parse", "round",
    "Atoi", "ParseInt", "ParseUint", "ParseFloat", "ParseBool", "Parse", "Itoa", "FormatInt", "Unix",
    "UnixMilli", "NewFromString", "MustParse", "int32", "int64", "uint64", "float64", "string", "Round",
))  # fmt: skip
"""Calls that make one type of another."""


def text_of(node: "Node | None") -> str:
    """The source of a node."""
    return node.text.decode("utf-8", "replace") if node is not None and node.text else ""


def arguments(call: "Node") -> "list[Node]":
    """The arguments of a call."""
    given = call.child_by_field_name("arguments")
    return [c for c in given.named_children if c.type != "comment"] if given is not None else []


def walk(root: "Node") -> "Iterator[Node]":
    """Every node below one, in the order of the source. Without recursion: sources nest deeper than Python may."""
    todo = list(reversed(root.children))
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(node.children)


def words(node: "Node") -> set[str]:
    """The names and texts in an expression."""
    kinds = ("identifier", "field_identifier", "string_content", "interpreted_string_literal_content")
    return {text_of(part) for part in (node, *walk(node)) if part.type in kinds}
