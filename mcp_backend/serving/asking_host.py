"""Questions put to the person at the host on the spot (elicitation), in both eras of the protocol.

The host vouches for what it answers: it may answer for its user, and headless hosts decline at once. So this answers
questions that the engineer waits for, and where the policy names people only those that are for the caller; an
approval only where the constraint itself lists `elicitation`. Whatever is
not answered here stays in the inbox. 2025-11-25: a request to the client during the call. 2026-07-28: the call returns
what it needs, the client repeats it with the answer.
https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import anyio
import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.call import call
from mcp_backend.errors import BackendError, FailedPrecondition
from mcp_backend.people import routing
from mcp_backend.store import Row
from mcp_backend.terminal import plain
from mcp_backend.tools.base import Result, Tool
from mcp_backend.tools.escalate import Escalate

Context: TypeAlias = ServerRequestContext[App, Any]
CHANNEL = "elicitation"
STATELESS = "2026-07-28"
"""From this version on the server never calls the client."""
KEY = "answer"
PATIENCE_SECONDS = 120.0
"""How long a call waits for a form; the question stays in the inbox."""
LONGEST = 4000
"""Characters of a form's text, and of what is answered in it."""
_PROPOSED: Mapping[str, str] = {"spec_clarification": "readings", "trade_off": "options"}


@dataclass(frozen=True, slots=True)
class Form:
    """What a person is shown, and what they may fill in. `escalation` binds the answer to it."""

    escalation: Row
    message: str
    schema: dict[str, Any]


async def conversed(
    ctx: Context, app: App, tool: type[Tool], params: types.CallToolRequestParams
) -> Result | types.InputRequiredResult:
    """One call, with what the person at the host answers on the spot. Raises as `call` does."""
    arguments = params.arguments or {}
    try:
        body = await call(app, tool, arguments)
    except FailedPrecondition as error:
        form = await _of_approval(app, error) if _can_ask(ctx) else None
        if form is None:
            raise
        answer = await _answer(ctx, params, form)
        if isinstance(answer, types.InputRequiredResult):
            return answer
        if not await _decided(app, form.escalation, answer):
            raise
        return await call(app, tool, arguments)
    if tool is not Escalate or not _can_ask(ctx) or body.get("status") != "open":
        return body
    form = await _of_question(app, body, arguments, params)
    if form is None:
        return body
    body["channels"] = [CHANNEL, *escalations.CHANNELS]
    body.pop("duplicate_of", None)  # Of itself: this call, repeated by the host with its answer.
    answer = await _answer(ctx, params, form)
    if isinstance(answer, types.InputRequiredResult):
        return answer
    text = _text(answer)
    if text:
        row = await _answered(app, form.escalation, "answered", text, ())
        await app.store.run("escalation_seen", id=row["id"], asker=app.caller.principal)
        done = f"answered by {row['answered_by']} at the host: act on the answer"
        body |= {"status": row["status"], "answer": row["answer"], "by": row["answered_by"], "meanwhile": done}
    return body


def _can_ask(ctx: Context) -> bool:
    declared = ctx.session.client_capabilities
    asks = declared.elicitation if declared else None
    # Form mode is meant where neither mode is named (2025-06-18).
    return asks is not None and (asks.form is not None or asks.url is None)


async def _of_question(
    app: App, body: Result, arguments: Mapping[str, Any], params: types.CallToolRequestParams
) -> Form | None:
    """The form of a new question that the engineer waits for; of an older one only to take its answer."""
    if "duplicate_of" in body and params.request_state != body["id"]:
        return None
    if "reply_to" in arguments.get("details", {}):
        return None
    row = await escalations.get(app.store, str(body["id"]))
    if not row["blocking"] or not escalations.among(routing.entitled(row, app.policy), app.caller.principal):
        return None
    details = cast("dict[str, Any]", json.loads(row["details"]))
    proposed = cast("object", details.get(_PROPOSED.get(row["kind"], ""), ()))
    choices = [_short(one) for one in cast("Sequence[object]", proposed)[:12]] if isinstance(proposed, list) else []
    fields: dict[str, Any] = {"answer": {"type": "string", "title": "Answer", "maxLength": LONGEST}}
    if choices:
        fields = {"choice": {"type": "string", "title": "One of", "enum": list(dict.fromkeys(choices))}, **fields}
    shown = "\n".join(f"{name.replace('_', ' ')}: {_short(value, 600)}" for name, value in details.items())
    schema = {"type": "object", "properties": fields, "required": [] if choices else ["answer"]}
    message = plain(f"{row['title']}\n\n{row['question']}\n\n{shown}")[:LONGEST]
    return Form(row, message, schema)


