"""Statements with their syntax trees: what each is, whether it needs to be outside a transaction, what it names.

The grammar only labels; what a statement does is observed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend.engines.pg.parsing import raw_statements

_CONTROL = {
    "TRANS_STMT_BEGIN": "begin", "TRANS_STMT_START": "begin", "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback", "TRANS_STMT_PREPARE": "prepare",
}  # fmt: skip
_LEAD = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*.*?\*/)+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One statement, the line on which it starts (0: not known), and its tree: `node` is the type of the root. `file`
    is where it comes from, where that is not the file of its unit. `silent`: it keeps a history, so it runs and is not
    reported."""

    sql: str
    line: int
    node: str
    tree: Mapping[str, Any]
    file: str = ""
    silent: bool = False

    @property
    def control(self) -> str:
        """`begin`, `commit`, `rollback` or `prepare` for what opens and ends transactions."""
        return _CONTROL.get(str(self.tree.get("kind")), "") if self.node == "TransactionStmt" else ""

    @property
    def takes_back(self) -> bool:
        """Whether it takes back a part of its transaction."""
        return self.node == "TransactionStmt" and self.tree.get("kind") == "TRANS_STMT_ROLLBACK_TO"

    @property
    def commands(self) -> list[Mapping[str, Any]]:
        """The parts of an ALTER TABLE."""
        return [
            cast("Mapping[str, Any]", c["AlterTableCmd"]) for c in self.tree.get("cmds", []) if "AlterTableCmd" in c
        ]

    def has(self, *subtypes: str) -> bool:
        """Whether the statement has a part of one of these types."""
        return any(c.get("subtype") in subtypes for c in self.commands)

    @property
    def concurrent(self) -> bool:
        """Whether it is one of the forms that let reads and writes go on."""
        if self.tree.get("concurrent"):
            return True
        if self.node == "ReindexStmt":
            return "concurrently" in _options(self.tree.get("params"))
        return any(c.get("def", {}).get("PartitionCmd", {}).get("concurrent") for c in self.commands)

    @property
    def full(self) -> bool:
        """Whether it is VACUUM FULL."""
        return self.node == "VacuumStmt" and "full" in _options(self.tree.get("options"))

    @property
    def apart(self) -> bool:
        """Whether the server refuses it inside a transaction block."""
        match self.node:
            case "IndexStmt" | "DropStmt" | "AlterTableStmt":
                return self.concurrent
            case "ReindexStmt":
                return self.concurrent or self.tree.get("kind") in (
                    "REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE",
                )  # fmt: skip
            case "VacuumStmt":
                return bool(self.tree.get("is_vacuumcmd"))
            case "ClusterStmt":
                return "relation" not in self.tree
            case "CreatedbStmt" | "DropdbStmt" | "AlterSystemStmt" | "CreateTableSpaceStmt" | "DropTableSpaceStmt":
                return True
            case _:
                return False

    @property
    def relations(self) -> list[str]:
        """The relations the statement names, as written, unquoted."""
        return list(dict.fromkeys(_relations(self.tree)))


def split(sql: str, line: int = 1) -> list[Parsed]:
    """The statements of a text that starts in `line`. Raises `InvalidArgument` when it is not PostgreSQL's SQL."""
    source, found = sql.encode(), list[Parsed]()
    for entry in raw_statements(sql):
        start = int(entry.get("stmt_location", 0))
        length = int(entry.get("stmt_len", 0))
        text = source[start : start + length if length else None].decode()
        lead = _LEAD.match(text)
        skipped = text[: lead.end()] if lead else ""
        at = line + source[:start].decode().count("\n") + skipped.count("\n")
        stmt = cast("dict[str, Any]", entry["stmt"])
        node = next(iter(stmt), "")
        found.append(Parsed(text[len(skipped) :].rstrip(), at, node, cast("dict[str, Any]", stmt.get(node) or {})))
    return found


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every node of a tree as type and fields."""
    if isinstance(node, dict):
        for key, value in cast("dict[str, Any]", node).items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from walk(item)


def strings(node: Any) -> list[str]:
    """The plain strings of a list of String nodes."""
    return [str(n["String"].get("sval", "")) for n in cast("list[dict[str, Any]]", node or []) if "String" in n]


def functions(tree: Any) -> list[str]:
    """The names of the functions that are called, without their schema, lower case."""
    return [strings(value.get("funcname"))[-1].lower() for key, value in walk(tree) if key == "FuncCall"]


def bodies(parsed: Parsed) -> str:
    """The text of a DO block or a function's body, empty for anything else."""
    if parsed.node not in ("DoStmt", "CreateFunctionStmt"):
        return ""
    elements = parsed.tree.get("args" if parsed.node == "DoStmt" else "options", [])
    texts = [value.get("sval", "") for e in elements for key, value in walk(e) if key == "String"]
    return "\n".join(str(text) for text in texts)


def _options(params: Any) -> set[str]:
    return {str(p["DefElem"].get("defname", "")) for p in params or () if "DefElem" in p}


def _relations(tree: Any) -> Iterator[str]:
    for _, value in walk(tree):
        if isinstance(value, dict) and "relname" in value:
            fields = cast("dict[str, Any]", value)
            schema = fields.get("schemaname")
            yield f"{schema}.{fields['relname']}" if schema else str(fields["relname"])
    if isinstance(tree, dict) and "removeType" in tree:
        for item in cast("dict[str, Any]", tree).get("objects", []):
            yield ".".join(strings(item.get("List", {}).get("items")))
