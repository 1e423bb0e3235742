"""rehearsal://{digest}: what a rehearsal found, as data and as a page."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource


async def _read(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.web import kept

    return json.dumps(kept.read(app.workspace, values["digest"]), ensure_ascii=False)


async def _page(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.web import kept

    return kept.html(app.workspace, values["digest"])


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    from mcp_backend.web import kept

    return kept.newest(app.workspace)[:100]


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
