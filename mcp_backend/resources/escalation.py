"""escalation://open and escalation://{id}."""

import json
from collections.abc import Mapping

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.resources.base import Resource
from mcp_backend.tools.check_escalation import brief, full


async def _open(app: App, values: Mapping[str, str]) -> str:
    return json.dumps([brief(row) for row in await app.store.rows("escalations_open")], ensure_ascii=False)


async def _one(app: App, values: Mapping[str, str]) -> str:
    return json.dumps(full(await escalations.get(app.store, values["id"])), ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    return [str(row["id"]) for row in await app.store.rows("escalations_all", limit=100)]


OPEN = Resource("escalation://open", "open-escalations", "Open escalations", "What waits for a person.", _open)
ONE = Resource(
    "escalation://{id}", "escalation", "Escalation", "One question or approval with its answer.", _one,
    complete=_complete,
)  # fmt: skip
