"""`mcp-backend hook`, as the command line shows it. It runs before the other commands are imported (__main__.py)."""

import argparse

from mcp_backend import hook
from mcp_backend.cli import arguments


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("hook", help="judge a host's own tool call (the event on standard input)")
    command.add_argument("host", help="claude-code, codex, copilot, cursor, gemini-cli, opencode, qwen or vscode")
    command.set_defaults(run=_hook)


def _hook(options: argparse.Namespace) -> int:
    return hook.main([options.host])
