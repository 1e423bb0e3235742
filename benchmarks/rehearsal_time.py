"""How long a rehearsal takes on a large database: the first, which makes the shadow, and later ones, which have it.

`python -m benchmarks rehearsal`. Each is one call of rehearse_migration through a client, with another statement.
"""

import statistics
import time
from typing import Any

from mcp.client import Client

from benchmarks.local import served
from benchmarks.schema import fill
from mcp_backend.server import Options, build

TABLES, LATER = 500, 5


async def measure() -> list[str]:
    """Seconds of whole calls, and of the shadow in them."""
    async with served("postgresql") as (root, (url,)):
        fill(url, 0, TABLES)
        async with Client(build(Options(root))) as client:
            times = [await _rehearsed(client, number) for number in range(LATER + 1)]
    (first, made), later = times[0], times[1:]
    return [
        f"one statement rehearsed on a database of {TABLES} tables",
        f"  first   {first:5.2f} s, {made:.2f} s of it the shadow",
        f"  later   {statistics.median(t for t, _ in later):5.2f} s, "
        f"{statistics.median(shadow for _, shadow in later):.2f} s of it the shadow (median of {LATER})",
    ]


async def _rehearsed(client: Client, number: int) -> tuple[float, float]:
    began = time.perf_counter()
    sql = f"alter table t{number}_entries add column note{number} text"
    answer = await client.call_tool("rehearse_migration", {"sql": sql}, read_timeout_seconds=200)
    took = time.perf_counter() - began
    body: dict[str, Any] = answer.structured_content or {}
    assert not answer.is_error, body
    return took, float(body["shadow"]["seconds"])
