"""What a repository uses, where the policy does not say: engines, migration folder, test command.

Runs when a server starts, so it reads one listing and a few manifests. `look` is the longer look of `init` and
`doctor`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mcp_backend.policy import KINDS, EngineSettings, Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing, migration_folders, suites, uses
from mcp_backend.workspace.migration_folders import Migrations
from mcp_backend.workspace.suites import Suite
from mcp_backend.workspace.uses import Use

FOLDER = "db/migrations"
"""dbmate's own default, where a database has its migrations unless the policy says otherwise."""

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


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that was found: its settings, and the reason in words for people."""

    settings: EngineSettings
    because: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything `init` and `doctor` tell about a repository. `uses` are all engines it uses, also those that no
    tool here works with yet; `applied` is the folder of migrations of each kind of engine that has one."""

    files: int
    engines: tuple[Engine, ...]
    uses: tuple[Use, ...]
    frameworks: tuple[str, ...]
    migrations: tuple[Migrations, ...]
    applied: Mapping[str, str]
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
    for kind, folder in migration_folders.applied(workspace, files).items():
        databases = [name for name, e in engines.items() if e.kind == kind]
        if len(databases) == 1 and engines[databases[0]].migrations is None:
            engines[databases[0]] = replace(engines[databases[0]], migrations=folder)
    taken = {engine.kind for engine in policy.engines.values() if os.path.normpath(engine.migrations or "") == FOLDER}
    for name, engine in engines.items() if taken else ():
        if engine.kind in {"postgresql", "clickhouse"} - taken and engine.migrations is None:
            engines[name] = replace(engine, migrations=f"db/{name}")  # SQL of one kind is not pending on the other
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
        migrations=migration_folders.found(workspace, files),
        applied=migration_folders.applied(workspace, files),
        suites=suites.suites(workspace.root, files),
    )


def _engines(
    workspace: Workspace, files: Sequence[str], environment: Mapping[str, str], known: set[str]
) -> tuple[Engine, ...]:
    wanted = [kind for kind in KINDS if kind not in known]
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
