"""`HOSTS`: one file per host. It reads the host's hook event, answers it in the host's shape, and renders its files.

Names map to modules that are imported when asked for: a hook pays for one host only.
"""

import sys
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:  # A hook waits for what is imported here.
    from collections.abc import Mapping
    from types import ModuleType

HOSTS: "Mapping[str, str]" = MappingProxyType(
    {
        "claude-code": "claude_code",
        "claude-desktop": "claude_desktop",
        "cursor": "cursor",
        "vscode": "vscode",
        "codex": "codex",
        "gemini-cli": "gemini_cli",
        "copilot": "copilot",
        "qwen": "qwen",
        "opencode": "opencode",
        "agents-md": "agents_md",
        "claude-plugin": "claude_plugin",
        "mcpb": "mcpb",
    }
)
HOOKED = ("claude-code", "codex", "cursor", "gemini-cli", "opencode", "qwen", "vscode")
"""Hosts with tools of their own that a hook can refuse."""
SAME_HOOK: "Mapping[str, str]" = MappingProxyType({"copilot": "vscode", "claude-plugin": "claude-code"})
"""Hosts whose events and answers are those of another."""


def host(name: str) -> "ModuleType":
    """The module of a host, by its name in `HOSTS`."""
    module = f"mcp_backend.hosts.{HOSTS[name]}"
    __import__(module)
    return sys.modules[module]
