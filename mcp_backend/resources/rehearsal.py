"""rehearsal://{digest}: what a rehearsal found, as data and as a page."""

import json
from collections.abc import Mapping
from contextlib import suppress

from mcp_backend.app import App
from mcp_backend.errors import Json, NotFound
from mcp_backend.resources.base import Resource


async def _read(app: App, values: Mapping[str, str]) -> str:
    return json.dumps(await kept_for(app, values["digest"]), ensure_ascii=False)


async def _page(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.web import rehearsal

    return rehearsal.rendered(await kept_for(app, values["digest"]))


async def kept_for(app: App, digest: str) -> dict[str, Json]:
    """A rehearsal tells the schema of its engine: who may not have that one may not read it."""
    from mcp_backend.web import kept, sharing

    await sharing.bring(app.store, app.workspace, digest)
    found = kept.read(app.workspace, digest)
    with suppress(NotFound):  # An engine that the policy no longer names is nobody's secret.
        app.engines.choose(str(found["engine"]), ("postgresql", "clickhouse"))
    return found


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    from mcp_backend.web import sharing

    return (await sharing.newest(app.store, app.workspace))[:100]


PAGE = Resource(
    "rehearsal://{digest}/page", "rehearsal-page", "Rehearsal as a page",
    "One rehearsal for people: self-contained HTML.",
    _page, "text/html", complete=_complete,
)  # fmt: skip
REHEARSAL = Resource(
    "rehearsal://{digest}", "rehearsal", "Rehearsal", "One rehearsal: verdict, hazards, locks, schema "
                                                      "difference.", _read,
    complete=_complete,
)  # fmt: skip
