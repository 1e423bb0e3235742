"""publish_message: publish to a declared destination, and say of each message whether it is stored."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mcp_backend.actions import PublishMessage as Publish
from mcp_backend.app import App
from mcp_backend.errors import BackendError, InvalidArgument
from mcp_backend.facts import Facts, Secret
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.engines.nats import Nats, Stream
    from mcp_backend.engines.nats_publish import Message, Outcome

BATCH = 1000
SECONDS = 10.0
"""How long a call tries; a batch gets `SECONDS_EACH` more for each of its messages."""
SECONDS_EACH = 0.01
SHOWN_SECRETS = 20


class OneMessage(BaseModel):
    """One message of a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    payload: Any = Field(description='JSON, or {"base64": "…"} for other bytes')
    key: str | None = Field(default=None, min_length=1, max_length=200, description="same key: stays in order")
    headers: dict[str, str] | None = Field(default=None, max_length=64)
    message_id: str | None = Field(
        default=None, min_length=1, description="of the event (order:42:paid), not of the attempt; derived if left out"
    )


@dataclass(frozen=True, slots=True)
class _Ready:
    """What planning found and run sends. `stream` is `None` where nothing stores the destination."""

    nats: "Nats"
    messages: "tuple[Message, ...]"
    against: tuple[str | None, ...]
    stream: "Stream | None"
    notes: tuple[str, ...]


