"""Gemini CLI. Hooks: https://github.com/google-gemini/gemini-cli/blob/main/docs/hooks/reference.md"""

import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_backend.hosts.intents import Intent, arguments, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


_WRITES = frozenset(("write_file", "replace", "edit"))
_SHELL = frozenset(("run_shell_command",))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    tool, cwd = text(event, "tool_name"), text(event, "cwd")
    root = environment.get("GEMINI_PROJECT_DIR", "")
    if tool in _WRITES:
        return Intent(tool, cwd, root, written(arguments(event, "tool_input")))
    if tool in _SHELL:
        given = arguments(event, "tool_input")
        folder = text(given, "dir_path") or text(given, "directory")
        return Intent(tool, posixpath.join(cwd, folder), root, command=shell(given))
    return None


def denied(reason: str, event: Mapping[str, Any]) -> str:
    """The answer that refuses."""
    del event
    return json.dumps({"decision": "deny", "reason": reason})


def files(site: "Site") -> "list[Rendered]":
    """Settings with the hook and the server, and the agent."""
    from mcp_backend.hosts.site import Rendered

    hook = {
        "matcher": "write_file|replace|edit|run_shell_command",
        "hooks": [{"type": "command", "name": "mcp-backend", "command": site.hook("gemini-cli"), "timeout": 30_000}],
    }
    settings = {"mcpServers": {"backend": site.server()}, "hooks": {"BeforeTool": [hook]}}
    return [
        Rendered(".gemini/settings.json", "json", settings),
        Rendered(".gemini/agents/backend-engineer.md", "whole", agent_of_the_session(site)),
    ]


def agent_of_the_session(site: "Site") -> str:
    """The subagent without a model: that of the persona is named for another vendor's hosts."""
    from mcp_backend.hosts.claude_code import agent

    return "".join(line for line in agent(site).splitlines(keepends=True) if not line.startswith("model: "))
