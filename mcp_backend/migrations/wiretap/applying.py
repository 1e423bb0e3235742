"""Applies what was observed and rehearsed: the project's own command, through a tap that lets nothing else pass.

A lock on a table is waited for only briefly; then the command is stopped by the server, rolls back, and runs again from
what is not committed. Whatever happens, the history is read again before anything is said about it.
"""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import replace

import psycopg

from mcp_backend.engines.postgresql import Connection, Postgresql
from mcp_backend.errors import (
    Aborted,
    BackendError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Json,
    OutcomeUnknown,
    Unavailable,
)
from mcp_backend.migrations import apply as applying
from mcp_backend.migrations import lost, planning, preflight, snapshot
from mcp_backend.migrations.failures import RETRIED
from mcp_backend.migrations.run import Done, Limits, Outcome, Prepared, Progress, Run
from mcp_backend.migrations.waits import Waits, look
from mcp_backend.migrations.wiretap import interrupted, program, tap
from mcp_backend.migrations.wiretap.judges import Enforcer
from mcp_backend.migrations.wiretap.observed import Observed
from mcp_backend.migrations.wiretap.program import Ended
from mcp_backend.migrations.wiretap.sent import Sent, Sorting
from mcp_backend.migrations.wiretap.tap import Tap
from mcp_backend.migrations.wiretap.upstream import Place, place_of
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace

LONGEST = 86_400.0
START_SECONDS = 120.0


async def apply(
    engine: Postgresql, workspace: Workspace, policy: Policy, prepared: Prepared, limits: Limits, progress: Progress,
    touched: preflight.Touched = (),
) -> Outcome:  # fmt: skip
    """Runs the commands of a plan.

    Raises as `migrations.apply.apply` does, and `Aborted` when the command sends what was not rehearsed. In each case
    the reason says what the history has now.
    """
    seen = prepared.observed
    assert seen is not None, "observed before"
    run = Run(engine, limits, prepared)
    name = engine.settings.name
    async with engine.dedicated() as conn:
        with lost.before(conn, engine):
            await conn.execute(b"set application_name = 'mcp-backend run_migration'")
            await applying.turn(conn, run)
            now = await planning.read(conn, prepared)
            applying.unmoved(prepared, now.versions, await planning.world(conn, prepared, now))
            before = await snapshot.take(conn)
            looked = await preflight.look(conn, touched, limits.long)
        place = await _place(engine, conn, limits)
        judge = _Judge(seen)
        with interrupted.noted(workspace, name, prepared):
            try:
                await _commands(run, workspace, policy, place, judge, seen, progress)
            except BackendError as error:
                said = await _said(run, conn, judge, error)
                if not isinstance(said, OutcomeUnknown):
                    interrupted.end(workspace, name)
                raise said from None
        run.done.extend(judge.done(prepared))
        interrupted.end(workspace, name)
        with lost.after(engine, run.done):
            after = await snapshot.take(conn)
            past = await planning.read(conn, prepared)
            version_after = await planning.world(conn, prepared, past)
    difference = tuple(snapshot.difference(before, after))
    note = "" if judge.whole else (
        f"the command ended after {judge.at} of the {len(judge.expected)} statements that were rehearsed: what it did "
        "not send depends on rows or settings of this database"
    )  # fmt: skip
    return Outcome(tuple(run.done), version_after, round(run.waited_ms, 1), difference, looked, note)


class _Judge(Enforcer):
    """The enforcer, and when each version was recorded."""

    def __init__(self, seen: Observed) -> None:
        super().__init__(seen.sent, seen.given)
        self.heard: list[Sent] = []
        self.began = 0.0

    def judge(self, sent: Sent) -> str:
        refused = super().judge(sent)
        self.began = self.began or time.monotonic()
        if not refused and sent.kind != "read":
            self.heard.append(sent)
        return refused

    def failed(self) -> Sent | None:
        """The last statement that the server refused."""
        return next((one for one in reversed(self.heard) if one.failed), None)

    def done(self, prepared: Prepared) -> list[Done]:
        """The versions in order, with the milliseconds since the one before."""
        seen, used = prepared.observed, prepared.tool.program
        assert seen is not None, "observed before"
        assert used is not None, "a tool with a program of its own"
        from mcp_backend.migrations.wiretap.observed import history_of

        found: list[Done] = []
        last = self.began
        names = {step.file.version: step.file.name for step in prepared.steps}
        for one in self.heard:
            what = history_of(one, used)
            if what is not None and what[0] in seen.applied:
                found.append(Done(what[0], names.get(what[0], what[0]), round((one.ended - last) * 1000, 1)))
                last = one.ended or last
        if not found:
            spent = max((one.ended for one in self.heard), default=last) - self.began
            found = [Done(v, names.get(v, v), round(spent * 1000, 1)) for v in seen.applied]
        return found


