"""Applies planned steps: each migration in one transaction with its history row, under one lock, in bounded time.

The order of safety: take the lock that every server and `dbmate --migration-lock` takes; see that history and schema
are still what was planned; then run. A lock on a table is waited for only briefly and the transaction tried again,
because everybody who comes after waits behind it. What needs no transaction runs statement by statement, and its
history row is written last.
"""

import time

import psycopg

from mcp_backend.engines.postgresql import Connection, Postgresql, schema_version
from mcp_backend.errors import Aborted, DeadlineExceeded
from mcp_backend.migrations import history, lost, order, parts, snapshot
from mcp_backend.migrations.failures import refused
from mcp_backend.migrations.history import History
from mcp_backend.migrations.run import Done, Limits, Outcome, Prepared, Progress, Run
from mcp_backend.migrations.steps import Step


async def version(conn: Connection, past: History) -> str:
    """The version of the world: the schema's fingerprint and the newest migration."""
    return f"{await schema_version(conn)}@{order.newest(past.versions) or 'empty'}"


async def apply(engine: Postgresql, prepared: Prepared, limits: Limits, progress: Progress) -> Outcome:
    """Runs the steps of a plan.

    Raises `Aborted` when the world moved since the plan, `DeadlineExceeded` when locks or statements took too long,
    `InvalidArgument` when the server refuses a statement, `Unavailable` or `OutcomeUnknown` when it goes away. In
    each the reason says what was applied and what was rolled back.
    """
    run = Run(engine, limits, prepared)
    async with engine.dedicated() as conn:
        with lost.before(conn, engine):
            await _settings(conn)
            await _turn(conn, run)
            now = await history.read(conn, prepared.table)
            _unmoved(prepared, now.versions, await version(conn, now))
            before = await snapshot.take(conn)
        for index, step in enumerate(prepared.steps):
            await progress(index, len(prepared.steps), f"{step.direction} {step.file.where}")
            began = time.monotonic()
            try:
                await _step(conn, run, step, create=prepared.history.create if index == 0 else ())
            except psycopg.Error as error:
                if lost.gone(conn, error):
                    raise await lost.verdict(run, step) from None
                left = run.left(f"{step.file.version} is not recorded")
                raise refused(error, step, run.statement, left, statement_timeout=limits.statement) from None
            run.done.append(Done(step.file.version, step.file.name, round((time.monotonic() - began) * 1000, 1)))
        with lost.after(engine, run.done):
            await conn.execute(_CLEAN)
            after = await snapshot.take(conn)
            version_after = await version(conn, await history.read(conn, prepared.table))
    return Outcome(tuple(run.done), version_after, round(run.waited_ms, 1), tuple(snapshot.difference(before, after)))


async def _settings(conn: Connection) -> None:
    await conn.execute(b"set application_name = 'mcp-backend run_migration'")


async def _turn(conn: Connection, run: Run) -> None:
    """Takes the lock, waiting at most `limits.turn` for the server that has it."""
    cursor = await conn.execute(f"select pg_catalog.pg_try_advisory_lock({history.LOCK})".encode())
    if (row := await cursor.fetchone()) and row[0]:
        return
    began = time.monotonic()
    try:
        await conn.execute(f"set lock_timeout = {int(run.limits.turn * 1000)}".encode())
        await conn.execute(f"select pg_catalog.pg_advisory_lock({history.LOCK})".encode())
    except psycopg.errors.LockNotAvailable:
        raise DeadlineExceeded(
            f"another server migrates this database: {await history.holder(conn)}. It was waited for "
            f"{run.limits.turn:g} s; {run.left('nothing was executed').words}. Repeat the call when it is done"
        ) from None
    await conn.execute(b"reset lock_timeout")
    run.waited_ms += (time.monotonic() - began) * 1000


def _unmoved(prepared: Prepared, versions: tuple[str, ...], now: str) -> None:
    expected = prepared.history.versions
    if versions != expected:
        came, went = sorted(set(versions) - set(expected)), sorted(set(expected) - set(versions))
        what = [f"{', '.join(v)} {verb} meanwhile" for v, verb in ((came, "applied"), (went, "taken back")) if v]
        raise Aborted(
            f"another server migrated this database since the plan was made: {'; '.join(what)}. Nothing was executed "
            "here; repeat the call to plan for what is pending now",
            details={"applied_meanwhile": list(came)},
        )
    if now != prepared.version:
        raise Aborted(
            f"the schema changed since the plan was made (from {prepared.version} to {now}) without a migration. "
            "Nothing was executed; look at what changed, then repeat the call",
        )


async def _step(conn: Connection, run: Run, step: Step, create: tuple[str, ...]) -> None:
    """One migration. The lock is taken again, in case the one before it let go of it."""
    run.unsafe, run.statement = False, None
    if run.done:
        await conn.execute(_CLEAN)
        await _settings(conn)
        await _turn(conn, run)
        now = (await history.read(conn, run.prepared.table)).versions
        gone = {done.version for done in run.done}
        if set(now) ^ set(run.prepared.history.versions) != gone:
            raise Aborted(
                f"the history changed while this call ran; {run.left('it stops here').words}. Repeat the call"
            )
    for index, part in enumerate(step.parts):
        record = step.record if index == len(step.parts) - 1 else None
        if part.transaction:
            await parts.transaction(conn, run, step, part, create, record, first=index == 0)
        else:
            await parts.plain(conn, run, step, part, create, record, first=index == 0)
        create = ()


_CLEAN = (
    b"set session authorization default; reset role; reset all; deallocate all; close all; unlisten *; "
    b"discard plans; discard temp; discard sequences"
)
"""What `DISCARD ALL` does but for the locks: a migration leaves nothing in the session of the next one."""
