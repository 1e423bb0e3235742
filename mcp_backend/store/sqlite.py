"""The store in one SQLite file (WAL), safe with several processes. https://www.sqlite.org/wal.html"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from mcp_backend.errors import Unavailable
from mcp_backend.settings import private

Row: TypeAlias = dict[str, Any]
SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0


@cache
def queries() -> Mapping[str, str]:
    """The named queries of `queries.sql`: a line `-- name: x` starts each."""
    text = (Path(__file__).parent / "queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (sql.strip().removesuffix(";") for sql in parts[1::2]), strict=True))


class Store:
    """Runs named queries. Methods are coroutines so that a networked store can take this one's place; on SQLite
    they never suspend, and each statement outside `transaction` commits by itself."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()
        self._queries = queries()
        self._durable: bool | None = None

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """All rows of a named query."""
        return [dict(row) for row in self._execute(self._queries[query], parameters)]

    async def row(self, query: str, **parameters: object) -> Row | None:
        """The first row of a named query, or `None`."""
        found = self._execute(self._queries[query], parameters)
        return dict(found[0]) if found else None

    async def run(self, query: str, **parameters: object) -> None:
        """A named statement without rows."""
        self._execute(self._queries[query], parameters)

    def _execute(self, sql: str, parameters: Mapping[str, object]) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"the store of this workspace does not answer: {error}") from error

    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncGenerator[None]:
        """All or nothing, one writer at a time over all processes.

        `durable` waits for the disk, so that the transaction survives a loss of power; without it, it survives the
        death of every process but the last moments may be missing after a loss of power.
        """
        async with self._writing:
            if durable != self._durable:
                self._execute(f"pragma synchronous = {'full' if durable else 'normal'}", {})
                self._durable = durable
            self._execute("begin immediate", {})
            try:
                yield
                self._execute("commit", {})
            finally:
                # Also after a commit that failed: some errors end the transaction by themselves, others do not.
                if self._connection.in_transaction:
                    self._connection.execute("rollback")

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[None]:
        """All reads inside see the store as it was at the first of them, whatever other processes write."""
        async with self._writing:
            self._execute("begin", {})
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")

    def data_version(self) -> int:
        """A number that changes when another process commits to this store."""
        return int(self._connection.execute("pragma data_version").fetchone()[0])

    def close(self) -> None:
        """Closes the file; the store cannot be used afterwards."""
        self._connection.close()


def open_store(folder: Path) -> Store:
    """The store of one workspace, created on first use.

    Raises `Unavailable` when the folder cannot be written or holds a store of a newer release.
    """
    path = folder / "store.db"
    try:
        private(folder)
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"cannot open the store {path}: {error}") from error
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma foreign_keys = on")
        _migrate(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise Unavailable(f"cannot use the store {path}: {error}") from error
    except Unavailable:
        connection.close()
        raise
    with suppress(OSError):
        path.chmod(0o600)
    return Store(connection)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise Unavailable(f"{path} belongs to a newer mcp-backend (store version {version}); upgrade this one")
    connection.execute("begin immediate")
    if int(connection.execute("pragma user_version").fetchone()[0]) == 0:
        for statement in (Path(__file__).parent / "schema.sql").read_text("utf-8").split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    connection.execute("commit")
