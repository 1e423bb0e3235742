"""Runs one shell line in the fence and keeps what it printed: the beginning and the end of each stream, the whole in a
log of bounded size."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from mcp_backend.settings import Workspace, private
from mcp_backend.workspace.fence.around import Inside
from mcp_backend.workspace.process import CHUNK_BYTES, LOG_BYTES, STOP_SECONDS

HEAD_BYTES, TAIL_BYTES = 6_000, 18_000
"""What is kept of each stream: errors stand at the end, what was meant at the beginning."""
LOGS = 20
TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Printed:
    """One stream as text, and how many bytes in its middle were left out."""

    text: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a shell line ended. `log` has all that was printed, when something was left out."""

    exit_code: int
    timed_out: bool
    seconds: float
    stdout: Printed
    stderr: Printed
    log: Path | None


async def run(
    command: Sequence[str],
    workspace: Workspace,
    inside: Inside,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    given: bytes = b"",
    told: Callable[[float, str], Awaitable[None]],
) -> Ended:
    """Runs a command to its end, or stops it when `seconds` are over or the caller is cancelled; nothing of it runs
    any more when this returns or raises. `told` hears about once a second how long it has run and the last line."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", *inside.launcher, *command,
        cwd=cwd, env={**environment, **inside.environment}, pass_fds=inside.fds, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    log = _Log(workspace)
    streams = (_Stream(log), _Stream(log))
    timed_out = False
    telling = asyncio.create_task(_tell(began, log, told))
    try:
        async with asyncio.timeout(seconds):
            await inside.started()
            async with asyncio.TaskGroup() as work:
                work.create_task(_feed(process.stdin, given))
                for stream, source in zip(streams, (process.stdout, process.stderr), strict=True):
                    work.create_task(stream.read(source))
            await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        telling.cancel()
        # Also when the host cancels: nothing may go on running that nobody waits for.
        with anyio.CancelScope(shield=True):
            await _stop(process, streams)
            with suppress(asyncio.CancelledError):
                await telling
        log.close()
    out, err = (stream.printed() for stream in streams)
    code = process.returncode if process.returncode is not None else -1
    kept = log.kept(wanted=bool(out.left_out or err.left_out))
    return Ended(code, timed_out, time.monotonic() - began, out, err, kept)


async def _feed(stream: asyncio.StreamWriter | None, given: bytes) -> None:
    assert stream is not None, "started with a pipe"
    try:
        stream.write(given)
        await stream.drain()
        stream.close()
        await stream.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return  # The command did not want to read it all.


async def _tell(began: float, log: "_Log", told: Callable[[float, str], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        await told(time.monotonic() - began, log.last_line())


async def _stop(process: asyncio.subprocess.Process, streams: "Sequence[_Stream]") -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(streams[0].read(process.stdout), streams[1].read(process.stderr))
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Stream:
    def __init__(self, log: "_Log") -> None:
        self._log = log
        self._head = b""
        self._tail = b""
        self._all = 0

    async def read(self, source: asyncio.StreamReader | None) -> None:
        while source is not None and (chunk := await source.read(CHUNK_BYTES)):
            self._log.write(chunk)
            self._all += len(chunk)
            room = HEAD_BYTES - len(self._head)
            self._head += chunk[:room]
            self._tail = (self._tail + chunk[max(room, 0) :])[-TAIL_BYTES:]

    def printed(self) -> Printed:
        left = self._all - len(self._head) - len(self._tail)
        middle = b"" if not left else f"\n[… {left} bytes left out …]\n".encode()
        return Printed((self._head + middle + self._tail).decode("utf-8", "replace"), left)


class _Log:
    """Both streams as they came, at most 16 MB."""

    def __init__(self, workspace: Workspace) -> None:
        folder = private(private(workspace.state) / "logs")
        old = sorted(folder.glob("command-*.log"), key=lambda path: path.stat().st_mtime)
        for path in old[: max(len(old) - LOGS + 1, 0)]:
            path.unlink(missing_ok=True)
        self._path = folder / f"command-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        self._written = 0
        self._last = b""

    def write(self, chunk: bytes) -> None:
        room = LOG_BYTES - self._written
        self._file.write(chunk[: max(room, 0)])
        self._written += min(len(chunk), max(room, 0))
        self._last = (self._last + chunk)[-400:]

    def last_line(self) -> str:
        lines = self._last.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else ""

    def close(self) -> None:
        self._file.close()

    def kept(self, *, wanted: bool) -> Path | None:
        if wanted:
            return self._path
        self._path.unlink(missing_ok=True)
        return None
