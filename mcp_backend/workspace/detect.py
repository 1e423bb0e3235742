"""What a repository uses, where the policy does not say: engines, migration folder, test command.

Runs when a server starts, so it reads one listing and a few manifests. `look` is the longer look of `init` and
`doctor`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mcp_backend.engines import ENGINES
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing, suites, uses
from mcp_backend.workspace.kinds import evidence
from mcp_backend.workspace.suites import Suite
from mcp_backend.workspace.uses import Use

ALWAYS = ("postgresql", "nats")
"""Kinds a workspace has in any case, so that a bare one has working tools."""
VARIABLES: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("DATABASE_URL", "POSTGRES_URL", "POSTGRESQL_URL"),
    "clickhouse": ("CLICKHOUSE_URL", "DATABASE_URL"),
    "nats": ("NATS_URL",),
    "kafka": ("KAFKA_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"),
    "redis": ("REDIS_URL", "VALKEY_URL"),
}
"""Variables of this process that name a server. A URL of another kind of server in one of them is passed over."""
_SCHEMES: Mapping[str, re.Pattern[str]] = {
    "postgresql": re.compile(r"postgres(ql)?(\+\w+)?://."),
    "clickhouse": re.compile(r"(https?\+)?clickhouse(s|\+\w+)?://."),
    "nats": re.compile(r"(nats|tls)://.|[^/]+$"),
    "kafka": re.compile(r"kafka(\+\w+)?://.|[^/]+$"),
    "redis": re.compile(r"(rediss?|valkeys?)://."),
}
_DBMATE = re.compile(r"^\s*--\s*migrate:up", re.MULTILINE)
_MIGRATION = re.compile(r"\d+.*\.(sql|py|rb|exs|[cm]?[jt]s)|[VUR]\d*.*__.+\.sql|[0-9a-f]{8,}_\w+\.py|migration\.sql")
_BEGINS = frozenset("0123456789abcdefVURm")
MOST_FOLDERS = 60
FEW = 10
"""Files of a folder that tell its tool when a server starts."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that was found: its settings, and the reason in words for people."""

    settings: EngineSettings
    because: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """A folder of migrations and the tool it belongs to ("" when none is known)."""

    folder: str
    tool: str
    because: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything `init` and `doctor` tell about a repository. `uses` are all engines it uses, also those that no
    tool here works with yet."""

    files: int
    engines: tuple[Engine, ...]
    uses: tuple[Use, ...]
    frameworks: tuple[str, ...]
    migrations: tuple[Migrations, ...]
    suites: tuple[Suite, ...]

    @property
    def test(self) -> str:
        """The command that runs all tests; empty when none was found."""
        return suites.command(self.suites)


def fill(policy: Policy, workspace: Workspace, environment: Mapping[str, str] = os.environ) -> Policy:
    """The policy with everything it leaves open detected: an engine of each kind it does not name, the folder of
    migrations, the test command. What it says is never changed."""
    files = listing.tracked(workspace)
    found = _engines(workspace, files, environment, {e.kind for e in policy.engines.values()})
    engines = dict(policy.engines)
    for engine in found:
        name = engine.settings.name
        engines[name if name not in engines else f"{name}-2"] = engine.settings
    folder = _applied(workspace, files)
    databases = [name for name, e in engines.items() if e.kind == "postgresql"]
    if folder and len(databases) == 1 and engines[databases[0]].migrations is None:
        engines[databases[0]] = replace(engines[databases[0]], migrations=folder)
    commands = dict(policy.commands)
    if "test" not in commands and (test := suites.command(suites.suites(workspace.root, files))):
        commands["test"] = test
    return replace(policy, engines=MappingProxyType(engines), commands=MappingProxyType(commands))


def look(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> Findings:
    """All that can be found in a repository, whatever its policy says."""
    files = listing.files(workspace)
    return Findings(
        files=len(files),
        engines=_engines(workspace, files, environment, set()),
        uses=uses.engines(workspace.root, files),
        frameworks=uses.frameworks(workspace.root, files),
        migrations=_migrations(workspace, files),
        suites=suites.suites(workspace.root, files),
    )


def _engines(
    workspace: Workspace, files: Sequence[str], environment: Mapping[str, str], known: set[str]
) -> tuple[Engine, ...]:
    wanted = [kind for kind in ENGINES if kind not in known]
    urls = {kind: named for kind in wanted if (named := _from_environment(kind, environment))}
    unnamed = [kind for kind in wanted if kind not in urls]
    used = uses.engines(workspace.root, files, unnamed) if unnamed else ()
    because = {use.kind: use.because for use in used}
    found: list[Engine] = []
    for kind in wanted:
        if kind in urls:
            url, why = urls[kind]
            found.append(Engine(EngineSettings(kind, kind, url, "production", origin="detected"), why))
        elif kind in because:
            local = EngineSettings(kind, kind, f"embedded:{kind}", "development", origin="detected")
            found.append(Engine(local, because[kind]))
        elif kind in ALWAYS:
            local = EngineSettings(kind, kind, f"embedded:{kind}", "development", origin="default")
            found.append(Engine(local, "nothing says that the repository uses it"))
    return tuple(found)


def _from_environment(kind: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The reference to a URL that the environment of this process has for a kind, and the reason."""
    for name in VARIABLES[kind]:
        if _SCHEMES[kind].match(environment.get(name, "")):
            return f"env:{name}", f"the variable {name} of this process names a server"
    if kind == "postgresql" and (named := [n for n in _LIBPQ if environment.get(n)]) and set(named) & _ENOUGH:
        # libpq takes the password from PGPASSWORD or ~/.pgpass itself; it is not repeated here.
        pairs = (f"{_LIBPQ[name]}={_quoted(environment[name])}" for name in named)
        return " ".join(pairs), f"the variables {', '.join(named)} of this process name a server"
    return None


