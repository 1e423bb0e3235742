"""A host's connection to the server."""

from collections.abc import Callable
from typing import Any, TypeAlias

from mcp.client import Client

from mcp_backend.demo.stage import Stage

Body: TypeAlias = dict[str, Any]


class Session:
    """A host's connection: calls a tool, prints both sides, checks what came back."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self.stage = stage
        self._client = client
        self._last: tuple[str, dict[str, Any]] | None = None

    def _asked(self, tool: str, arguments: dict[str, Any]) -> None:
        if self._last == (tool, arguments):
            self.stage.say("host", f"{tool}: the same call again")
        else:
            self.stage.asked(tool, arguments)
        self._last = (tool, arguments)

    async def done(self, tool: str, told: Callable[[Body], str], /, **arguments: Any) -> Body:
        """A call that must succeed; `told` says in words what its result shows."""
        self._asked(tool, arguments)
        result = await self._client.call_tool(tool, arguments)
        body: Body = result.structured_content or {}
        self.stage.expect(not result.is_error, f"{tool} to succeed", body)
        self.stage.say("server", told(body))
        return body

    async def refused(self, tool: str, code: str, constraint: str, /, **arguments: Any) -> Body:
        """A call that must be refused with this code by this constraint. The reason is the server's own."""
        self._asked(tool, arguments)
        result = await self._client.call_tool(tool, arguments)
        body: Body = result.structured_content or {}
        error: Body = body.get("error", {})
        self.stage.expect(bool(result.is_error), f"{tool} to be refused", body)
        self.stage.expect(error["code"] == code, f"code {code}", body)
        self.stage.expect(error.get("constraint") == constraint, f"constraint {constraint}", error)
        self.stage.say("refused", f"{code} [{constraint}] {error['reason']}")
        return error
