"""Redis and Valkey: pub/sub and streams. The client opens on first use and comes back by itself, on the next call.

redis-py's own retries are switched off: it would send a write again whose answer got lost, so that what is stored
twice looks stored once.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.engines.away import away
from mcp_backend.engines.opening import Opening
from mcp_backend.engines.redis_address import Address, address, ended_early, of_settings
from mcp_backend.errors import Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, hide_credentials

if TYPE_CHECKING:
    from mcp_backend.engines.embedded import Lease

ANSWER_SECONDS = 2.0
OPEN_SECONDS = 2.0
TOGETHER = 64
"""Connections at most; more calls at once wait for one."""
RESTART_PAUSES = (0.0, 0.1, 0.4, 1.0)
"""A local server that was ended from outside is started again by a new lease, perhaps on another port."""
Word = str | bytes | int


class Refused(Exception):
    """The server answered that it does not do this: nothing was changed. `code` is the first word of its error."""

    def __init__(self, text: str) -> None:
        self.code = text.split(" ", 1)[0].rstrip(":")
        super().__init__(text)


class Unanswered(Exception):
    """The command was sent, or may have been, and no answer came: it may or may not have been carried out."""


class NotSent(Exception):
    """No connection came about, so the command never left this process."""

    def __init__(self, cause: str, reason: str) -> None:
        self.cause = cause
        super().__init__(hide_credentials(reason))


class Redis:
    """One Redis or Valkey engine of the policy."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self.settings = settings
        self.info: dict[str, str] = {}
        self.where: Address | None = None
        self._workspace = workspace
        self._client: Any = None
        self._opening = Opening()
        self._lease: Lease | None = None
        self._down_since: datetime | None = None
        self._refreshed = 0.0
        self.streams: dict[str, tuple[float, list[str]]] = {}
        """Until when a name is taken to be a stream, and what there was to say of its last entry."""

    @property
    def version(self) -> str:
        """The server's own name and version, such as `valkey 9.1.2`."""
        name = self.info.get("server_name") or "redis"
        return f"{name} {self.info.get('valkey_version') or self.info.get('redis_version', '')}"

    @property
    def cluster(self) -> bool:
        """Whether the server is part of a cluster."""
        return self.info.get("cluster_enabled") == "1" or self.info.get("redis_mode") == "cluster"

    async def client(self) -> Any:
        """The client, opened when there is none. Raises `Unavailable` naming the engine, the cause and since when."""
        if self._client is not None and not (self._lease and self._lease.lost):
            return self._client
        async with self._opening.turn():
            if self._client is not None and not (self._lease and self._lease.lost):
                return self._client
            await self.drop()
            self._client = await self._open()
            self._down_since = None
            return self._client

    async def drop(self) -> None:
        """Gives up the connections; the next use opens others."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, TimeoutError, asyncio.CancelledError, *_failures()):
                async with asyncio.timeout(1):
                    await client.aclose()

    async def _open(self) -> Any:
        problem: NotSent | None = None
        for pause in (0.0, *RESTART_PAUSES):
            await asyncio.sleep(pause)
            self.where = await self._address(again=problem is not None)
            client = _client(self.where)
            try:
                self.info = await self._greeting(client)
                if self.cluster and self.where.topology == "single":
                    await client.aclose()
                    client = _client(self.where, cluster=True)
                    self.info = await self._greeting(client)
                return client
            except (NotSent, Unanswered, Refused) as error:
                await client.aclose()
                if problem is None:
                    early = ended_early(self.where, str(error)) if isinstance(error, Unanswered) else ""
                    cause = error.cause if isinstance(error, NotSent) else "tls" if early else "timeout"
                    if isinstance(error, Refused):
                        cause = "credentials" if error.code in ("NOAUTH", "NOPERM", "WRONGPASS") else "protocol"
                    problem = NotSent(cause, f"{self.where}: {early or error}")
            except BaseException:
                await client.aclose()
                raise
            if self._lease is None:
                break
        assert problem is not None
        raise self.unavailable(str(problem), problem.cause) from problem

    async def _greeting(self, client: Any) -> dict[str, str]:
        """What `INFO` tells; a user who may not ask still gets a working client."""
        try:
            told: Any = await self.work(client.execute_command("PING"))
            told = await self.work(client.info())
        except Refused as error:
            if error.code != "NOPERM":
                raise
            return {}
        info = {str(key): str(value) for key, value in cast("dict[str, Any]", told).items()}
        with suppress(Refused):  # most users may not look at the configuration
            if info.get("cluster_enabled") != "1":
                info |= await self.work(client.config_get("appendfsync"))
        return info

    async def _address(self, *, again: bool) -> Address:
        if not self.settings.url.startswith("embedded:"):
            return of_settings(self.settings, self._workspace.root)
        from mcp_backend.engines.embedded import lease

        if self._lease and (again or self._lease.lost):
            self._lease.close()
            self._lease = None
        if self._lease is None:
            self._lease = await lease("redis", self._workspace)
        return address(self._lease.url, field=f"engines.{self.settings.name}.url")

    async def refresh(self) -> None:
        """Reads `INFO` again when it is older than some seconds: persistence, memory, role."""
        client = await self.client()
        if time.monotonic() - self._refreshed < 5.0:
            return
        with suppress(NotSent, Unanswered, Refused):
            self.info = await self._greeting(client) or self.info
            self._refreshed = time.monotonic()

    async def ask(self, *words: Word) -> Any:
        """One command that only reads; asked once more when the connection turned out to be dead.

        Raises `Refused`, `Unavailable`.
        """
        return await self.ask_node({}, *words)

    async def ask_node(self, where: Mapping[str, Any], *words: Word) -> Any:
        """`ask` of one node of a cluster: `where` is `{"target_nodes": …}`, or empty."""
        for again in (False, True):
            client = await self.client()
            try:
                return await self.work(client.execute_command(*words, **where))
            except (NotSent, Unanswered) as error:
                await self.drop()
                if again:
                    raise self.unavailable(str(error), "timeout") from error
        raise AssertionError("the second time either answers or raises")

    async def ask_all(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Many commands that only read, in one round trip where the server is one; an error is an entry of the list.

        Raises `Unavailable`.
        """
        if not commands:
            return []
        for again in (False, True):
            client = await self.client()
            pipeline = client.pipeline() if self.cluster else client.pipeline(transaction=False)
            for words in commands:
                # redis-py tells the two forms of XPENDING apart by this option alone.
                pipeline.execute_command(*words, **({"parse_detail": True} if words[0] == "XPENDING" else {}))
            try:
                return cast("list[Any]", await self.work(pipeline.execute(raise_on_error=False), seconds=30))
            except (NotSent, Unanswered) as error:
                await self.drop()
                if again:
                    raise self.unavailable(str(error), "timeout") from error
        raise AssertionError("the second time either answers or raises")

    async def write(self, *words: Word) -> Any:
        """One command that changes something, sent at most once. Raises `Refused`, `NotSent`, `Unanswered`,
        `Unavailable` when no connection comes about."""
        return await self.work((await self.client()).execute_command(*words))

    async def work(self, work: Awaitable[Any], *, seconds: float = 5.0) -> Any:
        """What the client gives, its errors sorted. Raises `Refused`, `NotSent`, `Unanswered`."""
        from redis import exceptions as failures

        try:
            async with asyncio.timeout(seconds):
                return await work
        except failures.AuthenticationError as error:
            raise NotSent("credentials", f"it refuses these credentials ({error})") from error
        except (failures.BusyLoadingError, failures.ReadOnlyError, failures.ClusterDownError) as error:
            word = "LOADING" if isinstance(error, failures.BusyLoadingError) else "READONLY"
            raise Refused(f"{word if isinstance(error, failures.ConnectionError) else 'READONLY'} {error}") from error
        except (failures.ConnectionError, failures.TimeoutError, TimeoutError, OSError) as error:
            raise _sorted(error) from error
        except KeyError as error:
            raise Refused(f"CLUSTERDOWN no node serves slot {error}") from error
        except (failures.NoPermissionError, failures.OutOfMemoryError) as error:
            raise Refused(f"{'OOM' if isinstance(error, failures.OutOfMemoryError) else 'NOPERM'} {error}") from error
        except failures.RedisError as error:
            raise Refused(str(error)) from error

    def unavailable(self, problem: str, cause: str) -> Unavailable:
        """The error for an engine that does not answer."""
        self._down_since = self._down_since or datetime.now(UTC)
        return away(self.settings.name, "redis", problem, self._down_since, cause)

    async def close(self) -> None:
        """Ends the connections and the lease on a local server."""
        await self.drop()
        if self._lease:
            self._lease.close()
            self._lease = None


