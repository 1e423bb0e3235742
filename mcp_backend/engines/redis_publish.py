"""Publishing to Redis so that what is said about each message is true: stored, not stored, or unknown.

A stream stores a message and remembers its id in one script, which the server carries out whole or not at all. An
attempt without an answer is settled by running it again: the id is known then, or the message is stored now.
https://redis.io/docs/latest/commands/eval/ and https://redis.io/docs/latest/commands/xadd/
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from struct import Struct

from mcp_backend.engines.outcomes import Cause, Message, Outcome
from mcp_backend.engines.redis import NotSent, Redis, Refused, Unanswered, Word
from mcp_backend.errors import BackendError

REMEMBERED_SECONDS = 3600
"""How long a message id is remembered."""
CHUNK, CHUNK_BYTES = 250, 1_000_000
"""Messages of one script call, and about how many bytes: the server does nothing else meanwhile, some milliseconds."""
TRIES = 3
"""Attempts while it is certain that none was carried out."""
PASSING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS")
"""The server cannot do it for the moment."""
_DIGEST, _LENGTH = Struct(">I64sI").pack, Struct(">I").pack
_SCRIPT = """
local ttl, stops, blob, at, out = ARGV[1], ARGV[2] == '1', ARGV[3], 1, {}
local known = redis.pcall('MGET', unpack(KEYS, 2))
if known.err then
  return redis.error_reply(known.err)
end
local stopped, tried = false, false
for i = 2, #KEYS do
  local sha, payload, id, more, said
  sha, payload, id, more, at = struct.unpack('>I4c0I4c0I4c0I4', blob, at)
  local fields = {'payload', payload, 'message_id', id}
  for n = 5, 4 + more do
    fields[n], at = struct.unpack('>I4c0', blob, at)
  end
  local entry, was
  if known[i - 1] then
    entry, was = string.match(known[i - 1], '^(%S+) (%S+)$')
  end
  if stopped then
    said = 'skipped'
  elseif entry then
    if #redis.call('XRANGE', KEYS[1], entry, entry) == 0 then
      said = 'gone ' .. entry
    else
      said = (was == sha and 'known ' or 'differs ') .. entry
    end
    stopped = stops and was ~= sha
  else
    local added = tried or redis.pcall('SET', KEYS[i], '-', 'PX', 1)
    if type(added) ~= 'table' or not added.err then
      tried = true
      added = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', '*', unpack(fields))
    end
    if type(added) == 'string' then
      redis.pcall('SET', KEYS[i], added .. ' ' .. sha, 'PX', ttl)
      said = 'stored ' .. added
    else
      said = added and 'error ' .. string.gsub(added.err, '[\\r\\n]', ' ') or 'absent'
      stopped = stops
    end
  end
  out[i - 1] = said
