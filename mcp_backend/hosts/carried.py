"""Lines and paths that the words of a program carry which is not known: a program it starts, code it runs, a file that
one of its options writes. Only what they do inside the repository counts: such a program may work elsewhere."""

import re
from collections.abc import Iterator, Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import CHANGERS, SHELLS, Effects, run
from mcp_backend.hosts.finding import SEARCHERS
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Command, Word

_CHANGERS = CHANGERS | names("chgrp rsync") | SHELLS
_LINE = Expression(
    rf"(?:^|(?<=[\s;&|(){{}}!`'\"/=:,]))(?:(?:{'|'.join(sorted(CHANGERS))}|rsync|git|mcp-backend|(?:ba|da|z|k)?sh)\s+[^;&|`()\n]*"
    r"|>{1,2}\s*[\w./~-]+)"
)
_CODE = Expression(r"-(e|E|c|x|ex|r|p|-eval|-exec\w*|-expression|-command|Command|-bind|[a-z-]*-c(?:md|ommand))")
_CODED = Expression(r"[()!>|;\"'`]")
_OUTPUT = Expression(
    r"(?i)-o|--?(?:[\w-]+-)?out(?:put)?[-_]?(?:file|dir(?:ectory)?|path|document)?|--?dest(?:ination)?|--?log-?file"
    r"|--?save(?:-\w+)*|--(?:junit-?xml|dump-[\w-]+|report-(?:file|path|to)|export(?:-to)?|target-dir)|-keyout"
)
_IN_PLACE = frozenset(("--in-place", "--inplace", "--write", "--fix", "--overwrite"))
_IN_PLACE_SHORT: Mapping[str, str] = {
    "yq": "i", "yapf": "i", "autopep8": "i", "jsonnetfmt": "i", "xmlstarlet": "L", "shfmt": "w",
    "buf": "w", "sd": "", "dos2unix": "", "unix2dos": "", "gofumpt": "w", "crudini": "", "swag": "",
}  # fmt: skip
"""Programs that change the files they are given: the short option that says so, or none where they always do."""

_PYTHON = frozenset(
    ("ruff", "black", "isort", "yapf", "autopep8", "autoflake", "pyupgrade", "unimport", "docformatter")
)
"""Of a folder they change the Python files."""


def carried(name: str, rest: list[Word], command: Command, effects: Effects, reads: bool) -> None:
    """Adds what a program writes as its words say. `reads`: a reader, whose words are data and start nothing."""
    for value in _outputs(name, rest):
        effects.write(value)
    _in_place(name, rest, effects)
    if not reads:
        within(effects, [w.text for w in rest] + command.fed)
        _started(rest, command, effects)


def within(effects: Effects, texts: list[str]) -> None:
    """The lines in code and settings: `-e '!rm x'`, `PAGER='touch x'`."""
    inner = _inside(effects)
    for index, text in enumerate(texts):
        if " " not in text and ">" not in text:
            continue
        if index and _CODE.fullmatch(texts[index - 1]) and _CODED.search(text):
            inner.opaque(text)
        for line in _LINE.finditer(text):
            run(line[0].rstrip("'\" "), inner)
    _taken(inner, effects)


def _outputs(name: str, rest: list[Word]) -> Iterator[Word]:
    for index, word in enumerate(rest):
        option, equals, value = word.text.partition("=")
        if not _OUTPUT.fullmatch(option):
            if option.startswith("-o") and len(option) > 2 and not option.startswith("-o=") and "/" in word.text:
                yield Word(word.text[2:], word.plain, word.quoted)
        elif option == "-o" and name in SEARCHERS:
            continue
        elif equals:
            yield Word(value, word.plain, word.quoted)
        elif index + 1 < len(rest) and not rest[index + 1].text.startswith("-"):
            yield rest[index + 1]


def _in_place(name: str, rest: list[Word], effects: Effects) -> None:
    """The files that exist among the words, where an option says that they are changed in place."""
    import os

    flag = _IN_PLACE_SHORT.get(name)
    texts = [w.text.partition("=")[0] for w in rest]
    said = not _IN_PLACE.isdisjoint(texts) or flag == ""
    if said or (flag and any(re.fullmatch(rf"-[a-zA-Z]*{flag}[a-zA-Z]*", text) for text in texts)):
        for word in rest:
            if word.text.startswith("-") or not any(map(os.path.lexists, effects.paths(word))):
                continue
            if name not in _PYTHON or not any(map(os.path.isdir, effects.paths(word))):
                effects.write(word)


def _started(rest: list[Word], command: Command, effects: Effects) -> None:
    """A program among the words that changes files: `valgrind rm x`, `bundle exec touch x`."""
    from mcp_backend.hosts import programs

    for index, word in enumerate(rest[:-1]):
        if word.plain and not word.quoted and word.text.rpartition("/")[2] in _CHANGERS:
            inner = _inside(effects)
            programs.apply(rest[index:], Command(fed=command.fed, piped=command.piped), inner)
            _taken(inner, effects)
            return


def _inside(effects: Effects) -> Effects:
    return Effects(effects.root, effects.cwd, variables=dict(effects.variables), line=effects.line)


def _taken(inner: Effects, effects: Effects) -> None:
    """Of the effects of a line that may run anywhere, those on files of the repository."""
    found = [*inner.written, *inner.deleted, *inner.named]
    effects.named += [path for path in found if path.startswith(effects.root + "/")]
    effects.steers += [steer for steer in inner.steers if steer[0].startswith("mcp-backend")]
