"""What a long call says meanwhile, from however deep inside: words reach the host that asked for progress.

Standard library only. Whoever works says `await tell("making a shadow of the database")`; the server says once, for
each call, where words go. Threads and tasks that a call starts tell for it, too.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
"""`(done, total, words)`: tells the host how far a long call is."""
STEP = 0.01
"""What words without a number add: progress must grow with each notification (MCP, "Progress")."""


class Told:
    """The progress of one call, which only grows, whoever of those that work for it tells something."""

    def __init__(self, send: Progress) -> None:
        self._send, self._done = send, -STEP

    async def progress(self, done: float, total: float | None, words: str) -> None:
        """Tells how far the call is."""
        self._done = max(done, round(self._done + STEP, 6))
        await self._send(self._done, total, words)

    async def words(self, words: str) -> None:
        """Tells what is done now."""
        await self.progress(self._done, None, words)


_current: ContextVar[Told | None] = ContextVar("told", default=None)


def here(told: Told) -> None:
    """From here on, in this task and in what it starts, words go there."""
    _current.set(told)


async def tell(words: str) -> None:
    """Tells what is done now; nothing where nobody asked."""
    if (told := _current.get()) is not None:
        await told.words(words)
