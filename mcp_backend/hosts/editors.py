"""Editors that a line drives: the files they are given, and what their commands name."""

import re
from collections.abc import Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, Program, operands, run, values
from mcp_backend.workspace.shell_parts import Command, Word


def _vi(words: list[Word], command: Command, effects: Effects) -> None:
    """vi, vim, nvim, ex: -s takes a script, unless they are silent (`ex -s`, `vim -es`). https://vimhelp.org/starting.txt.html"""
    silent = any(re.fullmatch(r"-[a-zA-Z]*e[a-zA-Z]*s[a-zA-Z]*|-s", w.text) for w in words)
    commands = [w for w in words if w.text.startswith("+")]
    rest = [w for w in words if not w.text.startswith("+")]
    given = values(
        [Word(f"-{w.text[-1]}") if re.fullmatch(r"-[a-zA-Z]*s[a-zA-Z]*c", w.text) else w for w in rest], "-c", "--cmd"
    )
    codes = [*(w.text for w in given), *(w.text for w in commands), *command.fed]
    for code in codes:
        effects.opaque("> " + code)
    if codes and all(_SHOWS.fullmatch(code) for code in codes):
        return
    for word in operands(rest, "cuiT" if silent else "cuiTsS", ("--cmd",)):
        effects.write(word)


_SHOWS = Expression(r"(?:\s*(?:%?(?:p|print|nu|number|l|list)|%?=|q!?|quit!?|qa!?|version|scriptnames)\s*\|?)*")


def _ed(words: list[Word], command: Command, effects: Effects) -> None:
    """ed, red: -p takes a prompt; `w FILE`, `W FILE` write, `!` starts a shell. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ed.html"""
    fed = "\n".join(command.fed)
    for match in re.finditer(r"(?m)^[\d,.$%;+-]*([wWefr])\s+(?!!)(\S+)|^[\d,.$%;+-]*(?:w\s*|r\s*)?!(.*)$", fed):
        if match[3] is not None:
            run(match[3], effects)
        elif match[1] in "wW":
            effects.write(match[2])
    if not command.fed or re.search(r"(?m)(?:^|[;,\d$.%])\s*[wWx]q?\s*$", fed):
        for word in operands(words, "p", ("--prompt",)):
            effects.write(word)


def _emacs(words: list[Word], command: Command, effects: Effects) -> None:
    """emacs: the files it visits; code of --eval and --execute."""
    codes = [*values(words, "--eval", "--execute", "-eval", "-execute")]
    for code in codes:
        effects.opaque("> " + code.text)
    loaded = ("--eval", "--execute", "-eval", "-execute", "-l", "--load", "-f", "--funcall")
    skip = {id(word) for word in (*codes, *values(words, "-l", "--load", "-f", "--funcall"))}
    for word in operands([w for w in words if id(w) not in skip and w.text not in loaded], "qQ"):
        effects.write(word)


def _nano(words: list[Word], command: Command, effects: Effects) -> None:
    for word in operands(words, "orsTY"):
        effects.write(word)


EDITORS: Mapping[str, Program] = {
    **dict.fromkeys(("ex", "vi", "vim", "nvim", "view", "gvim"), _vi), **dict.fromkeys(("ed", "red"), _ed),
    "emacs": _emacs, **dict.fromkeys(("nano", "pico", "micro"), _nano),
}  # fmt: skip
