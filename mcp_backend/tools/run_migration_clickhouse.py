"""run_migration on ClickHouse."""

from typing import TYPE_CHECKING, cast

from mcp_backend.app import App
from mcp_backend.errors import Aborted, Json, Unavailable
from mcp_backend.facts import Facts, Rehearsal
from mcp_backend.tools.base import Plan, Result
from mcp_backend.tools.run_migration import MOST, RunMigration, answer

if TYPE_CHECKING:
    from mcp_backend.migrations.clickhouse.subject import Subject
    from mcp_backend.migrations.rehearsed import Rehearsed

LONGEST_PREVIEW = 60_000


async def plan(request: RunMigration, app: App, name: str) -> Plan:
    """As `RunMigration.plan`."""
    from mcp_backend.migrations.clickhouse import subject

    engine = app.engines.clickhouse(name)
    planned = await subject.pending(engine, app.workspace.root, request.version, request.direction)
    at_version = planned.action.at_version
    if not planned.steps:
        return Plan(at_version=at_version, prepared=(planned, None))
    because = engine.settings.migrating.unrehearsed_because
    found = None if because else await _rehearsed(app, name, planned)
    return Plan(
        actions=(planned.action,),
        facts=Facts(rehearsal=found.fact(name) if found else Rehearsal(name, "off")),
        preview=_preview(planned, f"{name} ({engine.settings.environment}) at {at_version}", found, because),
        at_version=at_version,
        prepared=(planned, found),
        recorded={"unrehearsed_because": because} if because else {},
        evidence={"rehearsal": found.digest} if found else {},
    )


async def run(request: RunMigration, app: App, name: str, plan: Plan) -> Result:
    """As `RunMigration.run`."""
    from mcp_backend.migrations.clickhouse.applying import apply

    planned, found = cast("tuple[Subject, Rehearsed | None]", plan.prepared)
    if not planned.steps:
        return answer(plan.at_version, [], plan.at_version, 0, []) | {"note": request.nothing()}
    engine = app.engines.clickhouse(name)
    outcome = await apply(engine, app.workspace, planned, request.statement_timeout_seconds, app.progress)
    applied: list[Json] = [{"version": d.version, "name": d.name, "elapsed_ms": d.elapsed_ms} for d in outcome.done]
    result = answer(
        plan.at_version, applied[-MOST:], outcome.version_after, outcome.waited_ms, list[Json](outcome.difference)
    )
    if found is not None:
        foreseen = found.version_after
        result["rehearsal"] = {
            "verdict": found.verdict,
            "digest": found.digest,
            "as_rehearsed": outcome.version_after == foreseen if foreseen else None,
        }
    return result


async def _rehearsed(app: App, name: str, planned: "Subject") -> "Rehearsed":
    """What the rehearsal of exactly these statements at exactly this state decided; rehearses when none was kept."""
    from mcp_backend.migrations import rehearsed
    from mcp_backend.migrations.clickhouse import subject
    from mcp_backend.web import kept, sharing

    await sharing.bring(app.store, app.workspace, planned.digest, planned.action.at_version)
    if found := rehearsed.find(app.workspace, planned.digest, planned.action.at_version):
        return found
    engine = app.engines.clickhouse(name)
    try:
        report = await subject.rehearsed(engine, app.workspace, planned)
    except Unavailable as error:
        raise Unavailable(
            f"the migration could not be rehearsed, so nothing was executed: {error.reason} (a person can let "
            f"migrations run unrehearsed with engines.{name}.unrehearsed_because in mcp-backend.toml)",
            details=error.details,
        ) from error
    if report.at_version != planned.action.at_version:
        raise Aborted(f"the database changed from {planned.action.at_version} to {report.at_version} meanwhile")
    kept.keep(app.workspace, report, app.clock())
    decided = rehearsed.keep(app.workspace, report)
    await sharing.share(app.store, app.workspace, report.digest)
    return decided


def _preview(planned: "Subject", where: str, found: "Rehearsed | None", because: str) -> str:
    """What a person reads: what the rehearsal said, then every statement."""
    lines = [f"rehearsed: {found.verdict}" if found else f"NOT rehearsed, because: {because}"]
    lines += [f"  {reason}" for reason in found.reasons] if found else []
    lines.append(f"{planned.direction} on {where}: {len(planned.steps)} migration(s)")
    for step in planned.steps:
        lines.append(f"\n{step.file.where} (statement by statement, NOT all or nothing)")
        lines += [f"  line {s.line}: {s.shown};" for s in step.statements[step.done :]]
    text = "\n".join(lines)
    if len(text) > LONGEST_PREVIEW:
        files = ", ".join(step.file.where for step in planned.steps)
        text = f"{text[:LONGEST_PREVIEW]}\n… cut off here; read the rest in the files themselves: {files}"
    return text
