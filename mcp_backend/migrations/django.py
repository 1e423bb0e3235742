"""Django: migrations of each app in Python, run by `manage.py migrate`; history `django_migrations`.

Files of the repository are read, never run, to know what is pending; migrations of installed packages are known when
the command runs. https://docs.djangoproject.com/en/stable/topics/migrations/
"""

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import history
from mcp_backend.migrations.alembic import blocks, record
from mcp_backend.migrations.dbmate import LOCK
from mcp_backend.migrations.model import Connection, Direction, File, History, Program, Tool
from mcp_backend.migrations.wiretap.program import URL, Command

TABLE = "django_migrations"
SETTINGS = "mcp_backend_tap_settings"
ENGINE = "django.db.backends.postgresql"
_MODULE = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
_SKIPPED = frozenset({".git", ".venv", "venv", "env", "node_modules", "site-packages", "__pycache__"})
TOLD = f'''
import importlib
import os
from urllib.parse import unquote, urlsplit

_project = importlib.import_module(os.environ["MCP_BACKEND_SETTINGS"])
globals().update({{name: getattr(_project, name) for name in dir(_project) if name.isupper()}})
_default = dict(globals().get("DATABASES", {{}}).get("default", {{}}))
if not any(word in _default.get("ENGINE", "") for word in ("postg", "psql")):
    raise SystemExit("DATABASES['default'] of " + _project.__name__ + " is not PostgreSQL: " + _default.get("ENGINE", "nothing"))
_url = urlsplit(os.environ["{URL}"])
_default.update(NAME=unquote(_url.path[1:]), USER=_url.username, PASSWORD=unquote(_url.password), HOST=_url.hostname, PORT=_url.port)
_default.update(CONN_MAX_AGE=0)
_default["OPTIONS"] = {{k: v for k, v in _default.get("OPTIONS", {{}}).items() if not k.startswith("ssl") and k not in ("service", "passfile")}}
_default["OPTIONS"]["sslmode"] = "disable"
DATABASES = {{**globals()["DATABASES"], "default": _default}}
'''  # noqa: E501
"""The project's own settings with the address of the default database set, as a module of settings may do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `needs` are versions it comes after, `replaces` those it stands for."""

    file: File
    app: str
    needs: tuple[str, ...]
    replaces: tuple[str, ...]


def manager(folder: Path, root: Path) -> Path:
    """The manage.py of a folder or of the nearest one above. Raises `InvalidArgument` when there is none."""
    for parent in (folder, *folder.parents):
        if (parent / "manage.py").is_file():
            return parent / "manage.py"
        if parent == root:
            break
    raise InvalidArgument(f"{reading.shown(folder, root)}: there is no manage.py in it or above it")


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations of all apps below manage.py, each after those it depends on."""
    return tuple(one.file for one in migrations(folder, root))


def migrations(folder: Path, root: Path) -> tuple[Migration, ...]:
    """The same with what each comes after. Raises `InvalidArgument` when a file cannot be read."""
    base = manager(folder, root).parent
    paths = [path for place in sorted(folders(base)) for path in sorted(place.glob("*.py"))]
    wanted = [path for path in paths if path.name != "__init__.py"]
    found = [one for path in wanted if (one := _migration(path, folder, root)) is not None]
    reading.once(one.file for one in found)
    return tuple(_ordered({one.file.version: one for one in found}))


def folders(base: Path) -> Iterator[Path]:
    """The folders of migrations below one, whatever app they are of."""
    for place, inner, _ in os.walk(base):
        inner[:] = [name for name in inner if name not in _SKIPPED and not name.startswith(".")]
        if os.path.basename(place) == "migrations":
            yield Path(place)


def _migration(path: Path, folder: Path, root: Path) -> Migration | None:
    where = reading.shown(path, root)
    tree = reading.python(path, where, root)
    body = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Migration"), None)
    if body is None:
        return None
    app = path.parent.parent.name
    version = f"{app}.{path.stem}"
    lists = {
        target.id: node.value for node in body.body if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    needs, replaces = _pairs(lists.get("dependencies"), app), _pairs(lists.get("replaces"), app)
    return Migration(File(version, path, where, path.stem, script=str(folder)), app, needs, replaces)


def _pairs(node: ast.expr | None, app: str) -> tuple[str, ...]:
    """The pairs of texts of a list; what is computed (`swappable_dependency`) is known to Django alone."""
    found: list[str] = []
    for item in node.elts if isinstance(node, ast.List | ast.Tuple) else ():
        parts = item.elts if isinstance(item, ast.Tuple | ast.List) else ()
        texts = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
        if len(texts) == 2:
            found.append(f"{texts[0]}.{texts[1]}")
    return tuple(found)


def _ordered(known: Mapping[str, Migration]) -> Iterator[Migration]:
    done: set[str] = set()
    left = dict(sorted(known.items()))
    while left:
        ready = [
            m for m in left.values()
            if all(need in done or need not in known for need in _needs(m, known))
        ]  # fmt: skip
        if not ready:
            raise InvalidArgument(f"migrations depend on each other in a circle: {', '.join(sorted(left)[:5])}")
        for one in ready:
            done.add(one.file.version)
            del left[one.file.version]
            yield one


def _needs(one: Migration, known: Mapping[str, Migration]) -> Iterator[str]:
    for need in one.needs:
        app, _, name = need.rpartition(".")
        if name in ("__first__", "__latest__"):
            continue
        if need != one.file.version and app:
            yield need
    yield from (other for other in one.replaces if other in known)


def _ends(found: Sequence[Migration]) -> dict[str, list[str]]:
    """The last migrations of each app."""
    needed = {(m.app, need) for m in found for need in (*m.needs, *m.replaces)}
    ends: dict[str, list[str]] = {}
    for one in found:
        if (one.app, one.file.version) not in needed:
            ends.setdefault(one.app, []).append(one.file.version)
    return ends


async def read(conn: Connection, root: Path, files: tuple[File, ...]) -> History:
    """The rows of the repository's own apps. A row newer than every file of its app is drift."""
    there = await history.place(conn, TABLE)
    found = migrations(Path(files[0].script), root) if files else ()
    past = there.history("", LOCK)
    problems = [
        f"app {app} has two last migrations, {' and '.join(ends[:4])}: first `manage.py makemigrations --merge`"
        for app, ends in _ends(found).items()
        if len(ends) > 1
    ]
    facts: dict[str, Any] = {"found": found}
    if not there.exists:
        return replace(past, problems=tuple(problems), facts=facts)
    history.check(there, "Django", {"id": history.NUMBER, "app": history.TEXT, "name": history.TEXT, "applied": ()})
    rows = await history.rows(conn, f"select app || '.' || name from {there.quoted} order by id")
    done = {str(row[0]) for row in rows}
    names = {m.file.version for m in found}
    order = [str(row[0]) for row in rows]
    applied = [v for v in order if v in names]
    applied += [m.file.version for m in found if m.replaces and m.file.version not in done and done >= {*m.replaces}]
    squashed = {other for m in found for other in m.replaces}
    last = {app: max(m.file.path.stem for m in found if m.app == app) for app in {m.app for m in found}}
    for row in sorted(done - names - squashed):
        app, _, name = row.partition(".")
        if app in last and name[:4] > last[app][:4]:
            problems.append(
                f"{row} is applied and no file here is it (drift): get the file from the branch that was applied"
            )
    return replace(past, versions=tuple(applied), problems=tuple(problems), facts={**facts, "all": frozenset(done)})


