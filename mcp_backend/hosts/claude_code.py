"""Claude Code. Hooks: https://code.claude.com/docs/en/hooks. Settings: https://code.claude.com/docs/en/settings"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_backend.hosts.intents import Intent, arguments, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


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


def told(words: str) -> str:
    """What the model should know, without a decision: the host's own rules and prompts go on."""
    return json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse", "additionalContext": words}})


MATCHER = "Write|Edit|MultiEdit|NotebookEdit|Bash|PowerShell|Monitor"


def files(site: "Site") -> "list[Rendered]":
    """Settings with the hook and the host's own deny rules for what no decision opens; the server, the subagent, the
    skills."""
    from mcp_backend.hosts.site import Rendered, skills

    settings = {
        "permissions": {"deny": [f"Edit(/{glob})" for glob in site.closed]},
        "hooks": {"PreToolUse": [before(site.hook("claude-code"))]},
    }
    return [
        Rendered(".claude/settings.json", "json", settings),
        Rendered(".mcp.json", "json", {"mcpServers": {"backend": {"type": "stdio", **site.server()}}}),
        Rendered(".claude/agents/backend-engineer.md", "whole", agent(site)),
        *skills(".claude/skills"),
    ]


def before(command: str) -> dict[str, Any]:
    """The hook: `onFailure` refuses when it cannot be started, which plain hooks let pass."""
    return {"matcher": MATCHER, "hooks": [{"type": "command", "command": command, "timeout": 30, "onFailure": "block"}]}


def agent(site: "Site") -> str:
    """The subagent file; the model is what CODING_AGENT_MODEL says now, because no host reads it later."""
    from mcp_backend import persona
    from mcp_backend.hosts.site import MARK

    return persona.agent_file(site.persona, site.own_tools).rstrip() + f"\n\n<!-- {MARK} -->\n"
