"""run_migration: apply the repository's own pending migrations, or take the newest one back."""

import asyncio
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import anyio
from pydantic import Field

from mcp_backend import actions
from mcp_backend.app import App
from mcp_backend.errors import Aborted, Json
from mcp_backend.facts import Facts, Rehearsal
from mcp_backend.policy import EngineSettings
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.migrations.rehearsed import Rehearsed
    from mcp_backend.migrations.run import Prepared

T = TypeVar("T")

MOST = 100
"""Applied migrations in a result, the newest of them."""


class RunMigration(Tool):
    """Apply the pending migrations of the repository's own folder (dbmate, golang-migrate, goose, Flyway, Prisma, sqlx,
    Supabase, Drizzle, Alembic or Django), or take the newest one back, as rehearsed.

    Each runs in one transaction with its row in that tool's history; what cannot runs statement by statement, and the
    next call goes on where one was interrupted. Waits briefly for locks and tries again. Nothing pending is a result,
    not an error. Staging, production and what the rehearsal finds risky need a person's approval.
    """

    name = "run_migration"
    title = "Run migrations"
    toolset = "database"
    read_only = False
    destructive = True
    deadline = 3600.0

    engine: str | None = Field(default=None, min_length=1, max_length=100)
    version: str | None = Field(
        default=None, min_length=1, max_length=255, description="up: only this one; down: the newest applied (default)"
    )
    direction: Literal["up", "down"] = "up"
    statement_timeout_seconds: float = Field(default=900, ge=1, le=86_400, description="for one statement")
    lock_timeout_ms: int = Field(default=500, ge=200, le=1000, description="for one wait for a lock; tried again")

    async def plan(self, app: App) -> Plan:
        from mcp_backend.migrations import planning

        settings = app.engines.choose(self.engine, ("postgresql", "clickhouse"))
        if settings.kind == "clickhouse":
            from mcp_backend.tools import run_migration_clickhouse

            return await run_migration_clickhouse.plan(self, app, settings.name)
        engine = app.engines.postgresql(settings.name)
        prepared = await planning.prepare(engine, app.workspace.root, self.version, self.direction)
        if prepared.tool.program:
            from mcp_backend.tools import run_migration_program

            prepared = await run_migration_program.observed(self, app, settings.name, prepared)
        if not prepared.steps:
            return Plan(at_version=prepared.version, prepared=(prepared, None))
        because = settings.migrating.unrehearsed_because
        found = None
        if not because:
            from mcp_backend.migrations.rehearsed import rehearsed
            from mcp_backend.web import kept, sharing

            digest = actions.digest(self.name, (planning.action(prepared, engine),))
            await sharing.bring(app.store, app.workspace, digest, prepared.version)
            found, report = await rehearsed(engine, app.workspace, prepared, self.version, self.direction)
            if report is not None:
                kept.keep(app.workspace, report, app.clock())
                await sharing.share(app.store, app.workspace, report.digest)
            if found.at_version != prepared.version:
                raise Aborted(
                    f"the database changed from {prepared.version} to {found.at_version} during the rehearsal"
                )
        return Plan(
            actions=(planning.action(prepared, engine),),
            facts=Facts(rehearsal=found.fact(settings.name) if found else Rehearsal(settings.name, "off")),
            preview=_preview(prepared, actions.where(settings.name, settings.environment), found, because),
            at_version=prepared.version,
            prepared=(prepared, found),
            recorded={"unrehearsed_because": because} if because else {},
            evidence={"rehearsal": found.digest} if found else {},
        )

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.migrations.apply import apply
        from mcp_backend.migrations.run import Limits

        settings = app.engines.choose(self.engine, ("postgresql", "clickhouse"))
        if settings.kind == "clickhouse":
            from mcp_backend.tools import run_migration_clickhouse

            work = run_migration_clickhouse.run(self, app, settings.name, plan)
            return await _cancellable(asyncio.create_task(work))
        prepared, found = cast("tuple[Prepared, Rehearsed | None]", plan.prepared)
        earlier: Result = {}
        if prepared.tool.program:
            from mcp_backend.tools import run_migration_program

            earlier = run_migration_program.interrupted(app, settings.name, prepared)
        if not prepared.steps:
            nothing = answer(plan.at_version, [], plan.at_version, 0, [])
            return {**nothing, "note": self.nothing(), "rehearsal": {"verdict": "nothing to rehearse"}, **earlier}
        engine = app.engines.postgresql(settings.name)
        limits = Limits(
            lock=self.lock_timeout_ms / 1000,
            statement=self.statement_timeout_seconds,
            deadline=engine.settings.migrating.lock_deadline,
        )
        touched = found.touched if found else ()
        if prepared.tool.program:
            from mcp_backend.migrations.wiretap import applying

            work = applying.apply(engine, app.workspace, app.policy, prepared, limits, app.progress, touched)
        else:
            work = apply(engine, prepared, limits, app.progress, touched)
        outcome = await _cancellable(asyncio.create_task(work))
        applied: list[Json] = [
            {"version": done.version, "name": done.name, "elapsed_ms": done.elapsed_ms} for done in outcome.done
        ]
        result = answer(
            plan.at_version, applied[-MOST:], outcome.version_after, outcome.waited_ms, list[Json](outcome.difference)
        )
        result["rehearsal"] = _verified(prepared, found, outcome.version_after, engine.settings)
        result["preflight"] = dict(outcome.preflight)
        result |= earlier | ({"note": outcome.note} if outcome.note else {})
        if prepared.observed:
            result["commands"] = [command.told for command in prepared.observed.commands]
        if len(applied) > MOST:
            result |= {"truncated": True, "applied_total": len(applied), "next": f"migrations://{engine.settings.name}"}
        if (dump := prepared.folder.parent / "schema.sql").is_file() and prepared.tool.name == "dbmate":
            result["note"] = f"{dump.name} beside the migrations was not written anew (dbmate dump does that)"
        return result

    def nothing(self) -> str:
        """Why there was nothing to do."""
        return f"migration {self.version} is applied already" if self.version else "nothing is pending"


