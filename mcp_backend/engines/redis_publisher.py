"""A Redis stream or channel as publish_message sees it."""

import difflib
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, cast

from mcp_backend.engines.outcomes import Message, Outcome
from mcp_backend.engines.publishing import SECONDS, SECONDS_EACH
from mcp_backend.engines.redis import Redis, Refused
from mcp_backend.engines.redis_after import held_against
from mcp_backend.engines.redis_publish import REMEMBERED_SECONDS, store_all, tell_all
from mcp_backend.errors import InvalidArgument, Json, PermissionDenied
from mcp_backend.policy import EngineSettings

NAME_BYTES = 512
KNOWN_SECONDS, MOST_KNOWN = 5.0, 1000
Kind = Literal["stream", "channel", "shard"]
PREFIXES: tuple[Kind, ...] = ("stream", "channel", "shard")


def destination(text: str) -> tuple[Kind | None, str]:
    """The kind and the name of `NAME`, `stream:NAME`, `channel:NAME` or `shard:NAME` (a sharded channel).

    Raises `InvalidArgument` for what can be no name.
    """
    head, _, rest = text.partition(":")
    kind: Kind | None = next((prefix for prefix in PREFIXES if prefix == head and rest), None)
    name = rest if kind else text
    if not name.isprintable() or " " in name or len(name.encode()) > NAME_BYTES:
        raise InvalidArgument(
            f"destination: expected a name of at most {NAME_BYTES} bytes without spaces or line breaks"
        )
    if name.startswith(("__keyspace@", "__keyevent@", "__redis__", "mcp-backend:")):
        raise InvalidArgument("destination: this name belongs to the server; message_topology lists what exists")
    if any(character in name for character in "*?["):
        raise InvalidArgument("destination: * ? [ are for subscribing to patterns; publish to one name")
    return kind, name