end
return table.concat(out, '\\n')
"""
"""The first id is tried to be remembered before anything is added: what forbids that forbids it to every other one."""


def packed(messages: Iterable[Message]) -> bytes:
    """Messages as the script reads them, each word after its length: the digest and the payload, the id, how many more
    there are, the name and the value of every header. One argument for many words costs the client a fraction of one
    for each."""
    words, last, headers = list[bytes](), None, b""
    for message in messages:
        if message.headers is not last:  # Mostly all have the same.
            last, headers = message.headers, _headers(message.headers)
        payload, identifier = message.payload, message.message_id.encode()
        digest = hashlib.sha256(payload).hexdigest().encode()
        words += (_DIGEST(64, digest, len(payload)), payload, _LENGTH(len(identifier)), identifier, headers)
    return b"".join(words)


def _headers(headers: Mapping[str, str]) -> bytes:
    words = [_LENGTH(2 * len(headers))]
    for name, value in headers.items():
        for word in (f"header:{name}".encode(), value.encode()):
            words += (_LENGTH(len(word)), word)
    return b"".join(words)


def remembered(stream: str, ids: Iterable[str]) -> list[str]:
    """The keys that remember ids, in the hash slot of their stream."""
    opened = stream.partition("{")[2]
    tag = opened.partition("}")[0] if "}" in opened else ""
    before = f"mcp-backend:ids:{{{tag or stream}}}:"
    return [f"{before}{hashlib.sha256(f'{stream} {one}'.encode()).hexdigest()[:32]}" for one in ids]


async def store_all(redis: Redis, stream: str, messages: Sequence[Message], *, seconds: float) -> list[Outcome]:
    """Adds every message to the stream and returns the outcomes in the same order.

    Messages with the same `order` go one after the other; after the first of them that is not stored the rest is not
    sent.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    lanes: dict[str | None, list[int]] = {}
    for index, message in enumerate(messages):
        lanes.setdefault(message.order, []).append(index)
    outcomes: dict[int, Outcome] = {}

    async def lane(order: str | None, indexes: list[int]) -> None:
        parts = list(_chunks(messages, indexes))
        following, blocked = _words(stream, messages, parts[0], order), ""
        for number, part in enumerate(parts):
            if blocked:
                skipped = Outcome("no", "skipped", f"not sent: {blocked} before it was not stored")
                outcomes.update(dict.fromkeys(part, skipped))
                continue
            chunk, words = [messages[index] for index in part], following
            if len(parts) == 1:
                outcomes.update(zip(part, await _store(redis, stream, chunk, words, deadline), strict=True))
                return
            async with asyncio.TaskGroup() as group:
                storing = group.create_task(_store(redis, stream, chunk, words, deadline))
                if number + 1 < len(parts):
                    await asyncio.sleep(0)  # The server works on this one while the next is packed.
                    following = _words(stream, messages, parts[number + 1], order)
            found = storing.result()
            outcomes.update(zip(part, found, strict=True))
            failed = next((i for i, o in zip(part, found, strict=True) if o.stored != "yes"), None)
            if order is not None and failed is not None:
                blocked = messages[failed].message_id

    if len(lanes) == 1:
        await lane(*lanes.popitem())
    async with asyncio.TaskGroup() as group:
        for order, indexes in lanes.items():
            group.create_task(lane(order, indexes))
    return [outcomes[index] for index in range(len(messages))]


def _words(stream: str, messages: Sequence[Message], part: Sequence[int], order: str | None) -> list[Word]:
    """One call of the script."""
    chunk = [messages[index] for index in part]
    keys = remembered(stream, [message.message_id for message in chunk])
    stops = "0" if order is None else "1"
    return ["EVAL", _SCRIPT, len(keys) + 1, stream, *keys, REMEMBERED_SECONDS * 1000, stops, packed(chunk)]


async def _store(
    redis: Redis, stream: str, messages: Sequence[Message], words: Sequence[Word], deadline: float
) -> list[Outcome]:
    """One script call, repeated until it is known what became of it, or until `deadline` of the event loop."""
    clock = asyncio.get_running_loop().time
    maybe, tries, pause = False, 0, 0.05
    outcome = Outcome("no", "unreachable", "not sent: the time of the call was over")
    while clock() < deadline:
        tries += 1
        try:
            told = await redis.write(*words)
        except Refused as error:
            passing = error.code in PASSING
            if not maybe:
                cause: Cause = "unreachable" if passing else "denied" if error.code == "NOPERM" else "refused"
                outcome = Outcome("no", cause, f"the server refuses it: {error}")
            if not passing:
                return [replace(outcome, settled=maybe)] * len(messages)
        except Unanswered as error:
            await redis.drop()
            maybe, outcome = True, Outcome("unknown", "unanswered", f"no answer: {error}")
        except (NotSent, BackendError) as error:
            await redis.drop()
            if not maybe:
                outcome = Outcome("no", "unreachable", error.reason if isinstance(error, BackendError) else str(error))
        else:
            lines = (told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)).split("\n")
            found = [_judged(stream, m, line, maybe) for m, line in zip(messages, lines, strict=True)]
            return await _compared(redis, stream, messages, found, deadline)
        if not maybe and tries >= TRIES:
            break
        await asyncio.sleep(max(0.0, min(pause, deadline - clock())))
        pause = min(pause * 2, 1.0)
    return [outcome] * len(messages)


