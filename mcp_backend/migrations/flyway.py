"""Flyway: `V1.2__name.sql`, `U1.2__name.sql` that takes it back, `R__name.sql` that runs again when it changed.

Its history `flyway_schema_history` keeps a CRC-32 over the lines of each file, and the milliseconds it took. A file
that changed after it was applied stops everything, and so does a row without a file, a failed one, or a version that
sorts before the newest. Placeholders and callbacks are Flyway's own program: what uses them is refused.
https://github.com/flyway/flyway, flyway-core ChecksumCalculator, ResourceNameParser, DbMigrate
"""

import re
import tomllib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Record, Tool
from mcp_backend.migrations.statements import statements

FILE = re.compile(r"(?:([VUB])([0-9][0-9._]*)|(R))__(.*)\.sql", re.IGNORECASE)
CALLBACK = re.compile(
    r"(before|after)((Each)?(Migrate|Undo)(Statement)?(Error)?|Versioned|Repeatables|Clean|Validate|Info|Baseline|"
    r"Repair|Connect|CreateSchema)?(Error)?(__.*)?\.sql|createSchema(__.*)?\.sql"
)
TABLE = "flyway_schema_history"
MAGIC = int.from_bytes(b"Flyway")
_MARK = "write executeInTransaction=false into a file of its name followed by .conf"
_UNDONE = ("UNDO_SQL", "UNDO_SCRIPT", "UNDO_JDBC")


def key(version: str) -> tuple[int, ...]:
    """Orders versions: numbers between dots, trailing zeros do not count; repeatable ones come before all."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
        return (-1,)
    parts = [int(part) for part in version.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations of a folder and the folders in it: those with a version by it, then the repeatable ones.

    Raises `FailedPrecondition` for callbacks and baseline migrations, which only Flyway itself runs.
    """
    ups: dict[tuple[int, ...], File] = {}
    downs: dict[tuple[int, ...], Path] = {}
    again: dict[str, File] = {}
    for path in sorted(folder.rglob("*.sql")):
        where = reading.shown(path, root)
        if not path.name.isprintable():
            raise InvalidArgument(f"{path.name!a}: expected a printable UTF-8 file name")
        if CALLBACK.fullmatch(path.name):
            raise FailedPrecondition(f"{where} is a callback, which only Flyway itself runs; migrate with Flyway")
        match = FILE.fullmatch(path.name)
        if match is None or not path.is_file() or path.name[0] not in "VUBR":
            continue
        title, script = match[4].replace("_", " "), path.relative_to(folder).as_posix()
        if match[1] == "B":
            raise FailedPrecondition(f"{where} is a baseline migration, which only Flyway itself runs")
        if match[3]:
            if title in again:
                raise InvalidArgument(f"{again[title].where} and {path.name} are the same repeatable migration")
            again[title] = File(f"R__{match[4]}", path, where, title, None, True, script)
            continue
        version = match[2].replace("_", ".").strip(".")
        if match[1] == "U":
            downs[key(version)] = path
        elif other := ups.get(key(version)):
            raise InvalidArgument(f"{other.where} and {path.name} have the same version {version}: give one a new one")
        else:
            ups[key(version)] = File(version, path, where, title, script=script)
    ordered = [replace(ups[number], down=downs.get(number)) for number in sorted(ups)]
    return (*ordered, *(again[title] for title in sorted(again)))


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """The whole file. It runs outside a transaction when Flyway would do so: its `.conf` says it, or it has only
    statements that cannot run inside one."""
    if direction == "down" and file.down is None:
        raise InvalidArgument(f"{file.where}: there is no U{file.version}__….sql, so it cannot be taken back")
    text = reading.read(file, root, down=direction == "down", mark=True)
    path = file.down if direction == "down" and file.down else file.path
    options = _conf(path.with_name(f"{path.name}.conf"), root)
    where = reading.shown(path, root)
    if options.get("placeholderreplacement", "true") != "false" and (found := re.search(r"\$\{[^}\n]*\}", text)):
        line = text.count("\n", 0, found.start()) + 1
        raise InvalidArgument(
            f"{where}:{line}: {found[0][:60]} is a placeholder, whose value only Flyway's configuration has; write the "
            "value out, or write placeholderReplacement=false into a file of its name followed by .conf"
        )
    if "shouldexecute" in options:
        raise InvalidArgument(f"{where}.conf: shouldExecute is Flyway's own; migrate with Flyway")
    if said := options.get("executeintransaction"):
        return (Block(text, 1, said == "true", _MARK, ends=True),)
    ran = statements(Block(text, 1, None, _MARK), where)
    alone = [statement for statement in ran if statement.alone]
    if alone and len(alone) < len(ran):
        raise InvalidArgument(
            f"{where}:{alone[0].line}: {alone[0].alone} cannot run inside a transaction, and the others can; Flyway "
            f"refuses to mix them: put it in a file of its own, or {_MARK}"
        )
    return (Block(text, 1, None if len(ran) == 1 else not alone, _MARK, ends=True),)


