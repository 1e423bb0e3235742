"""PostgreSQL: a few connections that open on first use, come back by themselves and are clean before reuse."""

import asyncio
import select
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.conninfo import make_conninfo

from mcp_backend.engines.pg import address, errors
from mcp_backend.engines.pg.address import Address
from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.errors import BackendError, OutcomeUnknown, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, hide_credentials, resolve

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

__all__ = ["Connection", "Postgresql", "schema_version"]

MOST_CONNECTIONS = 8
IDLE_SECONDS = 300.0
LOCK_SECONDS = 5.0
CLEAN = (
    "rollback; set session authorization default; reset all; deallocate all; close all; unlisten *; "
    "select pg_catalog.pg_advisory_unlock_all(); discard plans; discard temp; discard sequences"
)
"""`ROLLBACK` and what `DISCARD ALL` does, in a form that several statements of one message may have.
https://www.postgresql.org/docs/current/sql-discard.html"""


class Postgresql:
    """One database of the policy. Opens nothing until it is asked for a connection."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self._settings = settings
        self._workspace = workspace
        self._address: Address | None = None
        self._lease: Any = None
        self._leasing = asyncio.Lock()
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)
        self._idle: list[tuple[float, Connection]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._since: datetime | None = None

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._settings

    @asynccontextmanager
    async def session(self, read_only: bool, timeout_seconds: float) -> AsyncGenerator[Connection]:
        """A pooled connection whose statements end after `timeout_seconds`; whatever the block leaves is undone.

        `read_only`: the block runs inside one REPEATABLE READ, READ ONLY transaction that is rolled back at its end.
        Otherwise the connection is in autocommit mode. Raises `Unavailable` when the server cannot be reached or goes
        away, `OutcomeUnknown` when it goes away from a session that may write. A cancelled block has its statement
        cancelled in the server. Other errors of the driver pass through: see `pg.errors.refusal`.
        """
        async with self._slot(timeout_seconds), self._guarded(read_only) as conn:
            milliseconds = max(1, int(timeout_seconds * 1000))
            lock = min(milliseconds, int(LOCK_SECONDS * 1000))
            word, begin = ("local", "begin isolation level repeatable read, read only; ") if read_only else ("", "")
            interval = (
                f"set {word} client_connection_check_interval = 1000; " if conn.info.server_version >= 140000 else ""
            )
            await conn.execute(
                f"{begin}{interval}set {word} statement_timeout = {milliseconds}; set {word} lock_timeout = {lock}; "
                f"set {word} idle_in_transaction_session_timeout = {milliseconds + 60_000}; "
                f"set {word} standard_conforming_strings = on".encode()
            )
            yield conn
            await conn.execute(CLEAN.encode())

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Connection]:
        """A connection of its own in autocommit mode, closed at the end: for migrations, which set what they like.

        Raises `Unavailable` when the server cannot be reached, `OutcomeUnknown` when it goes away in the block.
        """
        conn = await self._connect()
        try:
            async with self._translated(conn, read_only=False):
                yield conn
        finally:
            self._end(conn)

    async def close(self) -> None:
        """Ends every connection and whatever still runs on one, then lets go of the local server."""
        while self._idle:
            await self._idle.pop()[1].close()
        if self._ending:
            await asyncio.wait(self._ending, timeout=5)
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close()

    @asynccontextmanager
    async def _slot(self, timeout_seconds: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(
                f"all {MOST_CONNECTIONS} connections to {self._settings.name} are busy; nothing was executed, try later"
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _guarded(self, read_only: bool) -> AsyncGenerator[Connection]:
        """A pooled connection that goes back only when its block ended well."""
        conn = await self._checkout()
        try:
            async with self._translated(conn, read_only=read_only):
                yield conn
        except (BackendError, psycopg.Error):
            if not await self._cleaned(conn):
                self._end(conn)
            raise
        except BaseException:
            self._end(conn)
            raise
        self._idle.append((time.monotonic(), conn))

    async def _cleaned(self, conn: Connection) -> bool:
        with suppress(psycopg.Error):
            await conn.execute(CLEAN.encode())
            self._idle.append((time.monotonic(), conn))
            return True
        return False

    @asynccontextmanager
    async def _translated(self, conn: Connection, *, read_only: bool) -> AsyncGenerator[None]:
        try:
            yield
        except psycopg.OperationalError as error:
            if not (conn.closed or conn.broken or errors.lost(error.sqlstate or "")):
                raise
            said = self._say(error)
            if read_only:
                raise self._unavailable(f"the connection was lost ({said}); nothing changed") from None
            raise OutcomeUnknown(
                f"postgresql engine {self._settings.name!r}: the connection was lost ({said}) while a statement may "
                "have been running: it may or may not have taken effect. Look at the database before going on"
            ) from None

    async def _checkout(self) -> Connection:
        while self._idle:
            since, conn = self._idle.pop()
            # The server speaks to an idle connection only to say goodbye.
            gone = conn.closed or bool(select.select([conn.pgconn.socket], [], [], 0)[0])
            if not gone and time.monotonic() - since < IDLE_SECONDS:
                return conn
            await conn.close()
        return await self._connect()

    async def _connect(self) -> Connection:
        place = await self._place()
        try:
            async with asyncio.timeout(address.CONNECT_SECONDS + 1):
                conn = await AsyncConnection[tuple[Any, ...]].connect(
                    make_conninfo("", **place.parameters), autocommit=True, prepare_threshold=None
                )
        except TimeoutError:
            raise self._unavailable(f"no answer within {address.CONNECT_SECONDS} s") from None
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise self._unavailable(self._say(error)) from None
        self._since = None
        return conn

    async def _place(self) -> Address:
        where = f"engines.{self._settings.name}.url"
        async with self._leasing:
            if self._settings.url.startswith("embedded:"):
                if self._lease is None or self._lease.lost:
                    from mcp_backend.engines.embedded import lease

                    if self._lease is not None:
                        self._lease.close()
                        self._lease = None
                    self._lease = await lease("postgresql", self._workspace)
                    self._address = address.parse(self._lease.url, where=where)
            else:
                self._address = address.parse(resolve(self._settings.url, field=where), where=where)
        assert self._address is not None
        return self._address

    def _unavailable(self, what: str) -> Unavailable:
        self._since = self._since or datetime.now(UTC)
        since = self._since.isoformat(timespec="seconds")
        place = f" at {self._address.place}" if self._address else ""
        return Unavailable(
            f"postgresql engine {self._settings.name!r}{place} does not answer since {since}: {what}. "
            "Nothing was executed; repeat the call once it is back",
            details={"engine": self._settings.name, "since": since},
        )

    def _say(self, error: BaseException) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text.removeprefix("connection failed: ").removeprefix("connection is bad: ")
        return hide_credentials(self._address.hide(text) if self._address else text)[:400]

    def _end(self, conn: Connection) -> None:
        """Ends a connection that is not known to be idle: its statement is cancelled in the server first.

        Runs apart from the caller, whose own cancellation would interrupt it.
        """
        if conn.pgconn.status != pq.ConnStatus.OK:
            conn.pgconn.finish()
            return
        if conn.pgconn.transaction_status == pq.TransactionStatus.IDLE:
            self._apart(conn.close())
            return
        self._apart(_cancel_and_close(conn))

    def _apart(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _cancel_and_close(conn: Connection) -> None:
    with suppress(psycopg.Error, OSError):
        await conn.cancel_safe(timeout=3)
    await conn.close()
