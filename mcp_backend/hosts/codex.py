"""Codex. Hooks: https://developers.openai.com/codex/hooks. Only `deny` with a reason is understood there: `ask` and
every other answer let the call proceed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from mcp_backend.hosts.claude_code import denied
from mcp_backend.hosts.intents import Intent, arguments, patched, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


__all__ = ["denied", "intent"]
_SHELL = frozenset(("Bash", "shell", "local_shell", "exec_command", "unified_exec", "container.exec"))
_PATCH = frozenset(("apply_patch",))
_WRITES = frozenset(("Write", "Edit", "MultiEdit"))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    tool, cwd = text(event, "tool_name"), text(event, "cwd")
    if tool in _SHELL:
        given = arguments(event, "tool_input")
        words = cast("list[object]", given["command"]) if isinstance(given.get("command"), list) else []
        line = words[2] if len(words) == 3 and _handed(words[2]) else shell(given)
        # A shell may be handed a patch by the name of the program.
        if _handed(line):
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


def _handed(line: object) -> TypeGuard[str]:
    """Whether a line is nothing but a patch: `apply_patch <<'EOF' …`."""
    return isinstance(line, str) and line.lstrip().startswith("apply_patch") and "*** Begin Patch" in line


def files(site: "Site") -> "list[Rendered]":
    """The hook, the role in AGENTS.md, and the lines of the server for the person's own config.toml."""
    import json

    from mcp_backend.hosts.agents_md import block
    from mcp_backend.hosts.site import Rendered

    hook = {"matcher": "Bash|apply_patch", "hooks": [{"type": "command", "command": site.hook("codex"), "timeout": 30}]}
    server = site.server(workspace=str(site.root))
    lines = f"[mcp_servers.backend]\ncommand = {json.dumps(server['command'])}\nargs = {json.dumps(server['args'])}\n"
    # A first turn does not wait for a server that is not required.
    lines += f"env_vars = {json.dumps(site.variables)}\nrequired = true\ntool_timeout_sec = 900\n"
    return [
        Rendered(".codex/hooks.json", "json", {"hooks": {"PreToolUse": [hook]}}),
        block(site),
        Rendered("~/.codex/config.toml", "shown", lines),
    ]
