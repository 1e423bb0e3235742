"""One connection: how a session on it starts, how it is cleaned, how it ends."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, generators, waiting

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

LOCK_SECONDS = 5.0
CANCEL_SECONDS = 3.0
CLEAN = (
    b"rollback; set session authorization default; reset all; deallocate all; close all; unlisten *; "
    b"select pg_catalog.pg_advisory_unlock_all(); discard plans; discard temp; discard sequences"
)
"""`ROLLBACK` and what `DISCARD ALL` does, in a form that several statements of one message may have.
https://www.postgresql.org/docs/current/sql-discard.html"""


@dataclass(frozen=True, slots=True)
class Open:
    """A connection, and a way to cancel what it runs that outlives it."""

    conn: Connection
    cancel: Callable[[], Awaitable[None]]


def opening(conn: Connection, read_only: bool, timeout_seconds: float) -> bytes:
    """What a session starts with: its timeouts, for the transaction when that is READ ONLY, else for the session."""
    milliseconds = max(1, int(timeout_seconds * 1000))
    word, begin = ("local", "begin isolation level repeatable read, read only; ") if read_only else ("", "")
    settings = {
        "statement_timeout": milliseconds,
        "lock_timeout": min(milliseconds, int(LOCK_SECONDS * 1000)),
        "idle_in_transaction_session_timeout": milliseconds + 60_000,
        "standard_conforming_strings": "on",
    }
    if conn.info.server_version >= 140000:
        settings["client_connection_check_interval"] = 1000
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


async def cancel_and_close(opened: Open) -> None:
    """Ends a connection together with what it runs."""
    with suppress(psycopg.Error):
        await opened.cancel()
    await opened.conn.close()