def _conf(path: Path, root: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    text = reading.content(path, reading.shown(path, root), root).decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
    return {name.strip().lower().removeprefix("flyway."): value.strip().strip("\"'") for name, _, value in pairs}


def _settings(root: Path) -> dict[str, str]:
    """What the project's own configuration says about the history table."""
    found: dict[str, str] = {}
    for place in (root / "flyway.toml", root / "flyway.conf", root / "conf" / "flyway.conf"):
        if place.suffix == ".conf":
            found |= _conf(place, root)
        elif place.is_file():
            try:
                read = tomllib.loads(place.read_text("utf-8")).get("flyway", {})
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                raise InvalidArgument(f"{place.name}: cannot be read: {error}") from error
            found |= {
                name.lower(): ",".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
                for name, value in cast("dict[str, Any]", read).items()
            }
    return found


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The history, and what of it does not fit the files."""
    settings = _settings(root)
    schema = settings.get("defaultschema") or settings.get("schemas", "").split(",")[0].strip()
    table = settings.get("table", TABLE)
    place = await history.place(conn, f"{schema}.{table}" if schema else table)
    create = (
        f"create table {place.quoted} (installed_rank int not null, version varchar(50), description varchar(200) "
        "not null, type varchar(20) not null, script varchar(1000) not null, checksum integer, installed_by "
        "varchar(100) not null, installed_on timestamp not null default now(), execution_time integer not null, "
        "success boolean not null)",
        f'alter table {place.quoted} add constraint "{table}_pk" primary key (installed_rank)',
        f'create index "{table}_s_idx" on {place.quoted} (success)',
    )
    if not place.exists:
        return place.history(create[0], lock(place.quoted), more=create[1:])
    expected: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("installed_rank", "version", "description", "type", "script", "checksum", "installed_by", "installed_on",
         "execution_time", "success"), ()
    )  # fmt: skip
    history.check(place, "Flyway", expected)
    rows = await history.rows(
        conn,
        f"select version, description, type, checksum, success from {place.quoted} order by installed_rank",
    )
    return _applied(place.history("", lock(place.quoted)), rows, files, root)


def _applied(past: History, rows: list[tuple[Any, ...]], files: tuple[File, ...], root: Path) -> History:
    known = {key(file.version): file for file in files if not file.repeatable}
    again = {file.name: file for file in files if file.repeatable}
    done: dict[str, int | None] = {}
    problems: list[str] = []
    begun: list[tuple[str, str]] = []
    for version, description, kind, crc, success in rows:
        name = f"R__{description}" if version is None else str(version)
        file = again.get(description) if version is None else known.get(key(name))
        name = file.version if file else name
        if kind in ("SCHEMA", "DELETE") or kind in _UNDONE:
            if kind != "SCHEMA" and success:
                done.pop(name, None)
        elif not success:
            said = f"{past.quoted} has a failed migration {name}: look at what it left, then run 'flyway repair'"
            begun.append((name, said))
        elif kind in ("BASELINE", "SQL_BASELINE"):
            done |= {each.version: None for number, each in known.items() if number <= key(name)}
        else:
            done[name] = None if crc is None else int(crc)
    for name, crc in list(done.items()):
        file = again.get(name.removeprefix("R__").replace("_", " ")) or known.get(key(name))
        if file is None:
            if not name.startswith("R__"):
                problems.append(f"{past.quoted} has {name}, which has no file here: get the file (another branch?)")
        elif crc is not None and crc != checksum(reading.read(file, root, mark=True)):
            if file.repeatable:
                del done[name]
            else:
                problems.append(
                    f"{file.where} was changed after it was applied (its checksum is not that of {past.quoted}): put "
                    "the file back and write a new migration"
                )
    versions = tuple(name for name in done if not name.startswith("R__") or name in {f.version for f in files})
    return replace(past, versions=versions, problems=tuple(problems), begun=tuple(begun))


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """A row with the next rank; outside a transaction it is a failed one until it ended well, as Flyway leaves it."""
    path = file.down if direction == "down" and file.down else file.path
    script = str(Path(file.script).with_name(path.name))
    version = "null" if file.repeatable else f"'{file.version}'"
    kind = "UNDO_SQL" if direction == "down" else "SQL"
    description = file.name if len(file.name) <= 200 else f"{file.name[:197]}..."
    columns = "installed_rank, version, description, type, script, checksum, installed_by, execution_time, success"
    values = (
        f"{version}, {history.literal(description)}, '{kind}', {history.literal(script[-1000:])}, {checksum(text)}, "
        "current_user"
    )
    rank = f"(select coalesce(max(installed_rank), 0) + 1 from {past.quoted})"
    took = f"({history.ELAPSED} * 1000)::int"
    insert = f"insert into {past.quoted} ({columns}) select {rank}, {values}"
    same = f"type = '{kind}' and script = {history.literal(script[-1000:])} and not success"
    return Record(
        f"{insert}, {took}, true",
        f"{insert}, 0, false where not exists (select from {past.quoted} where {same})",
        f"update {past.quoted} set success = true, execution_time = {took} where {same}",
    )


def checksum(text: str) -> int:
    """CRC-32 over the lines without their ends, as a signed 32-bit number."""
    crc = 0
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    for line in lines:
        crc = zlib.crc32(line.encode("utf-8", "surrogatepass"), crc)
    return crc - 2**32 if crc >= 2**31 else crc


def lock(table: str) -> int:
    """The key of `PostgreSQLAdvisoryLockTemplate`: its magic number and Java's hash of the quoted name."""
    code = 0
    for index in range(0, len(units := table.encode("utf-16-be")), 2):
        code = (31 * code + int.from_bytes(units[index : index + 2])) & 0xFFFFFFFF
    return MAGIC + (code - 2**32 if code >= 2**31 else code)


FLYWAY = Tool("Flyway", files, blocks, read, record, key, late="never")
