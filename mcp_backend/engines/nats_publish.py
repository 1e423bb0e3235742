"""Publishing to NATS so that what is said about each message is true: stored, not stored, or unknown.

An attempt without an answer may have been stored. It is settled by publishing again under the same `Nats-Msg-Id` on a
fresh connection while the stream remembers ids, otherwise by looking; what cannot be settled in time is unknown.
Headers: https://docs.nats.io/nats-concepts/jetstream/headers
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from mcp_backend.engines.nats import JetStreamError, Nats, Stream
from mcp_backend.engines.nats_after import CANNOT_READ, same
from mcp_backend.engines.nats_connection import Denied, NoResponders, NotSent, Unanswered
from mcp_backend.engines.nats_window import ask_each, plainly_stored
from mcp_backend.engines.outcomes import SAFE_WINDOW_SECONDS, Message, Outcome
from mcp_backend.errors import BackendError

ACK_SECONDS = 2.0
TRIES = 3
"""Attempts while it is certain that none was stored."""
IN_FLIGHT = 64
WINDOW = 256
"""Messages of a batch without an answer yet, as long as every answer is a plain acknowledgement."""
LOOKED_AT = 200
_WRONG_SEQUENCE = (10071, 10164)
_WRONG_STREAM = 10060
_PASSING = (10006, 10007, 10008, 10009, 10023)
"""The cluster has no leader or the server no resources for a moment (nats-server, server/errors.json)."""


async def publish_all(
    nats: Nats, messages: Sequence[Message], stream: Stream, *, expected: int | None, seconds: float
) -> list[Outcome]:
    """Publishes every message and returns the outcomes in the same order.

    Messages with the same `order`, and all of them when a sequence is expected, go one after the other; after the
    first of them that is not stored the rest is not sent. The others are sent in order and are under way at the same
    time; those that get anything but an acknowledgement are then found out about one by one.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    if len(messages) == 1:
        return [await publish(nats, messages[0], stream, expected=expected, deadline=deadline)]
    outcomes: list[Outcome | None] = [None] * len(messages)
    lanes: dict[str, list[int]] = {}
    free = [i for i, message in enumerate(messages) if message.order is None and expected is None]
    tried = await _first_try(nats, messages, free, stream) if len(free) > 1 and stream.acknowledges else {}
    for index, message in enumerate(messages):
        outcomes[index] = plainly_stored(tried.get(index))
        if outcomes[index] is not None:
            continue
        lane = "" if expected is not None else f"#{index}" if message.order is None else f"={message.order}"
        lanes.setdefault(lane, []).append(index)
    room = asyncio.Semaphore(IN_FLIGHT)

    async def run(indexes: list[int]) -> None:
        async with room:
            after, blocked = expected, ""
            for index in indexes:
                if blocked:
                    outcomes[index] = Outcome("no", "skipped", f"not sent: {blocked} before it was not stored")
                    continue
                outcome = await publish(
                    nats, messages[index], stream, expected=after, deadline=deadline, tried=tried.get(index)
                )
                outcomes[index] = outcome
                if outcome.stored == "yes":
                    after = outcome.sequence if expected is not None else None
                else:
                    blocked = messages[index].message_id

    async with asyncio.TaskGroup() as group:
        for indexes in lanes.values():
            group.create_task(run(indexes))
    return [outcome for outcome in outcomes if outcome is not None]


async def _first_try(
    nats: Nats, messages: Sequence[Message], indexes: Sequence[int], stream: Stream
) -> dict[int, bytes | Exception]:
    """Sends these messages once, and returns for each its answer, or what `Nats.ask` would raise."""
    requests = [(m.subject, m.payload, _headers(m, stream)) for m in (messages[index] for index in indexes)]
    try:
        answers = await ask_each(nats, requests, seconds=ACK_SECONDS, window=WINDOW, accept=_is_ack)
    except BackendError:
        return {}  # no connection came about, and nothing was sent: `publish` tells why
    return dict(zip(indexes, answers, strict=True))


def _headers(message: Message, stream: Stream) -> dict[str, str]:
    headers = {**message.headers, "Nats-Msg-Id": message.message_id}
    if stream.name:
        headers["Nats-Expected-Stream"] = stream.name
    return headers


