"""Runs a program of the repository: in a session of its own, with limits of time and output, until all of it ended."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from mcp_backend.errors import FailedPrecondition

if TYPE_CHECKING:
    from mcp_backend.workspace.fence.around import Inside

SUPERVISOR = Path(__file__).with_name("supervise.py")
LOG_BYTES = 16_000_000
TAIL_BYTES = 16_000
CHUNK_BYTES = 65_536
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. `timed_out` when it was stopped for its time; `tail` are the last bytes it printed."""

    exit_code: int
    timed_out: bool
    seconds: float
    tail: str
    truncated: bool


def found(program: str, cwd: Path, environment: Mapping[str, str]) -> bool:
    """Whether the program can be started from there: by its path, or from the PATH of its environment."""
    if "/" in program:
        return os.access(cwd / program, os.X_OK)
    return shutil.which(program, path=environment.get("PATH")) is not None


async def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    log: Path,
    lines: Callable[[bytes], None] | None = None,
    fence: "Inside | None" = None,
) -> Finished:
    """Runs a command to its end, or stops it when `seconds` are over or the caller is cancelled; every process that
    descends from it has ended when this returns or raises. What it prints goes to `log` (at most 16 MB) and, line by
    line, to `lines`. With a `fence` the program runs in it.

    Raises `FailedPrecondition` when the program does not exist.
    """
    if not found(command[0], cwd, environment):
        raise FailedPrecondition(
            f"{command[0]} is not installed (looked in {cwd} and on the PATH of this server); install it, or set "
            "commands.test in mcp-backend.toml"
        )
    began = time.monotonic()
    launcher, descriptors = (fence.launcher, fence.fds) if fence else ((str(SUPERVISOR), str(os.getpid())), ())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", *launcher, *command,
        cwd=cwd, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, start_new_session=True, pass_fds=descriptors,
    )  # fmt: skip
    output = _Output(log, lines)
    timed_out = False
    try:
        async with asyncio.timeout(seconds):
            if fence:
                await fence.started()
            await output.read(process.stdout)
            await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        # Also when the host cancels: nothing may go on running that nobody waits for.
        with anyio.CancelScope(shield=True):
            await _stop(process, output)
        output.close()
    code = process.returncode if process.returncode is not None else -1
    return Finished(code, timed_out, time.monotonic() - began, output.tail(), output.truncated)


async def _stop(process: asyncio.subprocess.Process, output: "_Output") -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await output.read(process.stdout)
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Output:
    """Where the output goes: a log of bounded size, the last bytes, and whole lines to whoever reads them."""

    def __init__(self, log: Path, lines: Callable[[bytes], None] | None) -> None:
        self._file = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
        self._lines = lines
        self._rest = b""
        self._tail = b""
        self._written = 0
        self.truncated = False

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(CHUNK_BYTES)):
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        left = LOG_BYTES - self._written
        self._file.write(chunk[:left])
        self._written += min(len(chunk), max(left, 0))
        self.truncated = self.truncated or len(chunk) > left
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        if self._lines is None:
            return
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._lines(line)
        if len(self._rest) > LOG_BYTES:
            self._rest = b""

    def tail(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def close(self) -> None:
        if self.truncated:
            self._file.write(b"\n[the rest was not kept]\n")
        self._file.close()
