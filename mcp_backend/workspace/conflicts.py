"""Conflicts in the work tree: which paths, of what sort, and the hunks between the marks of git.

https://git-scm.com/docs/git-merge#_how_conflicts_are_presented
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcp_backend.errors import Json
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.git import Repository, run, text

HUNKS, LINES = 10, 60
LARGEST = 2_000_000
_KINDS = {
    "123": "both changed it", "23": "both added it", "12": "changed here, deleted there: `git show` has the old text",
    "13": "deleted in the base, changed by the commit", "1": "both deleted it", "2": "added by the base",
    "3": "added by the commit",
}  # fmt: skip
_BEGIN, _END = re.compile(r"<{7}( |$)"), re.compile(r">{7}( |$)")


@dataclass(frozen=True, slots=True)
class Conflict:
    """One unmerged path and the stages the index has of it: 1 the common one, 2 the new base, 3 the commit."""

    path: str
    stages: str

    @property
    def kind(self) -> str:
        """In words."""
        return _KINDS.get(self.stages, "unmerged")


def unmerged(repository: Repository) -> tuple[Conflict, ...]:
    """Every path that waits for a resolution."""
    found: dict[str, str] = {}
    for entry in text(run(repository, "ls-files", "-u", "-z")).split("\0"):
        about, tab, path = entry.partition("\t")
        if tab:
            found[path] = found.get(path, "") + about.split(" ")[2]
    return tuple(Conflict(path, stages) for path, stages in found.items())


def marked(repository: Repository, path: str) -> bool:
    """Whether the marks of a conflict are still in a file."""
    return any(True for _ in _hunks(_lines(repository, path) or ()))


def told(repository: Repository, found: Sequence[Conflict], owners: "dict[str, str]") -> list[Json]:
    """The conflicts as a result carries them, each with its hunks and the lines they stand on."""
    listed: list[Json] = []
    for conflict in found[:50]:
        lines = _lines(repository, conflict.path)
        hunks: list[Json] = []
        left = 0
        for number, hunk in _hunks(lines or ()):
            if len(hunks) == HUNKS:
                left += 1
                continue
            cut = "" if len(hunk) <= LINES else f"\n[… {len(hunk) - LINES} more lines]"
            hunks.append({"line": number, "text": "\n".join(hunk[:LINES]) + cut})
        one: dict[str, Json] = {"path": shown(conflict.path), "kind": conflict.kind, "hunks": hunks}
        if left:
            one["hunks_left_out"] = left
        if (owner := owners.get(conflict.path, "backend")) != "backend":
            one["owner"] = owner
        listed.append(one)
    return listed


def _lines(repository: Repository, path: str) -> list[str] | None:
    """The lines of a regular file of the work tree; `None` where it is none, is large or is not text."""
    try:
        descriptor = os.open(repository.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > LARGEST:
            return None
        data = file.read()
    return None if b"\0" in data[:8000] else data.decode("utf-8", "replace").split("\n")


def _hunks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    start: int | None = None
    for number, line in enumerate(lines):
        if _BEGIN.match(line):
            start = number
        elif start is not None and _END.match(line):
            yield start + 1, [one.rstrip("\r") for one in lines[start : number + 1]]
            start = None
