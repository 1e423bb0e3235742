"""Memory of the C library, which a server that lives for days has to give back. See mallopt(3)."""

import ctypes
import os
from typing import Any

M_ARENA_MAX = -8


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
