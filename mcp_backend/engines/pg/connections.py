"""One connection: how a session on it starts, how it is cleaned, how it ends."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, generators, pq, waiting
from psycopg.abc import PQGen

from mcp_backend.engines.pg.wire import SYNC, Step, exchange

T = TypeVar("T")


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection that does not wait for ever: the timeouts of a server end nothing when it has stopped itself."""

    patience: float | None = None
    """Seconds that one exchange with the server may take; `None` for no limit."""

    async def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """See `AsyncConnection.wait`. Raises `psycopg.OperationalError` for a server that is silent for too long."""
        with self.limited():
            return await super().wait(gen, *arguments, **options)

    @contextmanager
    def limited(self) -> Generator[None]:
        """Ends the connection under whoever waits on it when the patience is over. The driver's own way, which
        is to cancel the wait, asks the server and waits again. Raises `psycopg.OperationalError`."""
        if self.patience is None:
            yield
            return
        late: list[bool] = []

        def cut() -> None:
            late.append(True)
            with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
                line.shutdown(socket.SHUT_RDWR)

        timer = asyncio.get_running_loop().call_later(self.patience, cut)
        try:
            yield
        except psycopg.OperationalError:
            if not late:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from None
        finally:
            timer.cancel()


LOCK_SECONDS = 5.0
CANCEL_SECONDS = 3.0
CLOSING = (Step("rollback"), SYNC, Step("discard all"), SYNC)
"""Ends what there is and leaves a session as new. `DISCARD ALL` has a group of its own: it cannot run in a transaction.
https://www.postgresql.org/docs/current/sql-discard.html"""


@dataclass(frozen=True, slots=True)
class Open:
    """A connection, a way to cancel what it runs that outlives it, and how its sessions begin."""

    conn: Connection
    cancel: Callable[[], Awaitable[None]]
    defaults: Mapping[str, str]
    """Settings of a new session of this role, as SHOW prints them."""

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """The connection below the driver."""
        return self.conn.pgconn


ASKED_DEFAULTS = (
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "standard_conforming_strings",
    "datestyle", "intervalstyle", "bytea_output", "extra_float_digits",
)  # fmt: skip


async def made_ready(conn: Connection) -> Open:
    """The connection with what has to be known about it. Raises `psycopg.OperationalError` when it is lost."""
    replies = await exchange(conn.pgconn, [*(Step(f"show {name}") for name in ASKED_DEFAULTS), SYNC])
    defaults = {name: reply.rows[0][0] or "" for name, reply in zip(ASKED_DEFAULTS, replies, strict=True)}
    return Open(conn, canceller(conn), defaults)


def limits(opened: Open, timeout_seconds: float) -> dict[str, str]:
    """The settings that end what lasts too long. A role's own limits stay when they are tighter."""
    milliseconds = max(1, int(timeout_seconds * 1000))
    wanted = {
        "statement_timeout": milliseconds,
        "lock_timeout": min(milliseconds, int(LOCK_SECONDS * 1000)),
        "idle_in_transaction_session_timeout": milliseconds + 60_000,
    }
    found = {name: min(value, _milliseconds(opened.defaults[name]) or value) for name, value in wanted.items()}
    if opened.conn.info.server_version >= 140000:
        # The server looks for a vanished client while it works.
        found["client_connection_check_interval"] = 1000
    return {name: str(value) for name, value in found.items()}


_UNITS = {"": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def _milliseconds(shown: str) -> int:
    """A duration as SHOW prints it; 0 when there is no limit."""
    number = shown.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(number or 0) * _UNITS.get(shown[len(number) :], 1)


def beginning(opened: Open, read_only: bool, timeout_seconds: float) -> bytes:
    """What a session starts with: its limits, for the transaction when that is READ ONLY, else for the session."""
    word, begin = ("local", "begin isolation level repeatable read, read only; ") if read_only else ("", "")
    settings = {**limits(opened, timeout_seconds), "standard_conforming_strings": "on"}
    return (begin + "; ".join(f"set {word} {name} = {value}" for name, value in settings.items())).encode()


def canceller(conn: Connection) -> Callable[[], Awaitable[None]]:
    """Asks the server to cancel what the connection runs; works after the connection is closed.

    Never by the blocking calls, also not in a thread: the driver holds the interpreter's lock in them, so that a
    server that does not answer would stop this whole process.
    """
    if not psycopg.capabilities.has_cancel_safe():
        return lambda: conn.cancel_safe(timeout=CANCEL_SECONDS)
    request = conn.pgconn.cancel_conn()

    async def cancel() -> None:
        request.start()
        await waiting.wait_conn_async(generators.cancel(request), interval=0.1, timeout=CANCEL_SECONDS)

    return cancel


async def clean(opened: Open) -> None:
    """Ends what there is and leaves the session as new. Raises `psycopg.OperationalError` when it is lost, or silent
    for longer than its patience."""
    with opened.conn.limited():
        await exchange(opened.pgconn, CLOSING)


async def cancel_and_close(opened: Open) -> None:
    """Ends a connection together with what it runs."""
    with suppress(psycopg.Error):
        await opened.cancel()
    await opened.conn.close()
