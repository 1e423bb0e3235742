"""Looking at a Kafka topic: partitions are assigned by hand, so no group comes about and nothing is committed."""

import asyncio
import base64
from typing import Any

from mcp_backend.engines.kafka import STAND_IN, Kafka
from mcp_backend.engines.kafka_publisher import ID, check_topic
from mcp_backend.engines.peeking import MOST_LOOKED_AT, Peek, Peeked, Seen, moment
from mcp_backend.errors import InvalidArgument, NotFound
from mcp_backend.policy import EngineSettings

READ_SECONDS = 6.0
TURN_SECONDS = 2.0


class KafkaPeeker:
    """Reads one topic. `from` may be OFFSET (of every partition) or PARTITION:OFFSET."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        check_topic(topic)
        self._kafka, self._topic = kafka, topic

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._kafka.settings

    async def peek(self, asked: Peek) -> Peeked:
        """Reads. Raises `NotFound`, `InvalidArgument`, `Unavailable`."""
        topics = await self._kafka.topics()
        if self._topic not in topics:
            raise NotFound(f"destination: there is no topic {self._topic}; message_topology lists what exists")
        numbers = [number for number, *_ in topics[self._topic]]
        told = (await self._kafka.read("offsets", topics={self._topic: numbers}))["offsets"][self._topic]
        ends = {number: int(place["last"]) for number, place in told.items()}
        firsts = {number: int(place["first"]) for number, place in told.items()}
        if asked.start.word == "new":
            return await self._new(asked, ends)
        starts, more = self._starts(asked, firsts, ends)
        most = MOST_LOOKED_AT if asked.start.word != "latest" else asked.count * len(starts)
        seen = await self._read(starts=starts, ends=ends, count=most, seconds=READ_SECONDS, **more)
        if self._kafka.stand_in and asked.start.moment:  # it has no index of times
            since = moment(asked.start.moment.timestamp())
            seen = [one for one in seen if one.at >= since]
        wanted = [one for one in seen if asked.accept(one)]
        notes = (STAND_IN,) if self._kafka.stand_in else ()
        if asked.start.word == "latest":
            return Peeked(tuple(wanted[-asked.count :]), None, len(seen), notes)
        following = wanted[asked.count].position if len(wanted) > asked.count else None
        if following and len(starts) > 1:
            notes += ("next goes on in its own partition; name PARTITION:OFFSET for the others",)
        return Peeked(tuple(wanted[: asked.count]), following, len(seen), notes)

    async def _new(self, asked: Peek, ends: dict[str, int]) -> Peeked:
        clock = asyncio.get_running_loop().time
        deadline, found, looked, starts = clock() + asked.wait_seconds, list[Seen](), 0, dict(ends)
        while len(found) < asked.count and (left := deadline - clock()) > 0:
            some = asked.count - len(found)
            seen = await self._read(starts=starts, ends=ends, count=some, seconds=min(left, TURN_SECONDS), follow=True)
            for one in seen:
                number, _, offset = one.position.partition(":")
                starts[number] = max(starts[number], int(offset) + 1)
            looked += len(seen)
            found += [one for one in seen if asked.accept(one)]
        return Peeked(tuple(found), None, looked, (STAND_IN,) if self._kafka.stand_in else ())

    async def _read(self, **fields: Any) -> list[Seen]:
        """What the worker read. librdkafka gives one partition after the other: by time it is what was published."""
        answer = await self._kafka.read("read", topic=self._topic, **fields)
        seen = [_seen(self._topic, record) for record in answer["messages"]]
        return sorted(seen, key=lambda one: (one.at, *map(int, one.position.split(":"))))

    def _starts(
        self, asked: Peek, firsts: dict[str, int], ends: dict[str, int]
    ) -> tuple[dict[str, int], dict[str, Any]]:
        begin = asked.start
        if begin.word == "latest":
            return {number: max(firsts[number], end - asked.count) for number, end in ends.items()}, {}
        if begin.moment and not self._kafka.stand_in:
            return firsts, {"at_ms": int(begin.moment.timestamp() * 1000)}
        if not begin.position:
            return firsts, {}
        number, colon, offset = begin.position.rpartition(":")
        if not offset.isdigit() or (colon and number not in ends):
            known = ", ".join(ends)
            raise InvalidArgument(f"from: expected OFFSET or PARTITION:OFFSET; partitions: {known}")
        wanted = [number] if colon else [*ends]
        return {name: max(firsts[name], min(int(offset), ends[name])) for name in wanted}, {}


def _seen(topic: str, record: dict[str, Any]) -> Seen:
    headers = {name: base64.b64decode(value).decode("utf-8", "replace") for name, value in record["headers"]}
    key = base64.b64decode(record["key"]).decode("utf-8", "replace") if record["key"] is not None else ""
    at = moment(record["at"] / 1000) if record["at"] else ""
    position = f"{record['partition']}:{record['offset']}"
    return Seen(position, topic, base64.b64decode(record["value"]), headers, at, headers.pop(ID, ""), key)
