"""The files that a line looks for before it changes them: `find -exec`, `grep -l … | xargs`, `git ls-files … | xargs`.

What the searching program would name is looked up, never more than `MOST` files; a condition that is not understood
leaves a file in.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TypeAlias

from mcp_backend.hosts.effects import Effects, operands, values
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Word

MOST = 3000
"""Files that are judged."""
SEEN = 50_000
"""Files that are looked at."""
LARGEST = 500_000
_SKIPPED = frozenset((".git", "node_modules", ".venv", "__pycache__"))
_PATTERNS = {"-name": False, "-iname": False, "-path": True, "-ipath": True, "-wholename": True}
SEARCHERS = names("grep egrep fgrep rg fd fdfind ls ag ack")


def by_find(words: list[Word], effects: Effects) -> tuple[list[Word], list[str]]:
    """The places `find` starts at, and the files and folders below them that its tests leave. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/find.html"""
    start = next((i for i, w in enumerate(words) if w.text.startswith(("-", "(", "!"))), len(words))
    places = words[:start] or [Word(".")]
    texts = [word.text for word in words[start:]]
    kind = texts[texts.index("-type") + 1 : texts.index("-type") + 2] if "-type" in texts else []
    chosen, pruned = _alternatives(texts)
    found: list[str] = []
    for place in places:
        for path in effects.paths(place):
            found += _left(path, place.text.rstrip("/") or "/", chosen, pruned, kind)
    return places, found[:MOST]


Test: TypeAlias = tuple[str, str, bool]
"""A flag such as `-name`, its pattern, and whether it is negated."""


def _left(
    path: str, printed: str, chosen: list[list[Test]], pruned: list[list[Test]], kind: list[str]
) -> Iterator[str]:
    def goes(full: str) -> bool:
        return any(all(_passes(test, full, printed, path) for test in tests) for tests in pruned)

    for full, folder in below(path, both=kind != ["f"], prunes=goes):
        if (kind == ["d"] and not folder) or goes(full):
            continue
        if not chosen or any(all(_passes(test, full, printed, path) for test in tests) for tests in chosen):
            yield full


def _alternatives(texts: list[str]) -> tuple[list[list[Test]], list[list[Test]]]:
    """The tests of names between `-o`: those that choose, and those whose matches are left out (`-prune`)."""
    chosen: list[list[Test]] = []
    pruned: list[list[Test]] = []
    current: list[Test] = []
    prunes = negated = seen = False
    for index, text in enumerate([*texts, "-o"]):
        if text in ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-print", "-print0"):
            seen = True
        if text in ("!", "-not"):
            negated = True
            continue
        if text in _PATTERNS and index + 1 < len(texts):
            current.append((text, texts[index + 1], negated))
        prunes = prunes or text == "-prune"
        if text in ("-o", "-or"):
            if prunes and not seen:
                pruned.append(current)
            elif current or seen:
                chosen.append(current)
            current, prunes, seen = [], False, False
        negated = False
    return ([] if [] in chosen else chosen), pruned


def _passes(test: Test, full: str, printed: str, place: str) -> bool:
    flag, pattern, negated = test
    text = printed + full.removeprefix(place) if _PATTERNS[flag] else full.rpartition("/")[2]
    if flag.startswith("-i"):
        text, pattern = text.lower(), pattern.lower()
    return fnmatchcase(text, pattern) is not negated


def below(path: str, both: bool, prunes: Callable[[str], bool] | None = None) -> Iterator[tuple[str, bool]]:
    """Files (and folders) at and below a path, with whether each is a folder."""
    if not os.path.isdir(path):
        if os.path.lexists(path):
            yield path, False
        return
    seen = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [f for f in folders if f not in _SKIPPED and not (prunes and prunes(f"{folder}/{f}"))]
        for name in folders if both else ():
            yield f"{folder}/{name}", True
        for name in files:
            yield f"{folder}/{name}", False
        seen += len(files)
        if seen > SEEN:
            return


def by_search(name: str, words: list[Word], effects: Effects) -> list[str]:
    """The files whose names a searching program prints: those it looks at, that hold what it looks for."""
    listing = name == "ls" or any(w.text == "--files" for w in words)
    given = operands(words, "efgABCmtT", ("--glob", "--type", "--regexp", "--file"))
    by_option = list(values(words, "-e", "--regexp"))
    by_name = name in ("fd", "fdfind")
    patterns = by_option or ([] if listing else given[:1])
    places = given if by_option or listing else given[1:]
    globs = [w.text for w in values(words, "-g", "--glob", "--include")]
    globs += [f"*.{w.text}" for w in values(words, "-e", "--extension")] if by_name else []
    files = [full for place in places or [Word(".")] for path in effects.paths(place) for full, _ in below(path, False)]
    files = [f for f in files if not globs or any(_glob(f, glob) for glob in globs)]
    if by_name or listing:
        return files[:MOST]
    return list(_holding(files[:MOST], [p.text for p in patterns], {w.text for w in words}, name))


def by_git(verb: str, words: list[Word], effects: Effects) -> list[str]:
    """The files that `git ls-files` and `git grep -l` name: those of the paths they are given."""
    texts = [w.text for w in words]
    after = words[texts.index("--") + 1 :] if "--" in texts else None
    given = operands(words, "efABC")
    paths = after if after is not None else given[1:] if verb == "grep" else given
    found: list[str] = []
    for path in (p.text for p in paths or [Word(".")]):
        globbed = re.search(r"[*?\[]", path)
        base = effects.absolute("." if globbed else path) or effects.root
        found += [full for full, _ in below(base, False) if not globbed or _glob(full, path)]
    if verb == "grep":
        return list(_holding(found[:MOST], [w.text for w in given[:1]], set(texts), "grep"))
    return found[:MOST]


def _glob(path: str, glob: str) -> bool:
    if glob.startswith("!"):
        return not _glob(path, glob[1:])
    return fnmatchcase(path, f"*/{glob.lstrip('/')}") or fnmatchcase(path, glob)


def _holding(files: Iterable[str], patterns: list[str], flags: set[str], name: str) -> Iterator[str]:
    """The files that hold a pattern; all of them when it is one that only the program understands."""
    short = "".join(flag[1:] for flag in flags if re.fullmatch(r"-[a-zA-Z]+", flag))
    if "L" in short or "v" in short or not patterns:
        yield from files
        return
    found: list[re.Pattern[bytes]] = []
    for text in patterns:
        if name == "fgrep" or "F" in short:
            text = re.escape(text)
        elif name == "grep" and "E" not in short and "P" not in short and re.search(r"[\\+?|(){}]", text):
            yield from files
            return
        try:
            found.append(re.compile(text.encode(), re.IGNORECASE if "i" in short else 0))
        except re.error:
            yield from files
            return
    for path in files:
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST)
        except OSError:
            continue
        if any(pattern.search(content) for pattern in found):
            yield path
