"""`python -m benchmarks.frozen [CALLS] [FAULT ...]`: what calls get while something below the server has stopped.

A server over HTTP gets 60 calls at once while a database, a broker or a cache is stopped (SIGSTOP: it takes connections
and says nothing), while a service answers nobody, and while another process holds the store. Of each tool the shortest
and the longest time is printed, and what came; afterwards every tool is called once more. No answer within 130 s, or
an answer afterwards that is not good, is a fault.
"""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from benchmarks.local import engine
from benchmarks.surface_fuzz import plant
from benchmarks.surface_wires import ABOUT, VERSION, HttpWire
from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace, workspace

Call: TypeAlias = tuple[str, Mapping[str, Any]]
AT_ONCE, LONGEST = 60, 130.0
FILES: Sequence[Call] = (
    ("read_file", {"path": "orders/app.py"}), ("search_code", {"query": "total"}), ("git_status", {}),
)  # fmt: skip
DATABASE: Sequence[Call] = (
    ("db_query", {"engine": "main", "sql": "select 1", "timeout_seconds": 5}), ("db_schema", {"engine": "main"}),
    ("db_schema", {"engine": "main", "table": "orders"}),
)  # fmt: skip
REHEARSAL: Sequence[Call] = (("rehearse_migration", {"engine": "main", "sql": "alter table orders add note text"}),)
BROKER: Sequence[Call] = (("message_topology", {"engine": "broker"}),)
CACHE: Sequence[Call] = (("message_topology", {"engine": "cache"}),)
SERVICE: Sequence[Call] = (("call_api", {"target": "shop", "method": "GET", "path": "/orders", "timeout_seconds": 15}),)
FAULTS: Mapping[str, Sequence[Call]] = {
    "postgresql": (*DATABASE, *REHEARSAL, *FILES), "nats": (*BROKER, *FILES), "redis": (*CACHE, *FILES),
    "service": (*SERVICE, *SERVICE, *FILES), "store": FILES,
}  # fmt: skip


async def _ask(wire: HttpWire, tool: str, arguments: Mapping[str, Any]) -> tuple[str, float, str]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(LONGEST):
            answer = await wire.ask("tools/call", {"name": tool, "arguments": arguments, **ABOUT}, cancel=False)
    except TimeoutError as error:
        return tool, time.monotonic() - began, f"no answer {error}"
    body: dict[str, Any] = (answer or {}).get("result", {}).get("structuredContent") or {"error": answer}
    return tool, time.monotonic() - began, str(body.get("error", {}).get("code", "good"))


async def together(wire: HttpWire, calls: Sequence[Call], count: int) -> list[str]:
    """Makes so many calls at once, and prints what they got; what was not good."""
    answers = await asyncio.gather(*(_ask(wire, *calls[number % len(calls)]) for number in range(count)))
    by_tool = defaultdict[str, list[tuple[float, str]]](list)
    for tool, seconds, code in answers:
        by_tool[tool].append((seconds, code))
    for tool, found in by_tool.items():
        codes = sorted({code for _, code in found})
        print(f"  {tool}: {min(found)[0]:.1f} to {max(found)[0]:.1f} s, {', '.join(codes)}", flush=True)
    return [f"{tool}: {code}" for tool, _, code in answers if code != "good"]


def _below(pid: int) -> list[int]:
    tasks = os.listdir(f"/proc/{pid}/task")
    children = [Path(f"/proc/{pid}/task/{task}/children").read_text("ascii").split() for task in tasks]
    return [pid, *(each for some in children for child in some for each in _below(int(child)))]


@contextmanager
def stopped(fault: str, pids: Mapping[str, int], root: Path) -> Generator[None]:
    """Nothing answers inside the block."""
    if fault == "store":
        with closing(sqlite3.connect(workspace(root).state / "store.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            yield
        return
    group = _below(pids[fault]) if fault in pids else []
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in group:
            os.kill(pid, signal.SIGCONT)


async def measure(count: int, wanted: Sequence[str]) -> list[str]:
    """All faults one after the other; what went wrong."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(count + 20))
    wrong: list[str] = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["MCP_BACKEND_STATE"] = f"{folder}/state"
        root, servers = Path(folder, "work"), Path(folder, "servers")
        servers.mkdir()
        place = workspace(servers)
        urls = {kind: await stack.enter_async_context(engine(kind, place)) for kind in ("postgresql", "nats", "redis")}
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=count))
        plant(root, urls["postgresql"], urls["nats"])
        with (root / "mcp-backend.toml").open("r+") as policy:
            text = policy.read()
            policy.seek(0)
            policy.write(
                f'[engines.cache]\nurl = "{urls["redis"]}"\nkind = "redis"\nenvironment = "development"\n'
                f'[services.shop]\nurl = "http://127.0.0.1:{silent.getsockname()[1]}"\n{text}'
            )
        with psycopg.connect(urls["postgresql"], autocommit=True) as connection:
            connection.execute("create table orders (id bigint primary key)")
        wire = await HttpWire.open(root, VERSION, os.environ)
        try:
            good = (*FILES, *DATABASE, *BROKER, *CACHE, *REHEARSAL)
            for _ in range(2):  # The first time a busy server may be too late for its own connections.
                await together(wire, good, len(good))
            pids = await _pids(place)
            for fault in wanted or FAULTS:
                print(f"{fault} has stopped, {count} calls:", flush=True)
                with stopped(fault, pids, root):
                    wrong += [each for each in await together(wire, FAULTS[fault], count) if "no answer" in each]
                print(f"  afterwards, {dict(zip(HELD, wire.held(), strict=True))}:", flush=True)
                wrong += await together(wire, good, len(good))
        finally:
            await wire.close()
    return wrong


HELD = ("memory kB", "descriptors", "threads", "children")


async def _pids(place: Workspace) -> dict[str, int]:
    found = {kind: await embedded.status(kind, place) for kind in ("postgresql", "nats", "redis")}
    return {kind: int(status["pid"]) for kind, status in found.items() if status}


def main() -> int:
    """1 when something is wrong."""
    count, *wanted = sys.argv[1:] or [str(AT_ONCE)]
    wrong = asyncio.run(measure(int(count), wanted))
    print("\n".join(["wrong:", *wrong]) if wrong else "every call was answered, and all was well afterwards")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
