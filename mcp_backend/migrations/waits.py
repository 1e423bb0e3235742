"""Runs one statement and watches what it waits for, from a second connection.

When a lock timeout has ended a statement, the server no longer knows who held the lock: it has to be asked before.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection, capabilities, generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.rows import tuple_row

from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import BackendError
from mcp_backend.migrations.statements import without_literals

SLOWEST_LOOK = 2.0


@dataclass(slots=True)
class Waits:
    """What one statement waited for: milliseconds by the moment the wait began, and who was in the way."""

    by_start: dict[float, float] = field(default_factory=dict[float, float])
    blockers: tuple[str, ...] = ()
    longest: float = 0
    """Seconds that the oldest transaction in the way has been open."""

    @property
    def milliseconds(self) -> float:
        """All waits together, to the precision of the looks."""
        return sum(self.by_start.values())


async def execute(conn: AsyncConnection[Any], sql: str) -> None:
    """Runs exactly one statement by the extended protocol, which refuses a second one in the same message. Rows, if
    it returns any, are thrown away as they come.

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
    """
    failed: psycopg.Error | None = None
    async with conn.lock:
        conn.pgconn.send_query_params(sql.encode(), None)
        if capabilities.has_stream_chunked():
            conn.pgconn.set_chunked_rows_mode(1000)
        else:
            conn.pgconn.set_single_row_mode()
        await conn.wait(generators.send(conn.pgconn))
        while (result := await conn.wait(generators.fetch(conn.pgconn))) is not None:
            if result.status not in _WELL:
                failed = failed or error_from_result(result, encoding="utf-8")
            if result.status not in (*_WELL, ExecStatus.FATAL_ERROR):
                break
    if failed:
        raise failed


_WELL = (
    ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.TUPLES_CHUNK, ExecStatus.SINGLE_TUPLE,
    ExecStatus.EMPTY_QUERY,
)  # fmt: skip


async def watched(engine: Postgresql, conn: AsyncConnection[Any], sql: str, waits: Waits, lock_timeout: float) -> None:
    """`execute`, filling `waits` if it takes longer than a third of `lock_timeout` (seconds)."""
    task = asyncio.create_task(execute(conn, sql))
    pid, pause = conn.info.backend_pid, lock_timeout / 3
    try:
        while not (await asyncio.wait({task}, timeout=pause))[0]:
            waits.blockers = await look(engine, pid, waits) or waits.blockers
            pause = min(pause * 1.2, SLOWEST_LOOK) if len(waits.by_start) == 0 else lock_timeout / 3
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    task.result()


async def look(engine: Postgresql, pid: int, waits: Waits) -> tuple[str, ...]:
    """Who blocks the process now, in words; notes in `waits` for how long it has been waiting."""
    with suppress(BackendError, psycopg.Error):
        async with engine.session(True, 2) as other, other.cursor(row_factory=tuple_row) as cursor:
            started = "l.waitstart" if other.info.server_version >= 140000 else "null::timestamptz"
            await cursor.execute(_LOOK.replace("WAITSTART", started).encode(), (pid, pid))
            rows = await cursor.fetchall()
        for row in rows:
            if row[0] is not None:
                waits.by_start[float(row[0])] = float(row[1])
            waits.longest = max(waits.longest, float(row[5] or 0))
        return tuple(dict.fromkeys(_said(*row[2:]) for row in rows))
    return ()


_LOOK = """
select extract(epoch from WAITSTART), extract(epoch from clock_timestamp() - WAITSTART) * 1000,
  b.pid, a.state, a.application_name, extract(epoch from clock_timestamp() - a.xact_start), a.query,
  l.relation::regclass::text
from pg_catalog.pg_locks l cross join lateral pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) b(pid)
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
where l.pid = %s and not l.granted
"""


def _said(
    pid: int, state: str | None, name: str | None, age: float | None, query: str | None, table: str | None
) -> str:
    words = [f"process {pid}" + (f" ({name})" if name else "")]
    if table:
        words.append(f"on {table}")
    if age is not None:
        words.append(f"in a transaction for {float(age):.1f} s")
    if query:
        words.append(f"{'last ran' if state and 'idle' in state else 'runs'}: {without_literals(query)}")
    return ", ".join(words)
