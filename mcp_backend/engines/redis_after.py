"""A refusal of Redis says nothing about an earlier call that stored the same message: its id is looked up."""

from collections.abc import Sequence
from contextlib import suppress

from mcp_backend.engines.outcomes import Message, Outcome
from mcp_backend.engines.redis import Redis, Refused
from mcp_backend.engines.redis_publish import remembered, same
from mcp_backend.errors import BackendError

LOOKED_AT = 50


async def held_against(
    redis: Redis, stream: str, messages: Sequence[Message], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """The outcomes, with what an earlier call stored; unchanged where the server cannot be asked."""
    told = list(outcomes)
    refused = [i for i, o in enumerate(told) if o.stored == "no" and o.cause in ("refused", "denied", "skipped")]
    with suppress(BackendError, Refused):
        for index in refused[:LOOKED_AT]:
            (key,) = remembered(stream, [messages[index].message_id])
            entry = (await redis.ask("GET", key) or b"").partition(b" ")[0].decode()
            if "-" in entry[1:] and (await same(redis, stream, messages[index], entry))[0]:
                why = "stored by an earlier call"
                told[index] = Outcome("yes", reason=why, entry_id=entry, stream=stream, duplicate=True, settled=True)
    return told
