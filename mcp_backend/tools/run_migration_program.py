"""run_migration where the tool's migrations are programs: observed on a shadow, then run through the tap."""

from typing import TYPE_CHECKING

from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, Json

if TYPE_CHECKING:
    from mcp_backend.migrations.run import Prepared
    from mcp_backend.tools.run_migration import RunMigration


async def observed(request: "RunMigration", app: App, name: str, prepared: "Prepared") -> "Prepared":
    """The plan with what the program does. Raises `FailedPrecondition` when it fails and is not judged either."""
    from mcp_backend.migrations.wiretap.observing import observed

    engine = app.engines.postgresql(name)
    unjudged = bool(engine.settings.migrating.unrehearsed_because)
    found = await observed(
        engine, app.workspace, app.policy, prepared, request.version, request.direction, back=not unjudged
    )
    if unjudged and found.observed and found.observed.failed:
        raise FailedPrecondition(f"{found.observed.failed}. It was tried on a shadow; nothing was executed")
    return found


def interrupted(app: App, name: str, prepared: "Prepared") -> dict[str, Json]:
    """What an earlier run that was killed left, as part of a result. With nothing to run, it is told once."""
    from mcp_backend.migrations.wiretap import interrupted

    every = {*prepared.history.versions, *prepared.history.facts.get("all", ())}
    found = interrupted.found(app.workspace, name, every, prepared.version)
    if found is None:
        return {}
    if not prepared.steps:
        interrupted.end(app.workspace, name)
    return {"interrupted": found}