class RedisPublisher:
    """Publishes to one stream, where there is one of that name, else on the channel."""

    def __init__(self, redis: Redis, text: str, expected: int | None) -> None:
        self._kind, self.address = destination(text)
        if expected is not None:
            raise InvalidArgument("expected_last_sequence: only NATS streams have sequences; leave it out for Redis")
        self._redis = redis
        self._notes: list[str] = []
        self._remembers = True

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._redis.settings

    async def look(self, messages: Sequence[Message]) -> list[str]:
        """Finds out whether the name is a stream. Raises `InvalidArgument`, `PermissionDenied`, `Unavailable`."""
        await self._redis.client()
        if self._kind in (None, "stream") and (known := self._known()) is not None:
            self._kind = "stream"
            return await self._about_server() + known
        try:
            kind = await self._redis.ask("TYPE", self.address)
        except Refused as error:
            if self._kind in (None, "stream"):
                text = (
                    f"engine {self.settings.name}: this user may not look whether {self.address} is a stream ({error})"
                )
                raise PermissionDenied(f"{text}; say channel:{self.address} to publish on the channel") from error
            kind = "none"
        found = kind.decode() if isinstance(kind, bytes) else str(kind)
        if self._kind == "stream" and found != "stream":
            what = "there is no stream" if found == "none" else f"the key is a {found}, not a stream:"
            raise InvalidArgument(
                f"destination: {what} {self.address}; nothing was created. Have it made with configure_messaging, or "
                f"publish on channel:{self.address}{await self._nearest()}"
            )
        self._kind = self._kind or ("stream" if found == "stream" else "channel")
        if self._kind == "stream":
            return await self._about_server() + await self._about_stream()
        # Our own headers (key, justification) are left out: the order is kept anyway, and the reason is recorded.
        if any(not name.startswith("Mcp-Backend-") for message in messages for name in message.headers):
            raise InvalidArgument(
                "messages: a channel carries the payload alone, so headers have no place in it; leave them out, put "
                "them into the payload, or use a stream"
            )
        return (
            []
            if found != "none" or self._redis.cluster
            else [f"no stream is named {self.address}{await self._nearest()}"]
        )

    def _known(self) -> list[str] | None:
        """What there was to say of this stream a moment ago. The script makes none, so a stale answer does no harm."""
        until, notes = self._redis.streams.get(self.address, (0.0, list[str]()))
        return notes if time.monotonic() < until else None

    async def _about_server(self) -> list[str]:
        notes: list[str] = []
        await self._redis.refresh()
        info = self._redis.info
        if info.get("maxmemory_policy", "noeviction") != "noeviction" and info.get("maxmemory", "0") != "0":
            self._remembers = False
            notes.append(f"the server may evict what remembers ids ({info['maxmemory_policy']})")
        if info and info.get("aof_enabled") == "0":
            notes.append("the server keeps no append-only file: what is stored is lost when it dies")
        elif info and info.get("appendfsync") != "always":
            often = info.get("appendfsync", "at an unknown interval")
            notes.append(f"the append-only file is written {often}: what was stored last is lost when the server dies")
        return notes

    async def _about_stream(self) -> list[str]:
        notes: list[str] = []
        last: Any = []
        with suppress(Refused):  # a user who only writes
            last = await self._redis.ask("XREVRANGE", self.address, "+", "-", "COUNT", 1)
        fields = sorted(map(_text, cast("dict[bytes, bytes]", last[0][1] or {}))) if last else []
        if fields and "payload" not in fields:
            notes.append(f"its last entry has the fields {', '.join(fields[:8])}; this one has payload and message_id")
        if len(self._redis.streams) > MOST_KNOWN:
            self._redis.streams.clear()
        self._redis.streams[self.address] = (time.monotonic() + KNOWN_SECONDS, notes)
        return notes

    async def _nearest(self) -> str:
        """Streams of a similar name, from what one look finds."""
        try:
            found = await self._redis.ask("SCAN", 0, "TYPE", "stream", "COUNT", 1000)
        except Refused:
            return ""
        names = [_text(name) for name in found[1]]
        near = difflib.get_close_matches(self.address, names, 1, 0.6)
        return f" (nearest stream: {near[0]})" if near else ""

    def version(self) -> str:
        """Whether it is a stream or a channel."""
        return f"{self._kind} {self.address}"

    def sent_headers(self, message: Message) -> dict[str, str]:
        """The headers that a stream keeps; a channel has none."""
        return dict(message.headers) if self._kind == "stream" else {}

    async def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Adds to the stream, or publishes on the channel."""
        if self._kind == "stream":
            seconds = SECONDS + SECONDS_EACH * len(messages)
            outcomes = await store_all(self._redis, self.address, messages, seconds=seconds)
            if any(outcome.stored != "yes" for outcome in outcomes):
                self._redis.streams.pop(self.address, None)
                return await held_against(self._redis, self.address, messages, outcomes)
            return outcomes
        return await tell_all(self._redis, self.address, messages, sharded=self._kind == "shard")

    def entry(self, message: Message, outcome: Outcome, against: str | None) -> dict[str, Json]:
        """What is said about one message."""
        entry: dict[str, Json] = {
            "message_id": message.message_id, "stored": outcome.stored, "duplicate": outcome.duplicate,
            "validated_against": against,
        }  # fmt: skip
        if self._kind == "stream":
            entry["entry_id"], entry["stream"] = outcome.entry_id, self.address
        else:
            entry["receivers"], entry["sent"] = outcome.receivers, outcome.sent
        if outcome.reason:
            entry["reason"] = outcome.reason
        return entry

    def delivery(self) -> str:
        """A stream stores a message once however often it is published again while its id is remembered."""
        if self._kind != "stream":
            return "at_most_once"
        return "exactly_once" if self._remembers else "at_least_once"

    def notes(self, *, derived: bool) -> list[str]:
        """How long the statements hold."""
        if self._kind != "stream":
            return [
                f"a channel stores nothing: {self.address} reached whoever was subscribed; receivers are connections "
                + ("of this node and shard" if self._redis.cluster else "of this server")
                + ". Use a stream for what must arrive"
            ]
        if not derived:
            return []
        return [
            f"message_id was derived from the content: an equal message within {REMEMBERED_SECONDS} s counts as the "
            "same one; give message_id to send it again"
        ]


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
