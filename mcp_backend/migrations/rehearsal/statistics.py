"""Gives a copy of the shadow the statistics of the target, so that its planner decides as the target's would.

Row counts and distributions are imported; a planner also asks how many pages a relation has on the disk, so the files
of the copy are made as long as the target's, without taking room (sparse). Such a copy is only ever asked for plans.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-STATSMOD
"""

import os
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row, tuple_row

from mcp_backend.migrations.rehearsal.target import PAGE

SEGMENT = 2**30
"""Bytes of one file of a relation."""
MOST_SEGMENTS = 4000
_PIECES = (
    "null_frac", "avg_width", "n_distinct", "most_common_vals", "most_common_freqs", "histogram_bounds", "correlation",
    "most_common_elems", "most_common_elem_freqs", "elem_count_histogram",
)  # fmt: skip
_TYPES = {
    "null_frac": "real", "avg_width": "integer", "n_distinct": "real", "most_common_freqs": "real[]",
    "correlation": "real", "most_common_elem_freqs": "real[]", "elem_count_histogram": "real[]",
}  # fmt: skip
_RELATIONS = """
select n.nspname, c.relname, c.relkind, c.relpages, c.reltuples, c.relallvisible from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 'i', 'p') and (n.nspname || '.' || c.relname = any(%(tables)s) or c.oid in (
  select i.indexrelid from pg_catalog.pg_index i join pg_catalog.pg_class t on t.oid = i.indrelid
  join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace where tn.nspname || '.' || t.relname = any(%(tables)s)))
"""
_COLUMNS = (
    "select schemaname, tablename, attname, inherited, "
    + ", ".join(f"{piece}::text as {piece}" for piece in _PIECES)
    + " from pg_catalog.pg_stats where schemaname || '.' || tablename = any(%(tables)s)"
)
_LOCAL = """
select pg_catalog.current_setting('data_directory') as folder, pg_catalog.current_setting('port') as port,
  extract(epoch from pg_catalog.pg_postmaster_start_time())::bigint as started
"""
_FILES = """
select n.nspname || '.' || c.relname as name, pg_catalog.pg_relation_filepath(c.oid) as path,
  (select tn.nspname || '.' || t.relname from pg_catalog.pg_index i join pg_catalog.pg_class t on t.oid = i.indrelid
   join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace where i.indexrelid = c.oid) as of,
  pg_catalog.pg_relation_size(c.oid) as size
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 'i') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""


async def read(source: AsyncConnection[Any], tables: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the target knows of these tables, their indexes and columns."""
    async with source.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_RELATIONS.encode(), {"tables": tables})
        relations = await cursor.fetchall()
        await cursor.execute(_COLUMNS.encode(), {"tables": tables})
        return relations, await cursor.fetchall()


async def carry(
    admin: AsyncConnection[Any], relations: list[dict[str, Any]], columns: list[dict[str, Any]], rows: dict[str, int]
) -> str:
    """Brings them into a copy of the shadow; why that cannot be done, in words, or nothing.

    `rows` are those of the sample by table: an index that the target does not have yet grows as its table does.
    """
    folder = await _folder(admin)
    if folder is None:
        return "the server for rehearsals is not this machine's, so its files cannot be given the target's sizes"
    for column in columns:
        given = [piece for piece in _PIECES if column[piece] is not None]
        values = "".join(f", '{piece}', %({piece})s::{_TYPES.get(piece, 'text')}" for piece in given)
        call = (
            "select pg_catalog.pg_restore_attribute_stats('schemaname', %(schemaname)s::text, 'relname', "
            f"%(tablename)s::text, 'attname', %(attname)s::text, 'inherited', %(inherited)s::boolean{values})"
        )
        try:
            await admin.execute(call.encode(), column)
        except psycopg.Error:
            continue  # the column has another type now, or is gone
    async with admin.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_FILES.encode())
        files = {str(about["name"]): about for about in await cursor.fetchall()}
    known = {f"{r['nspname']}.{r['relname']}": (int(r["relpages"]), float(r["reltuples"])) for r in relations}
    pages = {name: known[name][0] for name in files if name in known}
    for name, about in files.items():
        if name not in known and about["of"] in known:
            factor = known[about["of"]][1] / max(1, rows.get(about["of"], 0))
            pages[name] = round(int(about["size"]) / PAGE * max(1.0, factor))
    if sum(-(-size * PAGE // SEGMENT) for size in pages.values()) > MOST_SEGMENTS:
        return f"the target's tables have more than {MOST_SEGMENTS} files"
    for name, size in pages.items():
        _lengthen(folder / str(files[name]["path"]), size * PAGE)
        schema, _, relation = name.partition(".")
        tuples = known.get(name, known.get(files[name]["of"], (0, 0.0)))[1]
        await admin.execute(
            b"select pg_catalog.pg_restore_relation_stats('schemaname', %s::text, 'relname', %s::text, 'relpages', "
            b"%s::integer, 'reltuples', %s::real)",
            (schema, relation, size, tuples),
        )
    return ""


async def _folder(admin: AsyncConnection[Any]) -> Path | None:
    """The data folder of the server, when this machine's file system shows that it is this very server's."""
    async with admin.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_LOCAL.encode())
        row = await cursor.fetchone()
        assert row is not None, "a select without a table has one row"
    folder, port, started = Path(str(row[0])), str(row[1]), int(row[2])
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    same = len(lines) > 3 and lines[3] == port and abs(int(lines[2]) - started) <= 2
    return folder if same and os.access(folder, os.W_OK) else None


def _lengthen(path: Path, size: int) -> None:
    """Makes a relation's files as long as `size`; never shorter. What is added is a hole."""
    for number in range(-(-size // SEGMENT)):
        segment = path.with_name(f"{path.name}.{number}") if number else path
        wanted = min(SEGMENT, size - number * SEGMENT)
        if not segment.exists() or segment.stat().st_size < wanted:
            with segment.open("ab") as file:
                file.truncate(wanted)
