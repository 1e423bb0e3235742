"""The source files of a workspace in languages that are known."""

import os
import stat
import time
from functools import cached_property

from mcp_backend.settings import Workspace
from mcp_backend.workspace import beneath, listing, reading
from mcp_backend.workspace.symbols import languages, parsing, table
from mcp_backend.workspace.symbols.table import Parsed


class Sources:
    """One listing of the files and one look at each; a context manager that holds the workspace open."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __enter__(self) -> "Sources":
        self._base = beneath.root(self._workspace.root)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._base)

    @cached_property
    def stamps(self) -> dict[str, str]:
        """Every file, and how it looked."""
        paths = [path for path in listing.files(self._workspace) if languages.of(path)]
        return table.stamps(self._workspace.root, paths, time.time_ns())

    def read(self, path: str) -> bytes | None:
        """The content as it is now, or `None` where it cannot be read."""
        try:
            descriptor = beneath.open_at(self._base, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or state.st_size > reading.LARGEST:
                return None
            return os.read(descriptor, state.st_size)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def parsed(self, path: str, data: bytes | None = None) -> Parsed | None:
        """The definitions in a file as it is now; none are known of one that is too large."""
        content = self.read(path) if data is None else data
        grammar = languages.of(path)
        if content is None or grammar is None:
            return None
        stamp = self.stamps.get(path, "")
        if len(content) > parsing.LARGEST:
            return Parsed(path, stamp, [], False)
        found, clean = parsing.symbols(content, grammar)
        return Parsed(path, stamp, found, clean)
