"""The connections of a store: a few that open on first use and come back by themselves."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from mcp_backend.engines.pg.address import CONNECT_SECONDS, Address
from mcp_backend.engines.pg.pool import at_rest, speaks
from mcp_backend.errors import BackendError, Unavailable
from mcp_backend.settings import hide_credentials
from mcp_backend.store.base import Row
from mcp_backend.store.postgresql import schema

Connection: TypeAlias = AsyncConnection[Row]
MOST = 4
"""Connections of one process, beside the one that listens. One of them writes at a time."""
SECONDS = 10.0
"""How long a statement may take, and a wait for a connection."""
LIMITS = {
    "statement_timeout": "8s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "15s",
}
"""Ends what would keep other servers from writing: a wait, and a transaction of a server that stopped in it."""


class Connections:
    """Hands out connections whose schema is that of this release."""

    def __init__(self, address: Address, name: str) -> None:
        self._address, self.schema = address, name
        self._slots = asyncio.Semaphore(MOST)
        self._idle: list[Connection] = []
        self._migrating = asyncio.Lock()
        self._migrated = False
        self._since: datetime | None = None
        self._closed = False
        self.losses = 0

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[Connection]:
        """A connection in autocommit mode; what is not at rest after the block is closed. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise self.unavailable(f"all {MOST} connections were busy for {SECONDS:g} s") from None
        conn: Connection | None = None
        try:
            conn = self._rested() or await self.connect()
            yield conn
        finally:
            self._slots.release()
            if conn is not None:
                if _at_rest(conn) and not self._closed:
                    self._idle.append(conn)
                else:
                    self.losses += 1
                    conn.pgconn.finish()

    def _rested(self) -> Connection | None:
        while self._idle:
            conn = self._idle.pop()
            if _at_rest(conn) and not speaks(conn.pgconn):
                return conn
            self.losses += 1
            conn.pgconn.finish()
        return None

    async def connect(self) -> Connection:
        """A fresh connection; the first one brings the schema up to date. Raises `Unavailable`."""
        if self._closed:
            raise self.unavailable("it was closed")
        try:
            async with asyncio.timeout(CONNECT_SECONDS + 1):
                conn = await AsyncConnection[Row].connect(
                    make_conninfo("", **self._parameters()), autocommit=True, row_factory=dict_row
                )
        except TimeoutError:
            raise self.unavailable(f"no answer within {CONNECT_SECONDS} s") from None
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise self.unavailable(self.say(error)) from None
        try:
            async with self._migrating:
                if not self._migrated:
                    await schema.bring(conn, self.schema)
                    self._migrated = True
        except psycopg.Error as error:
            conn.pgconn.finish()
            raise self.unavailable(self.say(error)) from None
        except BaseException:
            conn.pgconn.finish()
            raise
        self._since = None
        return conn

    def _parameters(self) -> Mapping[str, Any]:
        given = self._address.parameters
        settings = {"search_path": self.schema, **LIMITS}
        options = " ".join([given.get("options", ""), *(f"-c {name}={value}" for name, value in settings.items())])
        return {"target_session_attrs": "read-write", **given, "options": options.strip(), "tcp_user_timeout": "10000",
                "application_name": "mcp-backend store"}  # fmt: skip

    def lost(self, conn: Connection, error: BaseException, *, committing: bool = False) -> BackendError:
        """What to raise when a statement did not come back; the connection is closed."""
        conn.pgconn.finish()
        what = f"no answer within {SECONDS:g} s" if isinstance(error, TimeoutError) else self.say(error)
        return self.unavailable(f"{what}; what was being recorded may be there or not" if committing else what)

    def unavailable(self, what: str) -> Unavailable:
        """Names the store, and since when it is away."""
        self._since = self._since or datetime.now(UTC)
        since = self._since.isoformat(timespec="seconds")
        return Unavailable(
            f"the store at {self._address.place} does not answer since {since}: {what}. Repeat the call once it does",
            details={"engine": "store", "since": since},
        )

    def say(self, error: BaseException) -> str:
        """The error without a password."""
        text = " ".join(str(error).split()) or type(error).__name__
        return hide_credentials(self._address.hide(text.removeprefix("connection failed: ")))[:300]

    def close(self) -> None:
        """Ends what nobody uses now; what is in use ends when it is given back."""
        self._closed = True
        while self._idle:
            conn = self._idle.pop()
            conn.pgconn.finish()


def _at_rest(conn: Connection) -> bool:
    return at_rest(conn.pgconn) and conn.pgconn.pipeline_status == pq.PipelineStatus.OFF
