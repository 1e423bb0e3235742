"""What one machine has by itself, for a store that is a file: locks that end with a process, a key, counters.

Each server holds a lock on a file of its own for as long as it lives; the kernel lets go of it however the process
ends.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mcp_backend.settings import private

YOUNG_SECONDS = 3600.0


def _lock(path: Path, *, create: bool) -> int | None:
    """An exclusive lock on the file as an open descriptor, or `None` when another process holds it."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _forget_dead(instances: Path) -> None:
    """Takes away what servers that were killed left. A young file may be of one that is about to lock it."""
    for path in instances.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - YOUNG_SECONDS:
                dead(instances.parent, path.name)


@contextmanager
def alive(folder: Path, instance: str) -> Generator[None]:
    """Marks this process as the living server `instance`."""
    path = private(folder / "instances") / instance
    _forget_dead(path.parent)
    descriptor = _lock(path, create=True)
    assert descriptor is not None, "an instance name is random and used once"
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def dead(folder: Path, instance: str) -> bool:
    """Whether the server of that name no longer runs; then its file goes."""
    path = folder / "instances" / instance
    try:
        descriptor = _lock(path, create=False)
    except FileNotFoundError:
        return True
    if descriptor is None:
        return False
    path.unlink(missing_ok=True)
    os.close(descriptor)
    return True


def key(folder: Path) -> bytes:
    """The key of the workspace, made on first use; complete or absent, whoever makes it first."""
    path = private(folder) / "receipt.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        made = path.with_name(f"receipt.key.{secrets.token_hex(4)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return path.read_bytes()


class Buckets:
    """How many calls each principal may still make: a bucket that refills evenly and can be emptied at once."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, int], tuple[float, float]] = {}

    def take(self, principal: str, per_minute: int) -> float:
        """Takes one. The seconds until there is one, 0 when it was taken."""
        now = time.monotonic()
        left, before = self._left.get((principal, per_minute), (float(per_minute), now))
        left = min(per_minute, left + (now - before) * per_minute / 60)
        if left < 1:
            return (1 - left) * 60 / per_minute
        self._left[principal, per_minute] = (left - 1, now)
        return 0.0


@cache
def buckets(folder: Path) -> Buckets:
    """Those of this process for a workspace, however many connections it serves."""
    return Buckets()
