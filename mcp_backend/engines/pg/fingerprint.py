"""The fingerprint of a database's structure, and how not to compute it again while nothing changed."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint and what was true when it was taken. `seen` names the server, the database and the set of
    transactions that were visible: while it is the same, nothing at all has changed. `catalog` is what the catalog
    holds of rows from transaction `since` on: while it is the same, no definition has changed."""

    version: str
    seen: str
    catalog: str
    since: int


@cache
def query(server_version: int) -> bytes:
    """The statement that computes the fingerprint inside the database."""
    text = Path(__file__).with_suffix(".sql").read_text("utf-8")
    if server_version < 140000:
        text = text.replace("a.attcompression::text", "null").replace("i.inhdetachpending", "false")
    return text.encode()


SEEN = (
    b"select pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), d.oid, d.datname, "
    b"pg_catalog.pg_current_snapshot()) from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()"
)
"""Which server, which database, which transactions are visible.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT"""

OLDEST_SINCE = 100_000_000
"""Transactions after which `since` is too far back to be compared with."""

_RECENT = "pg_catalog.age(x.xmin) <= (select pg_catalog.age('{since}'::pg_catalog.xid))"
_SUM = "pg_catalog.sum(pg_catalog.hashtextextended(x.xmin::text, 0))"
_HALVES = (
    # Its rows, by far the most, never go away without one of pg_class: they need not be counted.
    f"(select {_SUM} from pg_catalog.pg_attribute x where {_RECENT})",
    ("pg_attrdef", "pg_index", "pg_type"),
), (
    "''",
    (
        "pg_auth_members", "pg_cast", "pg_class", "pg_collation", "pg_constraint", "pg_default_acl", "pg_description",
        "pg_enum", "pg_event_trigger", "pg_extension", "pg_foreign_server", "pg_foreign_table", "pg_inherits",
        "pg_namespace", "pg_operator", "pg_policy", "pg_proc", "pg_publication", "pg_publication_rel", "pg_rewrite",
        "pg_sequence", "pg_statistic_ext", "pg_trigger", "pg_ts_config", "pg_ts_config_map", "pg_ts_dict",
        # Of the dependencies, which are many, those of extensions and of sequences are all that can change alone.
        "pg_depend x where x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass",
        "pg_sequence s join pg_catalog.pg_depend x on x.objid = s.seqrelid "
        "and x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass",
    ),
)  # fmt: skip


def _half(first: str, names: tuple[str, ...]) -> str:
    rows = f"(select pg_catalog.concat_ws('/', pg_catalog.count(*), {_SUM} filter (where {_RECENT})) from pg_catalog."
    counted = (f"{rows}{name if ' ' in name else name + ' x'})" for name in names)
    return f"select pg_catalog.concat_ws(' ', {first}, {', '.join(counted)})"


_CATALOG = tuple(_half(*half) for half in _HALVES)


def catalog(since: int) -> tuple[str, ...]:
    """The queries that tell whether a definition changed since, of about the same duration.

    Every change of the catalog writes a row with its own transaction id as `xmin`, or takes one away; statistics are
    updated in place. A change that was not visible to a snapshot is of a transaction not before the snapshot's oldest.
    So of the rows those are told apart that are not older, and all are counted.
    https://www.postgresql.org/docs/current/ddl-system-columns.html
    """
    return tuple(query.replace("{since}", str(max(3, since % 2**32))) for query in _CATALOG)


def oldest(seen: str) -> int:
    """The first transaction that may be under way in a set of visible ones."""
    return int(seen.rpartition(" ")[2].partition(":")[0])


def comparable(before: Fingerprint, seen: str) -> bool:
    """Whether the catalog can tell what changed: not on another server, nor after too many transactions."""
    place = before.seen.rpartition(" ")[0]
    return place == seen.rpartition(" ")[0] and 0 <= oldest(seen) - before.since < OLDEST_SINCE


async def schema_version(conn: AsyncConnection[Any]) -> str:
    """The fingerprint of the database's structure, hex: equal for equal schemas, whoever made them and in whatever
    order; different for any difference that a migration could make, comments and grants included.

    Never part of it: rows, statistics, sizes, OIDs, owners, roles, and what belongs to an extension beyond its version.
    Works inside a transaction or outside; leaves the session as it was.
    """
    async with conn.transaction(force_rollback=True):
        await conn.execute(b"set local search_path = ''; set local jit = off")
        return await _text(conn, query(conn.info.server_version))


async def fingerprint(conn: AsyncConnection[Any], before: Fingerprint | None) -> Fingerprint:
    """The fingerprint within a REPEATABLE READ transaction, computed only when something changed since `before`."""
    seen = await _text(conn, SEEN)
    if before is not None and before.seen == seen:
        return before
    if before is not None and comparable(before, seen) and await _held(conn, before.since) == before.catalog:
        return replace(before, seen=seen)
    since = oldest(seen)
    return Fingerprint(await schema_version(conn), seen, await _held(conn, since), since)


async def _held(conn: AsyncConnection[Any], since: int) -> str:
    return " ".join([await _text(conn, query.encode()) for query in catalog(since)])


async def _text(conn: AsyncConnection[Any], query: bytes) -> str:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone()
        assert row is not None, "an aggregate has one row"
        return str(row[0])
