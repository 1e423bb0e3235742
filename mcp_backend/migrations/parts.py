"""Runs one block: in a transaction that is tried again when it cannot get its locks, or statement by statement."""

import asyncio
import random
import time

import psycopg
from psycopg.pq import TransactionStatus

from mcp_backend.engines.postgresql import Connection
from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.migrations import checkpoint, history, lost
from mcp_backend.migrations.failures import RETRIED, refused
from mcp_backend.migrations.model import Part, Step
from mcp_backend.migrations.run import Run
from mcp_backend.migrations.statements import Statement
from mcp_backend.migrations.steps import BEGIN
from mcp_backend.migrations.waits import Waits, execute, watched

IDLE = TransactionStatus.IDLE
_OURS = b"set session authorization default; reset role"


async def transaction(
    conn: Connection, run: Run, step: Step, part: Part, create: tuple[str, ...] = (), *, last: bool = True
) -> None:
    """One transaction: what creates the history, the statements, and the history row of a step that ends with them."""
    limits = run.limits
    until = time.monotonic() + limits.deadline
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
            await conn.execute(_OURS)
            if last:
                await execute(conn, step.record)
            await _note(conn, run, step, 0 if last else run.noted + len(part.statements), over=last)
            run.unsafe = True
            await conn.execute(b"commit")
        except psycopg.Error as error:
            if lost.gone(conn, error):
                raise
            run.unsafe = False
            await conn.execute(b"rollback")
            if error.sqlstate in RETRIED and time.monotonic() < until and waits.longest < limits.long:
                run.waited_ms += max(waits.milliseconds, limits.lock * 1000 if error.sqlstate == "55P03" else 0)
                await _pause(run, attempt, until)
                continue
            about = f"{step.file.version} was rolled back" if step.atomic else _partly(run, step)
            raise refused(
                error, step, run.statement, run.left(about),
                statement_timeout=limits.statement, blockers=waits.blockers,
            ) from None  # fmt: skip
        run.unsafe = False
        run.noted += 0 if last else len(part.statements)
        return


async def begin(conn: Connection, run: Run, step: Step, create: tuple[str, ...]) -> None:
    """What comes before the first statement of a step that is not one transaction: the history table, and its word
    that the step begins."""
    await conn.execute(_timeouts("session", run.limits.lock, run.limits.statement).encode())
    await conn.execute(BEGIN.encode())
    for sql in create:
        await execute(conn, sql)
    if step.before:
        await execute(conn, step.before)
    past = run.prepared.history
    rows = await history.rows(
        conn,
        "select pg_catalog.pg_has_role(c.relowner, 'USAGE') from pg_catalog.pg_class c where c.oid = "
        f"{history.literal(past.quoted)}::regclass",
    )
    # Only an owner may write the comment; without it a step that is interrupted has to be looked at by a person.
    run.noting = bool(rows[0][0])
    if step.before:
        await _note(conn, run, step, step.done)  # what was begun and what is known of it commit together
    run.unsafe = True
    await conn.execute(b"commit")
    await conn.execute(b"select pg_catalog.set_config('mcp_backend.began', pg_catalog.clock_timestamp()::text, false)")


async def end(conn: Connection, run: Run, step: Step) -> None:
    """The history row of a step that is not one transaction, and the end of the note about it."""
    run.statement, run.unsafe = None, True
    await conn.execute(_OURS)
    await conn.execute(BEGIN.encode())
    await execute(conn, step.record)
    await _note(conn, run, step, 0, over=True)
    await conn.execute(b"commit")


async def _note(conn: Connection, run: Run, step: Step, done: int, *, begun: bool = False, over: bool = False) -> None:
    """Leaves the note how far the step is, in the transaction that is open or by itself."""
    if not run.noting:
        return
    sql = step.all_sql or tuple(s.sql for part in step.parts for s in part.statements)
    point = None if over else checkpoint.of(step.file.version, step.direction, sql, done, begun=begun)
    await execute(conn, checkpoint.write(run.prepared.history, point))


async def plain(conn: Connection, run: Run, step: Step, part: Part) -> None:
    """The statements of a block outside a transaction, each with a note that it is done."""
    # A killed client must not end CREATE INDEX CONCURRENTLY half-way: finished it is good, stopped it is invalid.
    await conn.execute(_check(conn, "session", 0).encode())
    run.unsafe = True
    began: Statement | None = None
    inside = 0
    extra = step.extra if part is step.parts[0] else 0
    for index, statement in enumerate(part.statements):
        clearing = index < extra
        if began is None:
            await _one(conn, run, step, statement, clearing=clearing)
            inside = 1 if conn.info.transaction_status != IDLE else 0
            began = statement if inside else None
            run.noted += 0 if inside or clearing else 1
            continue
        inside += 1
        if statement.control == "end":
            # What an own transaction did and the note about it commit together.
            await conn.execute(_OURS)
            await _note(conn, run, step, run.noted + inside)
        await _one(conn, run, step, statement, noted=True)
        if conn.info.transaction_status == IDLE:
            run.noted, began = run.noted + inside, None
            if statement.control != "end":
                await _note(conn, run, step, run.noted)
    run.statement = None
    if conn.info.transaction_status != IDLE:
        await conn.execute(b"rollback")
        raise InvalidArgument(
            f"{step.file.where}: it begins a transaction and does not commit it; add COMMIT. "
            f"{run.left(_partly(run, step)).words}"
        )
    wanted = {s.index for s in part.statements if s.index}
    if broken := [name for name in await _invalid(conn) if name.rpartition(".")[2] in wanted]:
        raise FailedPrecondition(
            f"{step.file.where}: {', '.join(broken)} exists but is INVALID, left by an earlier attempt, and IF NOT "
            "EXISTS passes over it. Drop it with DROP INDEX CONCURRENTLY and build it in a new migration; "
            f"{run.left(f'{step.file.version} is not recorded').words}"
        )


