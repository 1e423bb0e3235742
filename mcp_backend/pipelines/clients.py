"""Which messaging system a piece of code speaks to, told by what its file imports and what its variables are called."""

import re
from collections.abc import Iterable, Mapping

from mcp_backend.pipelines.model import System

SYSTEMS: tuple[System, ...] = ("nats", "kafka", "redis")
HINT = re.compile(
    rb"nats|kafka|redis|valkey|jetstream|sarama|kgo\.|faststream|\.(?:publish|xadd|produce|send_and_wait|subscribe)\("
    rb"|\.(?:Publish|XAdd|WriteMessages|Subscribe)\(|insert\s+into|copy_records_to_table|__tablename__|outbox",
    re.IGNORECASE,
)
"""A source without any of these has nothing to do with a pipeline."""
IMPORTED: Mapping[System, re.Pattern[bytes]] = {
    "nats": re.compile(rb"(?m)^\s*(?:import|from)\s+(?:nats|faststream\.nats)\b|nats-io/nats\.go|faststream\.nats"),
    "kafka": re.compile(
        rb"(?m)^\s*(?:import|from)\s+(?:aiokafka|kafka|confluent_kafka|faststream\.(?:kafka|confluent))\b"
        rb"|IBM/sarama|Shopify/sarama|segmentio/kafka-go|twmb/franz-go|confluent-kafka-go"
    ),
    "redis": re.compile(
        rb"(?m)^\s*(?:import|from)\s+(?:redis|valkey|coredis|aioredis|faststream\.redis)\b|redis/go-redis|go-redis/redis"
        rb"|valkey-io/valkey-go"
    ),
}
NAMED: Mapping[System, re.Pattern[str]] = {
    "nats": re.compile(r"(?i)(?:^|[._])(?:js|nc|nats\w*|jetstream|jet|jsctx)$|nats|jetstream"),
    "kafka": re.compile(r"(?i)kafka|producer|consumer|writer$"),
    "redis": re.compile(r"(?i)redis|valkey|(?:^|[._])(?:r|rdb|pubsub|cache)$"),
}
MADE: Mapping[System, re.Pattern[str]] = {
    "nats": re.compile(
        r"nats\.connect|\.jetstream\(|JetStream|nats\.(?:Conn|Connect)|\bNATS\b|NatsBroker|jetstream\.New"
    ),
    "kafka": re.compile(
        r"Kafka(?:Producer|Consumer|Broker)|\bProducer\(|\bConsumer\(|sarama\.|kafka\.(?:New|Writer|Reader)|kgo\."
    ),
    "redis": re.compile(r"[rR]edis\.|Redis\(|Valkey|\bRedis\b|\.pubsub\(|RedisBroker"),
}
"""What a variable is made from, or annotated with."""


def imported(data: bytes) -> frozenset[System]:
    """The systems whose client a file imports."""
    return frozenset(system for system in SYSTEMS if IMPORTED[system].search(data))


def made_from(expression: str) -> System | None:
    """The system whose client an expression makes, or a type names; `None` for none and for several."""
    found: list[System] = [system for system in SYSTEMS if MADE[system].search(expression)]
    return found[0] if len(found) == 1 else None


def system(
    receiver: str,
    among: Iterable[System],
    imports: frozenset[System],
    made: Mapping[str, System],
    *,
    common: bool = False,
) -> System | None:
    """The system that a method of `receiver` speaks to, of those that have such a method; `None` where it is unsure.
    `common`: other things have a method of that name, too, so what the file imports does not decide."""
    possible: tuple[System, ...] = tuple(among)
    last = receiver.rpartition(".")[2]
    if (known := made.get(last)) is not None:
        return known if known in possible else None
    named: list[System] = [s for s in possible if NAMED[s].search(receiver)]
    if len(named) == 1 and (not imports or named[0] in imports):
        return named[0]
    if common:
        return None
    fitting: list[System] = [s for s in possible if s in imports]
    return fitting[0] if len(fitting) == 1 and receiver not in ("", "self", "cls") else None
