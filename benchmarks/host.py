"""A host in sixty lines: it spawns a server, shakes hands, asks, and looks how much memory the server's tree takes."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

Call: TypeAlias = tuple[str, dict[str, Any]]
"""A tool and its arguments, or a method of the protocol (with a slash) and its parameters."""
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
"""The handshake that all of the servers speak."""
SECONDS = 60.0


class Refused(Exception):
    """The server answered with an error, or was gone."""


class Host:
    """One spawned server and the lines that go to and fro."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._number = process, 0

    async def request(self, method: str, params: Mapping[str, Any]) -> tuple[Any, int]:
        """The result and the bytes of its line; raises `Refused` for an error, `TimeoutError` after a minute."""
        self._number += 1
        await self._send({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():  # type: ignore[union-attr]
                with suppress(ValueError):
                    said = json.loads(line)
                    if said.get("id") == self._number and "method" not in said:
                        if "error" in said:
                            raise Refused(str(said["error"])[:200])
                        return said["result"], len(line)
        raise Refused("the server has ended")

    async def ask(self, calls: Sequence[Call]) -> int:
        """Makes the calls one after the other; the bytes of all answers. Raises `Refused`."""
        return sum([await self._call(name, arguments) for name, arguments in calls])

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> int:
        if "/" in name:
            return (await self.request(name, arguments))[1]
        result, size = await self.request("tools/call", {"name": name, "arguments": arguments})
        if result.get("isError"):
            raise Refused(str(result.get("content"))[:200])
        return size

    async def begin(self) -> tuple[int, int]:
        """Shakes hands; the number of tools and the bytes of their list."""
        await self.request("initialize", HELLO)
        await self._send({"method": "notifications/initialized"})
        tools = (await self.request("tools/list", {}))[0]["tools"]
        return len(tools), len(json.dumps(tools, separators=(",", ":"), ensure_ascii=False).encode())

    def memory(self) -> float:
        """MB resident now, of the server and of all that it started."""
        return resident(self._process.pid)

    async def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")  # type: ignore[union-attr]
            await self._process.stdin.drain()  # type: ignore[union-attr]
        except ConnectionError as error:
            raise Refused("the server has ended") from error


@asynccontextmanager
async def spawned(command: Sequence[str], environment: Mapping[str, str], work: str) -> AsyncGenerator[Host]:
    """The server as a host would spawn it, ended afterwards with all that it started."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=work,
        start_new_session=True, limit=1 << 26, env=surroundings(environment),
    )  # fmt: skip
    try:
        yield Host(process)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        await ended(process)


def surroundings(more: Mapping[str, str]) -> dict[str, str]:
    """This environment and some more, without what would keep a Python from finding its compiled modules."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}, **more}


async def ended(process: asyncio.subprocess.Process) -> None:
    """Waits five seconds for the server to end by itself; then ends it and its group."""
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def resident(pid: int) -> float:
    """MB resident of a process and of its descendants (VmRSS; what two of them share counts twice)."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            children[int((folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])].append(
                int(folder.name)
            )
    total, left = 0, [pid]
    while left:
        one = left.pop()
        left += children[one]
        with suppress(OSError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text("ascii", "replace"))
            total += int(found[1]) if found else 0
    return total / 1024
