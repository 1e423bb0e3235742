"""decision://{number}: a decision record of the repository."""

import asyncio
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.people import decisions
from mcp_backend.resources.base import Resource


async def _one(app: App, values: Mapping[str, str]) -> str:
    decision = await asyncio.to_thread(decisions.one, app.workspace.root, values["number"])
    return await asyncio.to_thread(decision.path.read_text, "utf-8")


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    return [d.number for d in await asyncio.to_thread(decisions.all_of, app.workspace.root)]


DECISION = Resource(
    "decision://{number}", "decision", "Decision", "A decision record (MADR) of this repository.", _one,
    mime_type="text/markdown", complete=_complete,
)  # fmt: skip
