"""What peek_messages needs of a messaging system. Peeking consumes nothing and leaves nothing behind."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import EngineSettings

if TYPE_CHECKING:
    from mcp_backend.engines import Engines

MOST_LOOKED_AT = 1000
"""Messages that one call reads in search of those that fit `filter`."""
POLL_SECONDS = 0.1
Begin = Literal["new", "oldest", "latest"]


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: one of the words, a position of the system's own, or a moment."""

    word: Begin | None = None
    position: str = ""
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as it lies there. `position` is what `from` takes to begin with it."""

    position: str
    subject: str
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    at: str = ""
    message_id: str = ""
    key: str = ""
    fields: Mapping[str, str] | None = None
    """A stream entry that is not of our form: all of its fields."""


Accept = Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Peek:
    """What is asked for. `accept` tells which messages are wanted."""

    start: Start
    count: int
    wait_seconds: float
    accept: Accept


@dataclass(frozen=True, slots=True)
class Peeked:
    """What was found, the oldest first. `following` is where to go on (`None`: nothing more is there), `looked_at` how
    many messages were read."""

    messages: tuple[Seen, ...]
    following: str | None
    looked_at: int
    notes: tuple[str, ...] = ()


class Peeker(Protocol):
    """One destination of one engine, for one call."""

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        ...

    async def peek(self, asked: Peek) -> Peeked:
        """Reads. Raises `NotFound`, `InvalidArgument`, `PermissionDenied`, `Unavailable`."""
        ...


def start(text: str | int) -> Start:
    """What `from` says. Raises `InvalidArgument` for what is neither a word, nor a position, nor a time."""
    said = str(text).strip()
    if said in ("new", "oldest", "latest"):
        return Start(word=said)
    if re.fullmatch(r"\d{1,20}(?:[-:]\d{1,20})?", said):
        return Start(position=said)
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        moment = None
    if moment is None or not re.match(r"\d{4}-\d\d-\d\d", said):
        raise InvalidArgument(
            'from: expected "new", "oldest", "latest", a sequence, an offset (PARTITION:OFFSET), an entry id, or a '
            "time such as 2026-11-25T09:30:00Z"
        )
    return Start(moment=moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def moment(seconds: float) -> str:
    """A time as RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def until_enough(
    seconds: float, look: Callable[[], Awaitable[list[Seen]]], count: int, accept: Accept
) -> tuple[list[Seen], int]:
    """Looks for new messages again and again until there are `count`, or the time is over; also how many were read."""
    clock = asyncio.get_running_loop().time
    deadline, found, looked = clock() + seconds, list[Seen](), 0
    while True:
        seen = await look()
        looked += len(seen)
        found += [message for message in seen if accept(message)]
        if len(found) >= count or clock() >= deadline:
            return found[:count], looked
        await asyncio.sleep(min(POLL_SECONDS, max(0.0, deadline - clock())))


def peeker(engines: "Engines", name: str | None, destination: str) -> Peeker:
    """The peeker of a destination on the engine of that name, or on the only messaging engine."""
    from mcp_backend.engines.publishing import KINDS

    kind = engines.choose(name, KINDS).kind
    if kind == "redis":
        from mcp_backend.engines.redis_peek import RedisPeeker

        return RedisPeeker(engines.redis(name), destination)
    if kind == "kafka":
        from mcp_backend.engines.kafka_peek import KafkaPeeker

        return KafkaPeeker(engines.kafka(name), destination)
    from mcp_backend.engines.nats_peek import NatsPeeker

    return NatsPeeker(engines.nats(name), destination)
