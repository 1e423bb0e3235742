"""What message_topology needs of a messaging system, whichever it is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from mcp_backend.errors import BackendError, Json

if TYPE_CHECKING:
    from mcp_backend.contracts.messages import Index
    from mcp_backend.engines import Engines

Severity = Literal["error", "warn", "info"]
Position = tuple[int, str, str]
"""Where something stands: by kind of destination (`PLACES`), by name, a destination before its consumers."""
PLACES = ("stream", "declared", "channel", "shard", "topic", "group")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at one place; the view's `meaning` has the words that are the same for all places."""

    id: str
    where: str


@dataclass(frozen=True, slots=True)
class Item:
    """One destination or consumer with what is risky about it."""

    position: Position
    entry: dict[str, Json]
    findings: tuple[Finding, ...]
    consumer: bool = False


COMMON: Mapping[str, tuple[Severity, str]] = {
    "declared_twice": ("warn", "two documents declare it differently; the first is used"),
    "contract_unchecked": (
        "info",
        "its contract cannot be checked by this release, so publishing needs a justification",
    ),
    "contract_unreadable": ("error", "a contract file cannot be read"),
    "undocumented": ("warn", "no contract is declared for what is in it: declare it in AsyncAPI or JSON Schema"),
}
"""Findings that every kind of system has."""


class View(Protocol):
    """All of one system at one moment, joined with the contracts. `failures` are exceptions of its own, which `told`
    makes an error of ours."""

    failures: tuple[type[Exception], ...]

    @property
    def kind(self) -> str:
        """nats, redis or kafka."""
        ...

    @property
    def version(self) -> str:
        """The server's version."""
        ...

    @property
    def meaning(self) -> Mapping[str, tuple[Severity, str]]:
        """Severity, and what it means with what to do, for every id of a finding."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader should know besides."""
        ...

    async def choose(self, words: Sequence[str]) -> int:
        """Keeps the destinations in which all words occur, and counts them."""
        ...

    def items(self, after: Position, *, brief: bool) -> AsyncIterator[Item]:
        """Everything that was chosen and comes after a position."""
        ...

    def totals(self) -> dict[str, Json]:
        """Sums and counts over everything, whatever page is shown."""
        ...

    def told(self, error: Exception) -> BackendError:
        """The error of ours for one of `failures`."""
        ...


async def view(engines: "Engines", name: str | None, index: "Index", now: datetime) -> View:
    """The view of the engine of that name, or of the only messaging engine. Raises what `View.told` gives as well."""
    from mcp_backend.engines.publishing import KINDS

    kind = engines.choose(name, KINDS).kind
    if kind == "redis":
        from mcp_backend.engines.redis_join import RedisView

        return await RedisView.of(engines.redis(name), index, now)
    if kind == "kafka":
        from mcp_backend.engines.kafka_join import KafkaView

        return await KafkaView.of(engines.kafka(name), index, now)
    from mcp_backend.engines.nats_join import Topology

    return await Topology.of(engines.nats(name), index, now)
