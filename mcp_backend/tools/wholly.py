"""Work that is not to be stopped half way."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio

P = ParamSpec("P")
T = TypeVar("T")


async def wholly(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `work` returns, done in a thread. Whoever cancels waits for its end: it happened, or it did not."""
    done: list[T] = []
    with anyio.CancelScope(shield=True):
        done.append(await asyncio.to_thread(work, *arguments, **named))
    return done[0]
