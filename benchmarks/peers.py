"""What a host sees of this server and of others, side by side in one run: start, lists, calls, a schema, faults.

`python -m benchmarks.peers FOLDER` with the peers installed in FOLDER: `py/NAME` is a virtual environment each,
`npm/NAME` a prefix of npm each (`benchmarks/peer_list.py` has the names); who is not there is left out. Everybody is
asked over stdio in the handshake of 2025-06-18, by the same 60 lines, with the same database. What attacks do to
peers is not measured here: that is theirs to publish.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.peer_list import PEERS, Call, Peer
from benchmarks.schema import fill
from mcp_backend.engines import embedded
from mcp_backend.settings import workspace

STARTS, CALLS, SIZES = 5, 100, (20, 5000)
SECONDS = 60.0


class Refused(Exception):
    """The peer answered with an error, or was gone."""


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

    async def call(self, call: Call) -> int:
        """The bytes of the answer of a tool or a method; raises `Refused`."""
        name, arguments = call
        if "/" in name:
            return (await self.request(name, arguments))[1]
        result, size = await self.request("tools/call", {"name": name, "arguments": arguments})
        if result.get("isError"):
            raise Refused(str(result.get("content"))[:200])
        return size

    async def begin(self) -> tuple[int, int]:
        """Shakes hands; the number of tools and the bytes of their list."""
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        await self.request("initialize", about)
        await self._send({"method": "notifications/initialized"})
        tools = (await self.request("tools/list", {}))[0]["tools"]
        return len(tools), len(json.dumps(tools, separators=(",", ":"), ensure_ascii=False).encode())

    async def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")  # type: ignore[union-attr]
            await self._process.stdin.drain()  # type: ignore[union-attr]
        except ConnectionError as error:
            raise Refused("the server has ended") from error


@asynccontextmanager
async def spawned(peer: Peer, names: Mapping[str, str]) -> AsyncGenerator[Host]:
    """The server as a host would spawn it, ended afterwards with all its children."""
    process = await asyncio.create_subprocess_exec(
        *(filled(part, names) for part in peer.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, cwd=names["work"], start_new_session=True, limit=1 << 26,
        env={**os.environ, **{key: filled(value, names) for key, value in peer.environment.items()}},
    )  # fmt: skip
    try:
        yield Host(process)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with every `{name}` in its strings replaced."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: filled(one, names) for key, one in value.items()}  # type: ignore[misc]
    return tuple(filled(one, names) for one in value) if isinstance(value, tuple) else value  # type: ignore[misc]


async def start(peer: Peer, names: Mapping[str, str]) -> list[str]:
    """From spawn to the list of tools, the list's size, and the cheapest read."""
    starts: list[float] = []
    tools, size = 0, 0
    for _ in range(STARTS + 1):
        began = time.perf_counter()
        async with spawned(peer, names) as host:
            tools, size = await host.begin()
            starts.append(time.perf_counter() - began)
    times: list[float] = []
    first = "-"
    if peer.one is not None:
        began = time.perf_counter()
        async with spawned(peer, names) as host:
            await host.begin()
            with suppress(Refused):  # a tool that this installation of it does not have
                await host.call(filled(peer.one, names))
                first = f"{time.perf_counter() - began:.2f}"
                for _ in range(CALLS):
                    began = time.perf_counter()
                    await host.call(filled(peer.one, names))
                    times.append((time.perf_counter() - began) * 1000)
    p95 = sorted(times)[int(len(times) * 0.95)] if times else 0
    calls = f"{statistics.median(times):.1f} / {p95:.1f}" if times else "-"
    return [f"{statistics.median(starts[1:]):.2f}", f"{tools}", f"{size:,}", first, calls]


async def schema(peer: Peer, names: Mapping[str, str]) -> list[str]:
    """Milliseconds and bytes of the whole schema and of one table, the second time that each is asked."""
    cells: list[str] = []
    async with spawned(peer, names) as host:
        await host.begin()
        for calls in (peer.whole, (peer.table,) if peer.table else ()):
            if not calls:
                cells.append("-")
                continue
            took, size = 0.0, 0
            for _ in range(2):
                began = time.perf_counter()
                size = sum([await host.call(filled(call, names)) for call in calls])
                took = (time.perf_counter() - began) * 1000
            cells.append(f"{took:.0f} ms, {size:,} B")
    return cells


