"""PostgreSQL: a few connections that open on first use, come back by themselves and are clean before reuse."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from mcp_backend.engines.away import away
from mcp_backend.engines.pg import address, errors, reading, roles
from mcp_backend.engines.pg.address import Address
from mcp_backend.engines.pg.connections import Connection, Open, beginning, clean, made_ready
from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.engines.pg.pool import Pool
from mcp_backend.engines.pg.roles import Role
from mcp_backend.engines.pg.schema import Memory
from mcp_backend.engines.pg.wire import Reply, Step
from mcp_backend.errors import BackendError, DeadlineExceeded, OutcomeUnknown, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, hide_credentials, resolve

if TYPE_CHECKING:
    from mcp_backend.engines.embedded import Lease

T = TypeVar("T")

__all__ = ["Connection", "Postgresql", "schema_version"]

MOST_CONNECTIONS = 8
ROLE_SECONDS = 300.0
RETRY_SECONDS = 1.0
GRACE_SECONDS = 2.0
"""What the server has beyond its own timeout before the talk is cancelled from here."""
NOISE = re.compile(
    r'connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: |\s*Is the server running on that host and '
    r"accepting TCP/IP connections\?"
)
"""What libpq says beside the reason: the place, which stands before it, and advice for a person."""


class Postgresql:
    """One database of the policy. Opens nothing until it is asked for a connection."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self._settings = settings
        self._workspace = workspace
        self._address: Address | None = None
        self._lease: Lease | None = None
        self._leasing = asyncio.Lock()
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)
        self._pool = Pool(self._connect)
        self._since: datetime | None = None
        self._role: tuple[float, Role] | None = None
        self.path = "{pg_catalog,public}"
        """The search path of a new session, as it was last seen, as an array literal."""
        self.memory = Memory()
        """What readers of the schema remember of this database."""

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
        async with self._slot(timeout_seconds), self._guarded(read_only, timeout_seconds) as conn:
            yield conn

    async def converse(self, talk: Callable[[Open], Coroutine[Any, Any, T]], timeout_seconds: float) -> T:
        """The result of `talk` on a pooled connection, which it leaves as clean as it was.

        For reads: when the pooled connection turns out to be dead, `talk` is tried once more on a fresh one. Raises
        `Unavailable` when the server cannot be reached or goes away, `DeadlineExceeded` when the server did not end
        the talk in time. A cancelled talk has its statement cancelled in the server.
        """
        async with self._slot(timeout_seconds):
            began = time.monotonic()
            opened, pooled = await self._pool.take()
            try:
                return await self._talk(opened, talk, timeout_seconds)
            except psycopg.OperationalError as error:
                if not pooled or time.monotonic() - began > RETRY_SECONDS:
                    raise self._unavailable(f"the connection was lost ({self._say(error)})") from None
            opened = await self._connect()
            try:
                return await self._talk(opened, talk, timeout_seconds)
            except psycopg.OperationalError as error:
                raise self._unavailable(f"the connection was lost ({self._say(error)})") from None

    async def _talk(self, opened: Open, talk: Callable[[Open], Coroutine[Any, Any, T]], timeout_seconds: float) -> T:
        try:
            async with asyncio.timeout(timeout_seconds + GRACE_SECONDS):
                result = await talk(opened)
        except TimeoutError:
            self._pool.end(opened)
            raise DeadlineExceeded(
                f"no answer within {timeout_seconds:g} s; the statement was cancelled and nothing changed"
            ) from None
        except BaseException:
            self._pool.end(opened)
            raise
        self._pool.give_back(opened)
        return result

    async def look_up(self, steps: Sequence[Step]) -> list[Reply]:
        """The replies to catalog queries of our own, in one round trip. Raises as `converse` does."""
        seconds = reading.LOOK_UP_SECONDS
        replies, self.path = await self.converse(
            lambda opened: reading.look_up(opened, steps, seconds, self.path), seconds
        )
        return replies

    async def role(self) -> Role:
        """What the role of our connections could do; looked up again when that was a while ago."""
        if self._role is None or time.monotonic() - self._role[0] > ROLE_SECONDS:
            (reply,) = await self.look_up([roles.report()])
            if reply.error is not None:
                raise errors.refusal(reply.error, field="role")
            self._role = (time.monotonic(), roles.read_report(reply))
        return self._role[1]

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Connection]:
        """A connection of its own in autocommit mode, closed at the end: for migrations, which set what they like.

        Raises `Unavailable` when the server cannot be reached, `OutcomeUnknown` when it goes away in the block. What
        still runs when the block is left by an error or a cancellation is cancelled in the server.
        """
        opened = await self._connect()
        try:
            async with self._translated(opened.conn, read_only=False):
                yield opened.conn
        finally:
            self._pool.end(opened)

    async def close(self) -> None:
        """Ends every connection and whatever still runs on one, then lets go of the local server."""
        await self._pool.close()
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close()

    @asynccontextmanager
    async def _slot(self, timeout_seconds: float) -> AsyncGenerator[None]:
        try:
            if not self._slots.locked():
                await self._slots.acquire()  # Returns at once.
            else:
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
    async def _guarded(self, read_only: bool, timeout_seconds: float) -> AsyncGenerator[Connection]:
        """A pooled connection that goes back only when it could be cleaned."""
        opened = await self._begun(read_only, timeout_seconds)
        try:
            async with self._translated(opened.conn, read_only=read_only):
                yield opened.conn
                await clean(opened)
        except (BackendError, psycopg.Error):
            with suppress(psycopg.Error):
                await clean(opened)
            self._pool.give_back(opened)
            raise
        except BaseException:
            self._pool.end(opened)
            raise
        self._pool.give_back(opened)

    async def _begun(self, read_only: bool, timeout_seconds: float) -> Open:
        """A connection whose session has begun: a fresh one when the pooled one turns out to be dead."""
        began = time.monotonic()
        while True:
            opened, pooled = await self._pool.take()
            opened.conn.patience = timeout_seconds + GRACE_SECONDS
            try:
                await opened.conn.execute(beginning(opened, read_only, timeout_seconds))
            except psycopg.OperationalError as error:
                self._pool.end(opened)
                if not pooled or time.monotonic() - began > RETRY_SECONDS:
                    raise self._unavailable(self._say(error)) from None
            except BaseException:
                self._pool.end(opened)
                raise
            else:
                return opened

    @asynccontextmanager
    async def _translated(self, conn: Connection, *, read_only: bool) -> AsyncGenerator[None]:
        try:
            yield
        except psycopg.OperationalError as error:
            if not (conn.closed or conn.broken or errors.lost(error.sqlstate or "")):
                raise
            said = self._say(error)
            if read_only:
                raise self._unavailable(f"the connection was lost ({said})") from None
            raise OutcomeUnknown(
                f"postgresql engine {self._settings.name!r}: the connection was lost ({said}) while a statement may "
                "have been running: it may or may not have taken effect. Look at the database before going on"
            ) from None

    async def _connect(self) -> Open:
        place = await self._place()
        try:
            async with asyncio.timeout(address.CONNECT_SECONDS + 1):
                conn = await Connection.connect(
                    make_conninfo("", **place.parameters), autocommit=True, prepare_threshold=None
                )
                try:
                    ready = await made_ready(conn)
                except BaseException:
                    conn.pgconn.finish()
                    raise
        except TimeoutError:
            raise self._unavailable(f"no answer within {address.CONNECT_SECONDS} s") from None
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise self._unavailable(self._say(error)) from None
        self._since = None
        return ready

    async def place(self) -> Address:
        """Where the database is, password included, for a program of its own such as pg_dump."""
        return await self._place()

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
        place = f"{self._address.place}: " if self._address else ""
        return away(self._settings.name, "postgresql", f"{place}{what}", self._since)

    def _say(self, error: BaseException) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        text = NOISE.sub("", text.removeprefix("connection failed: ").removeprefix("connection is bad: "))
        return hide_credentials(self._address.hide(text) if self._address else text)[:400]
