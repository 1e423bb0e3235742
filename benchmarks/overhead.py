"""What guards and the durable audit cost a call: the same work in a bare tool of the SDK, in the same run.

Both servers run in memory on one event loop and are called in turn, so that whatever else the machine does meets
both alike. Work one: `select 1` on a pooled connection in a read-only transaction. Work two: one acknowledged
JetStream publish, an effect, for which the audit waits for the disk once. Work three: one entry of a Redis stream.
"""

import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import mcp_types as types
from mcp.client import Client
from mcp.server import Server, ServerRequestContext

from benchmarks.local import served
from mcp_backend.server import Options, build

CALLS = 400
WARM = 40


async def measure() -> list[str]:
    """p50 in milliseconds of both sides and their difference; processor time of this process tells a busy machine
    from slow code."""
    async with served("postgresql", "nats", "redis") as (root, (database, broker, keys)):
        return await _measure(root, database, broker, keys)


async def _measure(root: Path, database_url: str, broker_url: str, keys_url: str) -> list[str]:
    import nats
    import redis.asyncio as redis_py
    from psycopg_pool import AsyncConnectionPool

    broker = await cast("Any", nats).connect(broker_url)
    stream = broker.jetstream()
    await stream.add_stream(name="BENCH", subjects=["bench.>"])
    keys: Any = redis_py.Redis.from_url(keys_url)  # pyright: ignore[reportUnknownMemberType]
    await keys.xadd("entries", {"payload": "{}"})
    async with AsyncConnectionPool(database_url, min_size=1, kwargs={"autocommit": True}, open=False) as pool:
        sent = 0

        async def select() -> Any:
            async with pool.connection() as connection:
                await connection.execute("begin read only")
                rows = await (await connection.execute("select 1 as one")).fetchall()
                await connection.execute("rollback")
                return {"rows": rows}

        async def publish() -> Any:
            nonlocal sent
            sent += 1
            ack = await stream.publish("bench.bare", b'{"n":1}', headers={"Nats-Msg-Id": f"bare-{sent}"})
            return {"sequence": ack.seq}

        async def add() -> Any:
            entry = await keys.xadd("entries", {"payload": '{"n":1}'})
            return {"entry_id": entry.decode()}

        bare = bare_server({"select": select, "publish": publish, "add": add})
        asked = 0

        def message(engine: str, destination: str) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            one = {"payload": {"n": 1}, "message_id": f"tool-{asked}"}
            why = "measuring what a call costs here"
            return {"engine": engine, "destination": destination, "messages": [one], "justification": why}

        async with Client(bare) as plain, Client(build(Options(root))) as guarded:
            lines = [
                await _pair(
                    "select 1",
                    _call(plain, "select", dict),
                    _call(guarded, "db_query", lambda: {"sql": "select 1 as one"}),
                ),
                await _pair(
                    "publish NATS",
                    _call(plain, "publish", dict),
                    _call(guarded, "publish_message", lambda: message("nats", "bench.tool")),
                ),
                await _pair(
                    "publish Redis",
                    _call(plain, "add", dict),
                    _call(guarded, "publish_message", lambda: message("redis", "entries")),
                ),
            ]
    await broker.close()
    await keys.aclose()
    return ["call overhead over a bare SDK tool (p50 ms)", *lines]


def bare_server(work: dict[str, Callable[[], Awaitable[Any]]]) -> Server[Any]:
    """A server of the SDK whose tools only do their work."""

    async def list_tools(
        ctx: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name=n, input_schema={"type": "object"}) for n in work])

    async def call_tool(
        ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        body = await work[params.name]()
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(body))], structured_content=body)

    return Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)


def _call(client: Client, tool: str, arguments: Callable[[], dict[str, Any]]) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        result = await client.call_tool(tool, arguments())
        if result.is_error:
            raise SystemExit(f"{tool}: {result.structured_content}")

    return once


async def _pair(name: str, baseline: Callable[[], Awaitable[None]], ours: Callable[[], Awaitable[None]]) -> str:
    times: tuple[list[float], list[float]] = ([], [])
    work: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM + CALLS):
        for side, once in enumerate((baseline, ours)):
            began, used = time.perf_counter(), time.process_time()
            await once()
            if number >= WARM:
                times[side].append((time.perf_counter() - began) * 1000)
                work[side].append((time.process_time() - used) * 1000)
    bare, full = (statistics.median(side) for side in times)
    bare_work, full_work = (statistics.median(side) for side in work)
    # On a machine that others use, the tenth of the calls that went best is the one that was disturbed least.
    best, best_work = ([statistics.quantiles(side, n=10)[0] for side in both] for both in (times, work))
    return (
        f"  {name:<13} bare {bare:5.2f}  guarded {full:5.2f}  difference {full - bare:+5.2f}  ratio {full / bare:.2f}"
        f"  processor time {full_work - bare_work:+5.2f}  best tenth {best[1] - best[0]:+5.2f}"
        f" ({best_work[1] - best_work[0]:+5.2f})"
    )
