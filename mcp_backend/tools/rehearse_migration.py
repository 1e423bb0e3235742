"""rehearse_migration: what a migration would do to this database, seen on a shadow of it."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.migrations.rehearsal.subject import Observe
    from mcp_backend.migrations.run import Prepared


class RehearseMigration(Tool):
    """Try out pending migrations, one version or given SQL (add, alter, drop a column …) on a shadow, a copy of
    the database: locks, hazards, reversal, verdict."""

    name = "rehearse_migration"
    title = "Rehearse migrations"
    toolset = "database"
    read_only = True
    idempotent = True
    deadline = 3600.0

    engine: str | None = None
    version: str | None = Field(default=None, description="of a pending one")
    direction: Literal["up", "down"] = "up"
    sql: str | None = None
    down_sql: str | None = None

    async def plan(self, app: App) -> Plan:
        from mcp_backend.migrations.rehearsal import subject

        if self.sql is not None and (self.version is not None or self.direction == "down"):
            raise InvalidArgument("sql: expected without version and with direction up: it is rehearsed by itself")
        if self.down_sql is not None and self.sql is None:
            raise InvalidArgument("down_sql: expected together with sql")
        settings = app.engines.choose(self.engine, ("postgresql", "clickhouse"))
        root = app.workspace.root
        if settings.kind == "clickhouse":
            return await self._plan_clickhouse(app, settings.name)
        engine = app.engines.postgresql(settings.name)
        if self.sql is not None:
            found = await subject.given(engine, root, self.sql, self.down_sql)
        else:
            found = await subject.pending(engine, root, self.version, self.direction, self._observe(app, engine))
        return Plan(at_version=found.at_version, prepared=found)

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.migrations import second_opinion
        from mcp_backend.web import kept, sharing

        settings = app.engines.choose(self.engine, ("postgresql", "clickhouse"))
        if settings.kind == "clickhouse":
            from mcp_backend.migrations.clickhouse import subject

            report = await subject.rehearsed(app.engines.clickhouse(settings.name), app.workspace, plan.prepared)
            more: Result = {}
        else:
            from mcp_backend.migrations import rehearsed
            from mcp_backend.migrations.rehearsal import following
            from mcp_backend.migrations.rehearsal.rehearse import rehearse

            report = await rehearse(app.engines.postgresql(settings.name), app.workspace, plan.prepared)
            following.remember(plan.prepared, report)
            rehearsed.keep(app.workspace, report)
            more = {"second_opinion": (await second_opinion.ask(report)).as_json()}
        place = kept.keep(app.workspace, report, app.clock(), more)
        await sharing.share(app.store, app.workspace, report.digest)
        return {**report.as_result(), **more, "report": place}

    def _observe(self, app: App, engine: "Postgresql") -> "Observe":
        """Runs the program of a tool whose migrations are programs."""

        async def observe(prepared: "Prepared") -> "Prepared":
            from mcp_backend.migrations.wiretap.observing import observed

            return await observed(engine, app.workspace, app.policy, prepared, self.version, self.direction)

        return observe

    async def _plan_clickhouse(self, app: App, name: str) -> Plan:
        from mcp_backend.migrations.clickhouse import subject

        engine, root = app.engines.clickhouse(name), app.workspace.root
        if self.sql is not None:
            found = await subject.given(engine, root, self.sql, self.down_sql)
        else:
            found = await subject.pending(engine, root, self.version, self.direction)
        return Plan(at_version=found.action.at_version, prepared=found)
