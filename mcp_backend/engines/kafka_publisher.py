"""A Kafka topic as publish_message sees it.

Kafka recognises the repetitions of one producer only. A message without a report is looked for by its id, from where
the topic ended before it was sent; what is not found may still arrive, so it stays unknown.
"""

import asyncio
import base64
import difflib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mcp_backend.engines import kafka_transaction
from mcp_backend.engines.kafka import STAND_IN, Ended, Failed, Kafka
from mcp_backend.engines.outcomes import Cause, Message, Outcome
from mcp_backend.errors import BackendError, InvalidArgument, Json
from mcp_backend.policy import EngineSettings

ID = "message_id"
"""The header that carries the message's id."""
SECONDS = 9.0
LOOK_SECONDS = 4.0
LOOKED_AT = 5000
MOST_BYTES = 1_048_588
"""`max.message.bytes` where the broker does not say it."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NOT_STORED: dict[str, Cause] = {
    "TOPIC_AUTHORIZATION_FAILED": "denied", "CLUSTER_AUTHORIZATION_FAILED": "denied", "MSG_SIZE_TOO_LARGE": "refused",
    "INVALID_RECORD": "refused", "POLICY_VIOLATION": "refused", "RECORD_LIST_TOO_LARGE": "refused", "LOCAL": "refused",
    "INVALID_MSG": "refused", "QUEUE_FULL": "unreachable", "_UNKNOWN_TOPIC": "moved", "UNKNOWN_TOPIC_OR_PART": "moved",
    "_UNKNOWN_PARTITION": "moved", "NOT_ENOUGH_REPLICAS": "unreachable", "_QUEUE_FULL": "unreachable",
}  # fmt: skip
"""Errors that say that nothing was appended."""


def check_topic(name: str) -> None:
    """Raises `InvalidArgument` for what can be no topic of ours (https://kafka.apache.org/documentation/#design)."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise InvalidArgument("destination: expected a topic of letters, digits, dots, _ and - (at most 249)")
    if name.startswith("__"):
        raise InvalidArgument("destination: topics that begin with __ belong to the broker")


class KafkaPublisher:
    """Publishes to one topic that exists; none is ever created by it."""

    def __init__(self, kafka: Kafka, topic: str, expected: int | None) -> None:
        check_topic(topic)
        if expected is not None:
            raise InvalidArgument("expected_last_sequence: only NATS streams have sequences; leave it out for Kafka")
        self._kafka, self.address = kafka, topic
        self._partitions = 0

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._kafka.settings

    async def look(self, messages: Sequence[Message]) -> list[str]:
        """Whether the topic exists and the messages fit it. Raises `InvalidArgument`, `Unavailable`."""
        topics = await self._kafka.topics()
        if self.address not in topics:
            near = difflib.get_close_matches(self.address, topics, 1, 0.6)
            nearest = f" (nearest: {near[0]})" if near else ""
            raise InvalidArgument(
                f"destination: there is no topic {self.address}{nearest}; nothing was created. Have it made with "
                "configure_messaging"
            )
        partitions = topics[self.address]
        self._partitions = len(partitions)
        for index, message in enumerate(messages):
            size = len(message.payload) + sum(len(k) + len(v.encode()) for k, v in message.headers.items()) + 200
            if size > MOST_BYTES:
                raise InvalidArgument(
                    f"messages.{index}.payload: {size:,} bytes, a broker takes {MOST_BYTES:,} by default"
                )
        notes = [STAND_IN] if self._kafka.stand_in else []
        if self.settings.access.transactional_id and len(messages) > 1:
            notes.append(kafka_transaction.NOTE)
        if len(partitions) > 1 and any(message.order is None for message in messages):
            notes.append(f"messages without key are spread over {len(partitions)} partitions: their order is not kept")
        if leaderless := [number for number, leader, _, _ in partitions if leader < 0]:
            notes.append(f"partitions without leader at the moment: {leaderless[:10]}")
        return notes

    def version(self) -> str:
        """The topic and its number of partitions: another number sends keys elsewhere."""
        return f"topic {self.address}/{self._partitions}"

    def sent_headers(self, message: Message) -> dict[str, str]:
        """The headers, with the key that the record gets."""
        return dict(message.headers)

    async def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Publishes, and looks for what got no report."""
        together = bool(self.settings.access.transactional_id) and len(messages) > 1
        waiting = any((self.address, m.message_id) in self._kafka.unsettled for m in messages)
        if together and waiting and not await kafka_transaction.settled(self._kafka):
            why = "whether an earlier transaction with these messages is committed is not known yet; nothing was sent"
            return [Outcome("unknown", "unanswered", why)] * len(messages)
        before = await self._ends()
        outcomes: dict[int, Outcome] = {}
        again = [i for i, m in enumerate(messages) if (self.address, m.message_id) in self._kafka.unsettled]
        if again:
            starts = {
                k: min(self._kafka.unsettled[self.address, messages[i].message_id].get(k, v) for i in again)
                for k, v in before.items()
            }
            outcomes |= await self._found(messages, again, starts, await self._ends(), before=True)
        if together:
            return await self._together(messages, before, outcomes)
        lanes: dict[str, list[dict[str, Any]]] = {}
        for index, message in enumerate(messages):
            if index not in outcomes:
                lanes.setdefault(f"#{index}" if message.order is None else f"={message.order}", []).append(
                    self._record(index, message)
                )
        reports: dict[str, dict[str, Any]] = {}
        why = "no report within the time of the call"
        if lanes:
            try:
                told = await self._kafka.ask("publish", topic=self.address, lanes=[*lanes.values()], seconds=SECONDS)
                reports, why = told["reports"], told.get("trouble") or why
            except (Ended, Failed) as error:
                why = str(error)
            except BackendError as error:
                unsent = Outcome("no", "unreachable", f"not sent: {error.reason}")
                return [outcomes.get(index, unsent) for index in range(len(messages))]
        for lane in lanes.values():
            outcomes |= self._judged(lane, reports, why)
        unsure = [index for index, outcome in outcomes.items() if outcome.stored == "unknown"]
        if unsure:
            await self._settle(messages, unsure, before, outcomes)
        return [outcomes[index] for index in range(len(messages))]

    async def _together(
        self, messages: Sequence[Message], before: dict[str, int], known: dict[int, Outcome]
    ) -> list[Outcome]:
        """Publishes what is not there yet as one transaction."""
        left = [index for index in range(len(messages)) if index not in known]
        if not left:
            return [known[index] for index in range(len(messages))]
        records = [self._record(index, messages[index]) for index in left]
        some = [messages[index] for index in left]
        told = await self._decided(some, records, before)
        if told[0].stored == "no" and told[0].settled:  # looked up, and not there: it may be sent again
            told = await self._decided(some, records, before)
        outcomes = {**known, **dict(zip(left, told, strict=True))}
        for index in left:
            place = (self.address, messages[index].message_id)
            self._kafka.unsettled.pop(place, None)
            if outcomes[index].stored == "unknown":
                self._kafka.unsettled[place] = before
        return [outcomes[index] for index in range(len(messages))]

    async def _decided(
        self, messages: Sequence[Message], records: Sequence[dict[str, Any]], before: dict[str, int]
    ) -> list[Outcome]:
        """One transaction, looked up where its end got no answer."""
        told = await kafka_transaction.store_together(self._kafka, self.address, records, _NOT_STORED)
        if isinstance(told, list):
            return told
        why, ends = told[0], before
        decided = told[1] or await kafka_transaction.settled(self._kafka)
        with suppress(BackendError):
            ends = await self._ends()
        decided = decided and ends is not before
        return await kafka_transaction.look(
            self._kafka, self.address, messages, before, ends, why, header=ID, decided=decided
        )

    def _record(self, index: int, message: Message) -> dict[str, Any]:
        headers = [(name, value) for name, value in message.headers.items() if name != "Mcp-Backend-Key"]
        headers.append((ID, message.message_id))
        return {
            "n": index, "value": base64.b64encode(message.payload).decode(), "key": message.order, "headers": headers,
        }  # fmt: skip

    def _judged(self, lane: list[dict[str, Any]], reports: dict[str, dict[str, Any]], why: str) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        failed = False
        for record in lane:
            index, report = int(record["n"]), reports.get(str(record["n"]))
            if failed:
                outcomes[index] = Outcome("no", "skipped", "not sent: one before it with the same key was not stored")
            elif report is None:
                outcomes[index] = Outcome("unknown", "unanswered", why)
                # Without an answer of the process, the next of a lane may have been sent as well.
                failed = bool(reports)
            elif "error" in report:
                cause = _NOT_STORED.get(report["error"])
                text = f"{report['text']} ({report['error']})"
                outcomes[index] = Outcome("no" if cause else "unknown", cause or "unanswered", text)
                failed = True
            else:
                outcomes[index] = Outcome("yes", partition=int(report["partition"]), sequence=int(report["offset"]))
                self._kafka.unsettled.pop((self.address, _id(record)), None)
        return outcomes

    async def _settle(
        self, messages: Sequence[Message], unsure: list[int], before: dict[str, int], outcomes: dict[int, Outcome]
    ) -> None:
        """Looks for messages without report. Not finding one proves nothing: it may still be on its way."""
        with suppress(TimeoutError, BackendError):
            async with asyncio.timeout(LOOK_SECONDS):
                while unsure:
                    found = await self._found(messages, unsure, before, await self._ends(), before=False)
                    outcomes |= found
                    unsure = [index for index in unsure if index not in found]
                    await asyncio.sleep(0.5 if unsure else 0)
        for index in unsure:
            self._kafka.unsettled[self.address, messages[index].message_id] = before

    async def _found(
        self,
        messages: Sequence[Message],
        wanted: list[int],
        starts: dict[str, int],
        ends: dict[str, int],
        *,
        before: bool,
    ) -> dict[int, Outcome]:
        """Those of the messages that are there, by their id. `before`: from an earlier call."""
        told = await self._kafka.read(
            "read", topic=self.address, starts=starts, ends=ends, count=LOOKED_AT, seconds=LOOK_SECONDS
        )  # fmt: skip
        by_id = {messages[index].message_id: index for index in wanted}
        found: dict[int, Outcome] = {}
        for record in told["messages"]:
            names = {name: base64.b64decode(value).decode("utf-8", "replace") for name, value in record["headers"]}
            index = by_id.get(names.get(ID, ""))
            if index is None or index in found:
                continue
            message = messages[index]
            self._kafka.unsettled.pop((self.address, message.message_id), None)
            if _same(base64.b64decode(record["value"]), message.payload):
                where, offset = int(record["partition"]), int(record["offset"])
                found[index] = Outcome("yes", partition=where, sequence=offset, duplicate=before, settled=True)
            else:
                why = (
                    f"message_id {message.message_id} is already used by a different message; give it an id of its own"
                )
                found[index] = Outcome("no", "id_reused", why, duplicate=True)
        return found

    async def _ends(self) -> dict[str, int]:
        numbers = [*range(self._partitions)]
        told = await self._kafka.read("offsets", topics={self.address: numbers})
        return {number: int(place["last"]) for number, place in told["offsets"][self.address].items()}

    def entry(self, message: Message, outcome: Outcome, against: str | None) -> dict[str, Json]:
        """What is said about one message."""
        entry: dict[str, Json] = {
            "message_id": message.message_id, "stored": outcome.stored, "duplicate": outcome.duplicate,
            "partition": outcome.partition, "offset": outcome.sequence, "validated_against": against,
        }  # fmt: skip
        return entry | ({"reason": outcome.reason} if outcome.reason else {})

    def delivery(self) -> str:
        """Repeating a call stores again what the first one stored, unless that was unknown."""
        return "at_least_once"

    def notes(self, *, derived: bool) -> list[str]:
        """How long the statements hold."""
        return ["Kafka does not recognise a message_id: repeat a call only for messages that are not stored or unknown"]


def _id(record: dict[str, Any]) -> str:
    return str(record["headers"][-1][1])


def _same(stored: bytes, payload: bytes) -> bool:
    if stored == payload:
        return True
    try:
        return bool(json.loads(stored) == json.loads(payload))
    except ValueError:
        return False
