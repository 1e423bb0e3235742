"""Migration folders in dbmate's form, read as dbmate reads them, and its history.

A file counts when its name starts with digits (its version) and ends in `.sql`; files are taken in the order of their
names. Inside, `-- migrate:up` and `-- migrate:down` at the start of a line open a block; both are required, and pairs
may follow each other (each pair runs by itself). `transaction:false` after a directive runs its block outside a
transaction. The history is `schema_migrations(version varchar primary key)` in the schema that the engine's URL names
first, under another name where `DBMATE_MIGRATIONS_TABLE` says so.
https://github.com/amacneil/dbmate#creating-migrations (checked against dbmate 2.37).
"""

import re
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Section, Tool

FILE = re.compile(r"([0-9]+)([^\n]*)\.sql")

_SPACE = r"[\t\n\f\r ]"  # what \s means in dbmate's regular expressions (RE2); Python's is wider
_UP = re.compile(rf"^--{_SPACE}*migrate:up({_SPACE}*$|{_SPACE}+[^\t\n\f\r ]+)", re.MULTILINE)
_DOWN = re.compile(rf"^--{_SPACE}*migrate:down({_SPACE}*$|{_SPACE}+[^\t\n\f\r ]+)", re.MULTILINE)
_DIRECTIVE = re.compile(rf"^--{_SPACE}*migrate:(up|down)")
_COMMENT_OR_EMPTY = re.compile(rf"{_SPACE}*(--|$)")


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations of a folder in the order in which dbmate applies them: by the bytes of their names.

    Raises `InvalidArgument` for a name that is not UTF-8 and for two files with the same version.
    """
    return reading.once(
        File(match[1], folder / name, reading.shown(folder / name, root))
        for name in reading.names(folder, root) if (match := FILE.fullmatch(name))
    )  # fmt: skip


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The blocks of one direction in the order in which they run."""
    sections = parse(reading.read(file, root), file.where)
    return tuple(s.up for s in sections) if direction == "up" else tuple(s.down for s in reversed(sections))


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history as it is now. Raises `FailedPrecondition` when the table of that name belongs to another tool."""
    place = await history.place(conn, table_name(root))
    if not place.exists:
        return place.history(f"create table if not exists {place.quoted} (version varchar primary key)", LOCK)
    history.check(place, "dbmate", {"version": history.TEXT}, others=_OTHERS)
    rows = await history.rows(conn, f"select version::text from {place.quoted} order by version")
    return replace(place.history("", LOCK), versions=tuple(str(row[0]) for row in rows))


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Versions are digits."""
    if direction == "up":
        return Record(f"insert into {past.quoted} (version) values ('{file.version}')")
    return Record(f"delete from {past.quoted} where version = '{file.version}'")


def table_name(root: Path) -> str:
    """The table's name, with its schema where one is given."""
    return reading.setting(root, "DBMATE_MIGRATIONS_TABLE") or TABLE


LOCK = 48372615
"""Key of the session-level advisory lock held while migrations run: the one `dbmate --migration-lock` takes (2.37), so
that both exclude each other. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""
TABLE = "schema_migrations"
_OTHERS = (("dirty", "golang-migrate"), ("inserted_at", "Ecto"), ("checksum", "another tool"))


def parse(text: str, where: str) -> tuple[Section, ...]:
    """The sections of a migration. Raises `InvalidArgument` where dbmate refuses the file too, naming the line."""
    ups = [match.start() for match in _UP.finditer(text)]
    if not ups:
        raise InvalidArgument(f"{where}: needs a line '-- migrate:up' (at the start of the line, in lower case)")
    for number, line in enumerate(text[: ups[0]].split("\n"), 1):
        if not _COMMENT_OR_EMPTY.match(line):
            raise InvalidArgument(f"{where}:{number}: only '--' comments may stand before '-- migrate:up'")
    return tuple(_section(text, start, end, where) for start, end in zip(ups, [*ups[1:], len(text)], strict=True))


def _section(text: str, start: int, end: int, where: str) -> Section:
    downs = [match.start() + start for match in _DOWN.finditer(text[start:end])]
    line = text.count("\n", 0, start) + 1
    if not downs:
        raise InvalidArgument(f"{where}:{line}: this '-- migrate:up' needs a '-- migrate:down' after it (may be empty)")
    if len(downs) > 1:
        second = text.count("\n", 0, downs[1]) + 1
        raise InvalidArgument(f"{where}:{second}: a second '-- migrate:down' without a '-- migrate:up' before it")
    return Section(_block(text, start, downs[0]), _block(text, downs[0], end))


def _block(text: str, start: int, end: int) -> Block:
    sql = text[start:end]
    options: dict[str, str] = {}
    for word in _DIRECTIVE.sub("", sql.split("\n", 1)[0]).split():
        pair = word.split(":")
        if len(pair) == 2:
            options[pair[0]] = pair[1]
    return Block(sql, text.count("\n", 0, start) + 1, options.get("transaction") != "false")


DBMATE = Tool("dbmate", files, blocks, read, record, reading.number)
