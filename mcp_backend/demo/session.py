"""A host's connection to the server."""

from typing import Any

from mcp.client import Client

from mcp_backend.demo.stage import Stage


class Session:
    """A host's connection: calls a tool, prints both sides, checks what came back."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self.stage = stage
        self._client = client

    async def done(self, tool: str, told: str, /, **arguments: Any) -> dict[str, Any]:
        """A call that must succeed. `told` says in words what the result shows, with `{places}` from it."""
        self.stage.asked(tool, arguments)
        result = await self._client.call_tool(tool, arguments)
        body: dict[str, Any] = result.structured_content or {}
        self.stage.expect(not result.is_error, f"{tool} to succeed", body)
        self.stage.say("server", told.format(**body))
        return body

    async def refused(self, tool: str, code: str, constraint: str, /, **arguments: Any) -> dict[str, Any]:
        """A call that must be refused with this code by this constraint. The reason is the server's own."""
        self.stage.asked(tool, arguments)
        result = await self._client.call_tool(tool, arguments)
        body: dict[str, Any] = result.structured_content or {}
        error: dict[str, Any] = body.get("error", {})
        self.stage.expect(bool(result.is_error), f"{tool} to be refused", body)
        self.stage.expect(error["code"] == code, f"code {code}", body)
        self.stage.expect(error.get("constraint") == constraint, f"constraint {constraint}", error)
        self.stage.say("refused", f"{code} [{constraint}] {error['reason']}")
        return error
