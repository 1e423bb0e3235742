"""What a Redis server holds: streams with their groups, and channels that somebody subscribes to. Nothing is touched.

https://redis.io/docs/latest/commands/xinfo-stream/ and https://redis.io/docs/latest/commands/pubsub-channels/
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from mcp_backend.engines.redis import Redis, Refused, Word
from mcp_backend.errors import Json

LOOK_SECONDS = 1.0
"""How long the keyspace is searched for streams: it may hold millions of other keys."""
SCANNED_AT_ONCE = 2000
MANY_STREAMS = 100
"""Of more streams only the length is asked: a client takes twenty times as long over all that a server can tell."""
MOST_CHANNELS = 5000
IDLE_MS = 600_000
MANY_DELIVERIES = 5


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group. `lag` is what it has not acknowledged: entries it has not read, and those it has; `None`
    when the server cannot tell, which is so after entries were deleted. `abandoned` are entries that nobody has touched
    for `IDLE_MS`, `most_deliveries` the tries of the oldest."""

    stream: str
    name: str
    lag: int | None
    pending: int
    workers: int
    info: Mapping[str, Any] = field(repr=False)
    abandoned: int = 0
    most_deliveries: int = 0

    def entry(self, *, brief: bool) -> dict[str, Json]:
        """The group as the tool shows it: zeros are left out, except the lag."""
        entry: dict[str, Json] = {"name": self.name, "destination": self.stream, "lag": self.lag}
        if self.pending:
            entry["pending"] = self.pending
        if not brief:
            entry |= {"workers": self.workers, "last_delivered": _text(self.info.get("last-delivered-id"))}
        return entry


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream. `expires_ms` is set when the key as a whole has a time to live. `info` is what XINFO STREAM tells,
    empty until `detailed` where there are many streams."""

    name: str
    length: int
    groups: tuple[Group, ...]
    info: Mapping[str, Any] = field(repr=False)
    expires_ms: int | None = None

    def entry(self, *, brief: bool) -> dict[str, Json]:
        """The destination as the tool shows it."""
        entry: dict[str, Json] = {
            "name": self.name, "kind": "stream", "messages": self.length, "consumers": len(self.groups),
        }  # fmt: skip
        if self.expires_ms is not None:
            entry["expires_s"] = self.expires_ms // 1000
        if brief:
            return entry
        first, last = self.info.get("first-entry"), self.info.get("last-entry")
        more: dict[str, Json] = {
            "first_id": _text(first[0]) if first else None,
            "last_id": _text(self.info.get("last-generated-id")),
            "added": int(self.info["entries-added"]) if "entries-added" in self.info else None,
            "fields": [*_fields(last)[:8]] if last else None,
        }
        return entry | {key: value for key, value in more.items() if value not in (None, [])}


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel with subscribers right now."""

    name: str
    subscribers: int
    sharded: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that was found. `whole` is false when the keyspace was too large to be searched to its end."""

    streams: tuple[Stream, ...]
    channels: tuple[Channel, ...]
    patterns: int
    whole: bool


async def held(redis: Redis) -> Held:
    """What the server holds. Raises `Refused` when this user may not look, `Unavailable`."""
    names, whole = await _stream_names(redis)
    return Held(await _streams(redis, names), await _channels(redis), await _patterns(redis), whole)


async def _stream_names(redis: Redis) -> tuple[list[str], bool]:
    found: set[str] = set()
    client = await redis.client()
    nodes: list[dict[str, Any]] = [{"target_nodes": n} for n in client.get_primaries()] if redis.cluster else [{}]
    deadline = time.monotonic() + LOOK_SECONDS * len(nodes)
    for node in nodes:
        cursor: int = 0
        while True:
            words = ("SCAN", cursor, "COUNT", SCANNED_AT_ONCE, "TYPE", "stream")
            told: Any = await redis.ask_node(node, *words)
            # A cluster's client gives the cursor by the node's name.
            cursor = int(next(iter(cast("dict[str, Any]", told[0]).values())) if isinstance(told[0], dict) else told[0])
            found.update(_text(key) or "" for key in told[1])
            if cursor == 0:
                break
            if time.monotonic() > deadline:
                return sorted(found), False
    return sorted(found), True


async def detailed(redis: Redis, streams: Sequence[Stream]) -> list[Stream]:
    """Streams with their `info`; those that are gone meanwhile are left out. Raises `Unavailable`."""
    told = await redis.ask_all([("XINFO STREAM", stream.name) for stream in streams if not stream.info])
    news = iter(told)
    found = [(stream, stream.info or next(news)) for stream in streams]
    return [replace(stream, info=info) for stream, info in found if not isinstance(info, Exception)]


async def _streams(redis: Redis, names: Sequence[str]) -> tuple[Stream, ...]:
    many, commands = len(names) > MANY_STREAMS, list[Sequence[Word]]()
    for name in names:
        commands += [("XLEN" if many else "XINFO STREAM", name), ("XINFO GROUPS", name), ("PTTL", name)]
    told = await redis.ask_all(commands)
    rows = [(name, *told[3 * i : 3 * i + 3]) for i, name in enumerate(names)]
    rows = [row for row in rows if not isinstance(row[1], Exception) and row[3] != -2]  # gone meanwhile
    groups = [(name, g) for name, _, own, _ in rows if not isinstance(own, Exception) for g in own]
    waiting = [(name, _text(g["name"]) or "") for name, g in groups if int(g.get("pending", 0))]
    looks: list[Sequence[Word]] = []
    for name, group in waiting:
        looks += [("XPENDING", name, group, "IDLE", IDLE_MS, "-", "+", 100), ("XPENDING", name, group, "-", "+", 1)]
    said = await redis.ask_all(looks)
    pending = {pair: (said[2 * i], said[2 * i + 1]) for i, pair in enumerate(waiting)}
    by_stream: dict[str, list[Group]] = {}
    for name, group in groups:
        by_stream.setdefault(name, []).append(_group(name, group, pending))
    return tuple(
        Stream(
            name, int(info if many else info["length"]), tuple(sorted(by_stream.get(name, ()), key=lambda g: g.name)),
            {} if many else info,
            int(ttl) if isinstance(ttl, int) and ttl >= 0 else None,
        )
        for name, info, _, ttl in rows
    )  # fmt: skip


def _group(stream: str, info: Mapping[str, Any], pending: Mapping[tuple[str, str], tuple[Any, Any]]) -> Group:
    name = _text(info["name"]) or ""
    unread, own = info.get("lag"), int(info.get("pending", 0))
    idle, oldest = pending.get((stream, name), ([], []))
    return Group(
        stream, name,
        None if unread is None else int(unread) + own,
        own, int(info.get("consumers", 0)), info,
        abandoned=0 if isinstance(idle, Exception) else len(idle),
        most_deliveries=0 if isinstance(oldest, Exception) or not oldest else _deliveries(oldest[0]),
    )  # fmt: skip


def _deliveries(row: Any) -> int:
    counted: Any = row["times_delivered"] if hasattr(row, "keys") else row[3]
    return int(counted)


async def _channels(redis: Redis) -> tuple[Channel, ...]:
    found: list[Channel] = []
    for list_, count, sharded in (("CHANNELS", "NUMSUB", False), ("SHARDCHANNELS", "SHARDNUMSUB", True)):
        try:
            names = [_text(name) or "" for name in await redis.ask(f"PUBSUB {list_}")][:MOST_CHANNELS]
            told: Any = await redis.ask(f"PUBSUB {count}", *names) if names else []
        except Refused:
            continue  # an older server, or a user without the permission
        found += [Channel(_text(name) or "", int(number), sharded) for name, number in _pairs(told)]
    return tuple(sorted(found, key=lambda channel: channel.name))


async def _patterns(redis: Redis) -> int:
    try:
        return int(await redis.ask("PUBSUB NUMPAT"))
    except Refused:
        return 0


def _pairs(told: Any) -> list[tuple[Any, Any]]:
    if told and isinstance(told[0], (tuple, list)):
        return [(pair[0], pair[1]) for pair in cast("list[Any]", told)]
    return list(zip(told[::2], told[1::2], strict=True))


def _fields(entry: Any) -> list[str]:
    fields: Any = entry[1] or ()
    names: Any = fields.keys() if hasattr(fields, "keys") else fields[::2]
    return [_text(name) or "" for name in names]


def _text(value: Any) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None if value is None else str(value)
