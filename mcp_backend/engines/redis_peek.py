"""Looking at a Redis stream without a group (XRANGE), or at a channel while it lasts."""

import asyncio
from typing import Any, cast

from mcp_backend.engines.peeking import MOST_LOOKED_AT, Peek, Peeked, Seen, moment, until_enough
from mcp_backend.engines.redis import NotSent, Redis, Refused, Unanswered
from mcp_backend.engines.redis_publisher import destination
from mcp_backend.errors import BackendError, InvalidArgument, NotFound, PermissionDenied
from mcp_backend.policy import EngineSettings

PAGE = 100


class RedisPeeker:
    """Reads one stream or channel."""

    def __init__(self, redis: Redis, text: str) -> None:
        self._kind, self._name = destination(text)
        self._redis = redis

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._redis.settings

    async def peek(self, asked: Peek) -> Peeked:
        """Reads. Raises `NotFound`, `InvalidArgument`, `PermissionDenied`, `Unavailable`."""
        try:
            found = _text(await self._redis.ask("TYPE", self._name))
            if self._kind in (None, "stream") and found == "stream":
                return await self._stream(asked)
            if self._kind == "stream":
                raise NotFound(f"destination: there is no stream {self._name}; message_topology lists what exists")
            return await self._channel(asked)
        except Refused as error:
            raise self._told(error) from error

    async def _stream(self, asked: Peek) -> Peeked:
        begin = asked.start
        if begin.word == "new":
            return await self._new(asked)
        if begin.word == "latest":
            return await self._latest(asked)
        first = begin.position or (str(int(begin.moment.timestamp() * 1000)) if begin.moment else "-")
        found, looked = list[Seen](), 0
        while looked < MOST_LOOKED_AT:
            page = await self._range(first, "+")
            for seen in page:
                looked += 1
                if asked.accept(seen):
                    if len(found) == asked.count:
                        return Peeked(tuple(found), seen.position, looked)
                    found.append(seen)
            if len(page) < PAGE:
                return Peeked(tuple(found), None, looked)
            first = f"({page[-1].position}"
        return Peeked(tuple(found), _after(first), looked)

    async def _latest(self, asked: Peek) -> Peeked:
        last, found, looked = "+", list[Seen](), 0
        while looked < MOST_LOOKED_AT and len(found) < asked.count:
            page = await self._range("-", last, backwards=True)
            looked += len(page)
            found += [seen for seen in page if asked.accept(seen)]
            if len(page) < PAGE:
                break
            last = f"({page[-1].position}"
        return Peeked(tuple(reversed(found[: asked.count])), None, looked)

    async def _new(self, asked: Peek) -> Peeked:
        last = _text((await self._redis.ask("XINFO STREAM", self._name))["last-generated-id"])

        async def look() -> list[Seen]:
            nonlocal last
            seen = await self._range(f"({last}", "+")
            last = seen[-1].position if seen else last
            return seen

        found, looked = await until_enough(asked.wait_seconds, look, asked.count, asked.accept)
        return Peeked(tuple(found), _after(f"({found[-1].position if found else last}"), looked)

    async def _range(self, first: str, last: str, *, backwards: bool = False) -> list[Seen]:
        words = ("XREVRANGE", self._name, last, first) if backwards else ("XRANGE", self._name, first, last)
        told: Any = await self._redis.ask(*words, "COUNT", PAGE)
        return [self._seen(_text(identifier), fields or {}) for identifier, fields in told]

    def _seen(self, identifier: str, fields: dict[bytes, bytes]) -> Seen:
        at = moment(int(identifier.partition("-")[0]) / 1000)
        named = {_text(name): value for name, value in fields.items()}
        if "payload" not in named:
            return Seen(identifier, self._name, b"", at=at, fields={name: _text(v) for name, v in named.items()})
        headers = {n.removeprefix("header:"): _text(v) for n, v in named.items() if n.startswith("header:")}
        return Seen(
            identifier, self._name, named["payload"], headers, at, _text(named.get("message_id", b"")),
            headers.get("Mcp-Backend-Key", ""),
        )  # fmt: skip

    async def _channel(self, asked: Peek) -> Peeked:
        if asked.start.word != "new" or asked.wait_seconds <= 0:
            raise InvalidArgument(
                f"from: no stream is named {self._name}, and a channel stores nothing; listen to it with from "
                '"new" and wait_seconds'
            )
        client = await self._redis.client()
        listening = client.pubsub()
        sharded, found, looked = self._kind == "shard", list[Seen](), 0
        clock = asyncio.get_running_loop().time
        deadline = clock() + asked.wait_seconds
        try:
            await self._redis.work((listening.ssubscribe if sharded else listening.subscribe)(self._name))
            take = listening.get_sharded_message if sharded and self._redis.cluster else listening.get_message
            while len(found) < asked.count and (left := deadline - clock()) > 0:
                told: Any = await self._redis.work(take(timeout=min(left, 1.0)))
                if told and told["type"] in ("message", "smessage"):
                    seen = Seen("", self._name, cast("bytes", told["data"]), at=moment(_now()))
                    looked += 1
                    found += [seen] if asked.accept(seen) else []
        except (NotSent, Unanswered) as error:
            raise self._redis.unavailable(str(error), "timeout") from error
        finally:
            await listening.aclose()
        note = "a channel stores nothing: this is what passed while this call listened, as one more subscriber"
        return Peeked(tuple(found), None, looked, (note,))

    def _told(self, error: Refused) -> BackendError:
        if error.code == "NOPERM":
            return PermissionDenied(f"engine {self.settings.name}: {error}; a person grants it")
        return self._redis.unavailable(str(error), "protocol")


def _after(exclusive: str) -> str:
    """The smallest id after the one of an exclusive bound."""
    time, _, number = exclusive.removeprefix("(").partition("-")
    return f"{time}-{int(number or 0) + 1}"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _now() -> float:
    import time

    return time.time()
