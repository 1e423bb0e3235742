"""VS Code and GitHub Copilot. Hooks: https://code.visualstudio.com/docs/copilot/customization/hooks (editor),
https://docs.github.com/en/copilot/reference/hooks-configuration (command line). Matchers are ignored in the editor:
every tool call comes here."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_backend.hosts import claude_code
from mcp_backend.hosts.intents import Intent, arguments, patched, shell, text, written
from mcp_backend.workspace.canonical import words

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


_WRITES = words(
    "createFile create_file editFiles edit_file replace_string_in_file replaceString multi_replace_string_in_file "
    "insert_edit_into_file editNotebook edit_notebook_file createDirectory create_directory create edit write "
    "Write Edit MultiEdit NotebookEdit"
)
_SHELL = words("runTerminalCommand run_in_terminal runInTerminal bash powershell shell Bash PowerShell")
_PATCH = frozenset(("apply_patch", "applyPatch"))
_READING = frozenset(("view",))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    del environment
    tool = text(event, "tool_name") or text(event, "toolName")
    cwd = text(event, "cwd")
    if tool in _SHELL:
        return Intent(tool, cwd, command=shell(arguments(event, "tool_input", "toolArgs")))
    if tool in _PATCH:
        given = arguments(event, "tool_input", "toolArgs")
        return Intent(tool, cwd, changes=patched(text(given, "input") or text(given, "patch")))
    if tool == "str_replace_editor":
        given = arguments(event, "tool_input", "toolArgs")
        return None if text(given, "command") in _READING else Intent(tool, cwd, changes=written(given))
    if tool in _WRITES:
        return Intent(tool, cwd, changes=written(arguments(event, "tool_input", "toolArgs")))
    return None


def denied(reason: str, event: Mapping[str, Any]) -> str:
    """The answer that refuses: the editor's shape, or that of the command line, which names its fields otherwise."""
    if "toolName" in event:
        return json.dumps({"permissionDecision": "deny", "permissionDecisionReason": reason})
    return claude_code.denied(reason, event)


def files(site: "Site") -> "list[Rendered]":
    """Hooks for the editor and the command line, the server, the agent."""
    from mcp_backend.hosts.site import MARK, Rendered

    line = site.hook("vscode")
    hooks = {
        "version": 1,
        "hooks": {
            "PreToolUse": [{"type": "command", "command": line, "timeout": 30}],
            "preToolUse": [{"type": "command", "bash": line, "timeoutSec": 30}],
        },
    }
    server = {"type": "stdio", **site.server(workspace="${workspaceFolder}")}
    head = f"---\nname: backend-engineer\ndescription: {json.dumps(site.persona.role.description)}\n---\n\n"
    return [
        Rendered(".github/hooks/mcp-backend.json", "json", hooks),
        Rendered(".vscode/mcp.json", "json", {"servers": {"backend": server}}),
        Rendered(
            ".github/agents/backend-engineer.agent.md", "whole", f"{head}{site.role().rstrip()}\n\n<!-- {MARK} -->\n"
        ),
    ]
