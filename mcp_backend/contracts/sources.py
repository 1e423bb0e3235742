"""Where specifications are read from: the work tree, or a commit."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mcp_backend.contracts.documents import Broken, Documents
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing

LARGEST = 30_000_000
"""Bytes of one specification; the largest public one is 13 MB."""


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

    def head(self, path: str, size: int = 65_536) -> str:
        """The beginning of a file; empty when it cannot be read."""
        if self.commit:
            return (listing.texts_of(self.root, self.commit, [path]).get(path) or "")[:size]
        return listing.text(self.root, path, size) or ""

    def heads(self, paths: Iterable[str]) -> dict[str, str]:
        """As `head` for many files: of a commit they come in one call of git."""
        return self.texts(paths) if self.commit else {path: self.head(path) for path in paths}

    def texts(self, paths: Iterable[str]) -> dict[str, str]:
        """Whole files by name; those that cannot be read are left out."""
        if self.commit:
            return listing.texts_of(self.root, self.commit, paths)
        return {path: text for path in paths if (text := listing.text(self.root, path, LARGEST)) is not None}


def work_tree(workspace: Workspace) -> Source:
    """The files as they are now."""
    files = listing.files(workspace)
    return Source(workspace.root, files, lambda: Documents(workspace.root, LARGEST), "", frozenset(files))


def committed(workspace: Workspace, commit: str) -> Source:
    """The files of a commit."""
    files = listing.files_of(workspace.root, commit)
    return Source(workspace.root, files, lambda: Committed(workspace.root, commit), commit, frozenset(files))
