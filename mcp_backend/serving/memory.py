"""Memory of the C library, which a server that lives for days has to give back. See mallopt(3)."""

import asyncio
import ctypes
import os
from typing import Any

M_ARENA_MAX = -8
SECONDS = 60.0
"""Between two times that free pages are given back."""


def one_arena() -> None:
    """Lets threads that begin from now on share the heap of the process, unless who started it chose otherwise.

    glibc gives each thread a heap of its own, up to eight for each processor. Calls wander from one thread to the next,
    and what one leaves free in its heap another cannot use: it grew by 2 MB in 1,000 calls while nothing more was in
    use. Python holds its lock wherever it asks for memory, so the threads do not wait for each other here. Nothing
    happens where the C library is another one.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


async def giving_back() -> None:
    """Gives free pages of the C library's heap back to the system, again and again, without end.

    What is in use stays where it is and what is free lies between: the heap of a busy day grew by 0.4 MB in 1,000
    calls while nothing more was in use. https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    malloc_trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while malloc_trim is not None:
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(malloc_trim, 0)
