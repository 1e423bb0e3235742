"""How many calls a second come through over streamable HTTP: ours, a bare server of the SDK, and peers that speak it.

`python -m benchmarks http`. Each of 1, 8 and 32 clients keeps a connection and a session (2025-06-18) and repeats
`select 1`; the servers take turns on the same database, and the clients share the machine with them.
"""

import asyncio
import json
import statistics
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from benchmarks.host import HELLO, Call, Refused, ended, resident, surroundings
from benchmarks.peer_install import install
from benchmarks.peer_list import PEERS, Peer
from benchmarks.peers import filled
from benchmarks.replicas_load import answer
from benchmarks.results import Report
from benchmarks.stage import stage
from tests.daemon import free_port

CLIENTS, WARM, SECONDS = (1, 8, 32), 1.0, 4.0
START, PATIENCE = 40.0, 60.0


class Session:
    """One client: its connection and its session."""

    def __init__(self, port: int, reader: StreamReader, writer: StreamWriter) -> None:
        self._port, self._reader, self._writer = port, reader, writer
        self._session = ""

    async def begin(self) -> None:
        """Shakes hands. Raises `Refused`."""
        await self._post({"id": 0, "method": "initialize", "params": HELLO})
        await self._post({"method": "notifications/initialized"})

    async def call(self, call: Call) -> None:
        """Raises `Refused` when it did not answer the question."""
        name, arguments = call
        said = await self._post({"id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
        if "error" in said or said["result"].get("isError"):
            raise Refused(str(said)[:200])

    def close(self) -> None:
        """Lets go of the connection."""
        self._writer.close()

    async def _post(self, message: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        session = f"Mcp-Session-Id: {self._session}\r\n" if self._session else ""
        self._writer.write(
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {HELLO['protocolVersion']}\r\n"
            f"{session}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        try:
            async with asyncio.timeout(PATIENCE):
                status, headers, said = await answer(self._reader)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise Refused(f"no answer: {type(error).__name__}") from error
        if status >= 300:
            raise Refused(f"HTTP {status}: {said[:200]!r}")
        self._session = headers.get("mcp-session-id", self._session)
        return json.loads(said) if said.strip() else {}


async def measure() -> Report:
    """Calls a second, p50 and p95 in milliseconds, and MB resident after all of it, of each server."""
    there, missing = await install()
    servers: dict[str, Any] = {}
    async with stage() as names:
        for peer in PEERS:
            if peer.http and peer.name in there:
                try:
                    async with _serving(peer, names) as (port, pid):
                        call: Call = filled(peer.asks["query"], names)[0]
                        loads = {str(clients): await _load(port, call, clients) for clients in CLIENTS}
                        servers[peer.name] = {"loads": loads, "memory_mb": round(resident(pid))}
                except (Refused, TimeoutError, OSError) as error:
                    print(f"{peer.name}: {error}", file=sys.stderr)
                    missing[peer.name] = "did not serve HTTP here"
    left_out = {name: why for name, why in missing.items() if any(p.name == name and p.http for p in PEERS)}
    lines = ["`select 1` over streamable HTTP: calls a second (p50, p95 ms)"]
    for name, found in servers.items():
        cells = "".join(
            f"  {clients:>2} clients {one['per_second']:6.0f} ({one['p50']:.1f}, {one['p95']:.1f})"
            for clients, one in found["loads"].items()
        )
        lines.append(f"  {name:32}{cells}  {found['memory_mb']} MB")
    lines += [f"  not measured: {name}: {why}" for name, why in left_out.items()]
    return Report(lines, {"servers": servers, "left_out": left_out})


@asynccontextmanager
async def _serving(peer: Peer, names: Mapping[str, str]) -> AsyncGenerator[tuple[int, int]]:
    """The port once it answers, and the process. Raises `Refused` when it ends or does not begin in time."""
    port = free_port()
    known = {**names, "port": str(port)}
    process = await asyncio.create_subprocess_exec(
        *filled(peer.http, known), cwd=names["work"], stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env=surroundings(filled(peer.http_environment, known)),
    )  # fmt: skip
    try:
        until = time.monotonic() + START
        while True:
            if process.returncode is not None or time.monotonic() > until:
                raise Refused("it did not begin to listen")
            with suppress(OSError):
                (await _session(port)).close()
                break
            await asyncio.sleep(0.05)
        yield port, process.pid
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await ended(process)


async def _session(port: int) -> Session:
    session = Session(port, *await asyncio.open_connection("127.0.0.1", port))
    await session.begin()
    return session


async def _load(port: int, call: Call, clients: int) -> dict[str, float]:
    sessions = [await _session(port) for _ in range(clients)]
    await asyncio.gather(*(session.call(call) for session in sessions))
    begins = time.perf_counter() + WARM
    took: list[float] = []

    async def work(session: Session) -> None:
        while (began := time.perf_counter()) < begins + SECONDS:
            await session.call(call)
            if (ended := time.perf_counter()) >= begins:
                took.append((ended - began) * 1000)

    await asyncio.gather(*(work(session) for session in sessions))
    seconds = time.perf_counter() - begins
    for session in sessions:
        session.close()
    return {"per_second": round(len(took) / seconds, 1), "p50": round(statistics.median(took), 2),
            "p95": round(sorted(took)[int(len(took) * 0.95)], 2)}  # fmt: skip
