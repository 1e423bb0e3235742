"""escalate: ask a person what the engineer may not decide."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.people import decisions, questions, routing
from mcp_backend.persona import Kind
from mcp_backend.store import Row
from mcp_backend.tools.base import Plan, Result, Tool

DETAILS_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class _Ready:
    kind: Kind
    recorded: list[decisions.Decision]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Reply:
    """To an escalation that a person asked back about."""

    id: str
    withdraw: bool


class Escalate(Tool):
    """Ask a person (architect, data owner, frontend team) what is ambiguous, which option to take, what you may not
    decide or change, or do not know;
    returns at once, the answer binds.

    details by kind: spec_clarification {spec_ref, readings (2+), recommended}; trade_off {options (2+), recommended,
    cost_of_delay}; frontend_contract {contract, compatibility, consumers, migration_window}; data_model {entities,
    change, affected_rows, retention_or_personal_data, reversible, migration}; unknown {known, tried, would_unblock}.
    An earlier decision or an open question with the same words is returned instead of a second one. A person asked
    back: details {reply_to: id}, your reply as question; withdraw: true when moot.
    """

    name = "escalate"
    title = "Ask a person"
    toolset = "escalation"
    read_only = False
    idempotent = True
    output = {"id": {"type": "string"}, "status": {"type": "string"}}

    kind: Literal["spec_clarification", "trade_off", "frontend_contract", "data_model", "unknown"]
    title_: str = Field(alias="title", min_length=3, max_length=200)
    question: str = Field(min_length=3, max_length=5000)
    details: dict[str, Any]
    blocking: bool = Field(default=True, description="whether your work stops until it is answered")

    async def plan(self, app: App) -> Plan:
        kind = app.persona.kind(self.kind)
        assert kind is not None, "the Literal above and persona/escalations.toml name the same kinds"
        if "reply_to" in self.details:
            return Plan(prepared=_reply(self.details))
        kind = routing.kind_for(kind, app.policy)
        if gaps := questions.missing(kind, self.details):
            named = "; ".join(f"details.{gap['name']}: {gap['expected']}" for gap in gaps)
            raise InvalidArgument(
                f"{self.kind} goes to the {kind.to.replace('_', ' ')} and needs {named}",
                details={"missing": [gap["name"] for gap in gaps]},
            )
        if len(json.dumps(self.details, ensure_ascii=False)) > DETAILS_LIMIT:
            raise InvalidArgument(f"details: expected at most {DETAILS_LIMIT} characters of JSON; name files and lines")
        details = await asyncio.to_thread(self._with_contracts, app)
        return Plan(prepared=_Ready(kind, await asyncio.to_thread(decisions.all_of, app.workspace.root), details))

    def _with_contracts(self, app: App) -> Mapping[str, Any]:
        """The details; of a question about a contract with the operations they name, as they are now."""
        if self.kind != "frontend_contract":
            return self.details
        from mcp_backend.contracts import agreed

        given = {name: value for name, value in self.details.items() if name != questions.AGREED}
        found = agreed.found(app.workspace, given)
        return {**given, questions.AGREED: found} if found else given

    async def run(self, app: App, plan: Plan) -> Result:
        if isinstance(plan.prepared, _Reply):
            return await self._replied(app, plan.prepared)
        ready: _Ready = plan.prepared
        digest = questions.question_digest(self.kind, self.title_, self.question, ready.details)
        if decision := decisions.answering(ready.recorded, digest):
            return _recorded(decision, ready.kind)
        row, new = await escalations.open_question(
            app.store, ready.kind, self.title_, self.question, ready.details, blocking=self.blocking,
            asker=app.caller.principal, now=app.now(), root=app.workspace.root,
        )  # fmt: skip
        assignee = str(row["assignee"])
        people = app.policy.people.get(assignee, ())
        result: Result = {
            "id": row["id"],
            "status": row["status"],
            "assignee": f"{assignee} ({', '.join(people)})" if people else assignee,
            "channels": list(escalations.CHANNELS),
        }
        if not new and row["status"] in escalations.OPEN:
            result["duplicate_of"] = row["id"]
        elif not new:
            result["decided_in"] = next((d.number for d in ready.recorded if d.escalation == row["id"]), row["id"])
            result["answer"] = row["answer"]
            await app.store.run("escalation_seen", id=row["id"], asker=app.caller.principal)
        elif near := await escalations.alike(app.store, row):
            result["similar"] = [_similar(other) for other in near]
        own = row["asker"] == app.caller.principal
        result["meanwhile"] = (
            f"decided by {row['answered_by']}: act on the answer"
            if not new and row["status"] not in escalations.OPEN
            else "do not guess and do not build on a guess; go on with work that does not depend on the answer, "
            + (
                "results carry a notice when it is there (or check_escalation)"
                if own
                else f"check_escalation has the answer when it is there; notices go to {row['asker']}, who asked"
            )
        )
        return result

    async def _replied(self, app: App, to: "_Reply") -> Result:
        if to.withdraw:
            await routing.withdraw(app.store, to.id, self.question, asker=app.caller.principal, now=app.now())
        else:
            await routing.reply(app.store, to.id, self.question, asker=app.caller.principal, now=app.now())
        row = await escalations.get(app.store, to.id)
        gone = "withdrawn: nobody is asked any more"
        return {
            "id": row["id"],
            "status": row["status"],
            "assignee": row["assignee"],
            "channels": list(escalations.CHANNELS),
            "meanwhile": gone
            if to.withdraw
            else "the person reads your reply; go on with work that does not depend on the answer",
        }


def _reply(details: Mapping[str, Any]) -> _Reply:
    if unknown := [name for name in details if name not in ("reply_to", "withdraw")]:
        raise InvalidArgument(
            f"details.{unknown[0]}: beside reply_to only withdraw is known; the reply is the question"
        )
    identifier, withdraw = details["reply_to"], details.get("withdraw", False)
    if not isinstance(identifier, str) or not 3 <= len(identifier) <= 40:
        raise InvalidArgument("details.reply_to: expected the id of an escalation, such as ESC-1a2b3c4d")
    if not isinstance(withdraw, bool):
        raise InvalidArgument("details.withdraw: expected true or false")
    return _Reply(identifier, withdraw)


def _recorded(decision: decisions.Decision, kind: Kind) -> Result:
    return {
        "id": decision.escalation or decision.number,
        "status": "answered",
        "assignee": kind.to,
        "channels": list(escalations.CHANNELS),
        "decided_in": decision.number,
        "answer": decision.outcome,
        "meanwhile": f"recorded as decision://{decision.number}: act on it",
    }


def _similar(row: Row) -> dict[str, Json]:
    """An earlier question as a hint: whether it settles this one, the asker judges."""
    return {"id": row["id"], "title": row["title"], "status": row["status"], "answer": row["answer"]}
