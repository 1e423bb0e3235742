"""What a long call says meanwhile, from however deep inside: words reach the host that asked for progress.

Standard library only. Whoever works says `await tell("making a shadow of the database")`; the server says once, for
each call, where words go. Threads and tasks that a call starts tell for it, too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
"""`(done, total, words)`: tells the host how far a long call is."""
STEP = 0.01
"""What words without a number add: progress must grow with each notification (MCP, "Progress")."""
BEAT = 5.0
"""Seconds of silence after which a call says that it still works: hosts give up on one that is silent for long."""


class Told:
    """The progress of one call, which only grows, whoever of those that work for it tells something."""

    def __init__(self, send: Progress) -> None:
        self._send, self._done = send, -STEP
        self._words, self._began = "working", time.monotonic()
        self._said = self._began

    async def progress(self, done: float, total: float | None, words: str) -> None:
        """Tells how far the call is."""
        self._words, self._said = words, time.monotonic()
        await self._sent(done, total, words)

    async def words(self, words: str) -> None:
        """Tells what is done now."""
        await self.progress(self._done, None, words)

    async def beat(self) -> None:
        """Says the last words again after each time of silence, with the seconds of the whole call, without end."""
        while True:
            now = time.monotonic()
            if now - self._said >= BEAT:
                self._said = now
                await self._sent(self._done, None, f"{self._words} ({now - self._began:.0f} s)")
            await asyncio.sleep(self._said + BEAT - now)

    async def _sent(self, done: float, total: float | None, words: str) -> None:
        self._done = max(done, round(self._done + STEP, 6))
        await self._send(self._done, total, words)


_current: ContextVar[Told | None] = ContextVar("told", default=None)


@contextmanager
def beating(told: Told) -> Generator[None]:
    """While this lasts, a call that is silent says that it still works."""
    loop = asyncio.get_running_loop()
    beats: list[asyncio.Task[None]] = []

    def begin() -> None:
        beats.append(loop.create_task(told.beat()))
        beats[0].add_done_callback(lambda task: task.cancelled() or task.exception())  # a host that left hears nothing

    timer = loop.call_later(BEAT, begin)  # Most calls end before: they pay for no task.
    try:
        yield
    finally:
        timer.cancel()
        for task in beats:
            task.cancel()


def here(told: Told) -> None:
    """From here on, in this task and in what it starts, words go there."""
    _current.set(told)


async def tell(words: str) -> None:
    """Tells what is done now; nothing where nobody asked."""
    if (told := _current.get()) is not None:
        await told.words(words)
