"""db_schema on a large database: the overview, one table and a search, beside the bare catalog query in the same run.

Both sides go through an SDK client in memory. The bare tool sends the whole listing of names and row counts, as a
naive tool would; ours sends the first page.
"""

import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
from mcp.client import Client

from benchmarks.local import served
from benchmarks.overhead import bare_server
from mcp_backend.server import Options, build

TABLES = int(os.environ.get("BENCH_TABLES", "5000"))
CALLS = 30
BARE = """
select n.nspname, c.relname, c.reltuples::int8 from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') order by 3 desc
"""


async def measure() -> list[str]:
    """p50 in milliseconds and bytes of each question."""
    async with served("postgresql") as (root, (url,)):
        fill(url, 0, TABLES)
        return await _measure(root, url)


def fill(url: str, start: int, end: int) -> None:
    """Makes the tables `t{n}_entries` for n from `start` to below `end`, each but the first with a foreign key."""
    with psycopg.connect(url) as connection:
        for n in range(start, end):
            reference = f"parent_id bigint references t{n // 2}_entries, " if n else ""
            connection.execute(
                f"create table t{n}_entries (id bigint primary key, {reference}name text not null, state text, "
                "total numeric(12,2) check (total >= 0), created_at timestamptz default now())".encode()
            )
            if n % 500 == 499:
                connection.commit()
        connection.execute(b"comment on column t7_entries.state is 'lifecycle of the entry'")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"analyze")


async def _measure(root: Path, url: str) -> list[str]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await connection.execute(b"create table busy (n int)")

    async def bare() -> Any:
        return {"rows": await (await connection.execute(BARE.encode())).fetchall()}

    async with Client(bare_server({"tables": bare})) as plain, Client(build(Options(root))) as ours:
        baseline, size = await timed(lambda: plain.call_tool("tables", {}))
        lines = [f"db_schema over {TABLES} tables", f"  {'bare catalog query':<22}{baseline:8.1f} ms {size:9,} bytes"]
        began = time.perf_counter()
        await ours.call_tool("db_schema", {})
        lines.append(f"  {'first overview':<22}{(time.perf_counter() - began) * 1000:8.1f} ms")
        for title, arguments in (
            ("overview", {}),
            ("one table", {"table": "t7_entries"}),
            ("search", {"search": "lifecycle entry"}),
        ):
            took, size = await timed(lambda arguments=arguments: ours.call_tool("db_schema", arguments))
            lines.append(f"  {title:<22}{took:8.1f} ms {size:9,} bytes  ratio {took / baseline:.2f}")

            took, _ = await timed(
                lambda arguments=arguments: ours.call_tool("db_schema", arguments),
                before=lambda: connection.execute(b"insert into busy values (1)"),
            )
            lines.append(f"  {'  while others write':<22}{took:8.1f} ms {'':>15}  ratio {took / baseline:.2f}")
    await connection.close()
    return lines


async def timed(
    once: Callable[[], Awaitable[Any]], before: Callable[[], Awaitable[Any]] | None = None
) -> tuple[float, int]:
    """p50 in milliseconds of a call that has to succeed, and the bytes of its answer. `before` each is not counted."""
    times: list[float] = []
    size = 0
    for _ in range(CALLS):
        if before is not None:
            await before()
        began = time.perf_counter()
        answer = await once()
        times.append((time.perf_counter() - began) * 1000)
        assert not answer.is_error, answer.structured_content
        size = len(json.dumps(answer.structured_content, ensure_ascii=False, separators=(",", ":")).encode())
    return statistics.median(times), size
