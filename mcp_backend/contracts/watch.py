"""Keeps the message contracts of a workspace in step with its files, at the cost of a few `stat` calls."""

import asyncio
import os
import time
from collections.abc import Mapping
from functools import lru_cache

from mcp_backend.contracts import messages
from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.messages import READ, Index
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import kinds, listing

MANY_FOLDERS = 2000
MANY_FOLDERS_SECONDS = 2.0
"""In a workspace with more than `MANY_FOLDERS`, changes are looked for this often, not on every use."""
Stamp = tuple[int, int] | None


class Watch:
    """The contracts of one workspace. A folder's modification time tells of new and removed files, a file's own of
    changed content, so nothing is read again while nothing changed."""

    def __init__(self, workspace: Workspace, declared: Mapping[str, str]) -> None:
        self._workspace, self._declared = workspace, declared
        self._index: Index | None = None
        self._stamps: dict[str, Stamp] = {}
        self._looked = 0.0
        self._reading = asyncio.Lock()

    async def index(self) -> Index:
        """The contracts as the files are now."""
        if self._index is None or self._changed():
            async with self._reading:
                if self._index is None or self._changed():
                    self._index = await asyncio.to_thread(self._read)
        for path in self._index.documents.paths:
            if path not in self._stamps:
                self._stamps[path] = self._stamp(path)
        return self._index

    def _changed(self) -> bool:
        if len(self._stamps) > MANY_FOLDERS and time.monotonic() - self._looked < MANY_FOLDERS_SECONDS:
            return False
        self._looked = time.monotonic()
        return any(self._stamp(path) != stamp for path, stamp in self._stamps.items())

    def _read(self) -> Index:
        files = [path for path in listing.files(self._workspace) if kinds.evidence(path)]
        folders = {""}
        for path in files:
            folder = path
            while folder := folder.rpartition("/")[0]:
                if folder in folders:
                    break
                folders.add(folder)
        candidates = [path for path in files if path.endswith(READ)]
        self._stamps = {path: self._stamp(path) for path in (*folders, *candidates)}
        return messages.read(Documents(self._workspace.root), candidates, self._declared)

    def _stamp(self, path: str) -> Stamp:
        try:
            found = os.stat(self._workspace.root / path if path else self._workspace.root)
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_size


def contracts(workspace: Workspace, policy: Policy) -> Watch:
    """The one watch of a workspace and policy."""
    return _watch(workspace, tuple(sorted(policy.contracts.items())))


@lru_cache(maxsize=16)
def _watch(workspace: Workspace, declared: tuple[tuple[str, str], ...]) -> Watch:
    return Watch(workspace, dict(declared))
