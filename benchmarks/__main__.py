"""`python -m benchmarks` (or `make bench`): every measurement, printed as a table."""

import asyncio
import platform
import sys
from collections.abc import Awaitable, Callable

from benchmarks import (
    changed_code,
    contracts,
    faults,
    fence,
    overhead,
    publish_batch,
    rehearsal,
    schema,
    schema_clickhouse,
    search,
    topology,
)

BENCHMARKS: tuple[Callable[[], Awaitable[list[str]]], ...] = (
    overhead.measure, schema.measure, schema_clickhouse.measure, fence.measure, search.measure, changed_code.measure,
    contracts.measure,
    rehearsal.measure,
    publish_batch.measure, topology.measure, faults.measure,
)  # fmt: skip


async def main() -> None:
    """Runs one after the other; each returns its lines."""
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {sys.platform}")
    for measure in BENCHMARKS:
        print("\n".join(await measure()), flush=True)


asyncio.run(main())
