"""dbmate's history table, and the lock that keeps two servers from migrating at once.

The table is `schema_migrations(version varchar primary key)` in the schema that the engine's URL names first
(`?search_path=…`), otherwise in the current schema. Its name can be another one: `DBMATE_MIGRATIONS_TABLE`, from the
environment or the workspace's `.env`. All of it as in dbmate, so that a project never has two histories.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.rows import tuple_row

from mcp_backend.errors import FailedPrecondition

Connection: TypeAlias = AsyncConnection[Any]

LOCK = 48372615
"""Key of the session-level advisory lock held while migrations run: the one `dbmate --migration-lock` takes (2.37), so
that both exclude each other. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""
TABLE = "schema_migrations"


@dataclass(frozen=True, slots=True)
class History:
    """The history table and the versions in it. `exists` and `schema_exists` tell what is there already."""

    schema: str
    table: str
    exists: bool
    schema_exists: bool
    versions: tuple[str, ...]

    @property
    def quoted(self) -> str:
        """The table's name as SQL."""
        return sql.Identifier(self.schema, self.table).as_string(None)

    @property
    def create(self) -> tuple[str, ...]:
        """The statements that create what is missing."""
        schema = (
            ()
            if self.schema_exists
            else (f"create schema if not exists {sql.Identifier(self.schema).as_string(None)}",)
        )
        table = () if self.exists else (f"create table if not exists {self.quoted} (version varchar primary key)",)
        return schema + table

    def insert(self, version: str) -> str:
        """Records a version. Versions are digits."""
        return f"insert into {self.quoted} (version) values ('{version}')"

    def delete(self, version: str) -> str:
        """Takes a record back."""
        return f"delete from {self.quoted} where version = '{version}'"


def table_name(root: Path) -> str:
    """The table's name, with its schema where one is given."""
    if name := os.environ.get("DBMATE_MIGRATIONS_TABLE"):
        return name
    place = root / ".env"
    try:
        text = place.read_text("utf-8", "replace") if place.is_file() else ""
    except OSError:
        return TABLE
    found = re.search(r"^\s*(?:export\s+)?DBMATE_MIGRATIONS_TABLE\s*=\s*([\"']?)([^\"'\s#]+)\1", text, re.MULTILINE)
    return found[2] if found else TABLE


_SCHEMA = """
select case when source = 'client' then setting end, pg_catalog.current_schema()::text
from pg_catalog.pg_settings where name = 'search_path'
"""
_LOOK = """
select n.nspname, c.oid, (
  select coalesce(jsonb_object_agg(a.attname, jsonb_build_object(
           'type', pg_catalog.format_type(a.atttypid, null), 'needed', a.attnotnull and not a.atthasdef)), '{}')
  from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
from (select %s::text as name) wanted
left join pg_catalog.pg_namespace n on n.nspname = wanted.name
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

_OTHERS = (("dirty", "golang-migrate"), ("inserted_at", "Ecto"), ("checksum", "another tool"))


async def read(conn: Connection, name: str) -> History:
    """The history as it is now.

    Raises `FailedPrecondition` when the table of that name belongs to another tool.
    """
    given, _, table = name.rpartition(".")
    async with conn.cursor(row_factory=tuple_row) as cursor:
        schema = given or await _schema(cursor)
        await cursor.execute(_LOOK, (schema, table))
        row = await cursor.fetchone()
        assert row is not None, "a join to one row has one row"
        if row[1] is None:
            return History(schema, table, False, row[0] is not None, ())
        history = History(schema, table, True, True, ())
        _check(history, row[2])
        await cursor.execute(f"select version::text from {history.quoted} order by version".encode())
        return History(schema, table, True, True, tuple(str(row[0]) for row in await cursor.fetchall()))


async def _schema(cursor: AsyncCursor[Any]) -> str:
    await cursor.execute(_SCHEMA)
    row = await cursor.fetchone()
    asked, current = row or (None, None)
    first = re.match(r'\s*(?:"((?:[^"]|"")+)"|([^,\s"]+))', asked or "")
    if first and (name := (first[1] or first[2]).replace('""', '"')) != "$user":
        return name
    return str(current or "public")


def _check(history: History, columns: dict[str, dict[str, Any]]) -> None:
    owner = next((tool for column, tool in _OTHERS if column in columns), None)
    kind = columns.get("version", {}).get("type")
    needed = [name for name, about in columns.items() if about["needed"] and name != "version"]
    if owner or needed or kind not in ("character varying", "text", "character"):
        found = ", ".join(f"{name} {about['type']}" for name, about in columns.items())
        raise FailedPrecondition(
            f"the table {history.quoted} is not dbmate's (it has {found}; expected: version varchar)"
            f"{f', it belongs to {owner}' if owner else ''}; migrate with that tool, or name another table in "
            "DBMATE_MIGRATIONS_TABLE"
        )


async def holder(conn: Connection) -> str:
    """Who holds the lock, in words."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            "select a.pid, a.application_name, a.backend_start from pg_catalog.pg_locks l "
            "join pg_catalog.pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted "
            "and l.objsubid = 1 and l.classid = %s and l.objid = %s and l.database = "
            "(select oid from pg_catalog.pg_database where datname = current_database())",
            (LOCK >> 32, LOCK & 0xFFFFFFFF),
        )
        row = await cursor.fetchone()
    return (
        f"process {row[0]} ({row[1] or 'unnamed'}, connected since {row[2]:%Y-%m-%d %H:%M:%S%z})" if row else "nobody"
    )
