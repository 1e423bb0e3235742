"""What publish_message needs of a messaging system, whichever it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mcp_backend.engines.outcomes import Message, Outcome
from mcp_backend.errors import Json
from mcp_backend.policy import EngineSettings

if TYPE_CHECKING:
    from mcp_backend.engines import Engines

KINDS = ("nats", "redis", "kafka")
SECONDS = 10.0
"""How long a call tries; a batch gets `SECONDS_EACH` more for each of its messages."""
SECONDS_EACH = 0.01


class Publisher(Protocol):
    """One destination of one engine, for one call. Made with the destination's name checked (`InvalidArgument`)."""

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        ...

    @property
    def address(self) -> str:
        """The name that contracts know the destination by."""
        ...

    async def look(self, messages: Sequence[Message]) -> list[str]:
        """Finds out what stores the destination and whether the messages fit it; what to say about it.

        Raises `InvalidArgument` for what can never work, `Unavailable`.
        """
        ...

    def version(self) -> str:
        """Names what stores the destination: an approval holds only while that is the same."""
        ...

    def sent_headers(self, message: Message) -> dict[str, str]:
        """Headers of the message as a guard and a person judge them."""
        ...

    async def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Publishes, and returns what is known about each, in the same order."""
        ...

    def entry(self, message: Message, outcome: Outcome, against: str | None) -> dict[str, Json]:
        """What is said about one message."""
        ...

    def delivery(self) -> str:
        """The guarantee: at_most_once, at_least_once or exactly_once."""
        ...

    def notes(self, *, derived: bool) -> list[str]:
        """How long the statements hold. `derived`: some message_id was made from the content."""
        ...


def publisher(engines: "Engines", name: str | None, destination: str, expected: int | None) -> Publisher:
    """The publisher of a destination on the engine of that name, or on the only messaging engine.

    Raises `InvalidArgument` for a name that no destination can have, or for what this kind cannot do.
    """
    kind = engines.choose(name, KINDS).kind
    if kind == "redis":
        from mcp_backend.engines.redis_publisher import RedisPublisher

        return RedisPublisher(engines.redis(name), destination, expected)
    if kind == "kafka":
        from mcp_backend.engines.kafka_publisher import KafkaPublisher

        return KafkaPublisher(engines.kafka(name), destination, expected)
    from mcp_backend.engines.nats_publisher import NatsPublisher

    return NatsPublisher(engines.nats(name), destination, expected)
