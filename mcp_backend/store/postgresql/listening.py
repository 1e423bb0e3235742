"""One connection of a process hears when another server wrote, and shows that this one lives.

https://www.postgresql.org/docs/current/sql-notify.html: a notice comes after the commit of what it tells of; what was
sent while nobody listened is lost, so that each new connection counts as one.
"""

import asyncio
from contextlib import suppress

import psycopg
from psycopg import sql

from mcp_backend.errors import BackendError
from mcp_backend.store.postgresql.connections import Connection, Connections
from mcp_backend.store.postgresql.statements import statements

BEAT_SECONDS = 10.0
DEAD_SECONDS = 60.0
"""A server of which nothing was heard for this long does not live."""
AGAIN_SECONDS = 1.0
"""Between two attempts to listen; a waiter looks that often by itself meanwhile."""


class Listener:
    """Counts what was heard."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._task: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self.heard = 0
        self.instance = ""

    def start(self) -> None:
        """Begins to listen, if nobody did yet."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._listen())

    def stop(self) -> None:
        """Ends it."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
        self._task = None

    async def changed(self, mark: object, seconds: float) -> bool:
        """Waits for something that was not heard at `mark`."""
        self.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.heard == mark:
                    await self._stirred.wait()
        return self.heard != mark

    def _stir(self) -> None:
        self.heard += 1
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def _listen(self) -> None:
        while True:
            with suppress(BackendError, psycopg.Error, TimeoutError):
                conn = await self._pool.connect()
                try:
                    await self._hear(conn)
                finally:
                    self._pool.losses += 1
                    conn.pgconn.finish()
            self._stir()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self, conn: Connection) -> None:
        """Until the connection is lost."""
        await conn.execute(sql.SQL("listen {}").format(sql.Identifier(self._pool.schema)))
        self._stir()
        while True:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._beat(conn)
            async for _ in conn.notifies(timeout=BEAT_SECONDS):
                self._stir()

    async def _beat(self, conn: Connection) -> None:
        """Shows that this server lives, and finds out whether the connection does."""
        query = "instance_seen" if self.instance else "answers"
        await conn.execute(statements()[query], {"instance": self.instance})
