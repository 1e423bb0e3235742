"""check_escalation: status and answer of what was asked."""

import asyncio
import json

from pydantic import Field

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.errors import Json
from mcp_backend.people import decisions, routing
from mcp_backend.store import Row, Store
from mcp_backend.tools.base import Plan, Result, Tool


class CheckEscalation(Tool):
    """Has a person answered or decided? Read the status and the answer of an escalation; without id, all open ones."""

    name = "check_escalation"
    title = "Read an answer"
    toolset = "escalation"
    read_only = True
    idempotent = True

    id: str | None = Field(default=None, max_length=40)
    wait_seconds: float = Field(default=0, ge=0, le=45, description="wait this long for an answer")

    def seconds(self) -> float:
        return self.deadline + self.wait_seconds

    async def plan(self, app: App) -> Plan:
        if self.id is not None:
            await escalations.get(app.store, self.id)
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        await routing.end_changed(app.store, app.workspace.root, app.now())
        async with app.store.transaction(durable=False):
            await escalations.expire(app.store, app.now())
        if self.id is None:
            rows = await app.store.rows("escalations_open")
            return {"open": [brief(row) for row in rows[:50]], "truncated": len(rows) > 50}
        row = await _settled(app, self.id, self.wait_seconds)
        async with app.store.transaction(durable=False):
            await app.store.run("escalation_seen", id=self.id, asker=app.caller.principal)
        said = await exchange(app.store, self.id)
        more: Result = {"exchange": said} if said else {}
        if row["awaits"]:
            more["reply"] = (
                f'a person waits for yours: escalate, details {{"reply_to": "{self.id}"}}, reply as question'
            )
        return {
            "id": row["id"],
            "status": row["status"],
            "answer": row["answer"],
            "by": row["answered_by"],
            "channel": row["channel"],
            "decision": await asyncio.to_thread(_decision, app, self.id),
            "kind": row["kind"],
            "title": row["title"],
            "question": row["question"],
            "assignee": row["assignee"],
            **more,
        }


async def exchange(store: Store, identifier: str) -> list[Json]:
    """What people asked back and what was replied, and why it ended, the oldest first."""
    events = await store.rows("escalation_events", escalation=identifier)
    return [{"event": e["event"], "by": e["actor"], "text": e["note"]} for e in events if e["note"]]


def _decision(app: App, identifier: str) -> str | None:
    """The number of the record that an answer became, if it did."""
    return next((d.number for d in decisions.all_of(app.workspace.root) if d.escalation == identifier), None)


async def _settled(app: App, identifier: str, seconds: float) -> Row:
    """The escalation once it is decided or a person asked back, or as it is when the time is over. The answer may come
    from another process, or from another machine."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        mark = app.store.mark()
        row = await escalations.get(app.store, identifier)
        left = deadline - loop.time()
        if row["status"] not in escalations.OPEN or row["awaits"] or left <= 0:
            return row
        await app.store.changed(mark, left)


def brief(row: Row) -> dict[str, Json]:
    """One escalation as a list shows it."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "status": row["status"],
        "title": row["title"],
        "assignee": row["assignee"],
        "blocking": bool(row["blocking"]),
    }


def full(row: Row) -> dict[str, Json]:
    """One escalation with everything that was asked and answered."""
    return {
        **brief(row),
        "question": row["question"],
        "details": json.loads(row["details"]),
        "answer": row["answer"],
        "by": row["answered_by"],
        "channel": row["channel"],
    }
