"""Looking at what a NATS stream holds, by sequence, so that no consumer is made; or at a subject while it lasts.

https://docs.nats.io/reference/reference-protocols/nats_api_reference#stream-messages
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from mcp_backend.contracts.patterns import Pattern, subject
from mcp_backend.engines.nats import JetStreamError, Nats, NoJetStream, Stored
from mcp_backend.engines.nats_connection import Denied, Unanswered
from mcp_backend.engines.peeking import MOST_LOOKED_AT, Peek, Peeked, Seen, moment, until_enough
from mcp_backend.errors import InvalidArgument, NotFound, PermissionDenied
from mcp_backend.policy import EngineSettings

TOGETHER = 32
"""Messages that are asked for at once while going backwards."""
_OWN = ("Nats-Msg-Id", "Mcp-Backend-Key")


@dataclass(frozen=True, slots=True)
class _Place:
    """A stream, and which of its subjects are wanted."""

    stream: str
    wanted: str
    first: int
    last: int


class NatsPeeker:
    """Reads one stream, subject or bucket. A subject may have wildcards."""

    def __init__(self, nats: Nats, text: str) -> None:
        tokens = text.split(".")
        if not text.isprintable() or " " in text or "" in tokens or ">" in tokens[:-1]:
            raise InvalidArgument("destination: expected a subject (wildcards are allowed), a stream or a bucket")
        self._nats, self._name = nats, text

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._nats.settings

    async def peek(self, asked: Peek) -> Peeked:
        """Reads. Raises `NotFound`, `InvalidArgument`, `PermissionDenied`, `Unavailable`."""
        try:
            place = await self._find()
            if place is None:
                return await self._live(asked)
            return await self._stream(place, asked)
        except Denied as error:
            text = f"engine {self.settings.name}: {error}; a person grants it, then this can be read"
            raise PermissionDenied(text) from error
        except JetStreamError as error:
            raise self._nats.unavailable(f"JetStream: {error}", "protocol") from error

    async def _find(self) -> _Place | None:
        stream = await self._nats.stream_of(self._name)
        if stream is not None:
            return await self._place(stream.name, self._name)
        if any(character in self._name for character in ".*>"):
            return None
        return await self._place(self._name, ">") or await self._place(f"KV_{self._name}", ">")

    async def _place(self, stream: str, wanted: str) -> _Place | None:
        try:
            state = (await self._nats.api(f"STREAM.INFO.{stream}"))["state"]
        except NoJetStream:
            return None
        except JetStreamError as error:
            if error.code == 404:
                return None
            raise
        return _Place(stream, wanted, int(state["first_seq"]), int(state["last_seq"]))

    async def _stream(self, place: _Place, asked: Peek) -> Peeked:
        begin = asked.start
        if begin.word == "latest":
            return await self._latest(place, asked)
        if begin.word == "new":
            return await self._new(place, asked)
        if begin.position and not begin.position.isdigit():
            raise InvalidArgument("from: expected a sequence of the stream, which is one number")
        first = int(begin.position) if begin.position else place.first
        if begin.moment:
            first = await self._at(place, begin.moment)
        found, looked = list[Seen](), 0
        while looked < MOST_LOOKED_AT:
            stored = await self._nats.message(place.stream, seq=max(first, 1), next_by_subj=place.wanted)
            if stored is None:
                return Peeked(tuple(found), None, looked)
            looked, first = looked + 1, stored.sequence + 1
            if asked.accept(seen := _seen(stored)):
                if len(found) == asked.count:
                    return Peeked(tuple(found), str(stored.sequence), looked)
                found.append(seen)
        return Peeked(tuple(found), str(first), looked)

    async def _latest(self, place: _Place, asked: Peek) -> Peeked:
        found, looked, pattern = list[Seen](), 0, subject(place.wanted)
        newest = await self._nats.message(place.stream, last_by_subj=place.wanted)
        sequence = newest.sequence if newest else 0
        while sequence >= max(place.first, 1) and looked < MOST_LOOKED_AT and len(found) < asked.count:
            some = range(sequence, max(place.first, sequence - TOGETHER + 1) - 1, -1)
            page = await asyncio.gather(*(self._nats.message(place.stream, seq=number) for number in some))
            looked += len(page)
            found += [seen for stored in page if (seen := _wanted(stored, pattern)) and asked.accept(seen)]
            sequence = some[-1] - 1
        return Peeked(tuple(reversed(found[: asked.count])), None, looked)

    async def _new(self, place: _Place, asked: Peek) -> Peeked:
        sequence = place.last + 1

        async def look() -> list[Seen]:
            nonlocal sequence
            seen: list[Seen] = []
            while len(seen) < asked.count:
                stored = await self._nats.message(place.stream, seq=sequence, next_by_subj=place.wanted)
                if stored is None:
                    break
                sequence = stored.sequence + 1
                seen.append(_seen(stored))
            return seen

        found, looked = await until_enough(asked.wait_seconds, look, asked.count, asked.accept)
        return Peeked(tuple(found), str(sequence), looked)

    async def _at(self, place: _Place, wanted: datetime) -> int:
        """The first sequence that was stored at this moment or later: times grow with sequences."""
        low, high = place.first, place.last + 1
        while low < high:
            middle = (low + high) // 2
            stored = await self._nats.message(place.stream, seq=middle, next_by_subj=">")
            if stored is None or _time(stored) >= wanted:
                high = middle
            else:
                low = stored.sequence + 1
        return low

    async def _live(self, asked: Peek) -> Peeked:
        if asked.start.word != "new" or asked.wait_seconds <= 0:
            raise NotFound(
                f"destination: no stream stores {self._name}, and there is no stream or bucket of that name; listen to "
                'the subject with from "new" and wait_seconds, or look with message_topology'
            )
        connection = await self._nats.connection()
        clock = asyncio.get_running_loop().time
        deadline, found, looked = clock() + asked.wait_seconds, list[Seen](), 0
        try:
            async with connection.listen(self._name) as heard:
                while len(found) < asked.count:
                    message = await asyncio.wait_for(heard.get(), max(0.0, deadline - clock()))
                    headers = dict(message.headers or {})
                    own = {name: value for name, value in headers.items() if name not in _OWN}
                    seen = Seen(
                        "", message.subject, message.data, own, moment(time.time()), headers.get("Nats-Msg-Id", ""),
                        headers.get("Mcp-Backend-Key", ""),
                    )  # fmt: skip
                    looked += 1
                    found += [seen] if asked.accept(seen) else []
        except TimeoutError:
            pass
        except Unanswered as error:
            raise self._nats.unavailable(str(error), "timeout") from error
        note = "nothing stores this subject: this is what passed while this call listened, as one more subscriber"
        return Peeked(tuple(found), None, looked, (note,))


def _seen(stored: Stored) -> Seen:
    headers = {name: value for name, value in stored.headers.items() if name not in _OWN}
    at = _time(stored).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    key = stored.headers.get("Mcp-Backend-Key", "")
    return Seen(str(stored.sequence), stored.subject, stored.payload, headers, at, stored.message_id, key)


def _wanted(stored: Stored | None, pattern: Pattern) -> Seen | None:
    return _seen(stored) if stored and (pattern.text == ">" or pattern.matches(stored.subject)) else None


def _time(stored: Stored) -> datetime:
    """Nanoseconds are more than a `datetime` holds."""
    whole, _, fraction = stored.at.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}").replace(tzinfo=UTC)