async def publish(
    nats: Nats,
    message: Message,
    stream: Stream,
    *,
    expected: int | None,
    deadline: float,
    tried: bytes | Exception | None = None,
) -> Outcome:
    """Publishes one message to a stream and finds out what became of it, until `deadline` of the event loop. `tried` is
    what came of an attempt that was made already."""
    if not stream.acknowledges:
        return await _without_ack(nats, message, stream)
    headers = _headers(message, stream)
    if expected is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
    clock = asyncio.get_running_loop().time
    maybe, tries, pause = False, 0, 0.05
    outcome = Outcome("no", "unreachable", "not sent: the time of the call was over")
    while clock() < deadline:
        tries += 1
        left = min(ACK_SECONDS, deadline - clock())
        try:
            before, tried = tried, None
            if isinstance(before, Exception):
                raise before
            answer = before or await nats.ask(message.subject, message.payload, headers, seconds=left, accept=_is_ack)
        except Denied as error:
            return Outcome("unknown" if maybe else "no", "denied", str(error), settled=maybe)
        except Unanswered as error:
            maybe, outcome = True, Outcome("unknown", "unanswered", f"no acknowledgement: {error}")
        except BackendError as error:
            if not maybe:
                return Outcome("no", "unreachable", error.reason)
        except NoResponders:
            nats.forget(message.subject)
            if not maybe:
                outcome = await _unheard(nats, message, stream)
        except NotSent as error:
            if not maybe:
                outcome = Outcome("no", "unreachable", str(error))
        else:
            judged = await _judge(nats, message, stream, json.loads(answer), expected)
            if judged is not None:
                # A refusal now says nothing about an attempt before it that got no answer.
                unsure = maybe and judged.cause in ("refused", "moved")
                return replace(judged, stored="unknown" if unsure else judged.stored, settled=maybe or judged.settled)
            if not maybe:
                outcome = Outcome("no", "unreachable", f"stream {stream.name} has no leader at the moment")
        if maybe and stream.dedupe_seconds < SAFE_WINDOW_SECONDS:
            return await _look(nats, message, stream, outcome, deadline)
        if not maybe and (tries >= TRIES or outcome.cause == "moved"):
            return outcome
        await asyncio.sleep(max(0.0, min(pause, deadline - clock())))
        pause = min(pause * 2, 1.0)
    return outcome


def _is_ack(data: bytes) -> bool:
    try:
        body = json.loads(data)
    except ValueError:
        return False
    if not isinstance(body, dict):
        return False
    fields = cast("dict[str, Any]", body)
    error = fields.get("error")
    return ("stream" in fields and "seq" in fields) or (isinstance(error, dict) and "err_code" in error)


async def _judge(
    nats: Nats, message: Message, stream: Stream, answer: dict[str, Any], expected: int | None
) -> Outcome | None:
    """What the stream's answer means, or `None` when it is worth asking again."""
    if isinstance(answer.get("error"), dict):
        error = JetStreamError(cast("dict[str, Any]", answer["error"]))
        if error.err_code in _PASSING:
            return None
        if error.err_code == _WRONG_STREAM:
            nats.forget(message.subject)
            return Outcome("no", "moved", f"{message.subject} is not stored by {stream.name} any more")
        if error.err_code in _WRONG_SEQUENCE and expected is not None:
            return await _conflict(nats, message, stream, error, expected)
        return Outcome("no", "refused", f"stream {stream.name} refuses it: {error}")
    sequence = int(answer["seq"])
    if answer.get("duplicate"):
        return await _duplicate(nats, message, stream, sequence)
    return Outcome("yes", sequence=sequence, stream=str(answer["stream"]))


async def _unheard(nats: Nats, message: Message, stream: Stream) -> Outcome:
    """Nobody took it, not even the stream: it is gone, or has no leader, which the server answers in the same way."""
    try:
        found = await nats.stream_of(message.subject)
    except CANNOT_READ:
        found = stream
    if stream.name and found is None:
        why = f"stream {stream.name} is gone, and nothing else stores {message.subject}"
        return Outcome("no", "moved", why)
    who = f"stream {stream.name} has no leader at the moment" if stream.name else f"nobody listens on {message.subject}"
    return Outcome("no", "unreachable", who)


