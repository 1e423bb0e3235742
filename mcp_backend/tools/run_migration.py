"""run_migration: apply the repository's own pending migrations, or take the newest one back."""

import asyncio
from typing import TYPE_CHECKING, Literal

import anyio
from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.migrations.run import Outcome

MOST = 100
"""Applied migrations in a result, the newest of them."""
REHEARSAL = (
    "not available in this release: nothing was tried on a copy first; what the statements lock, rewrite or delete was "
    "not judged"
)


class RunMigration(Tool):
    """Apply the pending migrations of the repository's own folder (dbmate form: VERSION_name.sql with '-- migrate:up'
    and '-- migrate:down'), or take the newest one back.

    Each runs in one transaction together with its row in schema_migrations; a block marked transaction:false runs
    statement by statement. Waits briefly for locks and tries again, so that readers are not held up. Nothing pending
    is a result, not an error. Write the migration file first; staging and production need a person's approval.
    """

    name = "run_migration"
    title = "Run migrations"
    toolset = "database"
    read_only = False
    destructive = True
    output = {
        "applied": {"type": "array"},
        "at_version_before": {"type": "string"},
        "at_version_after": {"type": "string"},
        "waited_for_locks_ms": {"type": "number"},
        "schema_diff": {"type": "array"},
    }

    engine: str | None = Field(default=None, min_length=1, max_length=100)
    version: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=r"^[^\s/\\]+$",
        description="up: only this one; down: the newest applied (default)",
    )
    direction: Literal["up", "down"] = "up"
    statement_timeout_seconds: float = Field(default=900, ge=1, le=86_400, description="for one statement")
    lock_timeout_ms: int = Field(default=500, ge=50, le=1000, description="for one wait for a lock; tried again")

    async def plan(self, app: App) -> Plan:
        from mcp_backend.migrations import planning, steps

        settings = app.engines.choose(self.engine, ("postgresql",))
        engine = app.engines.postgresql(settings.name)
        prepared = await planning.prepare(engine, app.workspace.root, self.version, self.direction)
        if not prepared.steps:
            return Plan(at_version=prepared.version, prepared=prepared)
        return Plan(
            actions=(planning.action(prepared, engine),),
            preview=steps.preview(prepared.steps, f"{settings.name} ({settings.environment}) at {prepared.version}"),
            at_version=prepared.version,
            prepared=prepared,
        )

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.migrations.apply import apply
        from mcp_backend.migrations.run import Limits

        if not plan.prepared.steps:
            return {**_result(plan.at_version, [], plan.at_version, 0, []), "note": self._nothing()}
        engine = app.engines.postgresql(app.engines.choose(self.engine, ("postgresql",)).name)
        limits = Limits(
            lock=self.lock_timeout_ms / 1000,
            statement=self.statement_timeout_seconds,
            deadline=engine.settings.migrating.lock_deadline,
        )
        outcome = await _cancellable(asyncio.create_task(apply(engine, plan.prepared, limits, app.progress)))
        applied: list[Json] = [
            {"version": done.version, "name": done.name, "elapsed_ms": done.elapsed_ms} for done in outcome.done
        ]
        result = _result(
            plan.at_version, applied[-MOST:], outcome.version_after, outcome.waited_ms, list[Json](outcome.difference)
        )
        if len(applied) > MOST:
            result |= {"truncated": True, "applied_total": len(applied), "next": f"migrations://{engine.settings.name}"}
        if (dump := plan.prepared.folder.parent / "schema.sql").is_file():
            result["note"] = f"{dump.name} beside the migrations was not written anew (dbmate dump does that)"
        return result

    def _nothing(self) -> str:
        return f"migration {self.version} is applied already" if self.version else "nothing is pending"


def _result(before: str, applied: list[Json], after: str, waited: float, difference: list[Json]) -> Result:
    return {
        "applied": applied,
        "at_version_before": before,
        "at_version_after": after,
        "waited_for_locks_ms": waited,
        "schema_diff": difference,
        "rehearsal": REHEARSAL,
    }


async def _cancellable(task: "asyncio.Task[Outcome]") -> "Outcome":
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
