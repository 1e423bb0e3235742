"""Calls of run_command in one repository, and one layer of the kernel at a time."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from mcp.client import Client

from mcp_backend.server import Options, build
from mcp_backend.workspace.fence import probe
from mcp_backend.workspace.fence.spec import Tier

Say: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


@asynccontextmanager
async def terminal(root: Path) -> AsyncGenerator[Say]:
    """`say(command, **arguments)` gives the result of run_command, or its error."""
    async with Client(build(Options(root))) as client:

        async def say(command: str, **arguments: Any) -> dict[str, Any]:
            answer = await client.call_tool("run_command", {"command": command, **arguments})
            return answer.structured_content or {}

        yield say


def only(monkeypatch: pytest.MonkeyPatch, tier: Tier, root: Path) -> None:
    """Tries one layer only; skips where it does not hold."""
    if tier == "bubblewrap" and not probe.programs(root):
        pytest.skip("bubblewrap is not installed")
    monkeypatch.setattr(probe, "TIERS", (tier,))
