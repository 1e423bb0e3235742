"""Races between SQL statements of one function, which no single pattern can see: what reads where, what writes there.

Only what stands in the source as text is seen. What another function, a trigger or the caller's transaction does is
not: that is why a lock or a transaction anywhere in the function ends the search.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from mcp_backend.workspace.code.rules import Language

if TYPE_CHECKING:
    from ast_grep_py import SgNode

Check: TypeAlias = "Callable[[SgNode, Language], Iterator[SgNode]]"
_FUNCTIONS: Mapping[Language, tuple[str, ...]] = MappingProxyType(
    {"python": ("function_definition",), "go": ("function_declaration", "method_declaration")}
)
_STRINGS: Mapping[Language, tuple[str, ...]] = MappingProxyType(
    {"python": ("string",), "go": ("interpreted_string_literal", "raw_string_literal")}
)
_KEYS = frozenset(("id", "uuid", "pk", "key"))
_SELECT = re.compile(
    r"(?is)^\W*select\s+(?P<columns>(?:(?!\bfrom\b)[^()])+)\bfrom\s+(?P<table>[\w.\"]+)(?!.*\b(?:join|group\s+by)\b)"
)
_UPDATE = re.compile(
    r"(?is)^\W*update\s+(?P<table>[\w.\"]+)\s+(?:as\s+\w+\s+)?set\s+(?P<sets>.+?)\bwhere\b(?P<where>.+)$"
)
_PLAIN = re.compile(r"(?i)([\w\"]+)\s*=\s*(?:%s|%\(\w+\)s|\$\d+|:\w+|\?|@\w+|\{[^{}]*\})\s*(?=,|$)")
_WRITE = re.compile(r"(?is)^\W*(?:insert\s+into|update|delete\s+from)\s+[\w.\"]+\s")
_HELD = re.compile(
    r"(?i)for\s+(no\s+key\s+)?update|immediate|exclusive|serializable|repeatable|advisory|with_for_update|\block\w*\s*\(|\.lock\b"
)
_TOGETHER = re.compile(r"(?i)transaction|\bbegin|atomic|commit|\btx\b|savepoint|with_?tx|in_?tx")
_MIGRATING = re.compile(r"(?i)migrat|schema|seed|setup|init|teardown|clean|reset")
_POOL = re.compile(
    r"(?:^|[._])(?:pool|db|database|DB|Pool)\.(?:execute|executemany|fetch|fetchrow|fetchval|fetch_one|Exec|ExecContext)$"
)


def read_then_write(root: "SgNode", language: Language) -> Iterator["SgNode"]:
    """Updates that set a column to a value which the same function read before, with nothing to hold the row."""
    for function in _of(root, _FUNCTIONS[language]):
        if _HELD.search(function.text()):
            continue
        read: dict[str, set[str]] = {}
        for node in _of(function, _STRINGS[language]):
            text = _plain(node.text())
            if found := _SELECT.match(text):
                read.setdefault(_name(found["table"]), set()).update(_columns(found["columns"]))
            elif (found := _UPDATE.match(text)) and (known := read.get(_name(found["table"]))):
                written = {_name(column) for column in _PLAIN.findall(found["sets"].strip())}
                guarded = {_name(word) for word in re.findall(r"[\w\"]+(?=\s*(?:=|is\b|in\b|<|>))", found["where"])}
                if written & known and not guarded & (known - _KEYS) and "version" not in found["where"].lower():
                    yield node


def writes_that_part(root: "SgNode", language: Language) -> Iterator["SgNode"]:
    """The second of two writes that follow each other in a block, each on a pool, so in a transaction of its own."""
    for function in _of(root, _FUNCTIONS[language]):
        if _TOGETHER.search(function.text()) or _MIGRATING.search(function.text().partition("(")[0]):
            continue
        blocks: set[int] = set()
        for node in _of(function, _STRINGS[language]):
            if not _WRITE.match(_plain(node.text())) or (call := _above(node, "call", "call_expression")) is None:
                continue
            callee, block = call.field("function"), _above(call, "block", "statement_list")
            if callee is None or block is None or not _POOL.search(callee.text()):
                continue
            if (place := block.range().start.index) in blocks:
                yield call
            blocks.add(place)


CHECKS: Mapping[str, Check] = MappingProxyType(
    {"read_then_write": read_then_write, "writes_that_part": writes_that_part}
)


def _of(node: "SgNode", kinds: Iterable[str]) -> list["SgNode"]:
    found = [inner for kind in kinds for inner in node.find_all(kind=kind)]
    return sorted(found, key=lambda inner: inner.range().start.index)


def _above(node: "SgNode", *kinds: str) -> "SgNode | None":
    return next((outer for outer in node.ancestors() if outer.kind() in kinds), None)


def _plain(literal: str) -> str:
    return literal.lstrip("fFrRbBuU").strip("\"'`")


def _name(word: str) -> str:
    return word.replace('"', "").rpartition(".")[2].lower()


def _columns(text: str) -> set[str]:
    """The names a select list gives: plain columns only, an expression or `*` gives none."""
    return {_name(part.split()[0]) for part in text.split(",") if re.fullmatch(r"\s*[\w.\"]+(\s+as\s+\w+)?\s*", part)}
