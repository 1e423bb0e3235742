"""The catalog of a shadow object by object, and what one statement changed in it.

Every change writes a row with its own transaction id as `xmin`, so after a statement only those rows are read again;
and the server counts the rows that a transaction writes to each catalog, so after most statements nothing is.
https://www.postgresql.org/docs/current/catalogs.html, …/monitoring-stats.html
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

Key: TypeAlias = tuple[str, int, int]
"""Kind, OID, sub-number (the column)."""
Doc: TypeAlias = Mapping[str, Any]
Catalog: TypeAlias = Mapping[Key, Doc]

_ROWS: Mapping[str, tuple[str, ...]] = {
    "rel": ("pg_class",), "col": ("pg_attribute", "pg_attrdef"), "con": ("pg_constraint",), "idx": ("pg_index",),
    "trg": ("pg_trigger",), "pol": ("pg_policy",), "proc": ("pg_proc",), "typ": ("pg_type", "pg_enum"),
    "pub": ("pg_publication_rel",), "suball": ("pg_publication",), "ext": ("pg_extension",), "sch": ("pg_namespace",),
    "dac": ("pg_default_acl",), "rul": ("pg_rewrite",), "cfg": ("pg_db_role_setting",),
}  # fmt: skip
"""The catalogs that have a row of each object of a kind, its home first."""
_BESIDE = ("pg_authid", "pg_collation", "pg_depend", "pg_inherits", "pg_operator")
"""Others that documents are made of."""
WATCHED = tuple(sorted({*_BESIDE, *(catalog for catalogs in _ROWS.values() for catalog in catalogs)}))
_OWNER = {"col": "rel", "idx": "rel"}
"""Kinds that live as long as a relation of the same OID."""
_MADE = ("rel", "con", "trg", "proc", "typ", "rul")
"""Kinds of which the server has many of its own, below the first OID of anybody else's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after: `None` before when it was made, after when it was dropped."""

    kind: str
    oid: int
    sub: int
    before: Doc | None
    after: Doc | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a statement, or a whole migration, did to the catalog."""

    items: tuple[Change, ...] = ()

    def added(self, kind: str) -> list[Change]:
        """Objects of that kind that were made."""
        return [c for c in self.items if c.kind == kind and c.before is None and c.after is not None]

    def removed(self, kind: str) -> list[Change]:
        """Objects of that kind that are gone."""
        return [c for c in self.items if c.kind == kind and c.after is None and c.before is not None]

    def changed(self, kind: str) -> list[Change]:
        """Objects of that kind that were there and still are."""
        return [c for c in self.items if c.kind == kind and c.after is not None and c.before is not None]


Counts: TypeAlias = Sequence[tuple[int, int]]
"""The rows that a transaction has written to each of the catalogs `WATCHED`, and how many of them it deleted."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The kinds of objects to look at: those that may have come or changed, and those of which some may have gone."""

    kinds: Set[str]
    gone: Set[str]


EVERYTHING = Wrote(frozenset(_ROWS), frozenset(_ROWS) - _OWNER.keys())


def wrote(begun: Counts, before: Counts, now: Counts) -> Wrote:
    """What to look at in a transaction, by its counts when it began, at the last look and now; everything where the
    server does not count. A definition may change with a name in it, so every kind that the transaction has written
    is looked at when anything was."""
    if not begun or len(before) != len(now):
        return EVERYTHING
    if before == now:
        return Wrote(frozenset(), frozenset())
    written = {catalog for catalog, old, new in zip(WATCHED, begun, now, strict=True) if old != new}
    deleted = {catalog for catalog, old, new in zip(WATCHED, before, now, strict=True) if old[1] != new[1]}
    return Wrote(
        {kind for kind, catalogs in _ROWS.items() if written.intersection(catalogs)},
        {kind for kind, catalogs in _ROWS.items() if catalogs[0] in deleted and kind not in _OWNER},
    )


@dataclass(slots=True)
class Watch:
    """The catalog as it was last seen."""

    now: dict[Key, Doc] = field(default_factory=dict[Key, Doc])

    async def start(self, conn: AsyncConnection[Any]) -> None:
        """Reads everything."""
        self.now = await _read(conn, 0, EVERYTHING.kinds)

    async def step(self, conn: AsyncConnection[Any], xid: int, wrote: Wrote = EVERYTHING) -> Changes:
        """What changed since the last look, in transactions from `xid` on, by what was written to."""
        fresh = await _read(conn, xid, kinds) if (kinds := wrote.kinds) else {}
        alive = await _alive(conn, gone) if (gone := wrote.gone) else {}
        before = self.now
        lost = {
            key for key in before
            if (kind := _OWNER.get(key[0], key[0])) in alive and key[1] not in alive[kind] and key not in fresh
        } if alive else set[Key]()  # fmt: skip
        lost |= {key for key, doc in fresh.items() if doc.get("dropped")}
        new = {key: doc for key, doc in fresh.items() if key not in lost and before.get(key) != doc}
        if not new and not lost & before.keys():
            return Changes()
        self.now = {key: doc for key, doc in before.items() if key not in lost} | new
        touched = lost | new.keys()
        items = [Change(*key, doc, new.get(key)) for key, doc in before.items() if key in touched]
        items += [Change(*key, None, doc) for key, doc in new.items() if key not in before]
        return Changes(tuple(items))

    async def again(self, conn: AsyncConnection[Any]) -> Changes:
        """What changed since the last look, where rows may have come back that were written before: all is read."""
        before, found = self.now, await _read(conn, 0, EVERYTHING.kinds)
        plain = {key: {**doc, "def": found[key].get("def")} for key, doc in before.items() if key in found}
        self.now = {key: before[key] if plain.get(key) == {"def": None, **doc} else doc for key, doc in found.items()}
        return difference(before, self.now)


def difference(before: Catalog, after: Catalog) -> Changes:
    """The objects that differ between two catalogs of one database."""
    items = [Change(*key, doc, after.get(key)) for key, doc in before.items() if after.get(key) != doc]
    items += [Change(*key, None, doc) for key, doc in after.items() if key not in before]
    return Changes(tuple(items))


@cache
def _query(kinds: frozenset[str]) -> str:
    text = Path(__file__).with_suffix(".sql").read_text("utf-8")
    head, body = text.split("\nselect ", 1)
    parts = [part for part in body.split("union all\nselect ") if part.split("'", 2)[1] in kinds]
    return f"{head}\nselect " + "union all\nselect ".join(parts)


async def _read(conn: AsyncConnection[Any], xid: int, kinds: Set[str]) -> dict[Key, Doc]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_query(frozenset(kinds)).replace("{xid}", str(xid)).encode())
        rows = await cursor.fetchall()
    found = {(str(kind), int(oid), int(sub)): cast("Doc", doc) for kind, oid, sub, doc in rows}
    return {key: doc for key, doc in found.items() if xid or not doc.get("dropped")}


async def _alive(conn: AsyncConnection[Any], kinds: Set[str]) -> dict[str, frozenset[int]]:
    queries = [
        f"select '{kind}', array_agg({column}::bigint) from pg_catalog.{_ROWS[kind][0]} where {column} >= {least}"
        for kind in sorted(kinds)
        for column, least in [("setrole" if kind == "cfg" else "oid", 16384 if kind in _MADE else 0)]
    ]
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(" union all ".join(queries).encode())
        return {str(kind): frozenset(oids or ()) for kind, oids in await cursor.fetchall()}
