"""The one path every call takes: parse, plan, judge, agree, run, record. No step calls back into an earlier one."""

import asyncio
import logging
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, cast

import anyio
from pydantic import ValidationError

from mcp_backend import actions, approvals, audit, escalations
from mcp_backend.app import App
from mcp_backend.approvals import Approval
from mcp_backend.errors import (
    Aborted,
    BackendError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Json,
    OutcomeUnknown,
    PermissionDenied,
)
from mcp_backend.guards import judge
from mcp_backend.policy import Constraint, Verdict
from mcp_backend.scopes import check_environments, check_tool
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result, Tool

log = logging.getLogger("mcp_backend")
SHOWN = 20
"""How many actions a record describes; the digest names them all."""
DEPTH = 64
"""How deep arguments may be nested."""


async def call(app: App, tool: type[Tool], arguments: Mapping[str, Any]) -> Result:
    """Runs one call to its end and returns its result; raises `BackendError` when it did not do what was asked.

    Whatever happens is in the audit: `started` before the effect, then `done`, `failed`, `cancelled` or `unknown`;
    `refused` when it never started. A process that dies in between leaves `started`, which the next start reports.
    """
    entry = _Entry(app, tool)
    try:
        check_tool(app.caller.scopes, tool)
        request = parse(tool, arguments)
        plan = await request.plan(app)
        check_environments(app.caller.scopes, plan.actions)
        verdict, warnings = judge(plan.actions, app.policy, plan.facts)
        entry.judged(plan, verdict)
        await _agree(app, tool, plan, verdict, entry)
        result = await request.run(app, plan)
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
        return await _told(app, result, warnings)
    except BackendError as error:
        raise OutcomeUnknown(
            f"the call did what it was asked, but its end could not be recorded: {error.reason}"
        ) from error


