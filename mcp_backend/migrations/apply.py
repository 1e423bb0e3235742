"""Applies planned steps: each migration in one transaction with its history row, under one lock, in bounded time.

The order of safety: take the locks that every server and the project's own tool take; see that history and schema are
still what was planned; then run. A lock on a table is waited for only briefly and the transaction tried again, because
everybody who comes after waits behind it. What needs no transaction runs statement by statement, each noted where it
commits, and its history row is written last.
"""

import time

import psycopg

from mcp_backend.engines.postgresql import Connection, Postgresql
from mcp_backend.errors import Aborted, DeadlineExceeded
from mcp_backend.migrations import history, lost, parts, planning, preflight, snapshot
from mcp_backend.migrations.failures import refused
from mcp_backend.migrations.model import Step
from mcp_backend.migrations.run import Done, Limits, Outcome, Prepared, Progress, Run


async def apply(
    engine: Postgresql, prepared: Prepared, limits: Limits, progress: Progress, touched: preflight.Touched = ()
) -> Outcome:
    """Runs the steps of a plan. `touched` are the relations it is known to lock, and how.

    Raises `Aborted` when the world moved since the plan, `DeadlineExceeded` when locks or statements took too long or
    a long transaction is in the way, `InvalidArgument` when the server refuses a statement, `Unavailable` or
    `OutcomeUnknown` when it goes away. In each the reason says what was applied and what was rolled back.
    """
    run = Run(engine, limits, prepared)
    async with engine.dedicated() as conn:
        with lost.before(conn, engine):
            await _settings(conn)
            await turn(conn, run)
            now = await planning.read(conn, prepared)
            unmoved(prepared, now.versions, await planning.world(conn, prepared, now))
            before = await snapshot.take(conn)
            looked = await preflight.look(conn, touched, limits.long)
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
            version_after = await planning.world(conn, prepared, await planning.read(conn, prepared))
    difference = tuple(snapshot.difference(before, after))
    return Outcome(tuple(run.done), version_after, round(run.waited_ms, 1), difference, looked)


async def _settings(conn: Connection) -> None:
    await conn.execute(b"set application_name = 'mcp-backend run_migration'")


async def turn(conn: Connection, run: Run) -> None:
    """Takes the locks, waiting at most `limits.turn` for the server that has one."""
    for key in run.prepared.history.locks:
        began = time.monotonic()
        if not await history.locked(conn, key, began + run.limits.turn):
            raise DeadlineExceeded(
                f"another server migrates this database: {await history.holder(conn, key)}. It was waited for "
                f"{run.limits.turn:g} s; {run.left('nothing was executed').words}. Repeat the call when it is done"
            )
        if (waited := time.monotonic() - began) > history.LOOK_SECONDS / 2:
            run.waited_ms += waited * 1000


async def _holds(conn: Connection, run: Run) -> bool:
    """Whether the locks are still ours: a migration can let go of them."""
    rows = await history.rows(
        conn,
        "select (l.classid::bigint << 32) | l.objid::bigint from pg_catalog.pg_locks l where l.locktype = 'advisory' "
        "and l.objsubid = 1 and l.granted and l.pid = pg_catalog.pg_backend_pid()",
    )
    return {int(row[0]) for row in rows} >= set(run.prepared.history.locks)


def unmoved(prepared: Prepared, versions: tuple[str, ...], now: str) -> None:
    """Raises `Aborted` when history or schema are not those of the plan."""
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
    """One migration. The locks are taken again, in case the one before it let go of them."""
    run.unsafe, run.statement, run.noted = False, None, step.done
    if run.done:
        await conn.execute(_CLEAN)
        await _settings(conn)
        if not await _holds(conn, run):
            await turn(conn, run)
            now = (await planning.read(conn, run.prepared)).versions
            gone = {done.version for done in run.done}
            if set(now) ^ set(run.prepared.history.versions) != gone:
                raise Aborted(
                    f"the history changed while this call ran; {run.left('it stops here').words}. Repeat the call"
                )
    if step.atomic:
        await parts.transaction(conn, run, step, step.parts[0], create)
        return
    await parts.begin(conn, run, step, create)
    for index, part in enumerate(step.parts):
        last = index == len(step.parts) - 1
        if part.transaction:
            await parts.transaction(conn, run, step, part, last=last)
        else:
            await parts.plain(conn, run, step, part)
            if last:
                await parts.end(conn, run, step)


_CLEAN = (
    b"set session authorization default; reset role; reset all; deallocate all; close all; unlisten *; "
    b"discard plans; discard temp; discard sequences"
)
"""What `DISCARD ALL` does but for the locks: a migration leaves nothing in the session of the next one."""
