"""Which servers are alive, and what those that died were doing.

Each server holds a lock on a file of its own for as long as it lives; the kernel lets go of it however the process
ends. A call whose server's lock can be taken has no outcome on record: it is `unknown`.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from mcp_backend import audit
from mcp_backend.settings import private
from mcp_backend.store import Store


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


@contextmanager
def alive(state: Path, instance: str) -> Generator[None]:
    """Marks this process as the living server `instance`."""
    path = private(state / "instances") / instance
    descriptor = _lock(path, create=True)
    assert descriptor is not None, "an instance name is random and used once"
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def dead(state: Path, instance: str) -> bool:
    """Whether the server of that name no longer runs."""
    try:
        descriptor = _lock(state / "instances" / instance, create=False)
    except FileNotFoundError:
        return True
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


async def report_interrupted(store: Store, state: Path, now: datetime) -> list[str]:
    """Ends every call of a dead server as `unknown` in the audit, and says which they were."""
    found: list[str] = []
    async with store.transaction():
        for row in await store.rows("running_all"):
            if not dead(state, row["instance"]):
                continue
            await store.run("running_remove", call=row["call"])
            record = {"at": now.isoformat(), "call": row["call"], "event": "unknown", "tool": row["tool"]}
            await audit.append(store, record)
            found.append(f"{row['tool']} ({row['what']}, call {row['call']})")
            (state / "instances" / row["instance"]).unlink(missing_ok=True)
    return found