async def _of_approval(app: App, error: BackendError) -> Form | None:
    """The form of an approval whose constraint takes one from here."""
    constraint = app.policy.constraint(error.constraint or "")
    if constraint is None or error.escalation is None or CHANNEL not in constraint.channels:
        return None
    row = await escalations.get(app.store, error.escalation)
    who = escalations.among(routing.entitled(row, app.policy), app.caller.principal)
    if row["status"] not in escalations.OPEN or not who:
        return None
    details = cast("dict[str, Any]", json.loads(row["details"]))
    ends = f"\n\nExactly this call, once, within {constraint.expires}. Digest {row['digest'][:16]}…"
    message = plain(f"{row['question']}\n\n{constraint.statement}\n\n{details.get('preview', '')}")[:LONGEST] + ends
    fields = {
        "decision": {"type": "string", "title": "Decision", "enum": ["approve", "deny"]},
        "answer": {"type": "string", "title": "Reason", "maxLength": LONGEST},
    }
    return Form(row, message, {"type": "object", "properties": fields, "required": ["decision"]})


async def _answer(
    ctx: Context, params: types.CallToolRequestParams, form: Form
) -> Mapping[str, Any] | types.InputRequiredResult:
    """What was filled in; nothing when the form was declined, left alone, or is not the one that was sent."""
    request = types.ElicitRequestFormParams(message=form.message, requested_schema=form.schema)
    if ctx.protocol_version >= STATELESS:
        if params.input_responses is None:
            asked: Any = {KEY: types.ElicitRequest(params=request)}
            return types.InputRequiredResult(input_requests=asked, request_state=form.escalation["id"])
        given: object = params.input_responses.get(KEY)
        bound = params.request_state == form.escalation["id"]
        return _filled(given) if bound else {}
    try:
        with anyio.move_on_after(PATIENCE_SECONDS):
            return _filled(await ctx.session.elicit_form(form.message, form.schema, ctx.request_id))
    except MCPError:
        return {}  # It cannot be asked now: the inbox has it.
    return {}


def _filled(given: object) -> Mapping[str, Any]:
    if isinstance(given, types.ElicitResult) and given.action == "accept":
        return given.content or {}
    return {}


def _text(filled: Mapping[str, Any]) -> str:
    said = [filled.get(name) for name in ("choice", "answer")]
    return plain("\n".join(one.strip() for one in said if isinstance(one, str) and one.strip()))[: 2 * LONGEST]


async def _decided(app: App, row: Row, filled: Mapping[str, Any]) -> bool:
    decision = filled.get("decision")
    if decision not in ("approve", "deny"):
        return False
    status = "approved" if decision == "approve" else "denied"
    reason = filled.get("answer")
    await _answered(app, row, status, reason if isinstance(reason, str) else "", routing.entitled(row, app.policy))
    return True


async def _answered(app: App, row: Row, status: str, text: str, people: tuple[str, ...]) -> Row:
    constraint = app.policy.constraint(row["constraint_id"]) if row["constraint_id"] else None
    return await escalations.decide(
        app.store, row["id"], status=status, answer=plain(text).strip(), by=app.caller.principal, channel=CHANNEL,
        now=app.now(), constraint=constraint, people=people,
    )  # fmt: skip


def _short(value: object, most: int = 200) -> str:
    if isinstance(value, dict):
        found = cast("dict[str, object]", value)
        value = found.get("name") or json.dumps(found, ensure_ascii=False)
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:most]
