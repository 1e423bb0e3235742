"""What a rehearsal has to know of its target. Read in one READ ONLY transaction; nothing there is changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

PAGE = 8192
ASSUMED_ROW = 100
"""Bytes of a row where nothing was ever counted."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a relation is by the target's own statistics. `stored` are the bytes that are really there."""

    rows: int
    bytes: int
    stored: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """The role, the settings and the sizes of a target. Relations are named `schema.name`, unquoted."""

    version: int
    role: str
    superuser: bool
    create: bool
    owner: str
    owners: str
    settings: Mapping[str, str]
    roles: tuple[Mapping[str, Any], ...]
    members: tuple[tuple[str, str], ...]
    invalid: tuple[tuple[str, str], ...]
    relations: Mapping[str, Mapping[str, Any]]
    sizes: Mapping[str, Size]
    references: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]
    views: tuple[tuple[str, str], ...]
    sequences: tuple[Mapping[str, Any], ...]
    typed: tuple[tuple[str, str], ...]
    """Names of types, functions and sequences, and the tables whose columns, triggers, checks or policies use them."""
    extensions: frozenset[str]
    """Those that the target's server could install."""

    def size(self, relation: str) -> Size:
        """The size of a relation; nothing of one that the target does not have."""
        return self.sizes.get(relation, Size(0, 0))


@cache
def _query() -> bytes:
    return Path(__file__).with_suffix(".sql").read_bytes()


async def read(conn: AsyncConnection[Any]) -> Target:
    """The facts of the target that `conn` is connected to."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_query())
        row = await cursor.fetchone()
        assert row is not None, "a document is one row"
    found = cast("dict[str, Any]", row[0] if isinstance(row[0], dict) else json.loads(row[0]))
    relations: dict[str, dict[str, Any]] = found["relations"] or {}
    return Target(
        version=found["version"],
        role=found["role"],
        superuser=found["superuser"],
        create=found["create"],
        owner=found["owner"].strip('"'),
        owners=found["owners"] or "",
        settings=found["settings"],
        roles=tuple(found["roles"] or ()),
        members=tuple((a, b) for a, b in found["members"] or ()),
        invalid=tuple((a, b) for a, b in found["invalid"] or ()),
        relations=relations,
        sizes=_sizes(relations),
        references=tuple((a, b, tuple(c), tuple(d)) for a, b, c, d in found["references"] or ()),
        views=tuple((a, b) for a, b in found["views"] or ()),
        sequences=tuple(found["sequences"] or ()),
        typed=tuple((a, b) for a, b in found["typed"] or ()),
        extensions=frozenset(found["extensions"] or ()),
    )


def _sizes(relations: Mapping[str, Mapping[str, Any]]) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for name, about in relations.items():
        stored, rows, pages = int(about["size"]), float(about["rows"]), int(about["pages"])
        if rows >= 0 and (pages > 0 or rows > 0 or stored == 0):
            sizes[name] = Size(int(rows), max(pages * PAGE, stored), stored)
        else:
            sizes[name] = Size(stored // ASSUMED_ROW, stored, stored)
    for name, about in relations.items():  # a partitioned table is as large as its partitions
        size, parent = sizes[name], about["parent"]
        seen: set[str] = set()
        while about["kind"] != "p" and parent in relations and relations[parent]["kind"] == "p" and parent not in seen:
            seen.add(parent)
            whole = sizes[parent]
            if float(relations[parent]["rows"]) < 0 or int(relations[parent]["pages"]) == 0:
                sizes[parent] = Size(whole.rows + size.rows, whole.bytes + size.bytes, whole.stored + size.stored)
            parent = relations[parent]["parent"]
    return sizes
