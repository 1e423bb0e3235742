"""`ENGINES`: one engine, one file, one line. They open on first use: a server starts with every one down."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from mcp_backend import installing
from mcp_backend.errors import InvalidArgument, NotFound, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse
    from mcp_backend.engines.kafka import Kafka
    from mcp_backend.engines.nats import Nats
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.engines.redis import Redis


class Engine(Protocol):
    """What every engine has: its settings, and an end."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None: ...

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        ...

    async def close(self) -> None:
        """Lets go of connections and of the local server, if this process was its last user."""
        ...


def _postgresql() -> "type[Postgresql]":
    from mcp_backend.engines.postgresql import Postgresql

    return Postgresql


def _clickhouse() -> "type[Clickhouse]":
    from mcp_backend.engines.clickhouse import Clickhouse

    return Clickhouse


def _nats() -> "type[Nats]":
    from mcp_backend.engines.nats import Nats

    return Nats


def _redis() -> "type[Redis]":
    from mcp_backend.engines.redis import Redis

    return Redis


def _kafka() -> "type[Kafka]":
    from mcp_backend.engines.kafka import Kafka

    return Kafka


ENGINES: Mapping[str, Callable[[], type[Engine]]] = MappingProxyType(
    {"postgresql": _postgresql, "clickhouse": _clickhouse, "nats": _nats, "redis": _redis, "kafka": _kafka}
)
"""The engines by kind; each is imported when it is asked for."""

CLIENTS: Mapping[str, str] = MappingProxyType({"nats": "nats", "redis": "redis", "kafka": "confluent_kafka"})
"""The module of the client that the extra of a messaging engine brings."""


class Engines:
    """The engines of one workspace, by the names the policy gives them."""

    def __init__(self, settings: Mapping[str, EngineSettings], workspace: Workspace) -> None:
        self.settings = settings
        self._workspace = workspace
        self._open: dict[str, Engine] = {}
        self._check: Callable[[EngineSettings], None] | None = None

    def checked(self, check: Callable[[EngineSettings], None]) -> "Engines":
        """The same engines, open or not, for a caller who may not have every one: `check` raises for those."""
        seen = Engines(self.settings, self._workspace)
        seen._open, seen._check = self._open, check
        return seen

    def choose(self, name: str | None, kinds: Iterable[str]) -> EngineSettings:
        """The settings of the engine `name`, or of the only one of these kinds; one that is there by default only gives
        way to one that the policy names or the repository uses.

        Raises `NotFound` naming the engines that exist, `InvalidArgument` when a choice is needed, `PermissionDenied`
        when this caller may not have that one, `Unavailable` when the package of its client is missing.
        """
        chosen = self._named(name or None, kinds)
        if self._check is not None:
            self._check(chosen)
        return _installed(chosen)

    def _named(self, name: str | None, kinds: Iterable[str]) -> EngineSettings:
        wanted = tuple(kinds)
        fitting = {n: s for n, s in self.settings.items() if s.kind in wanted}
        if name in fitting:
            return fitting[name]
        known = ", ".join(fitting) or "none"
        if name is not None:
            alike = [n for n in fitting if n.lower() == name.strip().lower()]
            if len(alike) != 1:
                raise NotFound(f"engine: no {' or '.join(wanted)} engine is named {name!r}; there are: {known}")
            return fitting[alike[0]]
        likely = {n: s for n, s in fitting.items() if s.origin != "default"} or fitting
        if len(likely) == 1:
            return next(iter(likely.values()))
        if not fitting:
            raise NotFound(f"engine: the policy names no {' or '.join(wanted)} engine; add [engines.NAME] to it")
        raise InvalidArgument(f"engine: is needed, because there are several: {known}")

    def postgresql(self, name: str | None) -> "Postgresql":
        """The PostgreSQL engine of that name, or the only one."""
        return cast("Postgresql", self._opened(name, "postgresql"))

    def clickhouse(self, name: str | None) -> "Clickhouse":
        """The ClickHouse engine of that name, or the only one."""
        return cast("Clickhouse", self._opened(name, "clickhouse"))

    def nats(self, name: str | None) -> "Nats":
        """The NATS engine of that name, or the only one."""
        return cast("Nats", self._opened(name, "nats"))

    def redis(self, name: str | None) -> "Redis":
        """The Redis engine of that name, or the only one."""
        return cast("Redis", self._opened(name, "redis"))

    def kafka(self, name: str | None) -> "Kafka":
        """The Kafka engine of that name, or the only one."""
        return cast("Kafka", self._opened(name, "kafka"))

    def _opened(self, name: str | None, kind: str) -> Engine:
        settings = self.choose(name, (kind,))
        if settings.name not in self._open:
            self._open[settings.name] = ENGINES[kind]()(settings, self._workspace)
        return self._open[settings.name]

    async def close(self) -> None:
        """Closes every engine that was opened."""
        for engine in self._open.values():
            await engine.close()
        self._open.clear()


def _installed(settings: EngineSettings) -> EngineSettings:
    module = CLIENTS.get(settings.kind)
    if module and module not in sys.modules and find_spec(module) is None:
        raise Unavailable(
            f"engine {settings.name} ({settings.kind}): the package of its client is not installed. Ask for "
            f"`{installing.command(settings.kind)}`; nothing was sent"
        )
    return settings
