"""db_schema on a ClickHouse with many tables, beside the bare catalog query in the same run: see schema.py."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import clickhouse_connect
from mcp.client import Client

from benchmarks.local import served
from benchmarks.overhead import bare_server
from benchmarks.schema import timed
from mcp_backend.server import Options, build

TABLES = int(os.environ.get("BENCH_CLICKHOUSE_TABLES", "1000"))
BARE = """
SELECT database, name, total_rows FROM system.tables
WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') ORDER BY total_rows DESC
"""
TABLE = """
CREATE TABLE t{}_events (id UInt64, tenant UInt32, at DateTime, kind LowCardinality(String) COMMENT 'what happened',
  value Float64, note Nullable(String)) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, at)
"""


async def measure() -> list[str]:
    """p50 in milliseconds and bytes of each question, after the first."""
    async with served("clickhouse") as (root, (url,)):
        return await _measure(root, url)


async def _measure(root: Path, url: str) -> list[str]:
    driver: Any = clickhouse_connect
    client = driver.get_client(dsn=url)
    for number in range(TABLES):
        client.command(TABLE.format(number))

    async def bare() -> Any:
        return {"rows": [list(row) for row in (await asyncio.to_thread(client.query, BARE)).result_rows]}

    client.command("CREATE TABLE busy (n UInt8) ENGINE = Memory")

    async def write() -> None:
        await asyncio.to_thread(client.command, "INSERT INTO busy VALUES (1)")

    async with Client(bare_server({"tables": bare})) as plain, Client(build(Options(root))) as ours:
        baseline, size = await timed(lambda: plain.call_tool("tables", {}))
        lines = [f"db_schema over {TABLES} ClickHouse tables"]
        lines.append(f"  {'bare catalog query':<22}{baseline:8.1f} ms {size:9,} bytes")
        for title, arguments in (
            ("overview", {}),
            ("one table", {"table": "t7_events"}),
            ("search", {"search": "happened"}),
        ):
            began = time.perf_counter()
            await ours.call_tool("db_schema", arguments)
            first = (time.perf_counter() - began) * 1000
            took, size = await timed(lambda arguments=arguments: ours.call_tool("db_schema", arguments))
            lines.append(
                f"  {title:<22}{took:8.1f} ms {size:9,} bytes  ratio {took / baseline:.2f}  (first {first:.0f} ms)"
            )
            # The bare query is timed after a write as well: what the write leaves to do is not the question's.
            quiet, _ = await timed(lambda: plain.call_tool("tables", {}), before=write)
            took, _ = await timed(lambda arguments=arguments: ours.call_tool("db_schema", arguments), before=write)
            lines.append(f"  {'  while others write':<22}{took:8.1f} ms {'':>15}  ratio {took / quiet:.2f}")
    return lines
