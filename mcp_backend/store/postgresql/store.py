"""The store in a schema of its own on PostgreSQL: the same named queries, for servers on any number of machines.

One transaction writes at a time (an advisory lock of the schema), as on SQLite: what a transaction looked at still
holds when it commits, and the audit chain has one order. https://www.postgresql.org/docs/current/explicit-locking.html
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from contextvars import ContextVar

import psycopg

from mcp_backend.engines.pg.address import parse
from mcp_backend.errors import BackendError, Unavailable
from mcp_backend.store.base import Row
from mcp_backend.store.postgresql.connections import SECONDS, Connection, Connections
from mcp_backend.store.postgresql.listening import DEAD_SECONDS, Listener
from mcp_backend.store.postgresql.statements import statements

_HELD: ContextVar["tuple[Postgresql, Connection] | None"] = ContextVar("held", default=None)
"""The connection of the transaction that the current task is in."""


class Postgresql:
    """See `store.base.Store`. Opens nothing until the first query."""

    shared = True

    def __init__(self, url: str, workspace: str) -> None:
        self._pool = Connections(parse(url, where="store.url"), f"mcp_backend_{workspace}")
        self._listener = Listener(self._pool)
        self._writing = asyncio.Lock()
        self._key: bytes | None = None

    @property
    def losses(self) -> int:
        return self._pool.losses

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        async with self._connection() as conn:
            return await self._execute(conn, query, parameters, fetch=True)

    async def row(self, query: str, **parameters: object) -> Row | None:
        found = await self.rows(query, **parameters)
        return found[0] if found else None

    async def run(self, query: str, **parameters: object) -> None:
        async with self._connection() as conn:
            await self._execute(conn, query, parameters, fetch=False)

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        """That of the transaction this runs in, or any."""
        held = _HELD.get()
        return nullcontext(held[1]) if held and held[0] is self else self._pool.one()

    async def _execute(
        self, conn: Connection, query: str, parameters: Mapping[str, object], *, fetch: bool
    ) -> list[Row]:
        storable = {name: _storable(value) for name, value in parameters.items()}
        try:
            async with asyncio.timeout(SECONDS):
                cursor = await conn.execute(statements()[query], storable)
                return await cursor.fetchall() if fetch else []
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, TimeoutError) as error:
            raise self._pool.lost(conn, error) from None

    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncGenerator[None]:
        """See `Store.transaction`. What is run and not read is sent together with the next read, or the end."""
        quick = "" if durable else "set local synchronous_commit = off; "
        begin = f"begin; {quick}select pg_advisory_xact_lock(hashtextextended('{self._pool.schema}', 0))"
        async with (
            self._writing,
            self._begun(begin) as conn,
            conn.pipeline() if psycopg.AsyncPipeline.is_supported() else nullcontext() as together,
        ):
            yield
            await self._end(conn, b"commit", together)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[None]:
        async with self._begun("begin isolation level repeatable read, read only") as conn:
            yield
            await self._end(conn, b"commit")

    @asynccontextmanager
    async def _begun(self, begin: str) -> AsyncGenerator[Connection]:
        """A connection in a transaction that the block ends; what it leaves open is undone."""
        async with self._pool.one() as first:
            try:
                async with asyncio.timeout(SECONDS):
                    await first.execute(begin.encode(), prepare=False)
            except (psycopg.Error, TimeoutError) as error:
                raise self._pool.lost(first, error) from None
            token = _HELD.set((self, first))
            try:
                yield first
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise self._pool.lost(first, error, committing=True) from None
            finally:
                _HELD.reset(token)
                if not first.closed and first.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    with suppress(BackendError):
                        await self._end(first, b"rollback")

    async def _end(self, conn: Connection, word: bytes, together: psycopg.AsyncPipeline | None = None) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await conn.execute(word)
                if together is not None:
                    await together.sync()
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            raise self._pool.lost(conn, error, committing=word == b"commit") from None

    def mark(self) -> object:
        """See `Store.mark`. From the first mark on a connection listens."""
        self._listener.start()
        return self._listener.heard

    async def changed(self, mark: object, seconds: float) -> bool:
        return await self._listener.changed(mark, seconds)

    @asynccontextmanager
    async def alive(self, instance: str) -> AsyncGenerator[None]:
        """See `Store.alive`: a moment in a row, renewed while this process lives."""
        self._listener.instance = instance
        self._listener.start()
        try:
            yield
        finally:
            self._listener.instance = ""
            with suppress(BackendError):
                await self.run("instance_gone", instance=instance)
                await self.run("instances_forget")

    async def dead(self, instance: str) -> bool:
        """See `Store.dead`: nothing was heard of it for a while."""
        return await self.row("instance_alive", instance=instance, seconds=DEAD_SECONDS) is None

    async def key(self) -> bytes:
        if self._key is None:
            await self.run("secret_add", name="receipts", value=secrets.token_bytes(32))
            found = await self.row("secret_get", name="receipts")
            if found is None:
                raise Unavailable("the store lost the key that it was just given")
            self._key = bytes(found["value"])
        return self._key

    async def take(self, principal: str, per_minute: int) -> float:
        """See `Store.take`: the clock is the server's."""
        most = float(per_minute)
        if await self.row("rate_take", principal=principal, most=most):
            return 0.0
        found = await self.row("rate_wait", principal=principal, most=most)
        return max(float(found["seconds"]), 0.001) if found else 0.001

    async def ready(self) -> None:
        await self.row("answers")

    def close(self) -> None:
        self._listener.stop()
        self._pool.close()


def _storable(value: object) -> object:
    """PostgreSQL keeps no NUL and only whole characters."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()
