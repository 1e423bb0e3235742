"""What every store offers, and the named queries that all of them run."""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = dict[str, Any]


class Store(Protocol):
    """Escalations, approvals, receipts and the audit chain of one workspace, by named queries.

    Each statement outside `transaction` commits by itself. Every method raises `Unavailable` when the store does not
    answer; it answers again once it is back, without a restart.
    """

    @property
    def shared(self) -> bool:
        """Whether servers on other machines use it, too."""
        ...

    @property
    def losses(self) -> int:
        """How many connections to it were lost so far."""
        ...

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """All rows of a named query."""
        ...

    async def row(self, query: str, **parameters: object) -> Row | None:
        """The first row of a named query, or `None`."""
        ...

    async def run(self, query: str, **parameters: object) -> None:
        """A named statement without rows."""
        ...

    def transaction(self, *, durable: bool = True) -> AbstractAsyncContextManager[None]:
        """All or nothing, one writer at a time over all processes and machines.

        `durable` waits for the disk, so that the transaction survives a loss of power; without it, it survives the
        death of every process but the last moments may be missing after a loss of power.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """All reads inside see the store as it was at the first of them, whatever others write."""
        ...

    def mark(self) -> object:
        """A value that is another one once somebody wrote, for `changed`."""
        ...

    async def changed(self, mark: object, seconds: float) -> bool:
        """Waits until somebody has written since `mark`, or the time is over; whether something may have changed.

        Take the mark, then read, then wait: what is written in between is not missed."""
        ...

    def alive(self, instance: str) -> AbstractAsyncContextManager[None]:
        """Shows to others, inside the block, that the server `instance` lives."""
        ...

    async def dead(self, instance: str) -> bool:
        """Whether the server of that name no longer runs."""
        ...

    async def key(self) -> bytes:
        """The key that signs receipts, made on first use; the same for all servers of this store."""
        ...

    async def take(self, principal: str, per_minute: int) -> float:
        """Takes one of the calls that a principal may make a minute, counted over all servers of a shared store. The
        seconds until the next one is there, when there is none left; otherwise 0."""
        ...

    async def ready(self) -> None:
        """Returns when the store answers now."""
        ...

    def close(self) -> None:
        """Lets go of it; it cannot be used afterwards."""
        ...


@cache
def named(path: Path) -> Mapping[str, str]:
    """The queries of a file: a line `-- name: x` starts each."""
    parts = re.split(r"^-- name: (\w+)\n", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (sql.strip().removesuffix(";") for sql in parts[1::2]), strict=True))


def queries() -> Mapping[str, str]:
    """The queries of every store."""
    return named(Path(__file__).parent / "queries.sql")
