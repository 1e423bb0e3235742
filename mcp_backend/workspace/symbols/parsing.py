"""The definitions in one file, with the range of bytes each takes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from mcp_backend.workspace.symbols.languages import Grammar, loaded

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

LARGEST = 1_500_000
"""Bytes. A larger source is generated or bundled."""
SIGNATURE = 240
_BLOCKS = ("block", "statement_block", "class_body", "interface_body", "enum_body")
_METHOD = re.compile(rb"^(func[ \t]*\([^()\n]*\)[ \t]*\w+)(\[[^\n(){}]*\])(?=\()", re.MULTILINE)
_NEW = re.compile(rb"\bnew\((?=[\d\"`'&!-]|[\w.]+\()")
_WHOLE = ("decorated_definition", "export_statement", "ambient_declaration")
"""Nodes that belong to the definition they hold."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One definition. Lines count from 1, bytes from 0. `within` are the names around it, outermost first; `digest`
    is of its bytes, so that what is read later can be told from what was parsed."""

    name: str
    kind: str
    within: str
    line: int
    end_line: int
    begin: int
    end: int
    signature: str
    digest: bytes

    @property
    def qualified(self) -> str:
        """The name with those around it: `Order.total`."""
        return f"{self.within}.{self.name}" if self.within else self.name


def digest(data: bytes) -> bytes:
    """Short hash of the bytes of a definition."""
    return blake2b(data, digest_size=8).digest()


def tree(data: bytes, grammar: Grammar) -> "Tree":
    """The syntax tree of a source. Go that is newer than its grammar is read once more in older words of the same
    length, so that every place in the tree is one of the source."""
    from tree_sitter import Parser

    parser = Parser(loaded(grammar)[0])
    found = parser.parse(data)
    if found.root_node.has_error and grammar.name == "Go" and (older := _older(data)) != data:
        other = parser.parse(older)
        return found if other.root_node.has_error else other
    return found


def _older(data: bytes) -> bytes:
    """Go without type parameters of methods (https://go.dev/doc/go1.27), and with `new(VALUE)` as a call of any other
    function (https://go.dev/doc/go1.26)."""
    plain = _METHOD.sub(lambda found: found[1] + b" " * len(found[2]), data)
    return _NEW.sub(b"neW(", plain)


def symbols(data: bytes, grammar: Grammar) -> tuple[list[Symbol], bool]:
    """The definitions in a source, in order, and whether all of it was understood."""
    root = tree(data, grammar).root_node
    return [symbol for _, symbol in defined(data, root, grammar)], not root.has_error


def defined(data: bytes, root: "Node", grammar: Grammar) -> "Iterator[tuple[int, Symbol]]":
    """Every definition below a node, in order, with the byte its name begins at."""
    from tree_sitter import QueryCursor

    found: dict[int, tuple[Node, Node, str]] = {}
    for _, captured in QueryCursor(loaded(grammar)[1]).matches(root):
        kind = next(name for name in captured if name != "name")
        for name in captured["name"]:
            found.setdefault(name.start_byte, (captured[kind][0], name, kind))
    around: list[tuple[int, Symbol]] = []
    for node, name, kind in sorted(
        found.values(), key=lambda one: (one[0].start_byte, -one[0].end_byte, one[1].start_byte)
    ):
        while around and around[-1][0] <= name.start_byte:
            around.pop()
        outer = around[-1][1] if around else None
        symbol = _symbol(
            data, node, name, _kind(node, kind, outer), _receiver(node) or (outer.qualified if outer else "")
        )
        if kind not in ("variable", "field", "constant"):
            around.append((node.end_byte, symbol))
        yield name.start_byte, symbol


def _symbol(data: bytes, node: "Node", name: "Node", kind: str, within: str) -> Symbol:
    whole = node
    while whole.parent is not None and (
        whole.parent.type in _WHOLE or (whole.parent.type == "type_declaration" and whole.parent.named_child_count == 1)
    ):
        whole = whole.parent
    begin, end = whole.start_byte, whole.end_byte
    return Symbol(
        name=name.text.decode("utf-8", "replace") if name.text else "",
        kind=kind,
        within=within,
        line=name.start_point[0] + 1,
        end_line=whole.end_point[0] + (1 if whole.end_point[1] else 0),
        begin=begin,
        end=end,
        signature=_signature(data, node),
        digest=digest(data[begin:end]),
    )


def _signature(data: bytes, node: "Node") -> str:
    """The definition up to its body, on one line; of a value, its first line."""
    body = node.child_by_field_name("body")
    stop = body.start_byte if body and body.type in _BLOCKS else node.end_byte
    head = data[node.start_byte : min(stop, node.start_byte + 4 * SIGNATURE)].decode("utf-8", "replace")
    if stop == node.end_byte and node.child_by_field_name("parameters") is None:
        head = head.partition("\n")[0]
    head = re.sub(r"\b(struct|interface)\s*\{.*", r"\1", head)
    text = re.sub(r"\s+", " ", head).strip().rstrip("{: ").strip()
    return text if len(text) <= SIGNATURE else f"{text[:SIGNATURE]}…"


def _kind(node: "Node", kind: str, outer: Symbol | None) -> str:
    if kind == "function" and outer and outer.kind == "class":
        return "method"
    if kind == "type" and (of := node.child_by_field_name("type")):
        return {"struct_type": "struct", "interface_type": "interface"}.get(of.type, kind)
    return kind


def _receiver(node: "Node") -> str:
    """The type a Go method belongs to."""
    receiver = node.child_by_field_name("receiver") if node.type == "method_declaration" else None
    found = re.search(rb"(\w+)\s*(?:\[[^]]*\])?\s*\)$", receiver.text) if receiver and receiver.text else None
    return found[1].decode("utf-8", "replace") if found else ""
