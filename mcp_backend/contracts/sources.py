"""Where specifications are read from: the work tree, or a commit."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from mcp_backend.contracts.documents import Broken, Documents
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing

LARGEST = 30_000_000
"""Bytes of one specification; the largest public one is 13 MB."""
HEAD = 65_536
"""Bytes that tell what most files are."""
REMEMBERED = 30_000
"""Files whose kind is kept as long as they stay as they are."""
Seen = TypeVar("Seen")
_seen: dict[tuple[Path, Callable[[str, str], Any], str], tuple[tuple[int, int], Any]] = {}


class Committed(Documents):
    """Documents as they are in a commit."""

    def __init__(self, root: Path, commit: str) -> None:
        super().__init__(root, LARGEST)
        self._commit = commit

    def text(self, path: str) -> str:
        """The file as text. Raises `Broken`."""
        found = listing.texts_of(self._root, self._commit, [path]).get(path)
        if found is None:
            raise Broken(f"{path}: not in {self._commit[:12]}")
        return found.removeprefix("\ufeff")


@dataclass(frozen=True, slots=True)
class Source:
    """One state of the files: their names and what is in them. `documents` makes a reader of its own."""

    root: Path
    files: tuple[str, ...]
    documents: Callable[[], Documents]
    commit: str = ""
    known: frozenset[str] = field(default_factory=frozenset[str])

    def seen(self, paths: Iterable[str], look: Callable[[str, str], Seen], size: int = HEAD) -> dict[str, Seen]:
        """What `look`, a plain function, makes of each file's path and beginning. Of the work tree a file is looked at
        again only when it changed; those that cannot be read are left out."""
        if self.commit:
            return {path: look(path, text[:size]) for path, text in self.texts(paths).items()}
        found: dict[str, Seen] = {}
        for path in paths:
            key, stamp = (self.root, look, path), stamped(self.root, path)
            known = _seen.get(key)
            if known is not None and known[0] == stamp:
                found[path] = cast("Seen", known[1])
            elif stamp is not None and (text := listing.text(self.root, path, size)) is not None:
                found[path] = look(path, text)
                if len(_seen) >= REMEMBERED:
                    _seen.clear()
                _seen[key] = stamp, found[path]
        return found

    def texts(self, paths: Iterable[str]) -> dict[str, str]:
        """Whole files by name; those that cannot be read are left out."""
        if self.commit:
            return listing.texts_of(self.root, self.commit, paths)
        return {path: text for path in paths if (text := listing.text(self.root, path, LARGEST)) is not None}


def stamped(root: Path, path: str) -> tuple[int, int] | None:
    """When a file changed last and its size, `None` where it is not there: as long as both stay, so does the file."""
    try:
        found = os.stat(f"{root}/{path}")
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def work_tree(workspace: Workspace) -> Source:
    """The files as they are now."""
    files = listing.files(workspace)
    return Source(workspace.root, files, lambda: Documents(workspace.root, LARGEST), "", frozenset(files))


def committed(workspace: Workspace, commit: str) -> Source:
    """The files of a commit."""
    files = listing.files_of(workspace.root, commit)
    return Source(workspace.root, files, lambda: Committed(workspace.root, commit), commit, frozenset(files))
