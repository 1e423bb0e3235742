"""Codex. Hooks: https://developers.openai.com/codex/hooks. Only `deny` with a reason is understood there: `ask` and
every other answer let the call proceed."""

from collections.abc import Mapping
from typing import Any

from mcp_backend.hosts.claude_code import denied
from mcp_backend.hosts.intents import Intent, arguments, patched, shell, text, written

__all__ = ["denied", "intent"]
_SHELL = frozenset(("Bash", "shell", "local_shell", "exec_command", "unified_exec", "container.exec"))
_PATCH = frozenset(("apply_patch",))
_WRITES = frozenset(("Write", "Edit", "MultiEdit"))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    tool, cwd = text(event, "tool_name"), text(event, "cwd")
    if tool in _SHELL:
        given = arguments(event, "tool_input")
        line = shell(given)
        # A shell may be handed a patch by the name of the program.
        if line.lstrip().startswith("apply_patch") and "*** Begin Patch" in line:
            return Intent(tool, cwd, changes=patched(line))
        return Intent(tool, text(given, "workdir") or cwd, command=line)
    if tool in _PATCH:
        given = arguments(event, "tool_input")
        return Intent(
            tool, cwd, changes=patched(text(given, "command") or text(given, "input") or text(given, "patch"))
        )
    if tool in _WRITES:
        return Intent(tool, cwd, changes=written(arguments(event, "tool_input")))
    return None