def parse(tool: type[Tool], arguments: Mapping[str, Any]) -> Tool:
    """The request. Raises `InvalidArgument` naming each wrong field and what was expected, never its value."""
    for path, text in _strings(arguments):
        if "\0" in text:
            raise InvalidArgument(f"{_shown(path)}: a NUL character is not allowed")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidArgument(f"{_shown(path)}: not valid Unicode (a lone surrogate)")
    try:
        return tool.model_validate(dict(arguments))
    except ValidationError as error:
        problems = [
            f"{_shown('.'.join(str(part) for part in e['loc'])) or 'arguments'}: {_expected(e['type'], e['msg'])}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        known = ", ".join(field.alias or name for name, field in tool.model_fields.items())
        reason = "; ".join(problems)
        raise InvalidArgument(f"{reason} (fields: {known})" if "unknown field" in reason else reason) from None


def _strings(node: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > DEPTH:
        raise InvalidArgument(f"{_shown(path)}: nested deeper than {DEPTH} levels")
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in cast("Mapping[object, object]", node).items():
            inner = f"{path}.{key}" if path else str(key)
            yield inner, str(key)
            yield from _strings(value, inner, depth + 1)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(cast("list[object]", node)):
            yield from _strings(value, f"{path}.{index}", depth + 1)


def _shown(path: str) -> str:
    """The place of a field as an error can name it: the caller chose the keys, which may be long or unprintable."""
    text = path if path.isprintable() else path.encode("unicode_escape").decode()
    return text if len(text) <= 100 else f"{text[:100]}…"


def _expected(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "unknown field"
    return (
        message.removeprefix("Value error, ").removeprefix("Input should be ").join(("expected ", ""))
        if (message.startswith("Input should be "))
        else message.removeprefix("Value error, ")
    )


async def _agree(app: App, tool: type[Tool], plan: Plan, verdict: Verdict, entry: "_Entry") -> None:
    """Records the start of a call that may run, spending its approval in the same transaction; raises otherwise."""
    if verdict.outcome in ("allow", "warn"):
        await entry.start(plan, None)
        return
    constraint = app.policy.constraint(verdict.constraint)
    assert constraint is not None, "judge only returns verdicts of the policy's constraints"
    if verdict.outcome == "deny":
        raise _denied(constraint, verdict)
    now, digest = app.now(), entry.digest
    if await entry.start(plan, lambda: approvals.spend(app.store, digest, plan.at_version, now)):
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
        app.store, kind, constraint, tool=tool.name, digest=digest, at_version=plan.at_version, preview=plan.preview,
        reason=verdict.reason, asker=app.caller.principal, now=now,
    )  # fmt: skip
    if row["status"] == "denied":
        await app.store.run("escalation_seen", id=row["id"])
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
        details={"statement": constraint.statement},
    )


def _denied(constraint: Constraint, verdict: Verdict) -> BackendError:
    if verdict.step:
        return FailedPrecondition(
            f"{verdict.reason}. Do {verdict.step} first, then repeat this call unchanged",
            constraint=constraint.id,
            details={"step": verdict.step, "statement": constraint.statement},
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
    if "notices" not in result and (unread := await app.store.rows("notices")):
        result["notices"] = [
            {
                "escalation": r["id"],
                "status": r["status"],
                "summary": f"{r['title']}: {(r['answer'] or r['status'])[:200]}",
            }
            for r in unread
        ]
    return result


def _clean(text: str) -> str:
    return hide_credentials(text).encode("utf-8", "backslashreplace").decode()[:300]


class _Entry:
    """The audit records of one call."""

    def __init__(self, app: App, tool: type[Tool]) -> None:
        self.call = secrets.token_hex(6)
        self.digest = ""
        self.started = False
        self._app, self._tool, self._began = app, tool, time.monotonic()
        self._about: dict[str, Json] = {}
        self._durable = False

    def judged(self, plan: Plan, verdict: Verdict) -> None:
        self.digest = actions.digest(self._tool.name, plan.actions)
        self._about = {"digest": self.digest, "actions": [_clean(actions.describe(a)) for a in plan.actions[:SHOWN]]}
        if (left := len(plan.actions) - SHOWN) > 0:
            self._about["actions_left_out"] = left
        if plan.at_version:
            self._about["at_version"] = plan.at_version
        if verdict.constraint:
            self._about["constraint"] = verdict.constraint
        if plan.recorded:
            self._about["recorded"] = {name: hide_credentials(text)[:2000] for name, text in plan.recorded.items()}
        if loosened := {c.id: c.disabled_because for c in self._app.policy.constraints if c.disabled_because}:
            self._about["loosened"] = cast("Json", loosened)
        self._durable = any(not isinstance(a, actions.READ_ONLY) for a in plan.actions)

    async def start(self, plan: Plan, spend: Callable[[], Awaitable[Approval | None]] | None) -> bool:
        """Records the start, in one transaction with spending the approval; `False` when there is none to spend."""
        what = ", ".join(actions.describe(action) for action in plan.actions[:SHOWN]) or "nothing outside this server"
        async with self._app.store.transaction(durable=self._durable):
            if spend is not None:
                if (approval := await spend()) is None:
                    return False
                await self._app.store.run("escalation_seen", id=approval.escalation)
                self._about["approval"] = {
                    "id": approval.id, "escalation": approval.escalation, "by": approval.approver,
                    "channel": approval.channel,
                }  # fmt: skip
            await self._append("started", {})
            await self._app.store.run(
                "running_add", call=self.call, instance=self._app.instance, tool=self._tool.name, what=_clean(what)
            )
        self.started = True
        return True

    async def end(self, event: str, error: BackendError | None) -> None:
        more: dict[str, Json] = {"ms": round((time.monotonic() - self._began) * 1000, 1)}
        if error:
            more |= {"code": error.code}
            if error.constraint:
                more["constraint"] = error.constraint
            if error.escalation:
                more["escalation"] = error.escalation
        # A loss of power may take an end that was not waited for: the next start then says `unknown`, which is true.
        async with self._app.store.transaction(durable=False):
            await self._append(event, more)
            if self.started:
                await self._app.store.run("running_remove", call=self.call)

    async def _append(self, event: str, more: dict[str, Json]) -> None:
        caller = self._app.caller
        await audit.append(
            self._app.store,
            {
                "at": self._app.clock().isoformat(), "call": self.call, "event": event, "tool": self._tool.name,
                "principal": caller.principal, "client": caller.client, "session": caller.session,
                **self._about, **more,
            },
        )  # fmt: skip
