"""Talking to the database tools in tests: a workspace that names a database, and calls that give result or error."""

from pathlib import Path
from typing import Any, cast

from mcp.client import Client


def names_database(root: Path, url: str, environment: str = "development") -> None:
    """Writes the policy of a workspace with one engine, `main`."""
    (root / "mcp-backend.toml").write_text(
        f'[engines.main]\nkind = "postgresql"\nurl = "{url}"\nenvironment = "{environment}"\n'
    )


async def result(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a call that has to succeed."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.structured_content
    return cast("dict[str, Any]", answer.structured_content)


async def error(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error of a call that has to fail."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return cast("dict[str, Any]", answer.structured_content)["error"]


async def either(client: Client, tool: str, **arguments: Any) -> tuple[bool, dict[str, Any]]:
    """Whether a call succeeded, and its result or error."""
    answer = await client.call_tool(tool, arguments)
    body = cast("dict[str, Any]", answer.structured_content)
    return not answer.is_error, body.get("error", body)