def answer(before: str, applied: list[Json], after: str, waited: float, difference: list[Json]) -> Result:
    """What every run says, whatever the engine."""
    return {
        "applied": applied,
        "at_version_before": before,
        "at_version_after": after,
        "waited_for_locks_ms": waited,
        "schema_diff": difference,
    }


def _preview(prepared: "Prepared", where: str, found: "Rehearsed | None", because: str) -> str:
    """What a person reads: what the rehearsal said, then every statement."""
    from mcp_backend.migrations import steps

    said = f"rehearsed: {found.verdict}" if found else f"NOT rehearsed, because: {because}"
    reasons = [f"  {reason}" for reason in found.reasons] if found else []
    statements = steps.preview(prepared.steps, f"{where} at {prepared.version}")
    return "\n".join((said, *reasons, statements))


def _verified(prepared: "Prepared", found: "Rehearsed | None", after: str, settings: EngineSettings) -> Json:
    """Whether the database is now what the rehearsal ended with."""
    if found is None:
        return {"verdict": "off", "because": settings.migrating.unrehearsed_because, "schema_as_rehearsed": "unknown"}
    told: dict[str, Json] = {"verdict": found.verdict, "digest": found.digest}
    if any(step.resumed for step in prepared.steps) or not found.version_after:
        return {**told, "schema_as_rehearsed": "unknown"}
    same = found.version_after.partition("@")[0] == after.partition("@")[0]
    if not same:
        told["note"] = "the schema is another one than the rehearsal ended with: look at schema_diff and report it"
    return {**told, "schema_as_rehearsed": same}


async def _cancellable(task: "asyncio.Task[T]") -> T:
    """The task's result. When the host cancels, the task is cancelled once and left to end: it cancels the statement
    in the server, which a cancel scope that interrupts every wait would not let it do."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task}, timeout=10)
        if task.done() and not task.cancelled():
            task.exception()  # the cancelled call is its answer
        raise
