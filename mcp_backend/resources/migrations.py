"""migrations://{engine}: what is applied, what is pending, what does not fit."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource

KINDS = ("postgresql", "clickhouse")


async def _read(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend import migrations
    from mcp_backend.migrations import lost

    settings = app.engines.choose(values["engine"], KINDS)
    root = app.workspace.root
    if settings.kind == "clickhouse":
        from mcp_backend.migrations.clickhouse import subject

        found = await subject.status(app.engines.clickhouse(settings.name), root)
        return json.dumps({"engine": settings.name, "environment": settings.environment, **found}, ensure_ascii=False)
    engine = app.engines.postgresql(settings.name)
    async with engine.session(True, 15) as conn:
        with lost.before(conn, engine):
            found = await migrations.status(conn, root, settings)
    about = {"engine": settings.name, "environment": settings.environment, **found}
    return json.dumps(about, ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    return [engine.name for engine in app.engines.settings.values() if engine.kind in KINDS]


MIGRATIONS = Resource(
    "migrations://{engine}", "migrations", "Migrations",
    "The migrations of an engine: applied, pending, out of order, without a file.", _read, complete=_complete,
)  # fmt: skip
