"""escalation://open, escalation://{id} and escalation://{id}/page."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.errors import NotFound
from mcp_backend.resources import rehearsal
from mcp_backend.resources.base import Resource
from mcp_backend.scopes import check_resource
from mcp_backend.tools.check_escalation import brief, full


async def _open(app: App, values: Mapping[str, str]) -> str:
    return json.dumps([brief(row) for row in await app.store.rows("escalations_open")], ensure_ascii=False)


async def _one(app: App, values: Mapping[str, str]) -> str:
    return json.dumps(full(await escalations.get(app.store, values["id"])), ensure_ascii=False)


async def _page(app: App, values: Mapping[str, str]) -> str:
    """What it rests on tells the schema, or a contract: who may not read that may not read it here."""
    from mcp_backend.people.inbox import Inbox
    from mcp_backend.web import evidence, one

    row = await escalations.get(app.store, values["id"])
    for digest in evidence.digests(row):
        check_resource(app.caller.scopes, f"rehearsal://{digest}")
        with suppress(NotFound):  # The page says that it is not kept any more.
            await rehearsal.kept_for(app, digest)
    if row["kind"] == "frontend_contract":
        check_resource(app.caller.scopes, "contract://")
    inbox = Inbox(app.store, app.policy, app.caller.principal, app.workspace)
    steps = await inbox.history(row)
    return await asyncio.to_thread(one.shown, inbox, row, steps, app.now())


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    return [str(row["id"]) for row in await app.store.rows("escalations_all", limit=100)]


OPEN = Resource("escalation://open", "open-escalations", "Open escalations", "What waits for a person.", _open)
PAGE = Resource(
    "escalation://{id}/page", "escalation-page", "Escalation as a page",
    "One escalation with its evidence for people: self-contained HTML.",
    _page, "text/html", complete=_complete,
)  # fmt: skip
ONE = Resource(
    "escalation://{id}", "escalation", "Escalation", "One question or approval with its answer.", _one,
    complete=_complete,
)  # fmt: skip
