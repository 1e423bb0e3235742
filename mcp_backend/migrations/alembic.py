"""Alembic: revisions in Python, run by `alembic upgrade`; history `alembic_version`, which holds the heads alone.

Files are read, never run, to know what is pending. https://alembic.sqlalchemy.org/en/latest/tutorial.html
"""

import ast
import configparser
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, cast

from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.dbmate import LOCK
from mcp_backend.migrations.model import Block, Connection, Direction, File, History, Program, Record, Tool
from mcp_backend.migrations.wiretap.program import URL, Command, scheme

TABLE = "alembic_version"
LAUNCH = f"""
import os
from alembic import config
class Told(config.Config):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_main_option("sqlalchemy.url", os.environ["{URL}"].replace("%", "%%"))
config.Config = Told
config.main(prog="alembic")
"""
"""Alembic's own command line, with the URL that a `sqlalchemy.url` of the project would give."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project's Alembic is: the folder of env.py, the file with its settings, where it is run from."""

    script: Path
    ini: Path | None
    cwd: Path
    url: str
    versions: tuple[Path, ...]
    pattern: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One file. `parents` are what it comes after, `needs` what it depends on besides."""

    file: File
    parents: tuple[str, ...]
    needs: tuple[str, ...]


def place(folder: Path, root: Path) -> Place:
    """The project that a folder belongs to: the folder of env.py, its `versions`, or the one with alembic.ini.

    Raises `InvalidArgument` when there is no env.py, or settings that cannot be followed.
    """
    ini, options = _settings(folder, root)
    base = ini.parent if ini else folder
    named = options.get("script_location", "")
    where = _package(named, base, root)
    script = next((p for p in (folder, folder.parent) if (p / "env.py").is_file()), None)
    if script is None and named:
        script = _path(named, base, root)
    if script is None or not (script / "env.py").is_file():
        raise InvalidArgument(f"{reading.shown(folder, root)}: there is no env.py of Alembic in it or beside it")
    if "databases" in options:
        raise FailedPrecondition(
            f"{reading.shown(script, root)} migrates several databases in one run, which cannot be done here: "
            "run it yourself, or give each database an environment of its own"
        )
    texts = options.get("version_locations", "")
    colon = options.get("path_separator", options.get("version_path_separator", "")) in ("os", ":")
    found = [_path(text, base, root) for text in re.split(r"[\s,;:]+" if colon else r"[\s,;]+", texts) if text]
    pattern = "**/*.py" if options.get("recursive_version_locations", "").lower() == "true" else "*.py"
    cwd = where[0] if where else base  # a package is imported from there
    return Place(script, ini, cwd, options.get("sqlalchemy.url", ""), tuple(found) or (script / "versions",), pattern)


def _settings(folder: Path, root: Path) -> tuple[Path | None, Mapping[str, str]]:
    for parent in (folder, *folder.parents):
        ini = parent / "alembic.ini"
        if ini.is_file():
            parser = configparser.RawConfigParser()
            try:
                parser.read_string(ini.read_text("utf-8"))
            except (configparser.Error, UnicodeDecodeError, OSError) as error:
                raise InvalidArgument(f"{reading.shown(ini, root)}: cannot be read: {type(error).__name__}") from None
            return ini, dict(parser["alembic"]) if parser.has_section("alembic") else {}
        if parent == root:
            break
    return None, {}


def _path(text: str, base: Path, root: Path) -> Path:
    """A place of the settings: a path, or `package:path` of a package that lies in the repository.
    https://alembic.sqlalchemy.org/en/latest/tutorial.html#editing-the-ini-file"""
    if found := _package(text, base, root):
        return found[1]
    return Path(os.path.normpath(base / text.replace("%(here)s", str(base))))


