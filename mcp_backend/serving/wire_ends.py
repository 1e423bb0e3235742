"""The host's wire as the SDK's stdio transport reads and writes it, without a thread where none is needed.

`anyio.wrap_file` has a thread wait for each line, write each answer and flush it: five times in a call one thread waits
for another. Here one thread hands the lines on, and what the wire takes at once is written at once.
"""

import asyncio
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio.to_thread

if TYPE_CHECKING:
    from mcp_backend.serving.front import Wire

AT_ONCE = select.PIPE_BUF
"""Bytes that a pipe takes without a wait once `poll` calls it writable (pipe(7))."""


class Lines:
    """What the host says, line by line; once more from the start of its next connection."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self._heard = asyncio.Queue[str]()

    def __aiter__(self) -> "Lines":
        self._heard = asyncio.Queue[str]()
        threading.Thread(target=self._hand_on, args=(asyncio.get_running_loop(), self._heard), daemon=True).start()
        return self

    async def __anext__(self) -> str:
        if line := await self._heard.get():
            return line
        raise StopAsyncIteration

    def _hand_on(self, loop: asyncio.AbstractEventLoop, heard: "asyncio.Queue[str]") -> None:
        line = "-"
        with suppress(RuntimeError):  # The loop has ended before the host: nobody listens any more.
            while line:
                line = self._wire.readline()
                loop.call_soon_threadsafe(heard.put_nowait, line)


class Answers:
    """What the host is told. A host that does not read blocks its own next answer, never the loop."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self._room = select.poll()
        self._room.register(wire.fileno(), select.POLLOUT)

    async def write(self, data: str) -> None:
        """Sends one line."""
        if len(data) <= AT_ONCE and data.isascii() and self._room.poll(0):
            self._wire.write(data)
        else:
            await anyio.to_thread.run_sync(self._wire.write, data)

    async def flush(self) -> None:
        """Nothing waits: each line goes out at once."""
