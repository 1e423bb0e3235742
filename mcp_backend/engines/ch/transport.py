"""Statements over HTTP with clickhouse-connect, each once, and each ended in the server when its caller goes away.

The driver's synchronous client in threads: measured against its asynchronous one it costs the same time a call and
needs no aiohttp. https://clickhouse.com/docs/interfaces/http
"""

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import clickhouse_connect
import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.httputil import (
    all_managers,
    get_pool_manager_options,  # pyright: ignore[reportUnknownVariableType]
)
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from mcp_backend.engines.ch import errors
from mcp_backend.engines.ch.address import Address
from mcp_backend.engines.ch.values import Parameters

T = TypeVar("T")
Take: TypeAlias = Callable[[Iterator[bytes], Mapping[str, str]], T]
"""Makes something of the pieces of an answer and its headers."""

CONNECT_SECONDS = 3
SILENT_SECONDS = 330
"""How long a server may say nothing: longer than any statement may take. Callers have limits of their own."""
KILL_SECONDS = 3
MOST_CALLS = 8
PIECE = 262_144

logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


class Lost(Exception):
    """The server was not reached, or the connection broke. The text says how, and may name the password."""


@dataclass(slots=True)
class _Call:
    """A statement under way: its id in the server, and the connection it uses."""

    query_id: str = field(default_factory=lambda: f"mcp-backend-{secrets.token_hex(8)}")
    connection: HTTPConnection | None = None
    aborted: bool = False

    def uses(self, connection: HTTPConnection) -> None:
        """Notes the connection that a request goes out on. Raises `Lost` when nobody waits for it any more."""
        if self.aborted:
            raise Lost("given up before it was sent")
        self.connection = connection

    def abort(self) -> None:
        """Closes the connection under whoever reads from it; what has not begun does not begin."""
        self.aborted = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


_current = threading.local()


class _Connection(HTTPConnection):
    def request(self, *arguments: Any, **options: Any) -> None:
        _current.call.uses(self)
        super().request(*arguments, **options)


class _SecureConnection(HTTPSConnection):
    def request(self, *arguments: Any, **options: Any) -> None:
        _current.call.uses(self)
        super().request(*arguments, **options)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection  # pyright: ignore[reportAssignmentType]


class _Once(PoolManager):
    """Sends a request once: the driver would send a read again after a reset, also one that broke the server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        options["retries"] = False
        failure = ""
        try:
            return super().request(method, url, *arguments, **options)
        except HTTPError as error:
            failure = _said(error)
        # Outside of the handler, so that the driver finds no reset in its context.
        raise HTTPError(failure)

    def end(self) -> None:
        """Closes the connections. The driver does so for the pools that it made itself only, and keeps those of others
        in its list as long as the process lives."""
        with self.pools.lock:
            keys = self.pools.keys()
            pools = [self.pools[key] for key in keys]
        self.clear()
        for pool in pools:
            pool.close()
        all_managers.pop(self, None)


class Transport:
    """One server. Opens nothing until the first statement."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: HttpClient | None = None
        self._opening = threading.Lock()
        self._limiter: anyio.CapacityLimiter | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def run(
        self,
        sql: str,
        take: Take[T],
        *,
        settings: Mapping[str, str],
        parameters: Parameters,
        form: str,
        seconds: float,
    ) -> T:
        """What `take` makes of the pieces of the answer in the format `form`, in a thread. `take` may stop early, which
        ends the statement.

        Raises `Lost`, `errors.ServerError`, and `TimeoutError` after `seconds`; then, and when cancelled, the statement
        is killed in the server.
        """
        call = _Call()
        work = partial(self._work, call, sql, take, dict(settings), dict(parameters), form)
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(MOST_CALLS)
        try:
            async with asyncio.timeout(seconds):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        except (TimeoutError, asyncio.CancelledError):
            self._apart(call)
            raise

    async def close(self) -> None:
        """Waits shortly for statements that are being killed, then closes the connections."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=KILL_SECONDS)
        if self._client is not None:
            self._client.close()
            pools = self._client.http
            assert isinstance(pools, _Once)
            pools.end()

    def _work(
        self,
        call: _Call,
        sql: str,
        take: Take[T],
        settings: dict[str, str],
        parameters: dict[str, Any],
        form: str,
    ) -> T:
        _current.call = call
        try:
            client: Any = self._opened()
            response: Any = client.raw_stream(
                sql,
                parameters=parameters or None,
                settings={**settings, "query_id": call.query_id},
                transport_settings={"X-ClickHouse-Format": form},
            )
            try:
                return take(_pieces(response), response.headers)
            finally:
                response.close()
        except (ClickHouseError, HTTPError, OSError) as error:
            said = errors.read(str(error))
            if isinstance(error.__cause__, HTTPError) or not said.code:
                raise Lost(_said(error)) from None
            raise said from None

    def _opened(self) -> HttpClient:
        with self._opening:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> HttpClient:
        at = self.address
        if not at.verify:
            urllib3.disable_warnings(InsecureRequestWarning)  # the address says so; once a request would be too often
        options = get_pool_manager_options(ca_cert=at.ca_cert, verify=at.verify, maxsize=MOST_CALLS)
        driver: Any = clickhouse_connect
        pools = _Once(**options)
        try:
            client = driver.get_client(
                host=at.host,
                port=at.port,
                interface="https" if at.secure else "http",
                username=at.user,
                password=at.password,
                database=at.database,
                verify=at.verify,
                ca_cert=at.ca_cert,
                compress=False,
                query_retries=0,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=SILENT_SECONDS,
                client_name="mcp-backend",
                autogenerate_session_id=False,
                pool_mgr=pools,
            )
        except BaseException:
            pools.end()
            raise
        assert isinstance(client, HttpClient)
        return client

    def _apart(self, call: _Call) -> None:
        """Ends a statement apart from its caller, whose own cancellation would interrupt it."""
        call.abort()
        task = asyncio.get_running_loop().create_task(self._kill(call))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _kill(self, call: _Call) -> None:
        killing = f"KILL QUERY WHERE query_id = '{call.query_id}' ASYNC"
        work = partial(self._work, _Call(), killing, _nothing, {}, {}, "Null")
        with suppress(Lost, errors.ServerError, TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))


def _nothing(pieces: Iterator[bytes], headers: Mapping[str, str]) -> None:
    for _ in pieces:
        pass


def _pieces(response: Any) -> Iterator[bytes]:
    while piece := response.read1(PIECE):
        yield piece


def _said(error: BaseException) -> str:
    """What went wrong in a few words: the innermost cause."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())[:300] or type(error).__name__
