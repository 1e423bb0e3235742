"""Claude Code. Hooks: https://code.claude.com/docs/en/hooks. Settings: https://code.claude.com/docs/en/settings"""

import json
from collections.abc import Mapping
from typing import Any

from mcp_backend.hosts.intents import Intent, arguments, shell, text, written

WRITES = frozenset(("Write", "Edit", "MultiEdit", "NotebookEdit", "Update"))
SHELL = frozenset(("Bash", "PowerShell", "Monitor"))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    tool, cwd = text(event, "tool_name"), text(event, "cwd")
    root = environment.get("CLAUDE_PROJECT_DIR", "")
    if tool in WRITES:
        return Intent(tool, cwd, root, written(arguments(event, "tool_input")))
    if tool in SHELL:
        return Intent(tool, cwd, root, command=shell(arguments(event, "tool_input")))
    return None


def denied(reason: str, event: Mapping[str, Any]) -> str:
    """The answer that refuses."""
    del event
    decision = {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason}
    return json.dumps({"hookSpecificOutput": decision})
