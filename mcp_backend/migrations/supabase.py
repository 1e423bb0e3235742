"""Supabase: `N_name.sql`, history `supabase_migrations.schema_migrations` with the statements that were run.

A file is one batch, so one transaction. https://github.com/supabase/cli, pkg/migration
"""

import re
from dataclasses import replace
from pathlib import Path

from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.dbmate import LOCK
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool
from mcp_backend.migrations.statements import statements

FILE = re.compile(r"([0-9]+)_(.*)\.sql")
TABLE = "supabase_migrations.schema_migrations"
_OLD = re.compile(r"([0-9]{14})_init\.sql")
_MARK = "put it in a file of its own"


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations by the bytes of their names; the `init` of the first versions of the tool is not one."""
    found: list[File] = []
    for index, name in enumerate(reading.names(folder, root)):
        old = _OLD.fullmatch(name)
        if index == 0 and old and old[1] < "20211209000000":
            continue
        if match := FILE.fullmatch(name):
            found.append(File(match[1], folder / name, reading.shown(folder / name, root), match[2]))
    return reading.once(found)


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole file."""
    return (Block(reading.read(file, root), 1, None, _MARK),)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history, and the versions in it that no file has."""
    place = await history.place(conn, TABLE)
    create = f"create table if not exists {place.quoted} (version text not null primary key)"
    columns = tuple(
        f"alter table {place.quoted} add column if not exists {name} {kind}"
        for name, kind in (("statements", "text[]"), ("name", "text")) if name not in place.columns
    )  # fmt: skip
    if not place.exists:
        return place.history(create, LOCK, more=columns)
    needed = {"version": history.TEXT} | {name: () for name in place.columns if name != "version"}
    history.check(place, "Supabase", needed)
    rows = await history.rows(conn, f"select version from {place.quoted} order by version")
    versions = tuple(str(row[0]) for row in rows)
    lost = sorted(set(versions) - {file.version for file in files})
    problems = (f"{place.quoted} has {', '.join(lost[:5])}, without a file here: get the files first",) if lost else ()
    return replace(place.history("", LOCK), versions=versions, create=columns, problems=problems)


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Version, name and the statements."""
    ran = statements(Block(text, 1, None), file.where)
    listed = ", ".join(history.literal(statement.sql) for statement in ran)
    return Record(
        f"insert into {past.quoted} (version, name, statements) values ({history.literal(file.version)}, "
        f"{history.literal(file.name)}, array[{listed}]::text[])"
    )


SUPABASE = Tool(
    "Supabase", files, blocks, read, record, reading.number, late="never",
    no_down="Supabase has no migrations that take one back",
)  # fmt: skip