async def recovery(peer: Peer, names: Mapping[str, str]) -> str:
    """How many calls fail after every connection was killed, until one is right again."""
    assert peer.one is not None
    async with spawned(peer, names) as host:
        await host.begin()
        await host.call(peer.one)
        with psycopg.connect(names["url"], autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
        for failed in range(10):
            with suppress(Refused, TimeoutError):
                await host.call(peer.one)
                return f"{failed} failed"
        return "not in 10 calls"


async def down(peer: Peer, names: Mapping[str, str]) -> str:
    """Whether a server starts and lists while the database is down, and answers when it comes up."""
    assert peer.one is not None
    from tests.relay_fixtures import Relay

    relay = Relay(names["url"])
    await relay.open()
    await relay.shut()
    there = {**names, "url": re.sub(r":\d+/", f":{relay.port}/", names["url"])}
    try:
        async with spawned(peer, there) as host:
            try:
                await host.begin()
            except (Refused, TimeoutError):
                return "does not start"
            with suppress(Refused, TimeoutError):
                await host.call(peer.one)
                return "answers without a database"
            await relay.open()
            for failed in range(5):
                with suppress(Refused, TimeoutError):
                    await host.call(peer.one)
                    return f"starts; {failed} failed when it is up"
            return "starts; does not recover"
    finally:
        await relay.shut()


async def measure(home: Path) -> list[str]:
    """The two tables, as lines of Markdown."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        work = Path(name, "work")
        work.mkdir()
        (work / "README.md").write_text("# Orders\n")
        subprocess.run(["git", "init", "--quiet"], cwd=work, check=True)
        policy = '[engines.main]\nkind = "postgresql"\nurl = "env:BENCH_URL"\nenvironment = "development"\n'
        (work / "mcp-backend.toml").write_text(policy)
        place = workspace(work)
        database, redis = await embedded.lease("postgresql", place), await embedded.lease("redis", place)
        names = {"home": str(home), "work": str(work), "python": sys.executable, "url": database.url,
                 "port": redis.url.rpartition(":")[2].partition("/")[0]}  # fmt: skip
        try:
            return await _tables([peer for peer in PEERS if _installed(peer, names)], names)
        finally:
            for lease, kind in ((database, "postgresql"), (redis, "redis")):
                lease.close()
                await embedded.stop(kind, place, force=True)


def _installed(peer: Peer, names: Mapping[str, str]) -> bool:
    return all(Path(part).exists() for part in filled(peer.command, names) if part.startswith("/"))


async def _tables(peers: list[Peer], names: Mapping[str, str]) -> list[str]:
    lines = [
        "| server | start s | tools | list bytes | first answer s | call p50 / p95 ms |",
        "|---|---|---|---|---|---|",
    ]
    for peer in peers:
        lines.append(f"| {' | '.join([peer.name, *await start(peer, names)])} |")
        print(lines[-1], flush=True)
    readers = [peer for peer in peers if peer.whole]
    rows = {peer.name: [await recovery(peer, names), await down(peer, names)] for peer in readers}
    made = 0
    for size in SIZES:
        fill(names["url"], made, size)
        made = size
        for peer in readers:
            try:
                rows[peer.name] += await schema(peer, names)
            except (Refused, TimeoutError) as error:
                rows[peer.name] += [f"fails: {str(error)[:60] or 'a minute'}", "-"]
    head = [f"{what} of {size:,}" for size in SIZES for what in ("all", "one")]
    lines += [
        "",
        f"| server | connections killed | down at start | {' | '.join(head)} |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(f"| {' | '.join([name, *cells])} |" for name, cells in rows.items())]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("python -m benchmarks.peers FOLDER: where the peers are installed")
    print("\n".join(asyncio.run(measure(Path(sys.argv[1]).resolve()))))
