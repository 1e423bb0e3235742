"""What a broker holds, as far as pipelines need it, from the topology that was read already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.contracts.patterns import subject
from mcp_backend.pipelines.model import System

if TYPE_CHECKING:
    from mcp_backend.engines.topology import View

MOST = 200
"""Streams whose consumers are read for pipelines."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A consumer or group of the broker. `filters` is what it reads of its destination; empty: all of it."""

    name: str
    filters: tuple[str, ...] = ()
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A stream or topic. `names` are the destinations in it, with wildcards."""

    name: str
    names: tuple[str, ...]
    readers: tuple[Reader, ...] = ()
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class Broker:
    """One messaging engine. `whole`: what is not in `held` does not exist."""

    engine: str
    system: System
    held: tuple[Held, ...]
    whole: bool = True


def overlaps(system: System, one: str, other: str) -> bool:
    """Whether two names, in which `*` stands for anything (in NATS for one token), may be the same destination."""
    if one == other:
        return True
    if system == "nats":
        return _pattern(one).overlaps(_pattern(other))
    if "*" not in one + other:
        return False
    left, right = one.split("*"), other.split("*")
    plain = one if "*" not in one else other if "*" not in other else ""
    pieces = right if plain == one else left
    return plain.startswith(pieces[0]) and plain.endswith(pieces[-1]) if plain else left[0] == right[0]


_pattern = lru_cache(maxsize=20_000)(subject)


async def broker(view: "View", engine: str, names: Iterable[str]) -> Broker:
    """What is known of the destinations with these names. Raises as `view` does."""
    from mcp_backend.engines.kafka_join import KafkaView
    from mcp_backend.engines.nats_join import Topology
    from mcp_backend.engines.redis_join import RedisView

    wanted = list(names)
    if isinstance(view, KafkaView):
        return Broker(engine, "kafka", _topics(view), whole=view.version != "mock")
    if isinstance(view, RedisView):
        held = tuple(
            Held(s.name, (s.name,), tuple(Reader(g.name, (), g.lag) for g in s.groups)) for s in view.held.streams
        )
        return Broker(engine, "redis", held, whole=view.held.whole)
    assert isinstance(view, Topology), "a view of NATS"
    return Broker(engine, "nats", await _streams(view, wanted))


def _topics(view: Any) -> tuple[Held, ...]:
    return tuple(
        Held(name, (name,), tuple(Reader(group) for group, told in view.groups.items() if name in told["offsets"]),
             len(parts))
        for name, parts in view.topics.items()
    )  # fmt: skip


async def _streams(view: Any, wanted: Sequence[str]) -> tuple[Held, ...]:
    from mcp_backend.engines import nats_topology

    held: list[nats_topology.Held] = [h for h in view.streams if h.kind == "stream"]
    by_start: dict[str, list[str]] = {}
    for name in wanted:
        by_start.setdefault(_start(name), []).append(name)
    near = [h for h in held if any(_one_of(by_start, text) for text in h.subjects)][:MOST]
    consumers = await nats_topology.consumers(view.nats, near)
    known = {h.stream for h in near}
    return tuple(
        Held(h.stream, h.subjects, tuple(
            Reader(c.name, tuple(cast("list[str]", c.config.get("filter_subjects") or []))
                   or ((str(c.config["filter_subject"]),) if c.config.get("filter_subject") else ()), c.lag)
            for c in consumers.get(h.stream, ())))
        for h in (*near, *(h for h in held if h.stream not in known))
    )  # fmt: skip


def _start(text: str) -> str:
    """The first two tokens of a subject when they are texts, else nothing: what it is compared with must begin so."""
    tokens = text.split(".")[:2]
    return "" if len(tokens) < 2 or any(character in "".join(tokens) for character in "*>{") else ".".join(tokens)


def _one_of(by_start: Mapping[str, Sequence[str]], text: str) -> bool:
    start = _start(text)
    names = (*by_start.get(start, ()), *by_start.get("", ())) if start else (n for ns in by_start.values() for n in ns)
    return any(overlaps("nats", name, text) for name in names)
