"""The connections that nobody uses right now, and the ends of those that nobody will use again."""

import asyncio
import select
import time
from collections.abc import Awaitable, Callable

from psycopg import pq

from mcp_backend.engines.pg.connections import Open, cancel_and_close

IDLE_SECONDS = 300.0
ENDING_SECONDS = 5.0


class Pool:
    """Keeps idle connections for a while and hands out the one that was used last. Makes one when there is none."""

    def __init__(self, connect: Callable[[], Awaitable[Open]]) -> None:
        self._connect = connect
        self._idle: list[tuple[float, Open]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> tuple[Open, bool]:
        """A connection, and whether it was used before: then it may be dead without having said so."""
        while self._idle:
            _, opened = self._idle.pop()
            if not opened.conn.closed and not speaks(opened.pgconn):
                return opened, True
            await opened.conn.close()
        return await self._connect(), False

    def give_back(self, opened: Open) -> None:
        """Keeps a connection that was left clean, and ends any other."""
        if at_rest(opened.pgconn) and opened.pgconn.pipeline_status == pq.PipelineStatus.OFF:
            self._idle.append((time.monotonic(), opened))
            self._watch()
        else:
            self.end(opened)

    def end(self, opened: Open) -> None:
        """Ends a connection; what it runs is cancelled in the server first.

        Happens apart from the caller, whose own cancellation would interrupt it.
        """
        work = opened.conn.close() if at_rest(opened.pgconn) else cancel_and_close(opened)
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Ends every connection and whatever still runs on one."""
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            await self._idle.pop()[1].conn.close()
        if self._ending:
            await asyncio.wait(self._ending, timeout=ENDING_SECONDS)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        self._timer = None
        limit = time.monotonic() - IDLE_SECONDS
        old = [opened for since, opened in self._idle if since <= limit]
        self._idle = [(since, opened) for since, opened in self._idle if since > limit]
        for opened in old:
            self.end(opened)
        if self._idle:
            self._watch()


def at_rest(pgconn: pq.abc.PGconn) -> bool:
    """Whether a connection is well and in no transaction."""
    return pgconn.status == pq.ConnStatus.OK and pgconn.transaction_status == pq.TransactionStatus.IDLE


def speaks(pgconn: pq.abc.PGconn) -> bool:
    """Whether something came in on an idle connection: the server has only one thing to say there, goodbye."""
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
