"""The catalog of a shadow object by object, and what one statement changed in it.

Every change writes a row with its own transaction id as `xmin`, so after a statement only those rows are read again.
https://www.postgresql.org/docs/current/catalogs.html
"""

from collections.abc import Mapping
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

_ALIVE = """
select 'rel', array_agg(oid::bigint) from pg_catalog.pg_class where oid >= 16384 union all
select 'con', array_agg(oid::bigint) from pg_catalog.pg_constraint where oid >= 16384 union all
select 'trg', array_agg(oid::bigint) from pg_catalog.pg_trigger where oid >= 16384 union all
select 'pol', array_agg(oid::bigint) from pg_catalog.pg_policy union all
select 'proc', array_agg(oid::bigint) from pg_catalog.pg_proc where oid >= 16384 union all
select 'typ', array_agg(oid::bigint) from pg_catalog.pg_type where oid >= 16384 union all
select 'pub', array_agg(oid::bigint) from pg_catalog.pg_publication_rel union all
select 'suball', array_agg(oid::bigint) from pg_catalog.pg_publication union all
select 'ext', array_agg(oid::bigint) from pg_catalog.pg_extension union all
select 'sch', array_agg(oid::bigint) from pg_catalog.pg_namespace union all
select 'dac', array_agg(oid::bigint) from pg_catalog.pg_default_acl union all
select 'rul', array_agg(oid::bigint) from pg_catalog.pg_rewrite where oid >= 16384 union all
select 'cfg', array_agg(setrole::bigint) from pg_catalog.pg_db_role_setting
"""
_OWNER = {"col": "rel", "idx": "rel"}
"""Kinds that live as long as a relation of the same OID."""


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


@dataclass(slots=True)
class Watch:
    """The catalog as it was last seen."""

    now: dict[Key, Doc] = field(default_factory=dict[Key, Doc])

    async def start(self, conn: AsyncConnection[Any]) -> None:
        """Reads everything."""
        self.now = await _read(conn, 0)

    async def step(self, conn: AsyncConnection[Any], xid: int) -> Changes:
        """What changed since the last look, in transactions from `xid` on."""
        fresh = await _read(conn, xid)
        alive = await _alive(conn)
        before = self.now
        after = {key: doc for key, doc in before.items() if key[1] in alive[_OWNER.get(key[0], key[0])]}
        after.update(fresh)
        after = {key: doc for key, doc in after.items() if not doc.get("dropped")}
        self.now = after
        return difference(before, after)


def difference(before: Catalog, after: Catalog) -> Changes:
    """The objects that differ between two catalogs of one database."""
    items = [Change(*key, doc, after.get(key)) for key, doc in before.items() if after.get(key) != doc]
    items += [Change(*key, None, doc) for key, doc in after.items() if key not in before]
    return Changes(tuple(items))


@cache
def _query() -> str:
    return Path(__file__).with_suffix(".sql").read_text("utf-8")


async def _read(conn: AsyncConnection[Any], xid: int) -> dict[Key, Doc]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_query().replace("{xid}", str(xid)).encode())
        rows = await cursor.fetchall()
    found = {(str(kind), int(oid), int(sub)): cast("Doc", doc) for kind, oid, sub, doc in rows}
    return {key: doc for key, doc in found.items() if xid or not doc.get("dropped")}


async def _alive(conn: AsyncConnection[Any]) -> dict[str, frozenset[int]]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_ALIVE.encode())
        return {str(kind): frozenset(oids or ()) for kind, oids in await cursor.fetchall()}
