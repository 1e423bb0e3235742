"""What the audit holds of one call, and that it runs."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from mcp_backend import actions, audit
from mcp_backend.app import App
from mcp_backend.approvals import Approval
from mcp_backend.errors import BackendError, Json, Unavailable
from mcp_backend.policy import Verdict
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Tool

log = logging.getLogger("mcp_backend")
SHOWN = 20
"""How many actions a record describes; the digest names them all."""

LONGEST = 300
"""Characters of a description."""


class Entry:
    """The audit records of one call."""

    def __init__(self, app: App, tool: type[Tool]) -> None:
        self.call = secrets.token_hex(6)
        self.digest = ""
        self.started = False
        self._app, self._tool, self._began = app, tool, time.monotonic()
        self._about: dict[str, Json] = {}
        self._durable = False
        self._what = ""

    def judged(self, plan: Plan, verdict: Verdict) -> None:
        """Keeps what the records say of the plan and of the verdict."""
        self.digest = actions.digest(self._tool.name, plan.actions)
        shown = [_clean(actions.describe(action)) for action in plan.actions[:SHOWN]]
        self._what = ", ".join(shown)[:LONGEST] or "nothing outside this server"
        self._about = {"digest": self.digest, "actions": [*shown]}
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

    async def start(self, spend: Callable[[], Awaitable[Approval | None]] | None) -> bool:
        """Records the start, in one transaction with spending the approval; `False` when there is none to spend."""
        self._app.live.add(self.call)
        try:
            async with self._app.store.transaction(durable=self._durable):
                if spend is not None:
                    if (approval := await spend()) is None:
                        return False
                    asker = self._app.caller.principal
                    await self._app.store.run("escalation_seen", id=approval.escalation, asker=asker)
                    self._about["approval"] = {
                        "id": approval.id, "escalation": approval.escalation, "by": approval.approver,
                        "channel": approval.channel,
                    }  # fmt: skip
                written = await self._append("started", {})
                await self._app.store.run(
                    "running_add", call=self.call, instance=self._app.instance, tool=self._tool.name, what=self._what
                )
        except Unavailable as error:
            raise Unavailable(f"{error.reason}; nothing was executed", details=error.details) from error
        self._keep(written)
        self.started = True
        return True

    async def end(self, event: str, error: BackendError | None) -> None:
        """Records the end. Raises `Unavailable` where the caller must know that it is not on record: when all went
        well, and when a refusal is not there. Otherwise what went wrong is what the caller reads, and the call is
        reported as `unknown` once the store is back."""
        ms = round((time.monotonic() - self._began) * 1000, 1)
        try:
            await self._record_end(event, error, ms)
        except Unavailable as lost:
            if event == "done" or not (self.started or event == "cancelled" or isinstance(error, Unavailable)):
                raise
            log.error("the end of call %s (%s) is not on record: %s", self.call, event, lost.reason)
        finally:
            self._app.live.discard(self.call)
            if log.isEnabledFor(logging.INFO):
                said = error.code if error else ""
                about = {"call": self.call, "tool": self._tool.name, "event": event, "code": said, "ms": ms,
                         "principal": self._app.caller.principal}  # fmt: skip
                log.info("call", extra={"call": about})

    async def _record_end(self, event: str, error: BackendError | None, ms: float) -> None:
        more: dict[str, Json] = {"ms": ms}
        if error:
            more |= {"code": error.code}
            if error.constraint:
                more["constraint"] = error.constraint
            if error.escalation:
                more["escalation"] = error.escalation
        # A loss of power may take an end that was not waited for: the next start then says `unknown`, which is true. A
        # shared store that fails over gets it again (`recent`).
        async with self._app.store.transaction(durable=False):
            written = await self._append(event, more)
            # Also when the start failed: it may have been committed all the same.
            await self._app.store.run("running_remove", call=self.call)
        self._keep(written)

    def _keep(self, written: tuple[int, str, Mapping[str, Json]]) -> None:
        """What was committed, but may not be on a standby yet."""
        if self._app.store.shared:
            self._app.recent.add(*written)

    async def _append(self, event: str, more: dict[str, Json]) -> tuple[int, str, Mapping[str, Json]]:
        caller = self._app.caller
        record: dict[str, Json] = {
            "at": self._app.clock().isoformat(), "call": self.call, "event": event, "tool": self._tool.name,
            "principal": caller.principal, "client": caller.client, "session": caller.session,
            **self._about, **more,
        }  # fmt: skip
        return *await audit.write(self._app.store, record), record


def _clean(text: str) -> str:
    return hide_credentials(text).encode("utf-8", "backslashreplace").decode()[:LONGEST]
