"""Where a tool's history table is, what it holds, and who migrates now."""

import asyncio
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import tuple_row

from mcp_backend.errors import FailedPrecondition
from mcp_backend.migrations.model import Connection, History

__all__ = ["History", "Place", "check", "holder", "literal", "locked", "place", "rows"]

LOOK_SECONDS = 0.1
TEXT = ("character varying", "text", "character")
NUMBER = ("bigint", "integer", "numeric", "smallint")
ELAPSED = (
    "extract(epoch from pg_catalog.clock_timestamp() - coalesce(nullif(pg_catalog.current_setting("
    "'mcp_backend.began', true), '')::timestamptz, pg_catalog.transaction_timestamp()))"
)
"""Seconds since the step began, as SQL, for tools that record how long a migration took."""


@dataclass(frozen=True, slots=True)
class Place:
    """The history table before it is read. `columns` are those it has, with type and whether a row needs a value."""

    schema: str
    table: str
    exists: bool
    schema_exists: bool
    columns: Mapping[str, Mapping[str, Any]]
    database: str
    comment: str | None = None

    @property
    def quoted(self) -> str:
        """The table's name as SQL."""
        return self.history("").quoted

    def history(self, create: str, *locks: int, more: tuple[str, ...] = ()) -> History:
        """A history without versions; `create` makes the table, `more` what belongs to it."""
        made: tuple[str, ...] = ()
        if not self.exists and create:
            name = '"' + self.schema.replace('"', '""') + '"'
            made = () if self.schema_exists else (f"create schema if not exists {name}",)
            made += (create, *more)
        return History(
            self.schema, self.table, self.exists, self.schema_exists, (), made, tuple(locks), comment=self.comment
        )


_SCHEMA = """
select case when source = 'client' then setting end, pg_catalog.current_schema()::text
from pg_catalog.pg_settings where name = 'search_path'
"""
_LOOK = """
select n.nspname, c.oid, (
  select coalesce(jsonb_object_agg(a.attname, jsonb_build_object(
           'type', pg_catalog.format_type(a.atttypid, null), 'needed', a.attnotnull and not a.atthasdef
             and a.attidentity = '')), '{}')
  from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  pg_catalog.current_database(), pg_catalog.obj_description(c.oid, 'pg_class')
from (select %s::text as name) wanted
left join pg_catalog.pg_namespace n on n.nspname = wanted.name
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""


async def place(conn: Connection, name: str) -> Place:
    """Where the table of that name is; without a schema it is in the schema that the URL names first, otherwise in
    the current one."""
    given, _, table = name.rpartition(".")
    async with conn.cursor(row_factory=tuple_row) as cursor:
        schema = given or await _schema(cursor)
        await cursor.execute(_LOOK, (schema, table))
        row = await cursor.fetchone()
    assert row is not None, "a join to one row has one row"
    return Place(schema, table, row[1] is not None, row[0] is not None, row[2] or {}, str(row[3]), row[4])


async def rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query of ours."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query.encode())
        return list(await cursor.fetchall())


async def _schema(cursor: AsyncCursor[Any]) -> str:
    await cursor.execute(_SCHEMA)
    row = await cursor.fetchone()
    asked, current = row or (None, None)
    first = re.match(r'\s*(?:"((?:[^"]|"")+)"|([^,\s"]+))', asked or "")
    if first and (name := (first[1] or first[2]).replace('""', '"')) != "$user":
        return name
    return str(current or "public")


def check(
    found: Place, tool: str, expected: Mapping[str, Sequence[str]], others: Sequence[tuple[str, str]] = ()
) -> None:
    """Raises `FailedPrecondition` when the table is not the tool's: a column is missing or of another type, or a row
    needs one that the tool does not know."""
    owner = next((other for column, other in others if column in found.columns), None)
    needed = [name for name, about in found.columns.items() if about["needed"] and name not in expected]
    wrong = [
        name for name, types in expected.items()
        if name not in found.columns or (types and found.columns[name]["type"] not in types)
    ]  # fmt: skip
    if owner or needed or wrong:
        has = ", ".join(f"{name} {about['type']}" for name, about in found.columns.items())
        wanted = ", ".join(f"{name} {types[0] if types else ''}".strip() for name, types in expected.items())
        raise FailedPrecondition(
            f"the table {found.quoted} is not {tool}'s (it has {has}; expected: {wanted})"
            f"{f', it belongs to {owner}' if owner else ''}; migrate with that tool, or name another history table "
            f"where {tool} is configured"
        )


def literal(text: str) -> str:
    """The text as an SQL literal, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return " E'{}'".format(quoted.replace("\\", "\\\\")) if "\\" in text else f"'{quoted}'"


async def locked(conn: Connection, key: int, until: float) -> bool:
    """Takes a session's advisory lock; False when somebody else has it until that moment (`time.monotonic`).

    Asks again and again and never waits inside the server: a statement that waits there has a snapshot, CREATE INDEX
    CONCURRENTLY of the one who has the lock waits for every snapshot, and PostgreSQL ends one of both as a deadlock.
    """
    while True:
        cursor = await conn.execute(f"select pg_catalog.pg_try_advisory_lock({key})".encode())
        if (row := await cursor.fetchone()) and row[0]:
            return True
        if (rest := until - time.monotonic()) <= 0:
            return False
        await asyncio.sleep(min(LOOK_SECONDS * random.uniform(0.5, 1.0), rest))


async def holder(conn: Connection, key: int) -> str:
    """Who holds the advisory lock, in words."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            "select a.pid, a.application_name, a.backend_start from pg_catalog.pg_locks l "
            "join pg_catalog.pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted "
            "and l.objsubid = 1 and l.classid = %s and l.objid = %s and l.database = "
            "(select oid from pg_catalog.pg_database where datname = current_database())",
            ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF),
        )
        row = await cursor.fetchone()
    return (
        f"process {row[0]} ({row[1] or 'unnamed'}, connected since {row[2]:%Y-%m-%d %H:%M:%S%z})" if row else "nobody"
    )