class PublishMessage(Tool):
    """Publish messages to a NATS subject, checked against the declared contract; says of each whether it is stored.

    A stream stores a message once however often you repeat the call within its dedupe window: repeat it unchanged
    after "unknown" (delivery "exactly_once"; "at_least_once" where the window is short). Without a stream only who
    listens right now gets it ("at_most_once"). Where no contract is declared, `justification` is needed.
    Messages of one `key` stop at the first that fails; `expected_last_sequence` is the last sequence of this subject
    (0: none yet) and makes the batch go one by one.
    """

    name = "publish_message"
    title = "Publish messages"
    toolset = "messaging"
    read_only = False
    destructive = True
    open_world = True

    destination: str = Field(min_length=1, max_length=512, description="subject, no wildcards")
    messages: tuple[OneMessage, ...] = Field(min_length=1, max_length=BATCH)
    engine: str | None = Field(default=None, max_length=100)
    schema_: str | None = Field(
        default=None, alias="schema", max_length=500, description="file[#message] of a contract it must also fit"
    )
    justification: str | None = Field(
        default=None, max_length=2000, description="why a format without contract, and who reads it; recorded"
    )
    expected_last_sequence: int | None = Field(default=None, ge=0)

    async def plan(self, app: App) -> Plan:
        from mcp_backend.contracts.judging import judge_messages
        from mcp_backend.contracts.watch import contracts
        from mcp_backend.engines.nats_message import check_subject

        check_subject(self.destination)
        nats = app.engines.nats(self.engine)
        messages, values = self._outgoing()
        index = await contracts(app.workspace, app.policy).index()
        contents = [(value, one.headers or {}) for value, one in zip(values, self.messages, strict=True)]
        judged = judge_messages(index, self.destination, contents, self.schema_, self.justification)
        notes, recorded = list(judged.notes), dict[str, str]()
        if judged.justification_id:
            recorded = {"justification_id": judged.justification_id, "justification": self.justification or ""}
            mark = {"Mcp-Backend-Justification": judged.justification_id}
            messages = [replace(message, headers={**message.headers, **mark}) for message in messages]
        stream = await self._stream(nats, notes)
        self._check_sizes(messages, (await nats.connection()).max_payload, stream)
        facts = Facts(messages=judged.fits, secrets=_secrets(self.destination, messages))
        planned = tuple(self._action(nats, message, judged.against[i]) for i, message in enumerate(messages))
        ready = _Ready(nats, tuple(messages), judged.against, stream, tuple(notes))
        return Plan(planned, facts, self._preview(nats, messages), prepared=ready, recorded=recorded)

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.engines import nats_report as report
        from mcp_backend.engines.nats_core import tell_all
        from mcp_backend.engines.nats_publish import publish_all

        ready: _Ready = plan.prepared
        nats, stream = ready.nats, ready.stream
        if stream is None:
            outcomes = await _still_unstored(ready, await tell_all(nats, ready.messages))
        else:
            seconds = SECONDS + SECONDS_EACH * len(ready.messages)
            expected = self.expected_last_sequence
            outcomes = await publish_all(nats, ready.messages, stream, expected=expected, seconds=seconds)
        results = [report.entry(*item) for item in zip(ready.messages, outcomes, ready.against, strict=True)]
        delivery = report.delivery(stream)
        report.raise_if_nothing_happened(nats.settings.name, outcomes, results, delivery)
        derived = any(one.message_id is None for one in self.messages)
        notes = [*ready.notes, *report.notes(self.destination, stream, derived=derived)]
        told: Result = {"results": [*results], "delivery": delivery, "engine": nats.settings.name}
        if plan.recorded:
            told["justification"] = plan.recorded["justification_id"]
        if notes:
            told["notes"] = [*notes]
        return told

    async def _stream(self, nats: "Nats", notes: list[str]) -> "Stream | None":
        """What stores the destination, `None` for nothing. Raises `InvalidArgument`, `Unavailable`."""
        from mcp_backend.engines.nats import UNKNOWN_STREAM
        from mcp_backend.engines.nats_connection import Denied

        try:
            stream = await nats.stream_of(self.destination)
        except Denied:
            notes.append("this user may not read the JetStream API, so an answer that gets lost cannot be verified")
            return UNKNOWN_STREAM
        if stream is None and self.expected_last_sequence is not None:
            raise InvalidArgument(
                f"expected_last_sequence: no stream stores {self.destination}, so it has no sequence; leave it out, or "
                "have a stream made for it"
            )
        return stream

    def _outgoing(self) -> "tuple[list[Message], list[Any]]":
        """The messages with their bytes and ids, and the values that contracts judge."""
        from mcp_backend.engines import nats_message as rules
        from mcp_backend.engines.nats_publish import Message

        messages: list[Message] = []
        values: list[Any] = []
        derived: Counter[str] = Counter()
        for index, one in enumerate(self.messages):
            field = f"messages.{index}"
            payload, value = rules.encode(f"{field}.payload", one.payload)
            headers = dict(one.headers or {})
            rules.check_headers(f"{field}.headers", headers)
            if one.key is not None:
                rules.check_headers(field, {"key": one.key})
                headers["Mcp-Backend-Key"] = one.key
            if one.message_id is not None:
                rules.check_message_id(f"{field}.message_id", one.message_id)
                message_id = one.message_id
            else:
                message_id = rules.derived_id(self.destination, one.key, one.headers or {}, value)
                derived[message_id] += 1
                # The same message twice in one call is meant twice; the same call again is not.
                message_id += f"-{derived[message_id]}" if derived[message_id] > 1 else ""
            messages.append(Message(self.destination, message_id, headers, payload, one.key))
            values.append(value)
        for message_id, count in Counter(message.message_id for message in messages).items():
            if count > 1:
                raise InvalidArgument(
                    f"messages: message_id {message_id!r} is given {count} times; each event has its own"
                )
        return messages, values

    def _check_sizes(self, messages: "Sequence[Message]", server: int, stream: "Stream | None") -> None:
        from mcp_backend.engines.nats_message import header_bytes

        limit, whose = server, "the server"
        if stream and 0 <= stream.max_message < server:
            limit, whose = stream.max_message, f"stream {stream.name}"
        for index, message in enumerate(messages):
            headers = {**message.headers, "Nats-Msg-Id": message.message_id}
            if stream:
                headers["Nats-Expected-Stream"] = stream.name
            if self.expected_last_sequence is not None:
                headers["Nats-Expected-Last-Subject-Sequence"] = "9" * 20
            size = len(message.payload) + header_bytes(headers)
            if size > limit:
                raise InvalidArgument(
                    f"messages.{index}.payload: {size:,} bytes with headers, {whose} takes {limit:,}; put the content "
                    "into an object store and publish a reference to it"
                )

    def _action(self, nats: "Nats", message: "Message", against: str | None) -> Publish:
        headers = dict(message.headers)
        if self.expected_last_sequence is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(self.expected_last_sequence)
        return Publish(
            engine=nats.settings.name,
            environment=nats.settings.environment,
            destination=self.destination,
            message_id=message.message_id,
            headers=tuple(sorted(headers.items())),
            sha256=hashlib.sha256(message.payload).hexdigest(),
            schema=against,
        )

    def _preview(self, nats: "Nats", messages: "Sequence[Message]") -> str:
        first = messages[0].payload[:300].decode("utf-8", "replace")
        return (
            f"{len(messages)} message(s) to {self.destination} on {nats.settings.name} ({nats.settings.environment}); "
            f"the first, {messages[0].message_id}: {hide_credentials(first)}"
        )


def _secrets(destination: str, messages: "Sequence[Message]") -> tuple[Secret, ...]:
    from mcp_backend.workspace.secrets_scan import scan

    found: list[Secret] = []
    for message in messages:
        lines = "".join(f"{name}: {value}\n" for name, value in message.headers.items())
        found += scan(destination, lines.encode() + message.payload)
        if len(found) >= SHOWN_SECRETS:
            break
    return tuple(found)


async def _still_unstored(ready: _Ready, outcomes: "list[Outcome]") -> "list[Outcome]":
    """A stream may have been made since the plan: then nothing is known about being stored."""
    try:
        appeared = await ready.nats.stream_of(ready.messages[0].subject)
    except BackendError:
        return outcomes
    if appeared is None:
        return outcomes
    reason = f"stream {appeared.name} was made for this subject meanwhile; repeat the call to be sure"
    return [replace(o, stored="unknown", cause="unanswered", reason=reason) if o.sent else o for o in outcomes]
