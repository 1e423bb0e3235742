"""publish_message: publish to a declared destination, and say of each message whether it is stored."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mcp_backend.actions import PublishMessage as Publish
from mcp_backend.actions import counted, where
from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.facts import Facts, Secret
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.contracts.judging import Judged
    from mcp_backend.contracts.justifications import Justification
    from mcp_backend.contracts.messages import Index
    from mcp_backend.engines.outcomes import Message
    from mcp_backend.engines.publishing import Publisher
    from mcp_backend.policy.outboxes import Outbox

BATCH = 1000
SHOWN_SECRETS = 20
SHOWN_MESSAGES, SHOWN_BYTES = 20, 4000
AT_ONCE = 20_000
"""Bytes of messages that are judged without a thread: less than a millisecond."""
LOOKED_AT_TOGETHER = 200_000
"""Bytes of messages that are searched for credentials at once."""


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
    """What planning found and run sends."""

    target: "Publisher"
    messages: "tuple[Message, ...]"
    against: tuple[str | None, ...]
    notes: tuple[str, ...]
    why: "Justification | None" = None
    around: str = ""
    """Why it goes around an outbox."""


class PublishMessage(Tool):
    """Publish (send) messages or events on NATS, Kafka or Redis, checked against the declared contract; says of each
    whether it is stored.

    A stream stores a message once however often you repeat the call within its dedupe window: repeat it unchanged
    after "unknown" (delivery "exactly_once"; "at_least_once" where the window is short, and on Kafka). Without a stream
    only who listens right now gets it ("at_most_once"). Where no contract is declared, `justification` is needed.
    Messages of one `key` stop at the first that fails; `expected_last_sequence` is the last sequence of this subject
    (NATS; 0: none yet) and makes the batch go one by one.
    """

    name = "publish_message"
    title = "Publish messages"
    toolset = "messaging"
    read_only = False
    destructive = True
    open_world = True

    destination: str = Field(
        min_length=1, max_length=512, description="NATS subject, Kafka topic, Redis stream, channel or shard:NAME"
    )
    messages: tuple[OneMessage, ...] = Field(min_length=1, max_length=BATCH)
    engine: str | None = Field(default=None, max_length=100)
    schema_: str | None = Field(
        default=None, alias="schema", max_length=500, description="file[#message] of a contract it must also fit"
    )
    justification: Any = Field(
        default=None,
        description="why no contract, who reads it; or {reason, alternatives, expires}; recorded",
        json_schema_extra={"anyOf": [{"type": "string"}, {"type": "object"}]},
    )
    expected_last_sequence: int | None = Field(default=None, ge=0, le=2**63 - 1)

    async def plan(self, app: App) -> Plan:
        from mcp_backend.engines.publishing import publisher
        from mcp_backend.pipelines import committed

        target, call = publisher(app.engines, self.engine, self.destination, self.expected_last_sequence), self
        if outbox := committed.declared(app.policy, target.settings, target.address):
            told = await committed.of_rows(app.engines.postgresql(outbox.engine), outbox, self.messages)
            call = self.model_copy(update={"messages": told})
        return await call._planned(app, target, outbox)

    async def _planned(self, app: App, target: "Publisher", outbox: "Outbox | None") -> Plan:
        from mcp_backend.contracts.watch import contracts
        from mcp_backend.engines.outcomes import Message
        from mcp_backend.pipelines.outbox import feeding, twice

        messages, values = self._outgoing(target.address)
        index = await contracts(app.workspace, app.policy).index()
        # Compiling schemas and asking a registry belongs in a thread, which costs more than all else about one message.
        known, size = (target.address, self.schema_), sum([len(message.payload) for message in messages])
        if known in index.judged and size <= AT_ONCE and not target.settings.access.schema_registry:
            judged, why = self._judge(app, target, index, values)
        else:
            judged, why = await asyncio.to_thread(self._judge, app, target, index, values)
            index.judged.add(known)
        texts, messages = _written(messages, judged)
        recorded, notes = dict[str, str](), [*judged.notes]
        if why:
            recorded = why.recorded()
            more = why.headers()
            headers = [{**m.headers, **more} if m.headers else more for m in messages]  # Mostly one for all.
            messages = [
                Message(m.subject, m.message_id, mine, m.payload, m.order)
                for m, mine in zip(messages, headers, strict=True)
            ]
            notes.append(f"{why.id} holds until {why.expires}: have a contract declared by then")
        notes += await target.look(messages)
        notes += twice(outbox, target.settings.kind) if outbox else []
        around = "" if outbox else await feeding(app.workspace, target.settings.kind, target.address)
        facts = Facts(messages=judged.fits, secrets=_secrets(target.address, texts))
        planned = (_action(target, messages, judged.against),)
        ready = _Ready(target, tuple(messages), judged.against, tuple(notes), why, around)
        shown = messages
        if any(read and read.form for read in judged.read):  # a person reads what the bytes say
            shown = [replace(message, payload=text.payload) for message, text in zip(messages, texts, strict=True)]
        preview, evidence = self._preview(target, shown), _evidence(shown, judged.against)
        return Plan(planned, facts, preview, target.version(), ready, recorded, evidence)

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.engines.outcomes import raise_if_nothing_happened

        ready: _Ready = plan.prepared
        target = ready.target
        if ready.why and ready.why.first:
            from mcp_backend.contracts.justifications import remember

            await asyncio.to_thread(remember, app.workspace.state, ready.why)
        outcomes = await target.send(ready.messages)
        results = [target.entry(*item) for item in zip(ready.messages, outcomes, ready.against, strict=True)]
        delivery = target.delivery()
        raise_if_nothing_happened(target.settings.name, outcomes, results, delivery)
        derived = any(one.message_id is None for one in self.messages)
        notes = [*ready.notes, *target.notes(derived=derived)]
        told: Result = {"results": [*results], "delivery": delivery, "engine": target.settings.name}
        if plan.recorded:
            told["justification"] = plan.recorded["justification_id"]
        if notes:
            told["notes"] = [*notes]
        if ready.around:
            told["warnings"] = [{"constraint": "data-consistency", "reason": ready.around}]
        return told

    def _judge(
        self, app: App, target: "Publisher", index: "Index", values: "Sequence[Any]"
    ) -> "tuple[Judged, Justification | None]":
        """How the messages relate to what is declared, and the justification where one was needed. Reads schemas,
        compiles them and asks a registry for their ids."""
        from mcp_backend.contracts.judging import judge_messages
        from mcp_backend.contracts.justifications import justification
        from mcp_backend.contracts.payloads.registered import known

        why, today = None, app.clock().date()
        if self.justification is not None:
            why = justification(self.justification, target.address, index.files(), app.workspace.state, today)
        contents = [(value, one.headers or {}) for value, one in zip(values, self.messages, strict=True)]
        frames = [value for value in values if isinstance(value, bytes)]
        declared = index.contract_for(target.address)
        declared, ids = known(target.settings, index, declared, target.address, frames, reading=False)
        reason, expired = (why.reason, why.problem(today)) if why else (None, "")
        judged = judge_messages(index, target.address, contents, self.schema_, reason, declared, ids, expired)
        return judged, why if judged.justified else None

    def _outgoing(self, address: str) -> "tuple[list[Message], list[Any]]":
        """The messages with their bytes and ids, and the values that contracts judge."""
        from mcp_backend.engines import nats_message as rules
        from mcp_backend.engines.outcomes import Message

        messages: list[Message] = []
        values: list[Any] = []
        derived: Counter[str] = Counter()
        for index, one in enumerate(self.messages):
            field = f"messages.{index}"
            payload, value = rules.encode(f"{field}.payload", one.payload)
            headers = dict(one.headers) if one.headers else {}
            if headers:
                rules.check_headers(f"{field}.headers", headers)
            if one.key is not None:
                rules.check_headers(field, {"key": one.key})
                headers["Mcp-Backend-Key"] = one.key
            if one.message_id is not None:
                rules.check_message_id(f"{field}.message_id", one.message_id)
                message_id = one.message_id
            else:
                message_id = rules.derived_id(address, one.key, one.headers or {}, value)
                derived[message_id] += 1
                # The same message twice in one call is meant twice; the same call again is not.
                message_id += f"-{derived[message_id]}" if derived[message_id] > 1 else ""
            messages.append(Message(address, message_id, headers, payload, one.key))
            values.append(value)
        if len({message.message_id for message in messages}) < len(messages):
            message_id, count = Counter(message.message_id for message in messages).most_common(1)[0]
            raise InvalidArgument(f"messages: message_id {message_id!r} is given {count} times; each event has its own")
        return messages, values

    def _preview(self, target: "Publisher", messages: "Sequence[Message]") -> str:
        first = hide_credentials(messages[0].payload[:300].decode("utf-8", "replace"))
        count, at = counted(len(messages), "message"), where(target.settings.name, target.settings.environment)
        return f"{count} to {self.destination} on {at}; the first, {messages[0].message_id}: {first}"


def _written(messages: "Sequence[Message]", judged: "Judged") -> "tuple[list[Message], list[Message]]":
    """The messages as text, in which credentials are looked for, and as their contract wants them written."""
    from mcp_backend.contracts.payloads.codec import json_bytes

    texts, written = list[Any](), list[Any]()
    for message, read in zip(messages, judged.read, strict=True):
        if read is None or not (read.form or read.headers or read.data is not None):
            texts.append(message)
            written.append(message)
            continue
        texts.append(replace(message, payload=json_bytes(read.value)) if read.form else message)
        payload = message.payload if read.data is None else read.data
        written.append(replace(message, headers={**read.headers, **message.headers}, payload=payload))
    return texts, written


def _evidence(messages: "Sequence[Message]", against: "Sequence[str | None]") -> dict[str, Json]:
    """The first messages as a person looks at them before they approve."""
    shown: list[Json] = [
        {
            "destination": one.subject,
            "message_id": one.message_id,
            "headers": {**one.headers},
            "schema": against[index],
            "payload": hide_credentials(one.payload[:SHOWN_BYTES].decode("utf-8", "replace")),
        }
        for index, one in enumerate(messages[:SHOWN_MESSAGES])
    ]
    return {"messages": shown, "messages_total": len(messages)}


def _secrets(destination: str, messages: "Sequence[Message]") -> tuple[Secret, ...]:
    """The credentials in headers and payloads. One look at many messages together costs a fraction of one at each, so
    only where that finds something each is looked at by itself."""
    from mcp_backend.workspace.secrets_scan import scan

    headers = {id(message.headers): message.headers for message in messages if message.headers}
    texts = ["\n".join([f"{name}: {value}" for name, value in one.items()]).encode() for one in headers.values()] + [
        message.payload for message in messages
    ]
    plain = [text for text in texts if b"\0" not in text and text[:2] not in (b"\xff\xfe", b"\xfe\xff")]
    together, size = list[list[bytes]](), LOOKED_AT_TOGETHER + 1
    for text in plain:
        if size + len(text) > LOOKED_AT_TOGETHER:
            together.append([])
            size = 0
        together[-1].append(text)
        size += len(text) + 1
    if len(plain) == len(texts) and not any(scan(destination, b"\n".join(part)) for part in together):
        return ()
    found: list[Secret] = []
    for text in texts:
        found += scan(destination, text)
        if len(found) >= SHOWN_SECRETS:
            break
    return tuple(found)


def _action(target: "Publisher", messages: "Sequence[Message]", against: "Sequence[str | None]") -> Publish:
    """One action for all messages of a call: they differ in nothing that a guard judges by the action."""
    first, settings = messages[0], target.settings
    headers = tuple(sorted(target.sent_headers(first).items()))
    if len(messages) == 1:
        digest = hashlib.sha256(first.payload).hexdigest()
    else:
        whole, last, sent = list[bytes](), None, list[tuple[str, str]]()
        for message, schema in zip(messages, against, strict=True):
            if message.headers is not last:
                last, sent = message.headers, sorted(target.sent_headers(message).items())
            whole += (repr((message.message_id, sent, schema, len(message.payload))).encode(), message.payload)
        digest = hashlib.sha256(b"".join(whole)).hexdigest()
    schemas = ", ".join(dict.fromkeys(filter(None, against))) if None not in against else None
    name, place = settings.name, settings.environment
    return Publish(name, place, target.address, first.message_id, headers, digest, schemas, len(messages))
