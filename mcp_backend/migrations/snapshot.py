"""What a database's schema is, object by object, and how two such pictures differ, for people and models to read.

https://www.postgresql.org/docs/current/catalogs.html
"""

import re
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

Snapshot: TypeAlias = Mapping[tuple[str, str], str]
"""`(kind, name)` to definition; the columns of a table follow each other in their order."""

MOST_CHARACTERS = 8000
"""Of a whole difference: hosts cut long results."""
LONGEST_LINE = 300


@cache
def _query() -> bytes:
    return Path(__file__).with_suffix(".sql").read_bytes()


async def take(conn: AsyncConnection[Any]) -> Snapshot:
    """The schema as it is now."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_query())
        return {(str(kind), str(name)): str(text or "") for kind, name, text in await cursor.fetchall()}


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """One line a change: `+` added, `-` removed, `~` changed. A table that comes or goes carries its columns in its
    line. At most `MOST_CHARACTERS`, and then how many more."""
    changed = {
        **{k: v for k, v in before.items() if after.get(k) != v},
        **{k: v for k, v in after.items() if before.get(k) != v},
    }
    lines: list[str] = []
    for key in sorted(changed, key=lambda key: _place(key, changed)):
        kind, name = key
        old, new = before.get(key), after.get(key)
        if _told_by_its_table(key, changed, before, after):
            continue
        if old is None or new is None:
            sign, side = ("+", after) if old is None else ("-", before)
            lines.append(f"{sign} {kind} {name}{_body(kind, name, side)}")
        elif kind in _LONG:
            lines.append(f"~ {kind} {name}")
        else:
            lines.append(f"~ {kind} {name}: {_line(kind, old) or 'plain'} -> {_line(kind, new) or 'plain'}")
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines]
    fitting = sum(1 for length in accumulate(len(line) for line in lines) if length <= MOST_CHARACTERS)
    if fitting < len(lines):
        lines[fitting:] = [f"… and {len(lines) - fitting} more changes"]
    return lines


_KINDS = (
    ("schema", "extension"), ("enum", "domain", "range", "type"),
    ("table", "foreign table", "column", "constraint", "index", "policy", "rule", "trigger", "privileges"),
)  # fmt: skip
_TABLES = ("table", "foreign table", "type")
_LONG = frozenset({"function", "procedure", "view", "materialized view"})
"""Kinds whose definition is too long to show: that it changed is said, not how."""


def _place(key: tuple[str, str], definitions: Snapshot) -> tuple[int, str, int, str]:
    """Sorts what others need before them, and each table together with its parts."""
    for rank, kinds in enumerate(_KINDS):
        if key[0] in kinds:
            return rank, _table(key, definitions), kinds.index(key[0]), key[1]
    return len(_KINDS), key[1], 0, key[0]


def _table(key: tuple[str, str], definitions: Snapshot) -> str:
    """The table that the object is, or is part of."""
    kind, name = key
    if kind in ("column", "constraint", "trigger", "policy", "rule"):
        return name.rpartition(".")[0]
    if kind == "index" and (on := re.search(r" ON (?:ONLY )?(\S+) USING ", definitions[key])):
        return on[1]
    return name


def _told_by_its_table(key: tuple[str, str], changed: Snapshot, before: Snapshot, after: Snapshot) -> bool:
    """A dropped table takes its parts along, and a new one shows its columns."""
    if key[0] in _TABLES:
        return False
    table = _table(key, changed)
    was, now = (any((kind, table) in side for kind in _TABLES) for side in (before, after))
    return (key[0] in _KINDS[2] and was and not now) or (key[0] == "column" and was != now)


def _body(kind: str, name: str, side: Snapshot) -> str:
    text = _line(kind, side[kind, name])
    if kind in _TABLES:
        columns = [
            f"{n[len(name) + 1 :]} {d}" for (k, n), d in side.items() if k == "column" and n.startswith(f"{name}.")
        ]
        return f" ({', '.join(columns)}){' ' + text if text else ''}"
    return "" if kind in _LONG or not text else f": {text}"


def _line(kind: str, text: str) -> str:
    text = " ".join(text.split())
    if kind != "index":
        return text
    return re.sub(r"^CREATE (UNIQUE )?INDEX .*? ON ", lambda match: f"{(match[1] or '').lower()}on ", text)
