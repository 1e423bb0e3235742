"""The fingerprint of a database's structure, and how not to compute it again while nothing changed."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint and what was true when it was taken. `seen` names the set of transactions that were visible:
    while it is the same, nothing at all has changed. `catalog` names the rows of the catalog by their transactions:
    while it is the same, no definition has changed."""

    version: str
    seen: str
    catalog: str


@cache
def query(server_version: int) -> bytes:
    """The statement that computes the fingerprint inside the database."""
    text = Path(__file__).with_suffix(".sql").read_text("utf-8")
    if server_version < 140000:
        text = text.replace("a.attcompression::text", "null").replace("i.inhdetachpending", "false")
    return text.encode()


SEEN = (
    b"select pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), pg_catalog.current_database(), "
    b"pg_catalog.pg_current_snapshot())"
)
"""Which server, which database, which transactions are visible.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT"""

_CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_auth_members", "pg_cast", "pg_class", "pg_collation", "pg_constraint",
    "pg_default_acl", "pg_description", "pg_enum", "pg_event_trigger", "pg_extension",
    "pg_foreign_server", "pg_foreign_table", "pg_index", "pg_inherits", "pg_namespace", "pg_operator", "pg_policy",
    "pg_proc", "pg_publication", "pg_publication_rel", "pg_rewrite", "pg_sequence", "pg_statistic_ext", "pg_trigger",
    "pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_type",
)  # fmt: skip
_ROWS = (
    "(select pg_catalog.concat_ws('/', pg_catalog.count(*), pg_catalog.sum(case pg_catalog.age(x.xmin) "
    "when 2147483647 then 0 else pg_catalog.age(x.xmin)::int8 - pg_catalog.age('3'::pg_catalog.xid) end)) from {})"
)
_LOOKED_AT = (
    *(f"pg_catalog.{name} x" for name in _CATALOGS),
    # Of the dependencies, which are many, those of extensions and of sequences are all that can change alone.
    "pg_catalog.pg_depend x where x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass",
    "pg_catalog.pg_sequence s join pg_catalog.pg_depend x on x.objid = s.seqrelid "
    "and x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass",
)
CATALOG = f"select pg_catalog.md5(pg_catalog.concat_ws(' ', {', '.join(map(_ROWS.format, _LOOKED_AT))}))".encode()
"""Every change of the catalog writes a row with its own transaction id as `xmin`; statistics are updated in place.
So with the number of rows the same, a change raises the sum of their `xmin`, which is that of their ages less what all
of them age alike; those of initdb never age. https://www.postgresql.org/docs/current/ddl-system-columns.html"""


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
    catalog = await _text(conn, CATALOG)
    if before is not None and before.catalog == catalog:
        return Fingerprint(before.version, seen, catalog)
    return Fingerprint(await schema_version(conn), seen, catalog)


async def _text(conn: AsyncConnection[Any], query: bytes) -> str:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone()
        assert row is not None, "an aggregate has one row"
        return str(row[0])
