"""Drizzle: `TAG.sql` in the order of `meta/_journal.json`, history `drizzle.__drizzle_migrations`.

A row has the SHA-256 of a file and its moment from the journal; what is later than the latest row is pending.
https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/migrator.ts and pg-core/dialect.ts
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.dbmate import LOCK
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool

JOURNAL = "meta/_journal.json"
TABLE = "drizzle.__drizzle_migrations"
_MARK = "run it beside the migrations: Drizzle has no way to leave the transaction"


def _entries(folder: Path, root: Path) -> list[tuple[str, int]]:
    where = reading.shown(folder / JOURNAL, root)
    try:
        journal = json.loads(reading.content(folder / JOURNAL, where, root))
        entries = [(str(entry["tag"]), int(entry["when"])) for entry in journal["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{where}: expected a journal with entries of tag and when") from error
    for tag, _ in entries:
        if "/" in tag or not tag.isprintable() or tag.startswith("."):
            raise InvalidArgument(f"{where}: {tag!a} is not the name of a file beside it")
    return entries


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations of the journal, in its order."""
    found: list[File] = []
    for tag, _ in _entries(folder, root):
        path = folder / f"{tag}.sql"
        number, _, title = tag.partition("_")
        found.append(File(tag, path, reading.shown(path, root), title or number))
    return reading.once(found)


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole file; its breakpoints are comments."""
    return (Block(reading.read(file, root), 1, True, _MARK),)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history: everything up to the moment of the latest row is applied."""
    place = await history.place(conn, TABLE)
    moments = dict(_entries(files[0].path.parent, root)) if files else {}
    create = f"create table if not exists {place.quoted} (id serial primary key, hash text not null, created_at bigint)"
    if not place.exists:
        return replace(place.history(create, LOCK), facts={"when": moments})
    history.check(place, "Drizzle", {"id": history.NUMBER, "hash": history.TEXT, "created_at": history.NUMBER})
    rows = await history.rows(conn, f"select created_at, hash from {place.quoted} order by created_at")
    latest = int(rows[-1][0]) if rows else -1
    hashes = {int(row[0]): str(row[1]) for row in rows}
    versions: list[str] = []
    problems: list[str] = []
    for file in files:
        when = moments[file.version]
        if when > latest:
            continue
        if when not in hashes:
            problems.append(
                f"{file.where} is older than the latest migration in {place.quoted} and not among them: Drizzle passes "
                "over it; generate it anew"
            )
            continue
        versions.append(file.version)
        if hashes[when] != hashlib.sha256(reading.content(file.path, file.where, root)).hexdigest():
            problems.append(f"{file.where} was changed after it was applied: put it back and write a new migration")
    return replace(place.history("", LOCK), versions=tuple(versions), problems=tuple(problems), facts={"when": moments})


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Digest and moment."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Record(
        f"insert into {past.quoted} (hash, created_at) values ('{digest}', {past.facts['when'][file.version]})"
    )


DRIZZLE = Tool(
    "Drizzle", files, blocks, read, record, lambda version: version, late="never",
    no_down="Drizzle has no migrations that take one back",
)  # fmt: skip
