"""What a NATS server holds: streams, buckets and consumers, read by position and list, so that nothing is touched.

https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mcp_backend.engines.nats import NANOSECONDS, Nats, NoJetStream
from mcp_backend.errors import Json

PAGE = 256
"""Entries of one answer of the JetStream API."""
AT_ONCE = 16
MOST_CONSUMERS = 5000
"""Consumers read of one stream."""
MANY_SUBJECTS = 500
Kind = Literal["stream", "kv", "object_store"]
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer. `lag` is what it has not acknowledged yet: waiting to be delivered and delivered."""

    stream: str
    name: str
    lag: int
    info: JsonObject = field(repr=False)

    @property
    def config(self) -> JsonObject:
        """Its configuration, as the server holds it."""
        return cast("JsonObject", self.info["config"])

    def entry(self, *, brief: bool) -> dict[str, Json]:
        """The consumer as the tool shows it: zeros and defaults are left out, except the lag."""
        config, info = self.config, self.info
        entry: dict[str, Json] = {"name": self.name, "destination": self.stream, "lag": self.lag}
        for key, name in (
            ("num_pending", "pending"),
            ("num_ack_pending", "ack_pending"),
            ("num_redelivered", "redelivered"),
        ):
            if info.get(key):
                entry[name] = int(info[key])
        if brief:
            return entry
        filters = config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])
        entry["type"] = "push" if config.get("deliver_subject") else "pull"
        entry["ack"] = str(config.get("ack_policy", "none"))
        more: dict[str, Any] = {
            "filter": filters[0] if len(filters) == 1 else filters[:5],
            "durable": None if config.get("durable_name") else False,
            "max_deliver": config.get("max_deliver") if int(config.get("max_deliver") or -1) > 0 else None,
            "ack_wait_s": _seconds(config.get("ack_wait")),
            "waiting_pulls": info.get("num_waiting") or None,
            "last_active": _moment(cast("JsonObject", info.get("delivered") or {}).get("last_active")),
            "paused": True if info.get("paused") else None,
            "description": str(config.get("description", ""))[:120],
        }
        return entry | {key: value for key, value in more.items() if value not in (None, "", [])}


@dataclass(frozen=True, slots=True)
class Held:
    """One stream, or the bucket that it is under another name."""

    kind: Kind
    name: str
    stream: str
    subjects: tuple[str, ...]
    info: JsonObject = field(repr=False)

    @property
    def config(self) -> JsonObject:
        """The stream's configuration, as the server holds it."""
        return cast("JsonObject", self.info["config"])

    @property
    def state(self) -> JsonObject:
        """The stream's state."""
        return cast("JsonObject", self.info["state"])

    @property
    def consumers(self) -> int:
        """How many consumers it has."""
        return int(self.state.get("consumer_count", 0))

    def entry(self, *, brief: bool) -> dict[str, Json]:
        """The destination as the tool shows it: defaults are left out."""
        config, state = self.config, self.state
        entry: dict[str, Json] = {"name": self.name, "kind": self.kind}
        if self.kind == "stream":
            entry["subjects"] = [*self.subjects[: 3 if brief else 20]]
        else:
            entry["stream"] = self.stream
        entry |= {"messages": int(state.get("messages", 0)), "bytes": int(state.get("bytes", 0))}
        entry["consumers"] = self.consumers
        if brief:
            return entry
        limits = {
            "age_s": _seconds(config.get("max_age")),
            "messages": _limit(config.get("max_msgs")),
            "bytes": _limit(config.get("max_bytes")),
            "per_subject": _limit(config.get("max_msgs_per_subject")),
            "message_bytes": _limit(config.get("max_msg_size")),
        }
        mirror = cast("JsonObject", config.get("mirror") or {}).get("name")
        sources = [str(source.get("name")) for source in cast("list[JsonObject]", config.get("sources") or [])]
        more: dict[str, Any] = {
            "retention": config.get("retention"),
            "storage": config.get("storage"),
            "replicas": int(config.get("num_replicas", 1)),
            "limits": {key: value for key, value in limits.items() if value is not None},
            "discard": config.get("discard") if config.get("discard") != "old" else None,
            "dedupe_s": _seconds(config.get("duplicate_window")),
            "first_sequence": state.get("first_seq"),
            "last_sequence": state.get("last_seq"),
            "last_at": _moment(state.get("last_ts")) if state.get("messages") else None,
            "leader": cast("JsonObject", self.info.get("cluster") or {}).get("leader"),
            "mirror": mirror,
            "sources": sources[:5],
            "description": str(config.get("description", ""))[:120],
        }
        return entry | {key: value for key, value in more.items() if value not in (None, "", [], {})}