async def _one(
    conn: Connection, run: Run, step: Step, statement: Statement, *, clearing: bool = False, noted: bool = False
) -> None:
    """One statement outside a transaction of ours, or inside one that the file began (`noted`)."""
    limits = run.limits
    until = time.monotonic() + limits.deadline
    alone = bool(statement.alone) or statement.opaque or bool(statement.control)
    before = await _invalid(conn) if statement.index else ()
    run.statement = statement
    attempt = 0
    while True:
        attempt += 1
        waits = Waits()
        try:
            if not noted:
                wait = 0 if statement.patient else limits.lock
                await conn.execute(_timeouts("session", wait, limits.statement).encode())
                if not alone:
                    await conn.execute(BEGIN.encode())
                elif not statement.control and not clearing:
                    await _note(conn, run, step, run.noted, begun=True)
            await watched(run.engine, conn, statement.sql, waits, limits.lock)
            run.waited_ms += waits.milliseconds
            if not noted and not alone:
                await conn.execute(_OURS)
                await _note(conn, run, step, run.noted + 1)
                await conn.execute(b"commit")
            elif not noted and not statement.control and not clearing:
                await _note(conn, run, step, run.noted + 1)
            return
        except psycopg.Error as error:
            if lost.gone(conn, error):
                raise
            await conn.execute(b"rollback")
            cleared = await _cleared(conn, statement, before)
            patient = statement.patient and error.sqlstate == "55P03"
            if (
                error.sqlstate in RETRIED and not noted and not patient and time.monotonic() < until
                and waits.longest < limits.long
            ):  # fmt: skip
                run.waited_ms += max(waits.milliseconds, limits.lock * 1000)
                await _pause(run, attempt, until)
                continue
            if alone and not noted and not statement.opaque:  # what may commit by itself may have done so
                await _note(conn, run, step, run.noted)
            invalid = tuple(name for name in await _invalid(conn) if name not in before) if statement.index else ()
            about = _partly(run, step) + (f". {', '.join(cleared)} was dropped again" if cleared else "")
            raise refused(
                error, step, statement, run.left(about, invalid),
                statement_timeout=limits.statement, blockers=waits.blockers,
            ) from None  # fmt: skip


async def _cleared(conn: Connection, statement: Statement, before: tuple[str, ...]) -> list[str]:
    """Drops the invalid index that a failed CREATE INDEX CONCURRENTLY of ours left."""
    if statement.alone != "CREATE INDEX CONCURRENTLY":
        return []
    name = statement.index
    left = [full for full in await _invalid(conn) if full not in before and full.rpartition(".")[2] == name]
    await conn.execute(b"set lock_timeout = 0")
    for full in left:
        await conn.execute(f"drop index concurrently if exists {full}".encode())
    return left


def _partly(run: Run, step: Step) -> str:
    statements = [s for part in step.parts for s in part.statements][step.extra :]
    at = run.noted - step.done
    following = statements[at] if 0 <= at < len(statements) else None
    if run.noted == 0:
        return f"{step.file.version} is not recorded"
    until = f"everything before line {following.line}" if following else "everything but its history row"
    how = (
        "repeat the call and it goes on there; what comes later in the file may be changed"
        if run.noting
        else "undo that or make those statements repeatable (IF NOT EXISTS), then repeat the call"
    )
    return (
        f"{step.file.version} is partly applied: {until} took effect and stays, because it does not run in one "
        f"transaction; {how}"
    )


def _timeouts(scope: str, lock: float, statement: float) -> str:
    return f"set {scope} lock_timeout = {int(lock * 1000)}; set {scope} statement_timeout = {int(statement * 1000)}"


def _check(conn: Connection, scope: str, milliseconds: int) -> str:
    """Makes the server notice within this time that the client died (PostgreSQL 14 and later)."""
    return (
        f"set {scope} client_connection_check_interval = {milliseconds}" if conn.info.server_version >= 140000 else ""
    )


async def _pause(run: Run, attempt: int, until: float) -> None:
    """Lets those through who queued behind; longer each time, and never in step with another server."""
    seconds = min(run.limits.lock * 2 ** (attempt - 1), 5.0) * random.uniform(0.5, 1.0)
    seconds = min(seconds, max(until - time.monotonic(), 0))
    run.waited_ms += seconds * 1000
    await asyncio.sleep(seconds)


async def _invalid(conn: Connection) -> tuple[str, ...]:
    """The invalid indexes of the database that no partitioned index waits for."""
    rows = await history.rows(
        conn,
        "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_index i "
        "join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        "where not i.indisvalid and c.relkind = 'i' order by 1",
    )
    return tuple(str(row[0]) for row in rows)
