"""One line at the bottom of a terminal that says what goes on and for how long; nothing where no terminal is.

The line is on standard error, so that standard output stays what a program reads. A thread draws it: also work that
holds the loop, or does not use one, is seen to go on.
"""

import asyncio
import os
import shutil
import sys
import threading
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TextIO, TypeVar

from mcp_backend import telling
from mcp_backend.terminal import plain

T = TypeVar("T")
AFTER = 0.3
"""Seconds of which nothing is shown: what is quick needs no words."""
EVERY = 0.1
FRAMES, PLAIN_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
ERASE = "\r\x1b[K"
BAR = 20


class Busy:
    """`with Busy("reading") as busy:` shows the line until the end; `busy.words` says what is done now."""

    def __init__(self, words: str, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._words, self._done, self._total = words, 0.0, 0.0
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._drawing = threading.Lock()
        self._shown = False
        self._thread = threading.Thread(target=self._draw, name="busy", daemon=True)

    def __enter__(self) -> "Busy":
        if self._live:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._live:
            self._thread.join()
            self._erase()

    def words(self, text: str) -> None:
        """Says what is done now."""
        self._words, self._total = text, 0.0

    async def progress(self, done: float, total: float | None, words: str) -> None:
        """Takes what `telling` tells: a bar where the end is known."""
        self._words, self._done, self._total = words, done, total or 0.0

    def print(self, text: str) -> None:
        """Prints a line of the result above the line."""
        with self._drawing:
            self._erase()
            print(text, flush=True)

    def _draw(self) -> None:
        frames = FRAMES if (self._stream.encoding or "").lower().startswith("utf") else PLAIN_FRAMES
        step = 0
        while not self._ended.wait(AFTER if step == 0 else EVERY):
            with self._drawing:
                self._stream.write(f"{ERASE}{frames[step % len(frames)]} {self._said()}")
                self._stream.flush()
                self._shown = True
            step += 1

    def _said(self) -> str:
        bar = ""
        if self._total:
            full = min(int(BAR * self._done / self._total), BAR)
            bar = f"[{'#' * full}{'.' * (BAR - full)}] "
        seconds = f"  {time.monotonic() - self._began:.0f} s"
        room = shutil.get_terminal_size().columns - 3 - len(bar) - len(seconds)
        said = plain(self._words).replace("\n", " ")
        return bar + (said if len(said) <= room else said[: max(room - 1, 0)] + "…") + seconds

    def _erase(self) -> None:
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()
            self._shown = False


def run(work: Coroutine[Any, Any, T], words: str) -> T:
    """Runs a command's work to its end, with the line showing what it tells."""
    with Busy(words) as busy:

        async def told() -> T:
            telling.here(telling.Told(busy.progress))
            return await work

        return asyncio.run(told())
