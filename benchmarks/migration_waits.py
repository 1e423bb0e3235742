"""How long readers and writers wait while a migration needs ACCESS EXCLUSIVE: `python -m benchmarks.migration_waits`.

Readers and writers run against one table all the time. A transaction that only reads it stays open for some seconds,
and meanwhile `ALTER TABLE … ADD COLUMN` is applied: once with psql's way (it queues until it gets its lock), then by
run_migration's own code with several lock timeouts.
"""

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from mcp_backend.engines import embedded
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import BackendError
from mcp_backend.migrations import apply, planning
from mcp_backend.migrations.run import Limits
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace

CLIENTS = 4
"""Readers, and as many writers."""
HELD = 3.0
"""Seconds that the transaction in the way stays open."""


class Load:
    """Readers and writers, and the longest that one statement of theirs took."""

    def __init__(self, url: str) -> None:
        self.url, self.stop = url, threading.Event()
        self.times: dict[str, list[float]] = {"read": [], "write": []}
        self.threads = [
            threading.Thread(target=self._work, args=(kind, n)) for kind in self.times for n in range(CLIENTS)
        ]

    def _work(self, kind: str, n: int) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            sql = {"read": f"select x from t where id = {n + 1}", "write": f"update t set x = x + 1 where id = {n + 1}"}
            while not self.stop.is_set():
                began = time.monotonic()
                conn.execute(sql[kind].encode())
                self.times[kind].append(time.monotonic() - began)
                time.sleep(0.005)

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def worst(self) -> tuple[float, float]:
        """The longest read and write in milliseconds since the last look."""
        longest = max(self.times["read"]) * 1000, max(self.times["write"]) * 1000
        for times in self.times.values():
            times.clear()
        return longest


def _blocked(url: str, work: Any) -> float:
    """Seconds that the work took, begun while a transaction that read the table is open."""
    with psycopg.connect(url) as holder:
        holder.execute(b"select count(*) from t")
        timer = threading.Timer(HELD, holder.rollback)
        timer.start()
        began = time.monotonic()
        work()
        took = time.monotonic() - began
        timer.join()
    time.sleep(0.5)  # whoever waited tells now how long
    return took


def _queues(url: str, column: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"alter table t add column {column} int".encode())


async def _ours(url: str, root: Path, lock: float) -> None:
    engine = Postgresql(
        EngineSettings("main", "postgresql", url, "development", "migrations"), Workspace(root, root / "state", False)
    )

    async def silent(done: float, total: float | None, words: str) -> None:
        """Progress that nobody asked for."""

    try:
        prepared = await planning.prepare(engine, root, None, "up")
        await apply.apply(engine, prepared, Limits(lock=lock), silent)
    except BackendError as error:
        print(error.reason)
    finally:
        await engine.close()


def main() -> None:
    """One line for each way; exit code 1 when a reader waited longer than allowed."""
    well = True
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "migrations").mkdir()
        workspace = Workspace(root, root / "state", False)
        lease = asyncio.run(embedded.lease("postgresql", workspace))
        try:
            with psycopg.connect(lease.url, autocommit=True) as conn:
                conn.execute(b"create table t(id int primary key, x int default 0)")
                conn.execute(b"insert into t select generate_series(1, 100000)")
            with Load(lease.url) as load:
                quiet: list[float] = []
                for _ in range(3):
                    time.sleep(HELD)
                    quiet.append(load.worst()[0])
                noise = statistics.median(quiet)
                print(f"no migration: longest read {max(quiet):.0f} ms (median of the longest {noise:.0f} ms)")
                took = _blocked(lease.url, lambda: _queues(lease.url, "queued"))
                read, write = load.worst()
                print(f"ALTER TABLE that queues: {took:.2f} s, longest read {read:.0f} ms, write {write:.0f} ms")
                for number, lock in enumerate((0.2, 0.5, 1.0)):
                    place = root / "migrations" / f"{number}_m.sql"
                    place.write_text(f"-- migrate:up\nalter table t add column c{number} int;\n-- migrate:down\n")
                    took = _blocked(lease.url, lambda lock=lock: asyncio.run(_ours(lease.url, root, lock)))
                    read, write = load.worst()
                    within = read <= lock * 1000 + max(quiet) + 100
                    well = well and within
                    print(
                        f"lock timeout {lock * 1000:.0f} ms: {took:.2f} s, longest read {read:.0f} ms, write "
                        f"{write:.0f} ms, within {'yes' if within else 'NO'}", flush=True,
                    )  # fmt: skip
        finally:
            lease.close()
            asyncio.run(embedded.stop("postgresql", workspace, force=True))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
