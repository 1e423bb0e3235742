"""What is said of messages is held against the stream once more, where an acknowledgement or a refusal is not all.

A refusal says nothing about an earlier call that stored the same message, and what is acknowledged may be gone at once:
pushed out by what came after it, or kept by nobody (https://docs.nats.io/nats-concepts/jetstream/streams).
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from mcp_backend.engines.nats import JetStreamError, Nats, NoJetStream, Stored, Stream
from mcp_backend.engines.nats_connection import Denied
from mcp_backend.engines.outcomes import Message, Outcome
from mcp_backend.errors import BackendError

LOOKED_AT = 200
SECONDS = 2.0
CANNOT_READ = (BackendError, Denied, JetStreamError, NoJetStream)


async def held_against(
    nats: Nats, messages: Sequence[Message], stream: Stream, outcomes: Sequence[Outcome], *, expected: int | None
) -> list[Outcome]:  # fmt: skip
    """The outcomes, corrected by what lies in the stream. Never raises for a stream that cannot be read."""
    told = list(outcomes)
    drops = stream.may_drop(len(messages), sum([len(message.payload) for message in messages]))
    if not drops and all(outcome.stored != "no" for outcome in told):
        return told
    with suppress(TimeoutError, *CANNOT_READ):
        async with asyncio.timeout(SECONDS):
            refused = {m.message_id: i for i, m in enumerate(messages) if told[i].stored == "no"}
            if refused and stream.name:
                await _there_before(nats, messages, stream, told, refused, expected)
            if drops:
                await _dropped(nats, messages[0].subject, stream, told)
    return told


async def _there_before(
    nats: Nats, messages: Sequence[Message], stream: Stream, told: list[Outcome], refused: dict[str, int],
    expected: int | None,
) -> None:  # fmt: skip
    """Finds messages of an earlier call among the last of the subject."""
    subject = messages[0].subject
    if expected is None:
        last = (await nats.api(f"STREAM.INFO.{stream.name}", {}))["state"]["last_seq"]
        sequence = max(1, int(last) - LOOKED_AT + 1)
    else:
        sequence = expected + 1
    for _ in range(LOOKED_AT):
        if stream.rewrites_subjects:
            found = await nats.message(stream.name, seq=sequence, next_by_subj=">")
        else:
            found = await nats.message(stream.name, seq=sequence, next_by_subj=subject)
        if found is None:
            return
        index, sequence = refused.get(found.message_id), found.sequence + 1
        if index is not None and same(found, messages[index], stream):
            told[index] = Outcome(
                "yes", reason="stored by an earlier call", sequence=found.sequence, stream=stream.name, duplicate=True,
                settled=True,
            )  # fmt: skip


async def _dropped(nats: Nats, subject: str, stream: Stream, told: list[Outcome]) -> None:
    """Marks what was acknowledged and is gone already."""
    fresh = [i for i, o in enumerate(told) if o.stored == "yes" and not o.duplicate and o.sequence is not None]
    if not fresh or stream.rewrites_subjects:
        return
    begin = min(told[i].sequence or 0 for i in fresh)
    left = await nats.message(stream.name, seq=begin, next_by_subj=subject)
    gone = [i for i in fresh if left is None or (told[i].sequence or 0) < left.sequence]
    if not gone:
        return
    if not stream.interest:
        for i in gone:
            why = f"stored as {told[i].sequence}, and removed by the limits of {stream.name} since"
            told[i] = replace(told[i], reason=why)
        return
    if (await nats.api(f"STREAM.INFO.{stream.name}", {}))["state"].get("consumer_count", 0):
        return  # a consumer was interested, and may have taken it
    for i in gone:
        why = f"{stream.name} acknowledged it and keeps nothing: it has no consumer (retention interest)"
        told[i] = Outcome("no", "refused", why, stream=stream.name)


def same(stored: Stored, message: Message, stream: Stream) -> bool:
    """Whether the stored message is this one: same subject, and the same bytes or the same JSON value."""
    if stored.subject != message.subject and not stream.rewrites_subjects:
        return False
    if stored.payload == message.payload:
        return True
    try:
        ours, theirs = (json.dumps(json.loads(p), sort_keys=True) for p in (message.payload, stored.payload))
    except ValueError:
        return False
    return ours == theirs
