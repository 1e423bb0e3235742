"""The end of waiting: whatever lies below a read and does not answer, whoever asked gets an answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from mcp_backend.errors import DeadlineExceeded

T = TypeVar("T")
SECONDS = 90.0
"""How long it may take to read a resource, to complete a name, or to fill a prompt."""


async def answered(work: Coroutine[Any, Any, T], seconds: float | None = SECONDS, until: float | None = None) -> T:
    """What work that only reads gives; it is cancelled when its seconds are over (at `until` of the loop's clock, if
    given), and with `None` it may take as long as it likes. Raises `DeadlineExceeded`."""
    if seconds is None:
        return await work
    limit = asyncio.timeout_at(until or asyncio.get_running_loop().time() + seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            f"no answer within {seconds:g} s, so it was given up; it had only read, nothing was changed. Repeat it, or "
            "ask for less"
        ) from None
