"""How a host is told to start this server: the exact command or JSON for the hosts most people use."""

import json
import os
import shutil
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING
from urllib.parse import quote as escaped

from mcp_backend.installing import run_by_uvx

if TYPE_CHECKING:
    from mcp_backend.policy import Policy


def launcher() -> tuple[str, ...]:
    """The words that start this very installation, whatever the search path of a host is.

    Hosts with a window start servers with the short path of the desktop, so the program is named in full. A program
    that `uvx` runs lies in a cache that may be emptied: there the host runs `uvx` too.
    """
    if run_by_uvx():
        return (shutil.which("uvx") or "uvx", "--from", "mcp-backend[all]", "mcp-backend")
    beside = Path(sys.executable).with_name("mcp-backend")
    if os.access(beside, os.X_OK):
        return (str(beside),)
    found = shutil.which("mcp-backend")
    return (found,) if found else (sys.executable, "-m", "mcp_backend")


def variables(policy: "Policy") -> tuple[str, ...]:
    """Names of the environment variables that the engines are reached by."""
    return tuple(e.url.removeprefix("env:") for e in policy.engines.values() if e.url.startswith("env:"))


def cursor_link(entry: Mapping[str, object]) -> str:
    """What installs the server in Cursor, for its person, when it is opened. https://cursor.com/docs/mcp/install-links"""
    config = b64encode(json.dumps(entry).encode()).decode()
    return f"cursor://anysphere.cursor-deeplink/mcp/install?name=backend&config={escaped(config, safe='')}"


def vscode_link(entry: Mapping[str, object]) -> str:
    """What installs the server in VS Code, for its person, when it is opened.
    https://code.visualstudio.com/api/extension-guides/ai/mcp"""
    return f"vscode:mcp/install?{escaped(json.dumps({'name': 'backend', 'type': 'stdio', **entry}), safe='')}"


def lines(root: Path, variables: Sequence[str] = ()) -> list[str]:
    """What a person does in each host. `variables` must be in the server's environment: an engine's url names them."""
    command, *arguments = [*launcher(), "serve", "--workspace", str(root)]
    entry = {"command": command, "args": arguments}
    claude = " ".join(["claude mcp add backend --", *map(quote, (command, *arguments))])
    told = [
        "Claude Code: run this in the repository",
        f"    {claude}",
        "Codex: run this once, then start it in the repository",
        f"    {claude.replace('claude', 'codex', 1)}",
        "Claude Desktop: add to claude_desktop_config.json (Settings, Developer, Edit Config), then restart it",
        f"    {json.dumps({'mcpServers': {'backend': entry}})}",
        "Cursor: put into .cursor/mcp.json of the repository, or open the link (it installs for you, in every project)",
        f"    {json.dumps({'mcpServers': {'backend': entry}})}",
        f"    {cursor_link(entry)}",
        "VS Code: put into .vscode/mcp.json of the repository, or open the link (likewise)",
        f"    {json.dumps({'servers': {'backend': {'type': 'stdio', **entry}}})}",
        f"    {vscode_link(entry)}",
    ]
    if variables:
        told.append(
            f"The server needs {', '.join(variables)} in its environment: start the host where it is set, or add "
            f'"env": {{"{variables[0]}": "…"}} beside "args", in a file that is not committed'
        )
    return told
