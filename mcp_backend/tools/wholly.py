"""Work that is not to be stopped half way."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio

from mcp_backend.threads import patiently

P = ParamSpec("P")
T = TypeVar("T")


async def wholly(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `work` returns, done in a thread. Whoever cancels waits for its end: it happened, or it did not."""
    done: list[T] = []
    with anyio.CancelScope(shield=True):
        done.append(await patiently(work, *arguments, **named))
    return done[0]