async def _compared(
    redis: Redis, stream: str, messages: Sequence[Message], found: list[Outcome], deadline: float
) -> list[Outcome]:
    """The outcomes, with what is known of messages whose id stands in the stream with other bytes: the same JSON may
    be written in another order, and is the same message. Those that an order held back behind such a one are sent."""
    for index, outcome in enumerate(found):
        if outcome.cause != "id_reused":
            continue
        alike, why = await same(redis, stream, messages[index], str(outcome.entry_id))
        if alike is None:
            found[index] = replace(outcome, stored="unknown", cause="unanswered", reason=why)
        elif alike:
            found[index] = replace(outcome, stored="yes", cause="", reason="")
            held = index + 1
            if held < len(found) and found[held].cause == "skipped":
                words = _words(stream, messages, range(held, len(messages)), "")
                return found[:held] + await _store(redis, stream, messages[held:], words, deadline)
        else:
            found[index] = replace(outcome, entry_id=None)
    return found


async def same(redis: Redis, stream: str, message: Message, entry: str) -> tuple[bool | None, str]:
    """Whether an entry is this message; `None`, and why, where it cannot be read."""
    try:
        told = await redis.ask("XRANGE", stream, entry, entry)
    except (Refused, BackendError) as error:
        why = error.reason if isinstance(error, BackendError) else str(error)
        return None, f"entry {entry} already has this id, and cannot be read to compare it: {why}"
    if not told:
        return None, f"entry {entry} had this id and is gone from the stream, so it cannot be compared with this one"
    fields: dict[bytes, bytes] = told[0][1] or {}
    if fields.get(b"payload") == message.payload:
        return True, ""
    try:
        there, here = (
            json.dumps(json.loads(p), sort_keys=True) for p in (fields.get(b"payload", b""), message.payload)
        )
    except ValueError:
        return False, ""
    return there == here, ""


def _chunks(messages: Sequence[Message], indexes: Sequence[int]) -> Iterator[list[int]]:
    """The messages of each script call, in order."""
    part, size = list[int](), 0
    for index in indexes:
        if part and (len(part) == CHUNK or size + len(messages[index].payload) > CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(index)
        size += len(messages[index].payload)
    yield part


def _judged(stream: str, message: Message, line: str, maybe: bool) -> Outcome:
    """What the script says of one message. `maybe`: an attempt before this one got no answer."""
    word, _, text = line.partition(" ")
    if word == "stored":
        return Outcome("yes", entry_id=text, stream=stream, settled=maybe)
    if word == "known":
        return Outcome("yes", entry_id=text, stream=stream, duplicate=True, settled=maybe)
    if word == "gone":
        why = f"its id was stored as {text} before, which is not in the stream any more (trimmed or deleted)"
        return Outcome("unknown", "unanswered", why, stream=stream, duplicate=True, settled=maybe)
    if word == "differs":
        why = (
            f"message_id {message.message_id} is already used by a different message ({text}): this one was dropped. "
            "Give it an id of its own"
        )
        return Outcome("no", "id_reused", why, entry_id=text, stream=stream, duplicate=True, settled=maybe)
    if word == "skipped":
        return Outcome("no", "skipped", "not sent: one before it in its order was not stored", stream=stream)
    if word == "absent":
        return Outcome("no", "moved", f"stream {stream} does not exist any more", settled=maybe)
    code = text.split(" ", 1)[0].lstrip("-")
    denied = code == "NOPERM" or "permission" in text.lower()
    return Outcome("no", "denied" if denied else "refused", f"the server refuses it: {text}", settled=maybe)


async def tell_all(redis: Redis, channel: str, messages: Sequence[Message], *, sharded: bool) -> list[Outcome]:
    """Publishes on a channel: to whoever listens right now, and to nobody else. Never sent a second time."""
    command = "SPUBLISH" if sharded else "PUBLISH"
    outcomes: list[Outcome] = []
    for message in messages:
        if outcomes and not outcomes[-1].sent:
            outcomes.append(Outcome("no", "skipped", "not sent: the one before it failed"))
            continue
        try:
            receivers = int(await redis.write(command, channel, message.payload))
        except Refused as error:
            cause: Cause = "denied" if error.code == "NOPERM" else "refused"
            outcomes.append(Outcome("no", cause, f"the server refuses it: {error}"))
        except (NotSent, BackendError) as error:
            why = error.reason if isinstance(error, BackendError) else str(error)
            outcomes.append(Outcome("no", "unreachable", f"not sent: {why}"))
        except Unanswered as error:
            await redis.drop()
            outcomes.append(Outcome("no", "unanswered", f"whether the server got it is unknown: {error}"))
        else:
            outcomes.append(Outcome("no", sent=True, receivers=receivers))
    return outcomes
