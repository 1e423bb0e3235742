"""Where a line is: `cd`, `pushd`, `popd`, and the folder before. https://www.gnu.org/software/bash/manual/"""

import os
import posixpath
import re
from collections.abc import Mapping

from mcp_backend.hosts.effects import Effects, Program, operands
from mcp_backend.workspace.shell_parts import Command, Word


def change_folder(target: Word | None, effects: Effects) -> None:
    """`cd`: the folder after it, unknown when the word is not plain."""
    before = effects.cwd
    if target is None:
        effects.cwd = effects.variables.get("HOME")
    elif target.text == "-":
        effects.cwd = effects.variables.get("OLDPWD")
    elif not target.plain:
        effects.cwd = None
    else:
        effects.cwd = _searched(target.text, effects) or next(iter(effects.paths(target)), None)
    if before is None:
        effects.variables.pop("OLDPWD", None)
    else:
        effects.variables["OLDPWD"] = before


def _searched(text: str, effects: Effects) -> str | None:
    """The folder that CDPATH finds (POSIX, cd)."""
    if not effects.search or text.startswith(("/", ".")):
        return None
    candidates = (effects.absolute(posixpath.join(folder or ".", text)) for folder in effects.search.split(":"))
    return next((path for path in candidates if path and os.path.isdir(path)), None)


def _cd(words: list[Word], command: Command, effects: Effects) -> None:
    change_folder(next(iter(operands(words)), None), effects)


def _pushed(words: list[Word], command: Command, effects: Effects) -> None:
    """pushd: as cd, and the folder before is kept; `+N` turns the stack, after which nobody knows the folder."""
    effects.pushed.append(effects.cwd)
    named = [word for word in operands(words) if not re.fullmatch(r"\+\d+", word.text)]
    change_folder(named[0] if named else Word("", False), effects)


def _popped(words: list[Word], command: Command, effects: Effects) -> None:
    """popd: back to the folder that was kept last."""
    folder = effects.pushed.pop() if effects.pushed and not words else None
    change_folder(Word(folder) if folder else Word("", False), effects)


FOLDERS: Mapping[str, Program] = {
    **dict.fromkeys(("cd", "chdir"), _cd), "pushd": _pushed, "popd": _popped,
    "dirs": lambda words, command, effects: None,
}  # fmt: skip
