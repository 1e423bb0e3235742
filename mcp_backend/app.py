"""What a tool may reach. Opened once, closed once, handed to every call."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio

from mcp_backend import persona, threads
from mcp_backend.engines import Engines
from mcp_backend.persona import Persona
from mcp_backend.policy import Policy
from mcp_backend.recording import instances
from mcp_backend.recording.recent import Recent
from mcp_backend.settings import Workspace, user, workspace
from mcp_backend.store import Store, apart, open_store
from mcp_backend.telling import Progress
from mcp_backend.workspace import detect

RECORDING_SECONDS = 5.0
"""How long the store stays open for calls that were cancelled and are about to record that."""


async def silent(done: float, total: float | None, words: str) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: the operating-system user or the authenticated principal, the host program, its session.
    `scopes` are those of its token, `None` for whoever runs on this machine without one."""

    principal: str = "unknown"
    client: str = "unknown"
    session: str = ""
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class App:
    """Everything a tool may reach. `replace` gives a call its own `caller` and `progress`."""

    policy: Policy
    persona: Persona
    workspace: Workspace
    engines: Engines
    store: Store
    clock: Callable[[], datetime]
    instance: str
    caller: Caller = field(default_factory=Caller)
    progress: Progress = silent
    interrupted: list[str] = field(default_factory=list[str])
    """Calls of servers that died before they could record an outcome; emptied once told."""
    live: set[str] = field(default_factory=set[str])
    """The calls that run in this process now."""
    recent: Recent = field(default_factory=Recent)
    """What this process recorded lately."""

    def now(self) -> float:
        """Seconds since the epoch, by the app's clock."""
        return self.clock().timestamp()


def utc_now() -> datetime:
    """The current moment."""
    return datetime.now(UTC)


def read_policy(place: Workspace, start: Path) -> Policy:
    """The policy of a workspace: its file over the persona's promises, with what is not set detected."""
    return detect.fill(persona.in_force(start), place)


@asynccontextmanager
async def open_app(start: Path, clock: Callable[[], datetime] = utc_now) -> AsyncGenerator[App]:
    """The app of the workspace that `start` belongs to. Engines open on first use, and so does a store elsewhere."""
    threads.prepare()
    place = workspace(start)
    settings = read_policy(place, start)
    apart(settings.store, settings.engines.values())
    store = open_store(place.state, settings.store)
    identifier = secrets.token_hex(6)
    engines = Engines(settings.engines, place)
    try:
        interrupted, live, recent = list[str](), set[str](), Recent()
        async with instances.alive(store, identifier, clock, live, interrupted, recent):
            try:
                yield App(
                    policy=settings,
                    persona=persona.load(),
                    workspace=place,
                    engines=engines,
                    store=store,
                    clock=clock,
                    instance=identifier,
                    caller=Caller(principal=user()),
                    interrupted=interrupted,
                    live=live,
                    recent=recent,
                )
            finally:
                with anyio.move_on_after(RECORDING_SECONDS, shield=True):
                    while live:
                        await anyio.sleep(0.01)
    finally:
        try:
            await engines.close()
        finally:
            store.close()