_LIBPQ = {"PGSERVICE": "service", "PGHOST": "host", "PGHOSTADDR": "hostaddr", "PGPORT": "port", "PGDATABASE": "dbname",
          "PGUSER": "user"}  # fmt: skip
_ENOUGH = {"PGSERVICE", "PGHOST", "PGHOSTADDR"}
"""https://www.postgresql.org/docs/current/libpq-envars.html; without one of these three no server is named."""


def _quoted(value: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _folders(files: Sequence[str]) -> dict[str, list[str]]:
    """The folders that may hold migrations, nearest to the root first, each with its files that look like one."""
    found: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        if (
            name[:1] in _BEGINS
            and _MIGRATION.fullmatch(name)
            and (name.endswith(".sql") or "migrat" in path or "versions/" in path)
        ):
            if name == "migration.sql":
                folder = folder.rpartition("/")[0]
            found.setdefault(folder, []).append(path)
    near = sorted((f for f in found if evidence(f + "/")), key=lambda f: (f.count("/"), f))
    return {folder: found[folder] for folder in near[:MOST_FOLDERS]}


def _applied(workspace: Workspace, files: Sequence[str]) -> str | None:
    """The folder of migrations that can be applied: the first in dbmate's form
    (https://github.com/amacneil/dbmate#creating-migrations), otherwise the only one of another tool, of one whose
    migrations are programs last."""
    folders = _folders(files)
    for folder, names in folders.items():
        first = next((name for name in names if name.endswith(".sql")), None)
        if first and _DBMATE.search(listing.text(workspace.root, first, 4096) or ""):
            return folder or "."
    marked = any(path.rpartition("/")[2] in ("alembic.ini", "manage.py") for path in files)
    if not folders and not marked:
        return None
    from mcp_backend.migrations import forms
    from mcp_backend.migrations import found as programs

    places = {folder: workspace.root / folder for folder in folders}
    tools = {f: forms.form(place, FEW).tool for f, place in places.items() if place.is_dir()}
    found = [f for f, tool in tools.items() if tool in forms.APPLIED and tool not in forms.PROGRAMS]
    if found:
        return (found[0] or ".") if len(found) == 1 else None
    return programs.folder(workspace.root, files) if marked else None


def _migrations(workspace: Workspace, files: Sequence[str]) -> tuple[Migrations, ...]:
    from mcp_backend.migrations import forms

    found: list[Migrations] = []
    for folder in _folders(files):
        place = workspace.root / folder
        if place.is_dir():
            form = forms.form(place)
            if form.files and (form.tool or "migrat" in folder):
                found.append(Migrations(folder or ".", form.tool, form.because))
    return tuple(found)