async def streams(nats: Nats) -> list[Held] | None:
    """Every stream, by name; `None` where there is no JetStream. Raises as `Nats.api` does."""
    try:
        infos = await _pages(nats, "STREAM.LIST", "streams")
    except NoJetStream:
        return None
    return sorted((_held(info) for info in infos), key=lambda held: held.stream)


async def consumers(nats: Nats, of: Sequence[Held]) -> dict[str, list[Consumer]]:
    """The consumers of these streams, by name, at most `MOST_CONSUMERS` each. Raises as `Nats.api` does."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(held: Held) -> list[Consumer]:
        if not held.consumers:
            return []
        async with room:
            infos = await _pages(nats, f"CONSUMER.LIST.{held.stream}", "consumers", MOST_CONSUMERS)
        return sorted((_consumer(info) for info in infos), key=lambda consumer: consumer.name)

    return dict(zip([held.stream for held in of], await asyncio.gather(*map(one, of)), strict=True))


async def stored_subjects(nats: Nats, of: Sequence[Held]) -> dict[str, tuple[str, ...]]:
    """The subjects that really have messages, of those streams that have few enough to be asked for."""
    room = asyncio.Semaphore(AT_ONCE)
    wanted = [h for h in of if h.kind == "stream" and 0 < int(h.state.get("num_subjects", 0)) <= MANY_SUBJECTS]

    async def one(held: Held) -> tuple[str, ...]:
        async with room:
            info = await nats.api(f"STREAM.INFO.{held.stream}", {"subjects_filter": ">"})
        return tuple(sorted(cast("JsonObject", info["state"].get("subjects") or {})))

    return dict(zip([held.stream for held in wanted], await asyncio.gather(*map(one, wanted)), strict=True))


async def _pages(nats: Nats, verb: str, key: str, most: int = 100_000) -> list[JsonObject]:
    """All pages of a list: the first says how many there are, the others are asked for together."""
    first = await nats.api(verb, {"offset": 0})
    total, size = int(first.get("total", 0)), int(first.get("limit") or PAGE)
    offsets = range(size, min(total, most), size)
    rest = await asyncio.gather(*(nats.api(verb, {"offset": offset}) for offset in offsets))
    return [info for page in (first, *rest) for info in cast("list[JsonObject]", page.get(key) or [])]


def _held(info: JsonObject) -> Held:
    config = cast("JsonObject", info["config"])
    stream, subjects = str(config["name"]), tuple(str(s) for s in config.get("subjects") or ())
    kind, name = cast("tuple[Kind, str]", ("stream", stream))
    if stream.startswith("KV_") and all(subject.startswith("$KV.") for subject in subjects):
        kind, name = "kv", stream.removeprefix("KV_")
    elif stream.startswith("OBJ_") and all(subject.startswith("$O.") for subject in subjects):
        kind, name = "object_store", stream.removeprefix("OBJ_")
    return Held(kind, name, stream, subjects, info)


def _consumer(info: JsonObject) -> Consumer:
    lag = int(info.get("num_pending", 0)) + int(info.get("num_ack_pending", 0))
    return Consumer(str(info["stream_name"]), str(info["name"]), lag, info)


def _limit(value: Any) -> int | None:
    return int(value) if value is not None and int(value) > 0 else None


def _seconds(nanoseconds: Any) -> float | int | None:
    if not nanoseconds:
        return None
    seconds = int(nanoseconds) / NANOSECONDS
    return int(seconds) if seconds == int(seconds) else round(seconds, 3)


def _moment(text: Any) -> str | None:
    """A time to the second."""
    return f"{str(text)[:19]}Z" if text and not str(text).startswith("0001") else None
