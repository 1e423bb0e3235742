"""Two kinds of threads, so that work which waits for something else never keeps work that goes on from its turn.

`asyncio.to_thread` has one pool for both, of six threads on two processors: six requests to a service that does not
answer, and no file is read until they end. Standard library only.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

P = ParamSpec("P")
T = TypeVar("T")
AT_WORK = 16
"""Threads of one loop that read files, compute, or run git: `asyncio.to_thread`."""
WAITING = 32
"""Threads of one loop that wait for a service, another machine or a program: `patiently`."""

_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


def prepare() -> None:
    """Gives the running loop its threads; each begins when it is needed first."""
    loop = asyncio.get_running_loop()
    if loop not in _waiting:
        _waiting[loop] = ThreadPoolExecutor(WAITING, thread_name_prefix="waiting")
        loop.set_default_executor(ThreadPoolExecutor(AT_WORK, thread_name_prefix="work"))


async def patiently(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`, for work that waits for something outside of this process."""
    context = contextvars.copy_context()
    call = partial(context.run, work, *arguments, **named)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_waiting.get(loop), call)