async def _commands(
    run: Run, workspace: Workspace, policy: Policy, place: Place, judge: _Judge, seen: Observed, progress: Progress
) -> None:
    """Every command to its end, again while it is locks that are in the way and time is left."""
    until, pause = time.monotonic() + run.limits.deadline, 0.2
    sorting = Sorting(run.engine.look_up)
    waits = Waits()
    for number, command in enumerate(seen.commands):
        await progress(number, len(seen.commands), command.told)
        while True:
            async with tap.opened(place, judge, sorting) as listening:
                watching = asyncio.create_task(_watch(run, listening, waits))
                try:
                    seconds = min(LONGEST, run.limits.statement * max(1, len(seen.sent)) + START_SECONDS)
                    ended = await program.run(workspace, policy, run.engine.settings, listening, command, seconds)
                finally:
                    watching.cancel()
                    with suppress(asyncio.CancelledError):
                        await watching
                    run.waited_ms += waits.milliseconds
                    waits.by_start.clear()
            if not ended.exit_code and not ended.timed_out and not judge.stopped and listening.sessions:
                break
            failed = judge.failed()
            locked = failed is not None and failed.sqlstate in RETRIED and not judge.stopped
            if not locked or time.monotonic() + pause > until or waits.longest > run.limits.long:
                raise _refused(judge, ended, listening, command.told, waits)
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 1.7, 2.0)
            judge.heard = [one for one in judge.heard if not one.failed]
            judge.again()


async def _watch(run: Run, listening: Tap, waits: Waits) -> None:
    """Who is in the way of a statement that takes longer than a third of the lock timeout."""
    while True:
        await asyncio.sleep(run.limits.lock / 3)
        for pid in listening.busy:
            waits.blockers = await look(run.engine, pid, waits) or waits.blockers


def _refused(judge: _Judge, ended: Ended, listening: Tap, told: str, waits: Waits) -> BackendError:
    if judge.stopped:
        return Aborted(
            f"{told}: {judge.stopped}. The program does not do the same on every run, or it depends on rows or "
            "settings that the rehearsal did not have; make the migration say what it changes in SQL or in operations, "
            "then repeat the call"
        )
    failed = judge.failed()
    if failed is None:
        why = program.why(ended, listening, told)
        return DeadlineExceeded(why) if ended.timed_out else FailedPrecondition(why)
    details: dict[str, Json] = {"sqlstate": failed.sqlstate, "statement": failed.sql[:500]}
    said = f"{told}: {failed.failed} (SQLSTATE {failed.sqlstate})"
    if failed.sqlstate in RETRIED:
        details["blocked_by"] = list[Json](waits.blockers)
        who = "; ".join(waits.blockers) or "another session (which one could not be seen)"
        return DeadlineExceeded(
            f"{said}: it could not get its lock in any try, blocked by {who}. Repeat the call when that is done",
            details=details,
        )
    if failed.sqlstate == "57014":
        return DeadlineExceeded(f"{said}. If it needs longer, give statement_timeout_seconds more", details=details)
    return InvalidArgument(said, details=details)


async def _said(run: Run, conn: Connection, judge: _Judge, error: BackendError) -> BackendError:
    """The error with what the history has now; unknown when that cannot be read."""
    seen = run.prepared.observed
    assert seen is not None, "observed before"
    versions = await _versions(run, conn)
    name = run.engine.settings.name
    if versions is None:
        return OutcomeUnknown(
            f"{error.reason}. The server does not answer any more, so what of it was committed is unknown: look at "
            f"migrations://{name} when it is back; the next run_migration says what it found",
            details={**(error.details or {}), "outcome": "unknown"},
        )
    up = seen.direction == "up"
    done = [version for version in seen.applied if (version in versions) == up]
    told = f"By the history {', '.join(done) or 'none of it'} took effect"
    outside = any(one.kind == "effect" and not one.inside and not one.failed for one in judge.heard)
    if outside and len(done) < len(seen.applied):
        told += "; statements that run outside a transaction may have taken effect besides: look at the schema"
    error = type(error)(f"{error.reason}. {told}", details={**(error.details or {}), "applied": list[Json](done)})
    lost_now = conn.closed or conn.broken
    return Unavailable(error.reason, details=error.details) if lost_now else error


async def _versions(run: Run, conn: Connection) -> frozenset[str] | None:
    """Every version that the history has, on a fresh connection when the old one is gone."""
    with suppress(psycopg.Error, BackendError):
        return _all(await planning.read(conn, run.prepared))
    until, pause = time.monotonic() + lost.LOOKING_SECONDS, 0.1
    while time.monotonic() < until:
        with suppress(psycopg.Error, BackendError):
            async with run.engine.dedicated() as fresh:
                return _all(await planning.read(fresh, run.prepared))
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)
    return None


def _all(past: planning.History) -> frozenset[str]:
    return frozenset(past.versions) | frozenset(past.facts.get("all", ()))


async def _place(engine: Postgresql, conn: Connection, limits: Limits) -> Place:
    """Where the tap goes: to the very server that `conn` reached, with the same password."""
    parameters = dict((await engine.place()).parameters)
    info = conn.info
    found = place_of(
        parameters, host=info.host or "127.0.0.1", port=info.port, user=info.user, database=info.dbname,
        password=info.password or "", tls=bool(conn.pgconn.ssl_in_use),
    )  # fmt: skip
    own = {
        "lock_timeout": f"{int(limits.lock * 1000)}ms", "statement_timeout": f"{int(limits.statement * 1000)}ms",
        "idle_in_transaction_session_timeout": "120s", "application_name": "mcp-backend run_migration",
    }  # fmt: skip
    return replace(found, settings={**found.settings, **own})
