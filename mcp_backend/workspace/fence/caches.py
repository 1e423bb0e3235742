"""Caches of build and package tools inside the fence: the workspace's own, with what the person has shining through.

A program in the fence that could write the person's own caches would reach every other project through them. Where
mounts of our own hold, the Go build cache of the person lies below ours, read-only, so that nothing is built twice.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.settings import Workspace, private

TOOLS = {"GOCACHE": "go-build", "UV_CACHE_DIR": "uv", "PIP_CACHE_DIR": "pip", "npm_config_cache": "npm"}
_PLAIN = re.compile(r"[\w./+@-]+")
"""Other characters would have to be escaped in the options of a mount."""


@dataclass(slots=True)
class Caches:
    """The folders by the variable that names them, and what is laid over what (target, lower, upper, work)."""

    folders: Mapping[str, Path]
    overlays: tuple[tuple[str, str, str, str], ...] = ()
    _lock: int = -1
    _thrown_away: Path | None = None

    def close(self) -> None:
        """Lets the next program write where this one did."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._thrown_away is not None:
            shutil.rmtree(self._thrown_away, ignore_errors=True)


def opened(workspace: Workspace) -> Caches:
    """The caches for one program. Two at a time never write through one overlay, which the kernel does not define:
    what the second one writes is thrown away."""
    base = private(private(private(workspace.state) / "fence") / "cache")
    folders = {name: private(base / folder) for name, folder in TOOLS.items()}
    target, lower = folders["GOCACHE"], _of_the_person()
    if lower is None or not _PLAIN.fullmatch(f"{lower}{base}"):
        return Caches(folders)
    lock = os.open(base / "go.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    thrown_away: Path | None = None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        above = private(base / "go-above")
    except BlockingIOError:
        os.close(lock)
        lock = -1
        above = thrown_away = Path(tempfile.mkdtemp(prefix="go-", dir=base))
    upper, work = private(above / "upper"), private(above / "work")
    return Caches(folders, ((str(target), lower, str(upper), str(work)),), lock, thrown_away)


def _of_the_person() -> str | None:
    """The Go build cache outside (`go help cache`), where there is one."""
    named = os.environ.get("GOCACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "go-build"
    )
    real = os.path.realpath(named)
    return real if os.path.isdir(real) else None
