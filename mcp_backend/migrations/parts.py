"""Runs one block: in a transaction that is tried again when it cannot get its locks, or statement by statement."""

import asyncio
import random

import psycopg
from psycopg.pq import TransactionStatus

from mcp_backend.engines.postgresql import Connection
from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.migrations import lost
from mcp_backend.migrations.failures import RETRIED, refused
from mcp_backend.migrations.run import Run
from mcp_backend.migrations.statements import Statement
from mcp_backend.migrations.steps import BEGIN, Part, Step
from mcp_backend.migrations.waits import Waits, execute, watched

IDLE = TransactionStatus.IDLE


async def transaction(
    conn: Connection, run: Run, step: Step, part: Part, create: tuple[str, ...], record: str | None, *, first: bool
) -> None:
    limits = run.limits
    attempt = 0
    while True:
        attempt += 1
        waits = Waits()
        run.statement, run.unsafe = None, False
        try:
            await conn.execute(
                f"{BEGIN}; {_timeouts('local', limits.lock, limits.statement)}; "
                f"set local idle_in_transaction_session_timeout = 60000; {_check(conn, 'local', 1000)}".encode()
            )
            for sql in create:
                await execute(conn, sql)
            for statement in part.statements:
                run.statement, waits = statement, Waits()
                await watched(run.engine, conn, statement.sql, waits, limits.lock)
                run.waited_ms += waits.milliseconds
            run.statement = None
            if record:
                await conn.execute(b"set session authorization default; reset role")
                await execute(conn, record)
            run.unsafe = True
            await conn.execute(b"commit")
        except psycopg.Error as error:
            if lost.gone(conn, error):
                raise
            run.unsafe = False
            await conn.execute(b"rollback")
            if error.sqlstate in RETRIED and attempt < limits.attempts:
                run.waited_ms += max(waits.milliseconds, limits.lock * 1000 if error.sqlstate == "55P03" else 0)
                await _pause(run, attempt)
                continue
            about = f"{step.file.version} was rolled back" if first else _partly(step, run.statement)
            raise refused(
                error, step, run.statement, run.left(about),
                statement_timeout=limits.statement, blockers=waits.blockers,
            ) from None  # fmt: skip
        run.unsafe = False
        return


async def plain(
    conn: Connection, run: Run, step: Step, part: Part, create: tuple[str, ...], record: str | None, *, first: bool
) -> None:
    limits = run.limits
    run.unsafe = True
    # A killed client must not end CREATE INDEX CONCURRENTLY half-way: finished it is good, stopped it is invalid.
    await conn.execute(_check(conn, "session", 0).encode())
    for sql in create:
        await execute(conn, sql)
    before = await _invalid(conn)
    began: Statement | None = None
    for statement in part.statements:
        await conn.execute(_timeouts("session", 0 if statement.patient else limits.lock, limits.statement).encode())
        run.statement = statement
        attempt = 0
        while True:
            attempt += 1
            waits = Waits()
            try:
                await watched(run.engine, conn, statement.sql, waits, limits.lock)
                run.waited_ms += waits.milliseconds
                own = conn.info.transaction_status != IDLE
                began = (began or statement) if own else None
                break
            except psycopg.Error as error:
                if lost.gone(conn, error):
                    raise
                await conn.execute(b"rollback")
                if error.sqlstate in RETRIED and not statement.patient and not began and attempt < limits.attempts:
                    run.waited_ms += max(waits.milliseconds, limits.lock * 1000)
                    await _pause(run, attempt)
                    continue
                kept = began or statement
                nothing = first and kept is part.statements[0]
                about = f"{step.file.version} is not recorded" if nothing else _partly(step, kept)
                invalid = tuple(name for name in await _invalid(conn) if name not in before)
                raise refused(
                    error, step, statement, run.left(about, invalid),
                    statement_timeout=limits.statement, blockers=waits.blockers,
                ) from None  # fmt: skip
    run.statement = None
    if conn.info.transaction_status != IDLE:
        await conn.execute(b"rollback")
        raise InvalidArgument(
            f"{step.file.where}: it begins a transaction and does not commit it; add COMMIT. "
            f"{run.left(_partly(step, began)).words}"
        )
    wanted = {s.index for s in part.statements if s.index}
    if broken := [name for name in await _invalid(conn) if name.rpartition(".")[2] in wanted]:
        raise FailedPrecondition(
            f"{step.file.where}: {', '.join(broken)} exists but is INVALID, left by an earlier attempt, and IF NOT "
            "EXISTS passes over it. Write DROP INDEX CONCURRENTLY IF EXISTS before it and repeat the call; "
            f"{run.left(f'{step.file.version} is not recorded').words}"
        )
    if record:
        await conn.execute(b"set session authorization default; reset role")
        await execute(conn, record)


def _partly(step: Step, statement: Statement | None) -> str:
    until = f"everything before line {statement.line}" if statement else "everything but its history row"
    return (
        f"{step.file.version} is partly applied: {until} took effect and stays, because it does not run in one "
        "transaction; undo that or make those statements repeatable (IF NOT EXISTS), then repeat the call"
    )


def _timeouts(scope: str, lock: float, statement: float) -> str:
    return f"set {scope} lock_timeout = {int(lock * 1000)}; set {scope} statement_timeout = {int(statement * 1000)}"


def _check(conn: Connection, scope: str, milliseconds: int) -> str:
    """Makes the server notice within this time that the client died (PostgreSQL 14 and later)."""
    return (
        f"set {scope} client_connection_check_interval = {milliseconds}" if conn.info.server_version >= 140000 else ""
    )


async def _pause(run: Run, attempt: int) -> None:
    """Lets those through who queued behind; longer each time, and never in step with another server."""
    seconds = min(run.limits.lock * 2 ** (attempt - 1), 5.0) * random.uniform(0.5, 1.0)
    run.waited_ms += seconds * 1000
    await asyncio.sleep(seconds)


async def _invalid(conn: Connection) -> tuple[str, ...]:
    """The invalid indexes of the database that no partitioned index waits for."""
    cursor = await conn.execute(
        b"select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_index i "
        b"join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        b"where not i.indisvalid and c.relkind = 'i' order by 1"
    )
    return tuple(str(row[0]) for row in await cursor.fetchall())
