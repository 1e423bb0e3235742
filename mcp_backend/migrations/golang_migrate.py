"""golang-migrate: `N_name.up.sql` and `N_name.down.sql`, one history row that says how far a database is.

A file is sent as one simple query, so it is one transaction unless it says otherwise. The row of
`schema_migrations(version bigint, dirty boolean)` is replaced at each step; `dirty` means that a file was begun and
its end is unknown. https://github.com/golang-migrate/migrate/blob/master/database/postgres/postgres.go
"""

import re
import zlib
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool

FILE = re.compile(r"([0-9]+)_(.*)\.(up|down)\.sql")
TABLE = "schema_migrations"
SALT = 1486364155
_MARK = "put it in a file of its own"


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations by their number."""
    ups: dict[int, File] = {}
    downs: dict[int, Path] = {}
    for name in reading.names(folder, root):
        if match := FILE.fullmatch(name):
            number, path = int(match[1]), folder / name
            other = downs.get(number) if match[3] == "down" else ups[number].path if number in ups else None
            if other is not None:
                raise InvalidArgument(
                    f"{reading.shown(other, root)} and {name} have the same version {number}: give one a new version"
                )
            if match[3] == "down":
                downs[number] = path
            else:
                ups[number] = File(str(number), path, reading.shown(path, root), match[2])
    return tuple(replace(ups[number], down=downs.get(number)) for number in sorted(ups))


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole file. Raises `InvalidArgument` when there is no file that takes it back."""
    if direction == "down" and file.down is None:
        name = file.path.name.removesuffix(".up.sql") + ".down.sql"
        raise InvalidArgument(f"{file.where}: there is no {name}, so it cannot be taken back")
    return (Block(reading.read(file, root, down=direction == "down"), 1, None, _MARK),)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history: everything up to the version of the one row is applied."""
    place = await history.place(conn, TABLE)
    # Opened by URL the tool calls the database "/name", as a library "name": each has its own key.
    locks = tuple(sorted({lock(place.schema, place.table, f"{slash}{place.database}") for slash in ("", "/")}))
    facts = {"before": dict(zip((f.version for f in files), (None, *(f.version for f in files)), strict=False))}
    create = f"create table if not exists {place.quoted} (version bigint not null primary key, dirty boolean not null)"
    if not place.exists:
        return replace(place.history(create, *locks), facts=facts)
    history.check(
        place, "golang-migrate", {"version": history.NUMBER, "dirty": ("boolean",)},
        others=(("inserted_at", "Ecto"), ("checksum", "another tool")),
    )  # fmt: skip
    rows = await history.rows(conn, f"select version, dirty from {place.quoted} limit 1")
    past = replace(place.history("", *locks), facts=facts)
    if not rows:
        return past
    current, dirty = int(rows[0][0]), bool(rows[0][1])
    applied = tuple(f.version for f in files if int(f.version) <= current)
    if current >= 0 and str(current) not in applied:
        applied += (str(current),)
    said = (
        f"the history {place.quoted} is dirty at version {current}: a migration was begun and did not end. Look at "
        "what it left, make the schema that of one version, then run 'migrate force VERSION'"
    )
    return replace(past, versions=applied, begun=((str(current), said),) if dirty else ())


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Replaces the row: by this version, or by the one before it."""
    version = file.version if direction == "up" else past.facts["before"].get(file.version)
    clean = _row(past, version, dirty=False)
    # Like the tool, a step down is dirty at the version that it leads to.
    return Record(clean, _row(past, version or "-1", dirty=True))


def _row(past: History, version: str | None, *, dirty: bool) -> str:
    """One statement: in between, an empty history would be a lie."""
    if version is None:
        return f"delete from {past.quoted}"
    flag = str(dirty).lower()
    return (
        f"with gone as (delete from {past.quoted} where version <> {version}) insert into {past.quoted} "
        f"(version, dirty) values ({version}, {flag}) on conflict (version) do update set dirty = {flag}"
    )


def lock(schema: str, table: str, database: str) -> int:
    """The key that `GenerateAdvisoryLockId` makes of the names."""
    return zlib.crc32("\0".join((schema, table, database)).encode()) * SALT & 0xFFFFFFFF


GOLANG_MIGRATE = Tool("golang-migrate", files, blocks, read, record, reading.number)
