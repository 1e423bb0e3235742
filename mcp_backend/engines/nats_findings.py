"""What is risky about a stream, a consumer or a declared destination, judged from configuration and state alone."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from mcp_backend.contracts.patterns import Pattern, subject
from mcp_backend.engines.nats import NANOSECONDS
from mcp_backend.engines.nats_topology import Consumer, Held
from mcp_backend.engines.outcomes import SAFE_WINDOW_SECONDS
from mcp_backend.engines.topology import COMMON, Finding, Severity

IDLE = timedelta(minutes=10)
ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
"""Where the server says that it gave a message up. https://docs.nats.io/nats-concepts/jetstream/consumers"""


MEANING: dict[str, tuple[Severity, str]] = {
    "no_leader": ("error", "has no leader, so nothing can be published or read: look at the cluster's nodes"),
    "replica_behind": ("error", "a replica is offline or behind; one more failure may stop it"),
    "discards_everything": ("warn", "interest retention without a consumer: whatever is published is dropped at once"),
    "discards_unread": ("warn", "the oldest messages go at the limit, read or not: raise it or speed up the consumer"),
    "unbounded_stream": ("warn", "nothing limits it (age, bytes, messages): the disk does; set max_age or max_bytes"),
    "short_dedupe_window": ("warn", "forgets message ids too soon for a retry to be recognised; 2 minutes is usual"),
    "no_acknowledgement": ("warn", "no_ack: a publisher never learns whether its message is stored"),
    "memory_storage": ("warn", "kept in memory: lost when the server stops; use file storage"),
    "single_replica": ("warn", "one replica: the loss of one node loses it; use 3"),
    "two_replicas": ("warn", "two replicas stop when either is lost; use 3"),
    "no_consumer": ("info", "has messages and no consumer reads them"),
    "unlimited_redelivery": (
        "warn",
        "a message that always fails comes back for ever: set max_deliver and keep the rest",
    ),
    "no_dead_letter": (
        "warn",
        f"gives a message up after max_deliver and nobody keeps that: let a stream store {ADVISORY}.>",
    ),
    "stuck": ("warn", "max_ack_pending is reached: nothing is delivered until something is acknowledged"),
    "nobody_fetches": ("warn", "messages wait and no subscriber asks for them: is its worker running?"),
    "redelivering": ("info", "messages came back unacknowledged: a worker fails or ack_wait is too short"),
    "filter_matches_nothing": ("warn", "its filter matches no subject of the stream"),
    "declared_missing": ("info", "declared, but no stream stores it: whoever is not listening right now misses it"),
    **COMMON,
}
"""Severity, and what it means with what to do, for every id."""


def of_stream(held: Held, environment: str) -> Iterator[Finding]:
    """What the stream itself shows."""
    config, state, name = held.config, held.state, held.stream
    cluster = cast("dict[str, Any]", held.info.get("cluster") or {})
    replicas = int(config.get("num_replicas", 1))
    if cluster and not cluster.get("leader"):
        yield Finding("no_leader", name)
    behind = [
        r
        for r in cast("list[dict[str, Any]]", cluster.get("replicas") or [])
        if r.get("offline") or not r.get("current", True)
    ]
    if behind:
        yield Finding("replica_behind", f"{name}: {', '.join(str(r.get('name')) for r in behind)}")
    if environment == "production" and replicas < 3 and not config.get("mirror"):
        yield Finding("single_replica" if replicas == 1 else "two_replicas", name)
    if environment != "development" and config.get("storage") == "memory":
        yield Finding("memory_storage", name)
    if config.get("no_ack"):
        yield Finding("no_acknowledgement", name)
    if held.kind != "stream":
        return
    window = int(config.get("duplicate_window") or 0) / NANOSECONDS
    if held.subjects and window < SAFE_WINDOW_SECONDS:
        yield Finding("short_dedupe_window", f"{name}: {window:g} s")
    retention = config.get("retention", "limits")
    limits = (config.get("max_age") or 0, config.get("max_bytes") or -1, config.get("max_msgs") or -1)
    if retention == "limits" and limits[0] <= 0 and limits[1] <= 0 and limits[2] <= 0:
        yield Finding("unbounded_stream", name)
    if not held.consumers:
        if retention == "interest":
            yield Finding("discards_everything", name)
        elif state.get("messages"):
            yield Finding("no_consumer", f"{name}: {state['messages']:,} messages")


def of_consumer(consumer: Consumer, held: Held, dead_letters: Sequence[Pattern], now: datetime) -> Iterator[Finding]:
    """What a consumer shows. `dead_letters` are the subjects of all streams that store the server's advisories."""
    config, info, name = consumer.config, consumer.info, f"{consumer.stream}/{consumer.name}"
    acknowledges = config.get("ack_policy") in ("explicit", "all")
    tries = int(config.get("max_deliver") or -1)
    if acknowledges and tries <= 0:
        yield Finding("unlimited_redelivery", name)
    elif acknowledges and not _overlaps(f"{ADVISORY}.{consumer.stream}.{consumer.name}", dead_letters):
        yield Finding("no_dead_letter", name)
    most, pending = int(config.get("max_ack_pending") or 0), int(info.get("num_ack_pending", 0))
    if acknowledges and 0 < most <= pending:
        yield Finding("stuck", f"{name}: {pending:,} unacknowledged")
    if int(info.get("num_pending", 0)) and not info.get("paused") and _unattended(consumer, now):
        yield Finding("nobody_fetches", f"{name}: {info['num_pending']:,} wait")
    if redelivered := int(info.get("num_redelivered", 0)):
        yield Finding("redelivering", f"{name}: {redelivered:,}")
    filters = config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])
    subjects = [subject(text) for text in held.subjects]
    if filters and subjects and not any(_overlaps(str(text), subjects) for text in filters):
        yield Finding("filter_matches_nothing", f"{name}: {filters[0]}")
    most_messages = int(held.config.get("max_msgs") or -1)
    if held.config.get("discard", "old") == "old" and most_messages > 0 and consumer.lag >= 0.8 * most_messages:
        yield Finding("discards_unread", f"{name}: {consumer.lag:,} behind of at most {most_messages:,}")


def dead_letter_subjects(streams: Iterable[Held]) -> tuple[Pattern, ...]:
    """The subjects of streams that can hold the server's advisories."""
    every = (subject(text) for held in streams for text in held.subjects)
    return tuple(pattern for pattern in every if pattern.overlaps(subject(f"{ADVISORY}.>")))


def _overlaps(text: str, patterns: Sequence[Pattern]) -> bool:
    wanted = subject(text)
    return any(pattern.overlaps(wanted) for pattern in patterns)


def _unattended(consumer: Consumer, now: datetime) -> bool:
    """Nobody asks (pull) or listens (push), and nothing was delivered for a while."""
    info, config = consumer.info, consumer.config
    if info.get("push_bound") if config.get("deliver_subject") else info.get("num_waiting"):
        return False
    last = cast("dict[str, Any]", info.get("delivered") or {}).get("last_active") or info.get("created")
    try:
        moment = datetime.fromisoformat(str(last)[:19]).replace(tzinfo=UTC)
    except ValueError:
        return False
    return now - moment > IDLE
