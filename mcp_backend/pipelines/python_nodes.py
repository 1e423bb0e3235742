"""Looks at the syntax tree of a Python source."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcp_backend.pipelines.model import Text
from mcp_backend.pipelines.nodes import arguments, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_TRANSACTION = re.compile(r"\.(?:transaction|begin|begin_nested|atomic)\(|transaction\.atomic")


def in_class(block: "Node") -> bool:
    """Whether a block is the body of a class."""
    return block.parent is not None and block.parent.type == "class_definition"


def callee(call: "Node") -> tuple[str, str]:
    """The name that is called, and what it is a method of."""
    function = call.child_by_field_name("function")
    if function is None:
        return "", ""
    if function.type == "attribute":
        inner, name = function.child_by_field_name("object"), function.child_by_field_name("attribute")
        return text_of(name), text_of(inner)[-80:]
    return (text_of(function), "") if function.type == "identifier" else ("", "")


def keyword(call: "Node", *names: str) -> "Node | None":
    """The value of the first argument with one of these names."""
    for argument in arguments(call):
        name = argument.child_by_field_name("name") if argument.type == "keyword_argument" else None
        if name is not None and text_of(name) in names:
            return argument.child_by_field_name("value")
    return None


def parameters(node: "Node") -> tuple[str, ...]:
    """The names a function is called with, without `self`."""
    found = node.child_by_field_name("parameters")
    names: list[str] = []
    for part in found.named_children if found is not None else ():
        first = part.child_by_field_name("name") or (part if part.type == "identifier" else None)
        first = first or (part.named_children[0] if part.named_children else None)
        if first is not None and text_of(first) not in ("self", "cls"):
            names.append(text_of(first))
    return tuple(names)


def in_transaction(node: "Node") -> bool:
    """Inside a `with` block of a transaction."""
    outer = node.parent
    while outer is not None and outer.type != "function_definition":
        if outer.type == "with_statement":
            clause = next((c for c in outer.named_children if c.type == "with_clause"), None)
            if clause is not None and _TRANSACTION.search(text_of(clause)):
                return True
        outer = outer.parent
    return False


def last(expression: str) -> str:
    """The name that an expression of a key ends in: `order.customer_id` of `str(order.customer_id).encode()`."""
    for wrapped in re.findall(
        r"[\w.\[\]\"']+", re.sub(r"\.(?:encode|hex|bytes)\b|\b(?:str|bytes|String|byte)\b", " ", expression)
    ):
        names = re.findall(r"\w+", wrapped)
        if names and not names[-1].isdigit():
            return names[-1]
    return ""


def spelled(node: "Node | None") -> Text | None:
    """The text of an expression in pieces, or `None` where it is none that one could look up."""
    if node is None:
        return None
    if node.type == "string":
        pieces: list[tuple[bool, str]] = []
        for part in node.named_children:
            if part.type == "string_content":
                pieces.append((False, text_of(part)))
            elif part.type == "interpolation":
                inner = part.named_children[0] if part.named_children else part
                pieces.append((True, text_of(inner).rpartition(".")[2]))
        return tuple(pieces) or ((False, ""),)
    if node.type == "concatenated_string":
        return tuple(piece for part in node.named_children for piece in spelled(part) or ())
    if node.type in ("identifier", "attribute"):
        return ((True, text_of(node).rpartition(".")[2]),)
    if node.type == "call" and re.search(r"environ\.get$|getenv$", text_of(node.child_by_field_name("function"))):
        positional = arguments(node)
        return spelled(positional[1]) if len(positional) > 1 else None
    if node.type == "call" and callee(node)[0] in ("encode", "str"):
        return spelled(node.child_by_field_name("function"))
    return None


def owner_of(node: "Node") -> str:
    """The class that a function is a method of, or nothing."""
    outer = node.parent
    while outer is not None and outer.type != "function_definition":
        if outer.type == "class_definition":
            name = outer.child_by_field_name("name")
            return text_of(name) if name is not None else ""
        outer = outer.parent
    return ""


def inside_of(node: "Node") -> "Iterator[Node]":
    """Every node of a function that belongs to no other function inside of it."""
    todo = list(reversed(node.children))
    while todo:
        part = todo.pop()
        if part.type == "function_definition":
            continue
        if part.type == "decorated_definition" and part.named_children[-1].type == "function_definition":
            continue
        yield part
        todo += reversed(part.children)


def decorators(node: "Node") -> "list[Node]":
    """The decorators of a function that are calls."""
    outer = node.parent
    if node.type != "function_definition" or outer is None or outer.type != "decorated_definition":
        return []
    return [c.named_children[0] for c in outer.named_children
            if c.type == "decorator" and c.named_children and c.named_children[0].type == "call"]  # fmt: skip


def streams_of(node: "Node", local: "dict[str, Node]") -> "list[Node]":
    """The names in what `xread` is given: keys of a dictionary, what `dict.fromkeys` takes, or the whole expression
    where they are only known at run time."""
    known, found = local.get(text_of(node), node), list["Node"]()
    if known.type == "dictionary":
        found = [pair.named_children[0] for pair in known.named_children if pair.type == "pair"]
    elif known.type == "call" and callee(known)[0] == "fromkeys" and (given := arguments(known)):
        listed = local.get(text_of(given[0]), given[0])
        found = listed.named_children if listed.type in ("list", "tuple", "set") else []
    return found or [node]
