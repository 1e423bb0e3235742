"""Cursor. Hooks: https://cursor.com/docs/agent/hooks"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.hosts.intents import Change, Intent, arguments, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


_WRITES = frozenset(
    ("Write", "Edit", "MultiEdit", "StrReplace", "search_replace", "edit_file", "EditNotebook", "write")
)
_DELETES = frozenset(("Delete", "delete_file"))
_SHELL = frozenset(("Shell", "Bash", "run_terminal_cmd"))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    roots = cast("list[object]", event["workspace_roots"]) if isinstance(event.get("workspace_roots"), list) else []
    root = next((r for r in roots if isinstance(r, str)), "") or environment.get("CURSOR_PROJECT_DIR", "")
    cwd = text(event, "cwd") or root
    if text(event, "hook_event_name") == "beforeShellExecution":
        return Intent("Shell", cwd, root, command=shell(event))
    tool = text(event, "tool_name")
    if tool in _SHELL:
        given = arguments(event, "tool_input")
        return Intent(tool, text(given, "working_directory") or cwd, root, command=shell(given))
    if tool in _WRITES:
        return Intent(tool, cwd, root, written(arguments(event, "tool_input")))
    if tool in _DELETES:
        found = written(arguments(event, "tool_input"))
        return Intent(tool, cwd, root, tuple(Change(change.path, deleted=True) for change in found))
    return None


def denied(reason: str, event: Mapping[str, Any]) -> str:
    """The answer that refuses."""
    del event
    return json.dumps({"permission": "deny", "user_message": reason, "agent_message": reason})


def files(site: "Site") -> "list[Rendered]":
    """Hooks that fail closed, the server, a rule with the role, the agent."""
    from mcp_backend.hosts.claude_code import agent
    from mcp_backend.hosts.site import MARK, Rendered

    hook = {"command": site.hook("cursor"), "failClosed": True}
    head = f"---\ndescription: {json.dumps(site.persona.role.description)}\nglobs:\nalwaysApply: true\n---\n\n"
    return [
        Rendered(".cursor/hooks.json", "json",
                 {"version": 1, "hooks": {"preToolUse": [hook], "beforeShellExecution": [hook]}}),
        Rendered(".cursor/mcp.json", "json", {"mcpServers": {"backend": site.server(workspace="${workspaceFolder}")}}),
        Rendered(".cursor/rules/backend-engineer.mdc", "whole", f"{head}{site.role().rstrip()}\n\n<!-- {MARK} -->\n"),
        Rendered(".cursor/agents/backend-engineer.md", "whole", agent(site)),
    ]  # fmt: skip