def _package(text: str, base: Path, root: Path) -> tuple[Path, Path] | None:
    """The folder that a package is imported from, and the place in it, of `package:path`."""
    package, _, inner = text.partition(":")
    if not inner or not re.fullmatch(r"\w+(\.\w+)*", package):
        return None
    above = [up for up in (base, *base.parents) if up.is_relative_to(root)]
    sources = (up / source for up in above for source in ("", "src"))
    found = next((place for place in sources if (place / package.replace(".", "/")).is_dir()), None)
    return (found, Path(os.path.normpath(found / package.replace(".", "/") / inner))) if found else None


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The revisions, each after those it comes after."""
    return tuple(revision.file for revision in revisions(folder, root))


def revisions(folder: Path, root: Path) -> tuple[Revision, ...]:
    """The same with what each comes after. Raises `InvalidArgument` when a file cannot be read or one is missing."""
    here = place(folder, root)
    paths = [path for versions in here.versions for path in sorted(versions.glob(here.pattern))]
    found = [revision for path in paths if (revision := _revision(path, folder, root)) is not None]
    reading.once(revision.file for revision in found)
    known = {revision.file.version: revision for revision in found}
    for revision in found:
        for other in (*revision.parents, *revision.needs):
            if other not in known:
                raise InvalidArgument(
                    f"{revision.file.where} comes after {other}, which no file has: get it from the branch it is on"
                )
    return tuple(_ordered(known))


def _revision(path: Path, folder: Path, root: Path) -> Revision | None:
    where = reading.shown(path, root)
    tree = reading.python(path, where, root)
    said = dict(_assigned(tree, where))
    if not isinstance(said.get("revision"), str):
        return None
    title = (ast.get_docstring(tree) or "").strip().split("\n")[0]
    version = str(said["revision"])
    file = File(
        version, path, where, title or path.stem.removeprefix(version).strip("_- ") or version, script=str(folder)
    )
    return Revision(file, _several(said.get("down_revision")), _several(said.get("depends_on")))


def _assigned(tree: ast.Module, where: str) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        value = node.value
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision", "depends_on"):
                try:
                    yield target.id, None if value is None else ast.literal_eval(value)
                except ValueError:
                    raise InvalidArgument(f"{where}: {target.id}: expected a plain text, a tuple or None") from None


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _ordered(known: Mapping[str, Revision]) -> Iterator[Revision]:
    done: set[str] = set()
    left = dict(sorted(known.items(), key=lambda item: item[1].file.where))
    while left:
        ready = [r for r in left.values() if done.issuperset((*r.parents, *r.needs))]
        if not ready:
            raise InvalidArgument(f"revisions come after each other in a circle: {', '.join(sorted(left)[:5])}")
        for revision in ready:
            done.add(revision.file.version)
            del left[revision.file.version]
            yield revision


def heads(found: Sequence[Revision]) -> tuple[str, ...]:
    """The revisions that none comes after."""
    parents = {parent for revision in found for parent in revision.parents}
    return tuple(r.file.version for r in found if r.file.version not in parents)


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The heads in the table, and everything they come after. A revision without a file is drift."""
    there = await history.place(conn, await _table(conn))
    found = revisions(Path(files[0].script), root) if files else ()
    past = there.history("", LOCK)
    ends = heads(found)
    said = f"there are {len(ends)} heads, {' and '.join(ends[:4])}: make one of them with `alembic merge heads` first"
    problems = [said] if len(ends) > 1 else []
    facts: dict[str, Any] = {"parents": {r.file.version: r.parents for r in found}, "heads": ends}
    if not there.exists:
        return replace(past, problems=tuple(problems), facts=facts)
    history.check(there, "Alembic", {"version_num": history.TEXT})
    now = [str(row[0]) for row in await history.rows(conn, f"select version_num from {there.quoted} order by 1")]
    by_version = {r.file.version: r for r in found}
    applied: set[str] = set()
    todo = list(now)
    while todo:
        version = todo.pop()
        if version not in applied:
            applied.add(version)
            revision = by_version.get(version)
            todo += [*revision.parents, *revision.needs] if revision else []
    unknown = [version for version in now if version not in by_version]
    if unknown:
        problems.insert(
            0, f"the database is at {', '.join(unknown)}, which no file here is (drift): get the file from the branch "
            "that was applied, or have a person set the history right with `alembic stamp`",
        )  # fmt: skip
    ordered = [r.file.version for r in found if r.file.version in applied]
    return replace(past, versions=(*ordered, *unknown), problems=tuple(problems), facts={**facts, "now": now})


async def _table(conn: Connection) -> str:
    """The table with its schema, where it is in one only that is not looked in first."""
    rows = await history.rows(
        conn,
        "select n.nspname::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        f"where c.relname = '{TABLE}' and c.relkind = 'r' order by not pg_catalog.pg_table_is_visible(c.oid), 1",
    )
    return f"{rows[0][0]}.{TABLE}" if rows else TABLE


def commands(
    folder: Path, root: Path, past: History, todo: Sequence[File], version: str | None, direction: Direction
) -> tuple[Command, ...]:
    """What applies `todo`, or takes its one file back."""
    here = place(folder, root)
    if direction == "up":
        return (_command(here, root, "upgrade", todo[-1].version),)
    if len(past.facts.get("now", ())) > 1:
        raise FailedPrecondition(f"the database has several heads ({', '.join(past.facts['now'])}): merge them first")
    before = cast("Mapping[str, tuple[str, ...]]", past.facts["parents"]).get(todo[0].version, ())
    if len(before) > 1:
        said = f"{todo[0].version} merges {', '.join(before)}: a person takes a merge back"
        raise FailedPrecondition(said)
    return (_command(here, root, "downgrade", before[0] if before else "base"),)


def back(folder: Path, root: Path, past: History, done: Sequence[File]) -> tuple[Command, ...]:
    """What takes back all that was applied since the history was `past`."""
    now = cast("Sequence[str]", past.facts.get("now", ()))
    if len(now) > 1:
        return ()
    return (_command(place(folder, root), root, "downgrade", now[0] if now else "base"),)


def _command(here: Place, root: Path, verb: str, target: str) -> Command:
    options = ("-c", str(here.ini)) if here.ini else ()
    told = f"alembic {verb} {target}"
    return Command(("-c", LAUNCH, *options, verb, target), here.cwd, told, scheme=scheme(here.url))


def written(node: str, texts: Sequence[str]) -> tuple[str, bool] | None:
    """What a statement on the table says: the version, and whether it is applied by it."""
    if not texts:
        return None
    return (texts[0], node != "DeleteStmt") if node in ("InsertStmt", "UpdateStmt", "DeleteStmt") else None


def blocks(file: File, direction: Direction, root: Path) -> tuple[Block, ...]:
    """Nothing: what a revision does is known when it runs."""
    return ()


def record(past: History, file: File, direction: Direction, text: str) -> Record:
    """Alembic keeps its history itself."""
    _unused()


def _unused() -> NoReturn:
    raise NotFound("Alembic keeps its own history")


ALEMBIC = Tool(
    "Alembic", files, blocks, read, record, lambda version: version, late="never",
    program=Program(TABLE, commands, back, written),
)  # fmt: skip
