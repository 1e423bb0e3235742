"""sqlx: `N_name.sql`, or `N_name.up.sql` with `N_name.down.sql`; `-- no-transaction` as the first words of a file.

Its history `_sqlx_migrations` keeps the SHA-384 of the file and how long it took in nanoseconds; a file that changed
after it was applied stops everything, and so does a row without a file.
https://github.com/launchbadge/sqlx/blob/main/sqlx-core/src/migrate and sqlx-postgres/src/migrate.rs
"""

import hashlib
import re
import zlib
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool

FILE = re.compile(r"([0-9]+)_(.*)\.sql")
TABLE = "_sqlx_migrations"
_MARK = "begin the file with '-- no-transaction'"


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations by their number, with the file that takes each back where there is one."""
    found: list[File] = []
    downs: dict[int, Path] = {}
    for name in reading.names(folder, root):
        if not (match := FILE.fullmatch(name)):
            continue
        path = folder / name
        if match[2].endswith(".down"):
            downs[int(match[1])] = path
            continue
        title = match[2].removesuffix(".up").replace("_", " ")
        found.append(File(str(int(match[1])), path, reading.shown(path, root), title))
    found.sort(key=lambda file: int(file.version))
    return reading.once(replace(file, down=downs.get(int(file.version))) for file in found)


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole file. Raises `InvalidArgument` when it cannot be taken back."""
    if direction == "down" and file.down is None:
        raise InvalidArgument(f"{file.where}: it has no .down.sql, so it cannot be taken back")
    text = reading.read(file, root, down=direction == "down")
    return (Block(text, 1, not text.startswith("-- no-transaction"), _MARK, ends=True),)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history, and what of it does not fit the files."""
    place = await history.place(conn, TABLE)
    create = (
        f"create table if not exists {place.quoted} (version bigint primary key, description text not null, "
        "installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, "
        "execution_time bigint not null)"
    )
    if not place.exists:
        return place.history(create, lock(place.database))
    expected = {
        "version": history.NUMBER, "description": history.TEXT, "installed_on": (), "success": ("boolean",),
        "checksum": ("bytea",), "execution_time": history.NUMBER,
    }  # fmt: skip
    history.check(place, "sqlx", expected)
    rows = await history.rows(conn, f"select version, checksum, success from {place.quoted} order by version")
    known = {file.version: file for file in files}
    problems: list[str] = []
    begun: list[tuple[str, str]] = []
    for version, checksum, success in rows:
        file = known.get(str(version))
        if not success:
            said = (
                f"migration {version} is marked as failed in {place.quoted}: look at what it left, then delete the row"
            )
            begun.append((str(version), said))
        if file is None:
            problems.append(f"{place.quoted} has {version}, which has no file here: get the file (another branch?)")
        elif hashlib.sha384(reading.content(file.path, file.where, root)).digest() != bytes(checksum):
            problems.append(
                f"{file.where} was changed after it was applied (its SHA-384 is not that of {place.quoted}): put the "
                "file back and write a new migration"
            )
    versions = tuple(str(row[0]) for row in rows if row[2])
    return replace(
        place.history("", lock(place.database)), versions=versions, problems=tuple(problems), begun=tuple(begun)
    )


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Description, digest and time as sqlx writes them."""
    if direction == "down":
        return Record(f"delete from {past.quoted} where version = {file.version}")
    digest = hashlib.sha384(text.encode()).hexdigest()
    return Record(
        f"insert into {past.quoted} (version, description, success, checksum, execution_time) values ({file.version}, "
        f"{history.literal(file.name)}, true, pg_catalog.decode('{digest}', 'hex'), "
        f"({history.ELAPSED} * 1000000000)::bigint)"
    )


def lock(database: str) -> int:
    """The key that `generate_lock_id` makes of the database's name."""
    return 0x3D32AD9E * zlib.crc32(database.encode())


SQLX = Tool("sqlx", files, blocks, read, record, reading.number)