async def _duplicate(nats: Nats, message: Message, stream: Stream, sequence: int) -> Outcome:
    """The id is taken: by this very message, or by another, in which case this one was dropped by the server."""
    known = Outcome("yes", sequence=sequence, stream=stream.name, duplicate=True)
    try:
        first = await nats.message(stream.name, seq=sequence)
    except CANNOT_READ as error:
        why = f"message {sequence} already has this id, and cannot be read to compare it: {_said(error)}"
        return replace(known, stored="unknown", cause="unanswered", reason=why)
    if first is None:
        why = f"message {sequence} had this id and is gone from the stream, so it cannot be compared with this one"
        return replace(known, stored="unknown", cause="unanswered", reason=why)
    if same(first, message, stream):
        return known
    return Outcome(
        "no",
        "id_reused",
        f"message_id {message.message_id} is already used by a different message ({first.subject}, sequence "
        f"{sequence}): this one was dropped. Give it an id of its own",
        sequence=None,
        stream=stream.name,
        duplicate=True,
    )


async def _conflict(nats: Nats, message: Message, stream: Stream, error: JetStreamError, expected: int) -> Outcome:
    """Somebody was faster, or this message is already there: newer servers check the sequence before the id, so a
    repetition of one's own success looks like a conflict. If it is there, it is the next one after `expected`."""
    try:
        following = await nats.message(stream.name, seq=expected + 1, next_by_subj=message.subject)
    except CANNOT_READ as failure:
        return Outcome(
            "unknown", "unanswered", f"{error}, and what was stored instead cannot be read: {_said(failure)}"
        )
    if following and following.message_id == message.message_id and same(following, message, stream):
        return Outcome("yes", sequence=following.sequence, stream=stream.name, duplicate=True, settled=True)
    return Outcome(
        "no",
        "conflict",
        f"expected sequence {expected} as the last of {message.subject}; {error.description}. Read what came since, "
        "decide anew, and give the new sequence",
    )


async def _look(nats: Nats, message: Message, stream: Stream, outcome: Outcome, deadline: float) -> Outcome:
    """Looks for the id in what the stream got since the call was planned, until the server answers or the time is
    over. Not finding it proves nothing: the first attempt may still be on its way."""
    clock, sequence, looked = asyncio.get_running_loop().time, stream.last_sequence + 1, 0
    why = f"{stream.name} forgets ids after {stream.dedupe_seconds:g} s, so it was not sent again"
    while clock() < deadline and looked < LOOKED_AT:
        try:
            found = await nats.message(stream.name, seq=sequence, next_by_subj=message.subject)
        except CANNOT_READ as error:
            why = f"looking for it failed: {_said(error)}"
            await asyncio.sleep(max(0.0, min(0.25, deadline - clock())))
            continue
        if found is None:
            break
        if found.message_id == message.message_id and same(found, message, stream):
            return Outcome("yes", sequence=found.sequence, stream=stream.name, settled=True)
        sequence, looked = found.sequence + 1, looked + 1
    return replace(outcome, reason=f"{outcome.reason}; {why}")


async def _without_ack(nats: Nats, message: Message, stream: Stream) -> Outcome:
    """A stream with `no_ack` says nothing: the last message of the subject is looked at instead."""
    try:
        connection = await nats.connection()
        await connection.tell(message.subject, message.payload, {**message.headers, "Nats-Msg-Id": message.message_id})
        await connection.flush(message.subject, seconds=ACK_SECONDS)
        last = await nats.message(stream.name, last_by_subj=message.subject)
    except (NotSent, Denied) as error:
        return Outcome("no", "denied" if isinstance(error, Denied) else "unreachable", str(error))
    except (Unanswered, *CANNOT_READ) as error:
        return Outcome("unknown", "unanswered", _said(error))
    if last and last.message_id == message.message_id and same(last, message, stream):
        return Outcome("yes", sequence=last.sequence, stream=stream.name, settled=True)
    return Outcome("unknown", "unanswered", f"stream {stream.name} acknowledges nothing (no_ack)")


def _said(error: Exception) -> str:
    return error.reason if isinstance(error, BackendError) else str(error)
