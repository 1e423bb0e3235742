"""Qwen Code. Hooks: https://qwenlm.github.io/qwen-code-docs/en/users/features/hooks, of Claude Code's shape, with the
tools of Gemini CLI."""

import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_backend.hosts import gemini_cli
from mcp_backend.hosts.claude_code import denied, told
from mcp_backend.hosts.intents import Intent, arguments, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


__all__ = ["denied", "intent", "told"]


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    tool, root = text(event, "tool_name"), environment.get("QWEN_PROJECT_DIR", "")
    if tool == "notebook_edit":
        return Intent(tool, text(event, "cwd"), root, written(arguments(event, "tool_input")))
    if tool == "monitor":
        given = arguments(event, "tool_input")
        return Intent(tool, posixpath.join(text(event, "cwd"), text(given, "directory")), root, command=shell(given))
    return gemini_cli.intent(event, {"GEMINI_PROJECT_DIR": root})


def files(site: "Site") -> "list[Rendered]":
    """Settings with the hook and the server, and the agent."""
    from mcp_backend.hosts.site import Rendered

    hook = {
        "matcher": "^(write_file|edit|notebook_edit|run_shell_command|monitor)$",
        "hooks": [{"type": "command", "name": "mcp-backend", "command": site.hook("qwen"), "timeout": 30}],
    }
    settings = {"mcpServers": {"backend": site.server()}, "hooks": {"PreToolUse": [hook]}}
    return [
        Rendered(".qwen/settings.json", "json", settings),
        Rendered(".qwen/agents/backend-engineer.md", "whole", gemini_cli.agent_of_the_session(site)),
    ]
