"""The one path every call takes: parse, plan, judge, agree, run, record. No step calls back into an earlier one."""

import asyncio
import logging
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio

from mcp_backend import approvals, escalations
from mcp_backend.app import App
from mcp_backend.deadlines import answered
from mcp_backend.entry import Entry
from mcp_backend.errors import (
    Aborted,
    BackendError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Json,
    OutcomeUnknown,
    PermissionDenied,
    Unavailable,
)
from mcp_backend.guards import judge
from mcp_backend.people import answers, routing
from mcp_backend.policy import Constraint, Verdict
from mcp_backend.scopes import check_environments, check_tool
from mcp_backend.settings import hide_credentials
from mcp_backend.store import Row
from mcp_backend.telemetry import engines, guarding, reached, span
from mcp_backend.tools.arguments import parse
from mcp_backend.tools.base import Plan, Result, Tool

log = logging.getLogger("mcp_backend")


async def call(app: App, tool: type[Tool], arguments: Mapping[str, Any]) -> Result:
    """Runs one call to its end and returns its result; raises `BackendError` when it did not do what was asked.

    Whatever happens is in the audit: `started` before the effect, then `done`, `failed`, `cancelled` or `unknown`;
    `refused` when it never started. A process that dies in between leaves `started`, which the next start reports.
    """
    entry = Entry(app, tool)
    try:
        check_tool(app.caller.scopes, tool)
        request = parse(tool, arguments)
        seconds = request.seconds()
        until = asyncio.get_running_loop().time() + seconds
        with span("plan") as planning:
            planning.say(call=entry.call, tool=tool.name)
            plan = await answered(request.plan(app), seconds, until)
            check_environments(app.caller.scopes, plan.actions)
        with span("judge") as judging:
            verdict, warnings = judge(plan.actions, app.policy, plan.facts, guarding())
            judging.say(verdict=verdict.outcome, constraint=verdict.constraint)
            entry.judged(plan, verdict)
        with span("agree"):
            await _agree(app, tool, plan, verdict, entry)
        with span("run") as running:
            running.say(call=entry.call, tool=tool.name, engines=reached(plan.actions))
            with engines(plan.actions, app.policy.engines):
                result = await answered(request.run(app, plan), seconds if tool.read_only else None, until)
    except BackendError as error:
        await entry.end(_outcome(error, started=entry.started), error)
        raise
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await entry.end("cancelled", None)
        raise
    except Exception as error:
        trace = hide_credentials(traceback.format_exc())
        log.error("call %s of %s failed\n%s", entry.call, tool.name, trace)
        fault = Internal(f"a fault of this server, id {entry.call}; the trace is in its log")
        await entry.end("failed", fault)
        raise fault from error
    try:
        await entry.end("done", None)
    except BackendError as error:
        raise OutcomeUnknown(
            f"the call did what it was asked, but its end could not be recorded: {error.reason}"
        ) from error
    return await _told(app, result, warnings)


async def _agree(app: App, tool: type[Tool], plan: Plan, verdict: Verdict, entry: Entry) -> None:
    """Records the start of a call that may run, spending its approval in the same transaction; raises otherwise."""
    if verdict.outcome in ("allow", "warn"):
        await entry.start(None)
        return
    constraint = app.policy.constraint(verdict.constraint)
    assert constraint is not None, "judge only returns verdicts of the policy's constraints"
    if verdict.outcome == "deny":
        raise _denied(constraint, verdict)
    now, digest = app.now(), entry.digest
    if await entry.start(lambda: approvals.spend(app.store, digest, plan.at_version, now)):
        return
    async with app.store.transaction():
        moved = await approvals.moved(app.store, digest, plan.at_version, now)
    if moved is not None:
        raise Aborted(
            f"approved at version {moved}, but the world is at {plan.at_version} now; look at what changed "
            "and repeat this call to ask again",
            constraint=constraint.id,
        )
    kind = app.persona.kind("approval")
    assert kind is not None, "persona/escalations.toml has the kind approval"
    row = await escalations.open_approval(
        app.store, routing.kind_for(kind, app.policy), constraint, tool=tool.name, digest=digest,
        at_version=plan.at_version, preview=plan.preview, reason=verdict.reason, asker=app.caller.principal, now=now,
        evidence=plan.evidence,
    )  # fmt: skip
    if row["status"] == "denied":
        await app.store.run("escalation_seen", id=row["id"], asker=app.caller.principal)
        raise PermissionDenied(
            f"{row['answered_by']} denied exactly this call: {row['answer'] or 'no reason given'}",
            constraint=constraint.id,
            escalation=row["id"],
        )
    raise FailedPrecondition(
        f"{verdict.reason}; asked as {row['id']} ({row['assignee'].replace('_', ' ')}). "
        "Repeat this call unchanged once it is approved; go on with something else meanwhile",
        constraint=constraint.id,
        escalation=row["id"],
    )


def _denied(constraint: Constraint, verdict: Verdict) -> BackendError:
    if verdict.step:
        return FailedPrecondition(
            f"{verdict.reason}. Do {verdict.step} first, then repeat this call unchanged",
            constraint=constraint.id,
            details={"step": verdict.step},
        )
    details: dict[str, Json] = {"statement": constraint.statement, "instead": verdict.remedy}
    if constraint.owner:
        details["owner"] = constraint.owner
    if constraint.escalate:
        details["escalate"] = constraint.escalate
    return PermissionDenied(verdict.reason, constraint=constraint.id, details=details)


def _outcome(error: BackendError, *, started: bool) -> str:
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if started:
        return "failed"
    return "refused" if isinstance(error, (PermissionDenied, FailedPrecondition, InvalidArgument)) else "failed"


async def _told(app: App, result: Result, warnings: tuple[Verdict, ...]) -> Result:
    """The result with what the agent should also know: warnings, and answers it has not read."""
    told: list[Json] = [{"constraint": w.constraint, "reason": w.reason} for w in warnings]
    while app.interrupted:
        lost = app.interrupted.pop()
        reason = f"an earlier server died during {lost}: its outcome is unknown, look at the state before going on"
        told.append({"constraint": "data-consistency", "reason": reason})
    if told:
        own = result.get("warnings")
        result["warnings"] = [*own, *told] if isinstance(own, list) else told
    unread: list[Row] = []
    with suppress(Unavailable):  # The call is done and recorded; who asked hears of answers with the next one.
        unread = [] if "notices" in result else await app.store.rows("notices", asker=app.caller.principal)
        if app.caller.scopes is None:  # Hooks of this machine are its user's, and hear nothing of other principals.
            answers.keep(app.workspace.state, unread, told=True)
    if unread:
        result["notices"] = [_notice(row) for row in unread]
    return result


def _notice(row: Row) -> dict[str, Json]:
    return {"escalation": row["id"], "status": row["status"], "summary": answers.summary(row)}