def commands(
    folder: Path, root: Path, past: History, todo: Sequence[File], version: str | None, direction: Direction
) -> tuple[Command, ...]:
    """What applies all that is pending, or the version named, or takes the files of `todo` back, newest first."""
    script = manager(folder, root)
    if direction == "up":
        named = tuple(version.split(".", 1)) if version else ()
        return (_command(script, root, named),)
    return back(folder, root, past, todo)


def back(folder: Path, root: Path, past: History, done: Sequence[File]) -> tuple[Command, ...]:
    """What takes these files back, the last one first; nothing when some are of installed packages."""
    script = manager(folder, root)
    found = cast("Sequence[Migration]", past.facts["found"])
    gone: set[str] = set()
    targets: dict[str, str] = {}
    known = {m.file.version for m in found}
    if any(file.version not in known for file in done):
        return ()
    for file in reversed(done):
        app = file.version.partition(".")[0]
        gone.add(file.version)
        rest = [v for v in past.versions if v.partition(".")[0] == app and v not in gone]
        before = [m.file.path.stem for m in found if m.file.version in rest]
        targets[app] = before[-1] if before else "zero"
    return tuple(_command(script, root, target) for target in targets.items())


def _command(script: Path, root: Path, named: tuple[str, ...]) -> Command:
    module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    if not module:
        said = _MODULE.search(reading.content(script, reading.shown(script, root), root).decode("utf-8", "replace"))
        if said is None:
            raise FailedPrecondition(
                f"{reading.shown(script, root)} does not say DJANGO_SETTINGS_MODULE; set it for this server"
            )
        module = said[1]
    told = " ".join(("manage.py migrate", *named))
    arguments = (script.name, "migrate", *named, "--no-input", f"--settings={SETTINGS}", "--pythonpath={files}")
    more = {"MCP_BACKEND_SETTINGS": module, "DJANGO_SETTINGS_MODULE": SETTINGS}
    # Settings that take the engine from the environment end without it, before they are told another database.
    more |= {name: os.environ.get(name, ENGINE) for name in ("DJANGO_DB_ENGINE", "SQL_ENGINE")}
    return Command((*arguments, "--no-color"), script.parent, told, more, {f"{SETTINGS}.py": TOLD})


def written(node: str, texts: Sequence[str]) -> tuple[str, bool] | None:
    """What a statement on the table says: the migration, and whether it is applied by it."""
    if len(texts) < 2 or node not in ("InsertStmt", "DeleteStmt"):
        return None
    return f"{texts[0]}.{texts[1]}", node == "InsertStmt"


DJANGO = Tool(
    "Django", files, blocks, read, record, lambda version: version, late="never",
    program=Program(TABLE, commands, back, written),
)  # fmt: skip
