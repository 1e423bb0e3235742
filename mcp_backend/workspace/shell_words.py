"""What a simple shell line plainly writes: targets of its redirections. A courtesy, so that a refusal comes before
anything ran and in plain words; the fence is what holds. Whatever is not plain is left to it."""

import re

from mcp_backend.workspace.shell_line import Reader, Unreadable
from mcp_backend.workspace.shell_parts import Word

_LONGEST = 2000
_WRITES = frozenset((">", ">>", ">|", "&>", "&>>"))
_MOVES = frozenset(("cd", "pushd", "popd", "env", "eval", "source", "."))
"""What makes a relative path mean another one, or hides what is run."""


def written(command: str, folder: str) -> list[str]:
    """The files that redirections of a plain line write, relative to the workspace when it runs in `folder`."""
    if len(command) > _LONGEST or ">" not in command:
        return []
    try:
        commands = Reader(command, {}).read()
    except (Unreadable, RecursionError):
        return []
    if any(one.depth or _name(one.words[:1]) in _MOVES for one in commands):
        return []
    found: list[str] = []
    for one in commands:
        for operator, target in one.redirects:
            if operator in _WRITES and target.plain and re.fullmatch(r"[\w.-][^*?\[\]{}~\0\n]*", target.text):
                found.append(f"{folder}/{target.text}" if folder != "." else target.text)
    return found


def _name(first: list[Word]) -> str:
    """The name of a program; one that is known only when the line runs counts as one that moves."""
    return "" if not first else first[0].text if first[0].plain else "cd"