def _failures() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError,)


def _sorted(error: Exception) -> NotSent | Unanswered:
    """redis-py says with one error that no connection came about and that one was lost; only its text differs."""
    text = str(error)
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    if tls := next((e for e in chain if isinstance(e, ssl.SSLError)), None):
        return NotSent("tls", f"TLS failed: {tls.reason or tls}")
    if "connecting to" in text.lower() or "no master found" in text.lower() or "cannot be connected" in text.lower():
        words = next((e.strerror or str(e) for e in reversed(chain) if isinstance(e, OSError) and e.strerror), text)
        return NotSent("timeout" if "timeout" in text.lower() else "unreachable", words.lower())
    return Unanswered(text or f"no answer within {ANSWER_SECONDS:.0f} s")


def _client(where: Address, *, cluster: bool = False) -> Any:
    """A client that never sends anything twice."""
    from redis.asyncio import BlockingConnectionPool, RedisCluster, Sentinel, SSLConnection
    from redis.asyncio import Redis as Client
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.connection import Connection, UnixDomainSocketConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {
        "username": where.user, "password": where.password, "client_name": "mcp-backend", "protocol": 2,
        "socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": OPEN_SECONDS, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip
    if cluster or where.topology == "cluster":
        nodes = [ClusterNode(host, port) for host, port in where.nodes]
        tls = {"ssl": True, **where.tls_options} if where.tls else {}
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options, **tls)  # pyright: ignore
    options["db"] = where.db
    if where.topology == "sentinel":
        tls: dict[str, Any] = {"ssl": True, **where.tls_options} if where.tls else {}
        own: dict[str, Any] = {key: options[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")}
        own |= {"username": where.sentinel_user, "password": where.sentinel_password, **tls}
        sentinel = Sentinel(list(where.nodes), sentinel_kwargs=own, **options, **tls)
        return sentinel.master_for(where.master)  # pyright: ignore[reportUnknownMemberType]
    place: dict[str, Any] = {"path": where.path} if where.topology == "unix" else {}
    kind: Any = UnixDomainSocketConnection
    if where.topology == "single":
        place = {"host": where.nodes[0][0], "port": where.nodes[0][1], **(where.tls_options if where.tls else {})}
        kind = SSLConnection if where.tls else Connection
    pool = BlockingConnectionPool(connection_class=kind, max_connections=TOGETHER, timeout=10, **options, **place)
    return Client.from_pool(pool)
