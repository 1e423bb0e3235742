"""The store in one SQLite file (WAL), safe with several processes. https://www.sqlite.org/wal.html"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from pathlib import Path

from mcp_backend.errors import Unavailable
from mcp_backend.settings import private
from mcp_backend.store import local
from mcp_backend.store.base import Row, queries

SCHEMA_VERSION = 2
"""`schema.sql` is version 1; each later one is a file `NNNN_*.sql` of this folder, and none is ever changed."""
BUSY_SECONDS = 10.0
"""How long one waits until nobody else writes: in this process and in others together."""
PAUSES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.025, 0.025, 0.05)
"""Seconds between two attempts to write while another process does, the last one again and again: those of SQLite's own
wait, which would hold the loop and with it every other call. https://www.sqlite.org/c3ref/busy_timeout.html"""
SYNCHRONOUS = {True: "full", False: "normal"}
"""How far a commit waits for the disk, by whether it must outlast a power cut.
https://www.sqlite.org/pragma.html#pragma_synchronous"""
CACHE_KIB = 256
"""Pages that a connection keeps, of a file that the system keeps as well; SQLite's own 2,000 fill up in 3,000 calls and
make none of them faster. https://www.sqlite.org/pragma.html#pragma_cache_size"""
LOOK_SECONDS = 0.1
"""How often the file is asked whether somebody wrote: SQLite cannot wake a reader."""


class _Busy(Unavailable):
    """Another process holds the file."""


class Sqlite:
    """See `store.base.Store`. The coroutines of queries never suspend in a transaction, and outside only while another
    process holds the file."""

    shared = False
    losses = 0

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._writing = asyncio.Lock()
        self._queries = queries()
        self._durable: bool | None = None

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        return [dict(row) for row in await self._asked(self._queries[query], parameters)]

    async def row(self, query: str, **parameters: object) -> Row | None:
        found = await self._asked(self._queries[query], parameters)
        return dict(found[0]) if found else None

    async def run(self, query: str, **parameters: object) -> None:
        await self._asked(self._queries[query], parameters)

    async def _asked(self, sql: str, parameters: Mapping[str, object], began: float = 0.0) -> list[sqlite3.Row]:
        """What `_execute` gives, once no other process holds the file; the loop does other work meanwhile."""
        try:
            return self._execute(sql, parameters)
        except _Busy:
            until = (began or time.monotonic()) + BUSY_SECONDS
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                return self._execute(sql, parameters)
            except _Busy:
                if time.monotonic() > until:
                    raise
        raise AssertionError("the last pause comes again without end")

    def _execute(self, sql: str, parameters: Mapping[str, object]) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            said = f"another process holds it for {BUSY_SECONDS:g} s" if busy else str(error)
            kind = _Busy if busy else Unavailable
            raise kind(f"the store of this workspace does not answer: {said}") from error

    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncGenerator[None]:
        async with self._alone("begin immediate", durable):
            yield
            self._execute("commit", {})

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[None]:
        async with self._alone("begin", self._durable):
            yield

    @asynccontextmanager
    async def _alone(self, begin: str, durable: bool | None) -> AsyncGenerator[None]:
        """A transaction that this process has to itself; what the block does not commit is undone."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._writing.acquire()
        except TimeoutError:
            raise Unavailable(
                f"the store of this workspace does not answer: other calls wait for it since {BUSY_SECONDS:g} s"
            ) from None
        try:
            if durable != self._durable:
                self._execute(f"pragma synchronous = {SYNCHRONOUS[bool(durable)]}", {})
                self._durable = durable
            await self._asked(begin, {}, began)
            try:
                yield
            finally:
                # Also after a commit that failed: some errors end the transaction by themselves, others do not.
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
        finally:
            self._writing.release()

    def mark(self) -> object:
        """See `Store.mark`: other connections change the one number, this one the other.
        https://www.sqlite.org/pragma.html#pragma_data_version"""
        try:
            version: int = self._execute("pragma data_version", {})[0][0]
        except Unavailable:
            return object()  # Somebody may have written: who waits looks again.
        return version, self._connection.total_changes

    async def changed(self, mark: object, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.mark() == mark:
            if (left := until - loop.time()) <= 0:
                return False
            await asyncio.sleep(min(LOOK_SECONDS, left))
        return True

    @asynccontextmanager
    async def alive(self, instance: str) -> AsyncGenerator[None]:
        with local.alive(self._folder, instance):
            yield

    async def dead(self, instance: str) -> bool:
        return local.dead(self._folder, instance)

    async def key(self) -> bytes:
        return local.key(self._folder)

    async def take(self, principal: str, per_minute: int) -> float:
        return local.buckets(self._folder).take(principal, per_minute)

    async def ready(self) -> None:
        await self._asked("select seq from audit_head", {})

    def close(self) -> None:
        self._connection.close()


def open_sqlite(folder: Path) -> Sqlite:
    """The store of one workspace in its state folder, created on first use.

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
        connection.execute(f"pragma synchronous = {SYNCHRONOUS[True]}")
        connection.execute(f"pragma cache_size = -{CACHE_KIB}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma foreign_keys = on")
        _migrate(connection, path)
        connection.execute("pragma busy_timeout = 0")
    except sqlite3.Error as error:
        connection.close()
        raise Unavailable(f"cannot use the store {path}: {error}") from error
    except Unavailable:
        connection.close()
        raise
    with suppress(OSError):
        path.chmod(0o600)
    return Sqlite(connection, folder)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise Unavailable(f"{path} belongs to a newer mcp-backend (store version {version}); upgrade this one")
    connection.execute("begin immediate")
    version = int(connection.execute("pragma user_version").fetchone()[0])
    folder = Path(__file__).parent
    for number, file in enumerate((folder / "schema.sql", *sorted(folder.glob("0*_*.sql"))), start=1):
        if number > version:
            for statement in file.read_text("utf-8").split(";\n"):
                if statement.strip():
                    connection.execute(statement)
    connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    connection.execute("commit")
