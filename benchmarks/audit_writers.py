"""`python -m benchmarks.audit_writers [SECONDS]`: 50 processes append to one audit chain, and some are killed.

On the file and on PostgreSQL. Every half second one writer is killed with SIGKILL wherever it is, and another one takes
its place. A writer says each record that it knows to be committed: at the end the chain must be whole, hold each of
those exactly once, and each writer's records in its own order.
"""

import asyncio
import itertools
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from mcp_backend import audit
from mcp_backend.engines import embedded
from mcp_backend.errors import Unavailable
from mcp_backend.policy.store import LOCAL, Shared
from mcp_backend.settings import workspace
from mcp_backend.store import open_store

WRITERS = 50
KILL_SECONDS = 0.5


def _write(folder: Path, shared: Shared, name: str, told: int) -> None:
    async def forever() -> None:
        store, number = open_store(folder, shared), 0
        while True:
            with suppress(Unavailable):
                async with store.transaction(durable=False):
                    await audit.append(store, {"by": name, "number": number})
                os.write(told, f"{name} {number}\n".encode())
            number += 1

    asyncio.run(forever())


async def _verified(folder: Path, shared: Shared, told: set[tuple[str, int]]) -> list[str]:
    store = open_store(folder, shared)
    count, breaks = await audit.verify(store)
    found, last = list[tuple[str, int]](), 0
    while rows := await store.rows("audit_after", seq=last, limit=1000):
        last = rows[-1]["seq"]
        found += [(record["by"], record["number"]) for record in (json.loads(row["record"]) for row in rows)]
    store.close()
    newest, disordered = dict[str, int](), 0
    for name, number in found:
        disordered += number <= newest.get(name, -1)
        newest[name] = number
    return [
        f"{count:,} records, breaks {len(breaks)}, committed and missing {len(told - set(found))}, "
        f"twice {len(found) - len(set(found))}, out of order {disordered}",
        *(f"  {each.problem}" for each in breaks[:5]),
    ]


def _written(folder: Path, shared: Shared, seconds: float) -> tuple[set[tuple[str, int]], int]:
    """What the writers said, and how many were killed."""
    fork, dice, killed = multiprocessing.get_context("fork"), random.Random(1), 0
    hears, told = os.pipe()
    os.set_blocking(hears, False)
    said = b""

    names = (f"w{number}" for number in itertools.count())

    def begin() -> BaseProcess:
        process = fork.Process(target=_write, args=(folder, shared, next(names), told))
        process.start()
        return process

    writers = [begin() for _ in range(WRITERS)]
    ends, next_kill = time.monotonic() + seconds, time.monotonic() + KILL_SECONDS
    while time.monotonic() < ends:
        time.sleep(0.02)
        with suppress(BlockingIOError):
            said += os.read(hears, 1 << 20)
        if time.monotonic() > next_kill:
            next_kill += KILL_SECONDS
            victim = writers.pop(dice.randrange(len(writers)))
            victim.kill()
            victim.join()
            killed += 1
            writers.append(begin())
    for process in writers:
        process.kill()
        process.join()
    os.close(told)
    with suppress(BlockingIOError):
        while more := os.read(hears, 1 << 20):
            said += more
    os.close(hears)
    return {(line.split()[0], int(line.split()[1])) for line in said.decode().splitlines()}, killed


async def main(seconds: float) -> None:
    """Prints a line for each store."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(Path(name))
        lease = await embedded.lease("postgresql", place)
        os.environ["BENCH_STORE"] = lease.url
        try:
            for kind, shared in (("file", LOCAL), ("postgresql", Shared("env:BENCH_STORE", "audit"))):
                folder = Path(name, kind)
                first = open_store(folder, shared)
                await first.ready()
                first.close()
                told, killed = await asyncio.to_thread(_written, folder, shared, seconds)
                lines = await _verified(folder, shared, told)
                print(f"{kind}: {WRITERS} writers, {seconds:.0f} s, {killed} killed, {len(told) / seconds:.0f}/s:",
                      *lines, flush=True)  # fmt: skip
        finally:
            lease.close()
            await embedded.stop("postgresql", place, force=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
