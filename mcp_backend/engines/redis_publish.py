"""Publishing to Redis so that what is said about each message is true: stored, not stored, or unknown.

A stream stores a message and remembers its id in one script, which the server carries out whole or not at all. An
attempt without an answer is settled by running it again: the id is known then, or the message is stored now.
https://redis.io/docs/latest/commands/eval/ and https://redis.io/docs/latest/commands/xadd/
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
_SCRIPT = """
local ttl, stops, blob, at, stopped, out = ARGV[1], ARGV[2] == '1', ARGV[3], 1, false, {}
for i = 2, #KEYS do
  local sha, count, fields
  sha, count, at = struct.unpack('>I4c0I4', blob, at)
  fields = {}
  for n = 1, count do
    fields[n], at = struct.unpack('>I4c0', blob, at)
  end
  local said
  if stopped then
    said = 'skipped'
  else
    local id, was
    local known = redis.pcall('GET', KEYS[i])
    if type(known) == 'table' and known.err then
      said = 'error ' .. known.err
    elseif known then
      id, was = string.match(known, '^(%S+) (%S+)$')
    end
    if id then
      if was ~= sha then
        said = 'reused ' .. id
      elseif #redis.call('XRANGE', KEYS[1], id, id) == 0 then
        said = 'gone ' .. id
      else
        said = 'known ' .. id
      end
    elseif not said then
      local held = redis.pcall('SET', KEYS[i], '-', 'PX', ttl)
      if held.err then
        said = 'error ' .. held.err
      else
        local added = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', '*', unpack(fields))
        if type(added) == 'string' then
          redis.call('SET', KEYS[i], added .. ' ' .. sha, 'PX', ttl)
          said = 'stored ' .. added
        else
          redis.call('SET', KEYS[i], '-', 'PX', 1)
          said = added and 'error ' .. added.err or 'absent'
        end
      end
    end
    stopped = stops and not string.find(said, '^stored') and not string.find(said, '^known')
      and not string.find(said, '^gone')
  end
  out[#out + 1] = string.gsub(said, '[\\r\\n]', ' ')
end
return table.concat(out, '\\n')
"""
_SORTED = json.JSONEncoder(sort_keys=True).encode
_WORDS = {name: len(name).to_bytes(4, "big") + name for name in (b"payload", b"message_id")}


def packed(message: Message) -> bytes:
    """One message as the script reads it: what makes it the same one, and the fields of its entry (the payload, the id,
    and every header under its name), each word after its length. One argument for many words costs the client a
    fraction of one for each."""
    words = [digest(message).encode(), (4 + 2 * len(message.headers)).to_bytes(4, "big")]
    words[0] = len(words[0]).to_bytes(4, "big") + words[0]
    identifier = message.message_id.encode()
    words += (
        _WORDS[b"payload"], len(message.payload).to_bytes(4, "big"), message.payload,
        _WORDS[b"message_id"], len(identifier).to_bytes(4, "big"), identifier,
    )  # fmt: skip
    for name, value in message.headers.items():
        for word in (f"header:{name}".encode(), value.encode()):
            words += (len(word).to_bytes(4, "big"), word)
    return b"".join(words)


def digest(message: Message) -> str:
    """What makes a message the same one: its payload (as JSON, in whatever order its fields are written)."""
    try:
        text = _SORTED(json.loads(message.payload.decode())).encode()
    except ValueError:
        text = message.payload
    return hashlib.sha256(text).hexdigest()


def remembered(stream: str, message_id: str) -> str:
    """The key that remembers an id, in the hash slot of its stream."""
    opened = stream.partition("{")[2]
    tag = opened.partition("}")[0] if "}" in opened else ""
    return f"mcp-backend:ids:{{{tag or stream}}}:{hashlib.sha256(f'{stream} {message_id}'.encode()).hexdigest()[:32]}"


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
        blocked = ""
        for part in _chunks(messages, indexes):
            if blocked:
                skipped = Outcome("no", "skipped", f"not sent: {blocked} before it was not stored")
                outcomes.update(dict.fromkeys(part, skipped))
                continue
            chunk = [messages[index] for index in part]
            found = await _store(redis, stream, chunk, deadline, stops=order is not None)
            outcomes.update(zip(part, found, strict=True))
            failed = next((i for i, o in zip(part, found, strict=True) if o.stored != "yes"), None)
            if order is not None and failed is not None:
                blocked = messages[failed].message_id

    async with asyncio.TaskGroup() as group:
        for order, indexes in lanes.items():
            group.create_task(lane(order, indexes))
    return [outcomes[index] for index in range(len(messages))]


async def _store(
    redis: Redis, stream: str, messages: Sequence[Message], deadline: float, *, stops: bool
) -> list[Outcome]:
    """One script call, repeated until it is known what became of it, or until `deadline` of the event loop."""
    keys = [stream, *(remembered(stream, message.message_id) for message in messages)]
    words: list[Word] = [str(REMEMBERED_SECONDS * 1000), "1" if stops else "0", b"".join(map(packed, messages))]
    clock = asyncio.get_running_loop().time
    maybe, tries, pause = False, 0, 0.05
    outcome = Outcome("no", "unreachable", "not sent: the time of the call was over")
    while clock() < deadline:
        tries += 1
        try:
            told = await redis.write("EVAL", _SCRIPT, len(keys), *keys, *words)
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
            return [_judged(stream, m, line, maybe) for m, line in zip(messages, lines, strict=True)]
        if not maybe and tries >= TRIES:
            break
        await asyncio.sleep(max(0.0, min(pause, deadline - clock())))
        pause = min(pause * 2, 1.0)
    return [outcome] * len(messages)


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
        why = f"it was stored as {text} before, and is not in the stream any more (trimmed or deleted)"
        return Outcome("unknown", "unanswered", why, stream=stream, duplicate=True, settled=maybe)
    if word == "reused":
        why = (
            f"message_id {message.message_id} is already used by a different message ({text}): this one was dropped. "
            "Give it an id of its own"
        )
        return Outcome("no", "id_reused", why, stream=stream, duplicate=True, settled=maybe)
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
