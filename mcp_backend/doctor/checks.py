"""Whether everything this server needs is in place: one finding per thing, each within seconds, never a secret.

Nothing is started or changed, except that the store is opened, which makes its folder.
"""

import asyncio
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from mcp_backend import installing, persona, policy
from mcp_backend.errors import BackendError, Json
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.settings import Workspace, hide_credentials
from mcp_backend.telling import tell
from mcp_backend.workspace import detect

State: TypeAlias = Literal["ok", "note", "bad"]
"""`note`: works, and a person should know this. `bad`: something that is asked for does not work."""
ENGINE_SECONDS = 8.0
"""Beside a busy agent a healthy engine has taken more than three."""
_NEEDS = {
    "postgresql": ("psycopg", "postgast", "sqlglot"),
    "clickhouse": ("clickhouse_connect", "sqlglot"),
    "nats": ("nats",),
    "kafka": ("confluent_kafka",),
    "redis": ("redis",),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in words for people; `facts` are the same for programs."""

    name: str
    state: State
    words: str
    facts: dict[str, Json] = field(default_factory=dict[str, Json])


async def examine(place: Workspace, start: Path) -> list[Finding]:
    """All findings about the workspace that `start` belongs to."""
    found = [_workspace(place), _python(), _git(place)]
    settings, about = _policy(place, start)
    found.append(about)
    if settings is None:
        return found
    looks: Iterable[Callable[[], Awaitable[Finding]]] = [
        *((lambda e=engine: _engine(e, place)) for engine in settings.engines.values()),
        lambda: asyncio.to_thread(_frontend, place, settings),
        lambda: _store(place, settings),
    ]
    from mcp_backend.doctor import hosts, programs

    await tell("asking the engines and the store, looking whose the files are")
    answers = await asyncio.gather(*(look() for look in looks))
    await tell("looking at the hosts of this repository, and whether the tests can start")
    of_hosts = await asyncio.to_thread(hosts.examine, place, settings)
    tests = await asyncio.to_thread(programs.tests, settings, place)
    await tell("trying the fence that programs run in")
    return [*found, *answers[:-2], tests, answers[-2], _promises(settings), answers[-1],
            await programs.sandbox(settings, place), *of_hosts]  # fmt: skip


def _workspace(place: Workspace) -> Finding:
    return Finding("workspace", "ok", str(place.root), {"root": str(place.root), "state_folder": str(place.state)})


def _python() -> Finding:
    version = platform.python_version()
    return Finding("python", "ok", f"{version} ({sys.executable})", {"version": version, "path": sys.executable})


def _git(place: Workspace) -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding("git", "bad", "not found: install git, or put it on the PATH of this server")
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ENGINE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", "bad", f"{program} does not run: {type(error).__name__}")
    version = said.stdout.strip().removeprefix("git version ")
    if not place.repository:
        return Finding(
            "git", "note", f"{version}, but this is no repository: commits need `git init`", {"version": version}
        )
    return Finding("git", "ok", version, {"version": version})


def _policy(place: Workspace, start: Path) -> tuple[Policy | None, Finding]:
    path = policy.find(start.resolve())
    try:
        loaded = policy.load(path, persona.load().constraints)
    except BackendError as error:
        return None, Finding("policy", "bad", error.reason, {"file": str(path)})
    settings = detect.fill(loaded, place)
    if path is None:
        words = "no mcp-backend.toml: everything is detected; `mcp-backend init` writes it down for review"
        return settings, Finding("policy", "note", words, {"file": None})
    return settings, Finding("policy", "ok", str(path), {"file": str(path)})


async def _engine(engine: EngineSettings, place: Workspace) -> Finding:
    """Reachable, which version, which environment; a local engine that does not run is not started for this."""
    name = f"engine {engine.name}"
    facts: dict[str, Json] = {
        "kind": engine.kind, "url": hide_credentials(engine.url), "environment": engine.environment,
        "origin": engine.origin, "migrations": engine.migrations, "reachable": None,
    }  # fmt: skip
    about = f"{engine.environment}, {_ORIGINS.get(engine.origin, engine.origin)}, {hide_credentials(engine.url)}"
    if missing := [module for module in _NEEDS[engine.kind] if find_spec(module) is None]:
        need = f"{', '.join(missing)} not installed: {installing.command(engine.kind)}"
        return Finding(name, "bad", f"{need}; {about}", facts)
    local = engine.url.startswith("embedded:")
    if not local:
        for module in _NEEDS[engine.kind]:  # a slow disk here is not a slow server there
            import_module(module)
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            version = await (_local(engine, place) if local else _remote(engine, place))
    except TimeoutError:
        facts["reachable"] = False
        return Finding(name, "bad", f"does not answer within {ENGINE_SECONDS:.0f} s; {about}", facts)
    except BackendError as error:
        facts["reachable"] = False
        return Finding(name, "bad", f"{hide_credentials(error.reason)}; {about}", facts)
    if version is None:
        return Finding(name, "ok", f"not running now, starts on first use; {about}", facts)
    return Finding(name, "ok", f"{version}; {about}", facts | {"reachable": True, "version": version})


_ORIGINS = {"policy": "from the policy", "detected": "detected", "default": "the default"}


async def _local(engine: EngineSettings, place: Workspace) -> str | None:
    """The version of a local engine that runs, `None` for one that can be started. Raises what stands in the way."""
    from mcp_backend.engines import binaries, embedded

    kind = engine.url.removeprefix("embedded:")
    embedded.engine_folder(kind, place)
    running = await embedded.status(kind, place)
    if running and running.get("running"):
        return str(running.get("version"))
    binaries.find(kind)
    return None


async def _remote(engine: EngineSettings, place: Workspace) -> str:
    from mcp_backend.engines import Engines

    engines = Engines({engine.name: engine}, place)
    try:
        if engine.kind == "nats":
            return (await engines.nats(engine.name).connection()).version
        if engine.kind == "clickhouse":
            return (await engines.clickhouse(engine.name).standing()).version
        if engine.kind == "redis":
            await engines.redis(engine.name).client()
            return engines.redis(engine.name).version
        if engine.kind == "kafka":
            return f"{len(await engines.kafka(engine.name).topics())} topics"
        async with engines.postgresql(engine.name).session(
            read_only=True, timeout_seconds=ENGINE_SECONDS
        ) as connection:
            row = await (await connection.execute("show server_version")).fetchone()
            return str(row[0]) if row else "unknown version"
    finally:
        await engines.close()


def _frontend(place: Workspace, settings: Policy) -> Finding:
    from mcp_backend.workspace.overview import overview

    seen = overview(place, settings)
    folders = [f"{root.folder}/" for root in seen.frontends]
    named = ", ".join([*folders, *(f'"{glob}" (policy)' for glob in settings.frontend)])
    words = (
        f"{named or 'no folder'}; {seen.files.get('frontend', 0)} files are refused, {seen.grey} pass with a warning"
    )
    counts: dict[str, Json] = dict(sorted(seen.files.items()))
    return Finding("frontend", "ok", words, {"roots": list[Json](folders), "files": counts})


def _promises(settings: Policy) -> Finding:
    states = {c.id: c.status for c in settings.constraints}
    open_ones = [f"{i} ({state})" for i, state in states.items() if state != "kept"]
    kept = len(states) - len(open_ones)
    words = f"{kept} of {len(states)} kept" + (f"; {', '.join(open_ones)}" if open_ones else "")
    return Finding("promises", "note" if open_ones else "ok", words, dict(states))


async def _store(place: Workspace, settings: Policy) -> Finding:
    """Whether the store can be written and its audit chain holds."""
    from mcp_backend import audit
    from mcp_backend.recording.seals import Seals, seals
    from mcp_backend.store import apart, open_store

    shared = settings.store
    where = f"{shared.url} (workspace {shared.workspace})" if shared.url else str(place.state)
    try:
        apart(shared, settings.engines.values())
        store = open_store(place.state, shared)
    except BackendError as error:
        return Finding("store", "bad", error.reason)
    try:
        async with store.transaction(durable=False):
            pass
        try:
            sealed = seals(place)
        except BackendError:
            sealed = Seals((), 0)
        count, breaks = await audit.verify(store, sealed.own)
        unended = await audit.unended(store)
    except (sqlite3.Error, BackendError) as error:
        return Finding("store", "bad", f"{where} cannot be used: {error}")
    finally:
        store.close()
    facts: dict[str, Json] = {"records": count, "breaks": len(breaks), "folder": str(place.state),
                              "shared": shared.url or None, "unended": list[Json](unended)}  # fmt: skip
    if breaks:
        return Finding(
            "store", "bad", f"the audit log is broken: {breaks[0].problem} (`mcp-backend audit verify`)", facts
        )
    words = f"writable, {count} audit records, the chain holds; {where}"
    if unended:
        words += f"; {len(unended)} calls have no end on record, how they ended is unknown: {', '.join(unended[:3])}"
    return Finding("store", "note" if unended else "ok", words, facts)
