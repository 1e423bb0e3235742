"""Prisma Migrate: `NAME/migration.sql`, history `_prisma_migrations` with the SHA-256 of each file.

The folder's name is the version. A script is sent as one simple query, so it is one transaction unless it says
otherwise. A row that never finished stops everything until a person resolved it. There is no way back.
https://github.com/prisma/prisma-engines/blob/main/schema-engine/core/src/commands/apply_migrations.rs
"""

import hashlib
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool

TABLE = "_prisma_migrations"
LOCK = 72707369
_MARK = "put it in a migration of its own"


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations by the names of their folders."""
    found: list[File] = []
    for entry in sorted(folder.iterdir(), key=lambda path: path.name.encode("utf-8", "surrogateescape")):
        path = entry / "migration.sql"
        if path.is_file():
            if not entry.name.isprintable() or len(entry.name) > 255:
                raise InvalidArgument(f"{entry.name!a}: expected a printable folder name of at most 255 characters")
            _, _, title = entry.name.partition("_")
            found.append(File(entry.name, path, reading.shown(path, root), title))
    return tuple(found)


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole script."""
    return (Block(reading.read(file, root), 1, None, _MARK),)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history, and what of it does not fit the files."""
    place = await history.place(conn, TABLE)
    create = (
        f"create table {place.quoted} (id varchar(36) primary key not null, checksum varchar(64) not null, "
        "finished_at timestamptz, migration_name varchar(255) not null, logs text, rolled_back_at timestamptz, "
        "started_at timestamptz not null default now(), applied_steps_count integer not null default 0)"
    )
    if not place.exists:
        return place.history(create, LOCK)
    expected = {
        "id": history.TEXT, "checksum": history.TEXT, "finished_at": (), "migration_name": history.TEXT,
        "logs": history.TEXT, "rolled_back_at": (), "started_at": (), "applied_steps_count": history.NUMBER,
    }  # fmt: skip
    history.check(place, "Prisma", expected)
    rows = await history.rows(
        conn,
        f"select migration_name, checksum, finished_at is not null, rolled_back_at is not null from {place.quoted} "
        "order by started_at",
    )
    tried = Counter(str(row[0]) for row in rows if row[3])
    rows = [row[:3] for row in rows if not row[3]]
    known = {file.version: file for file in files}
    problems: list[str] = []
    begun: list[tuple[str, str]] = []
    for name, checksum, finished in rows:
        file = known.get(name)
        if not finished:
            said = (
                f"{place.quoted} says that {name} was begun and did not end: look at what it left, then run 'prisma "
                f"migrate resolve --applied {name}' or '--rolled-back {name}'"
            )
            begun.append((name, said))
        elif file and checksum not in _checksums(reading.content(file.path, file.where, root)):
            problems.append(
                f"{file.where} was changed after it was applied (its SHA-256 is not that of {place.quoted}): put the "
                "file back and write a new migration"
            )
    unfinished = frozenset(name for name, _ in begun)
    versions = tuple(dict.fromkeys(name for name, _, finished in rows if finished and name not in unfinished))
    return replace(
        place.history("", LOCK), versions=versions, problems=tuple(problems), begun=tuple(begun),
        facts={"tried": tried},
    )  # fmt: skip


def _checksums(content: bytes) -> frozenset[str]:
    """Prisma takes a file for unchanged when only its line ends differ."""
    lf = content.replace(b"\r\n", b"\n")
    return frozenset(hashlib.sha256(text).hexdigest() for text in (content, lf, lf.replace(b"\n", b"\r\n")))


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """One finished row; outside a transaction it is begun first and finished afterwards, as Prisma does.

    The id is a version 5 UUID of what is recorded, so that the statement is the same each time it is planned.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    name = history.literal(file.version)
    identity = uuid.uuid5(
        uuid.NAMESPACE_OID, f"{past.quoted} {file.version} {digest} {past.facts.get('tried', {}).get(file.version, 0)}"
    )
    columns = f"insert into {past.quoted} (id, checksum, migration_name, started_at"
    begun = f"{columns}) values ('{identity}', '{digest}', {name}, pg_catalog.clock_timestamp())"
    return Record(
        f"{columns}, finished_at, applied_steps_count) values ('{identity}', '{digest}', {name}, "
        "pg_catalog.transaction_timestamp(), pg_catalog.clock_timestamp(), 1) "
        "on conflict (id) do update set finished_at = excluded.finished_at, applied_steps_count = 1",
        begun,
    )


PRISMA = Tool(
    "Prisma", files, blocks, read, record, lambda version: version,
    no_down="Prisma has no migrations that take one back",
)  # fmt: skip
