"""`python -m benchmarks.http_abuse [SESSIONS]`: what a server over HTTP costs and does while it is abused.

A server with authentication, as `serve --transport http` starts it. After each abuse, and while it lasts, a client with
a good token makes ordinary calls (`check_escalation`), one after the other: their times are beside those of a server at
rest. Memory is that of the server's process (VmRSS).
"""

import asyncio
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.replicas_load import Broken, Http
from mcp_backend.serving.http_limits import HEAD_SECONDS
from tests.daemon import free_port

SESSIONS = 10_000
SLOW = 2_000
ACCEPT = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
HELLO = json.dumps({
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "abuse", "version": "1"}},
}).encode()  # fmt: skip


class Server:
    """A server process, its port and a good token."""

    def __init__(self, process: Process, port: int, token: str) -> None:
        self.process, self.port, self.token = process, port, token

    def memory(self) -> int:
        """kB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(status.split("VmRSS:")[1].split()[0])

    async def post(self, body: bytes, *, token: str | None, headers: str = "", close: bool = True) -> int:
        """Status of one request on a connection of its own; 0 when there was no answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        bearer = f"Authorization: Bearer {token}\r\n" if token is not None else ""
        host = "" if "Host:" in headers else f"Host: 127.0.0.1:{self.port}\r\n"
        ending = "Connection: close\r\n" if close else ""
        head = f"POST /mcp HTTP/1.1\r\n{host}{bearer}{headers}{ACCEPT}{ending}Content-Length: {len(body)}\r\n\r\n"
        try:
            with suppress(OSError):
                writer.write(head.encode() + body[:65_536])  # Of more than that the length is said, which is enough.
                await writer.drain()
            line = await reader.readline()
            return int(line.split()[1]) if line else 0
        except OSError:
            return 0
        finally:
            writer.close()


@asynccontextmanager
async def served(sessions: int) -> AsyncGenerator[Server]:
    """A server of an empty workspace."""
    with tempfile.TemporaryDirectory() as name:
        port, token = free_port(), secrets.token_urlsafe(32)
        root = Path(name, "work")
        root.mkdir()
        (root / "mcp-backend.toml").write_text(
            f'[http]\nurl = "http://127.0.0.1:{port}/mcp"\ntokens.ci = "env:ABUSE"\nmax_sessions = {sessions}\n'
            "calls_per_minute = 1000000\n"
        )
        command = (sys.executable, "-m", "mcp_backend", "serve", "--transport", "http", "--port", str(port),
                   "--workspace", str(root))  # fmt: skip
        environment = {**os.environ, "ABUSE": token, "MCP_BACKEND_STATE": f"{name}/state"}
        process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, env=environment)
        assert process.stderr is not None
        assert b"serves" in await process.stderr.readline()
        drained = asyncio.create_task(process.stderr.read())
        try:
            yield Server(process, port, token)
        finally:
            process.kill()
            await process.wait()
            await drained


async def calls(server: Server, until: Callable[[], bool]) -> str:
    """Ordinary calls until it is over, 30 at least: median and worst in ms, and how many failed."""
    http, took, failed = Http(server.port, server.token), list[float](), 0
    while len(took) + failed < 30 or not until():
        began = time.monotonic()
        try:
            answer = await http.call("check_escalation", {})
            assert "open" in answer["result"]["structuredContent"], answer
            took.append((time.monotonic() - began) * 1000)
        except Broken:
            failed += 1
    http.close()
    return f"{statistics.median(took):.0f} ms, worst {max(took):.0f}" + (f", {failed} FAILED" if failed else "")


async def beside(server: Server, abuse: Awaitable[str]) -> str:
    """What the abuse came to, and how ordinary calls did meanwhile."""
    task = asyncio.ensure_future(abuse)
    meanwhile = await calls(server, task.done)
    return f"{await task}; ordinary call {meanwhile}"


async def many(server: Server, count: int, one: Callable[[], Awaitable[int]], at_once: int = 50) -> Counter[int]:
    """So many requests, some at once; how often each status came."""
    statuses, left = Counter[int](), iter(range(count))

    async def some() -> None:
        for _ in left:
            statuses[await one()] += 1

    await asyncio.gather(*(some() for _ in range(at_once)))
    return statuses


async def flooded(server: Server, count: int, **request: str | None) -> str:
    """`count` requests that are to be refused."""
    began = time.monotonic()
    token = request.get("token", server.token)
    body = (request.get("body") or HELLO.decode()).encode()
    statuses = await many(server, count, lambda: server.post(body, token=token, headers=request.get("headers") or ""))
    return f"{dict(statuses)} at {count / (time.monotonic() - began):.0f}/s"


async def sessions(server: Server, count: int) -> str:
    """Opens sessions of 2025-11-25 until there are `count`, and one more."""
    before = server.memory()
    statuses = await many(server, count, lambda: server.post(HELLO, token=server.token), 20)
    each = (server.memory() - before) / count
    more = await server.post(HELLO, token=server.token)
    return f"{dict(statuses)}, {each:.1f} kB each ({server.memory() / 1024:.0f} MB in all); one more: {more}"


async def slow(server: Server, count: int, head: bytes) -> str:
    """Connections that send part of a head and then nothing."""
    before, began = server.memory(), time.monotonic()
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
    for _, writer in opened:
        writer.write(head)
    each = (server.memory() - before) / count
    for reader, writer in opened:
        with suppress(OSError):
            await reader.read()
        writer.close()
    return f"{count} connections, {each:.1f} kB each, all ended after {time.monotonic() - began:.1f} s"


async def measure(count: int = SESSIONS) -> None:
    """Prints one line for each abuse."""

    def say(line: str) -> None:
        print(line, flush=True)

    async with served(count) as server:
        say(f"at rest: {await calls(server, lambda: True)}; {server.memory() / 1024:.0f} MB")
        for name, many_times, request in (
            ("no token", 2000, {"token": None}),
            ("a made-up token", 2000, {"token": "x" * 40}),
            ("a foreign Host", 500, {"headers": "Host: evil.example\r\n"}),
            ("a foreign Origin", 500, {"headers": "Origin: https://evil.example\r\n"}),
            ("a body of 5 MB", 100, {"body": "x" * 5_000_000}),
            ("a body that is no JSON", 500, {"body": "{" * 2000}),
        ):
            say(f"{name}: {await beside(server, flooded(server, many_times, **request))}")
        half = b"POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: "
        say(f"slow-loris ({HEAD_SECONDS:.0f} s): {await beside(server, slow(server, SLOW, half))}")
        say(f"sessions: {await beside(server, sessions(server, count))}")
        say(f"with them open: {await calls(server, lambda: True)}; {server.memory() / 1024:.0f} MB")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS))
