"""Who wants to know when the schema of a database changes, and how they are told, in both eras of the protocol.

2025-11-25: `resources/subscribe`, and `notifications/resources/updated` on the session. 2026-07-28: a stream of its own
(`subscriptions/listen`). https://modelcontextprotocol.io/specification/2025-11-25/server/resources#subscriptions
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import anyio
import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated

from mcp_backend.app import App
from mcp_backend.errors import BackendError

Context: TypeAlias = ServerRequestContext[App, Any]

SCHEMA = "schema://"
LOOK_SECONDS = 2.0
"""Between two looks at a database that somebody watches; an unchanged one answers from a token."""


class Audience:
    """The subscriptions of one server."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._streams = ListenHandler(self._bus)
        self._wanted: Counter[str] = Counter()
        self._sessions: dict[str, list[ServerSession]] = {}
        self._somebody = asyncio.Event()
        self._versions: dict[str, str] = {}

    async def listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        """Serves `subscriptions/listen` until the client goes away."""
        uris = [uri for uri in params.notifications.resource_subscriptions or () if uri.startswith(SCHEMA)]
        await self._begin(ctx.lifespan_context, uris)
        try:
            return await self._streams(ctx, params)
        finally:
            self._end(uris)

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """`resources/subscribe`: any resource may be named, those of schemas are watched."""
        uri = str(params.uri)
        if uri.startswith(SCHEMA) and not any(_same(ctx.session, known) for known in self._sessions.get(uri, ())):
            await self._begin(ctx.lifespan_context, [uri])
            self._sessions.setdefault(uri, []).append(ctx.session)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """`resources/unsubscribe`."""
        self._forget(str(params.uri), ctx.session)
        return types.EmptyResult()

    async def watch(self, app: App) -> None:
        """Looks at the databases that somebody watches, and tells of changes; never ends by itself."""
        while True:
            await self._somebody.wait()
            await asyncio.sleep(LOOK_SECONDS)
            for engine in sorted(set(_engines(self._wanted))):
                before = self._versions.get(engine)
                await self._look(app, engine)
                if before is not None and self._versions[engine] != before:
                    await self._tell(engine)

    async def _begin(self, app: App, uris: list[str]) -> None:
        """What is seen now is what later looks are compared with."""
        for engine in set(_engines(uris)) - self._versions.keys():
            await self._look(app, engine)
        self._wanted.update(uris)
        if self._wanted:
            self._somebody.set()

    def _end(self, uris: list[str]) -> None:
        self._wanted -= Counter(uris)
        for engine in self._versions.keys() - set(_engines(self._wanted)):
            del self._versions[engine]
        if not self._wanted:
            self._somebody.clear()

    async def _look(self, app: App, engine: str) -> None:
        """A database that is away, or is none, has not changed."""
        from mcp_backend.tools.db_schema import version

        with suppress(BackendError):
            self._versions[engine] = await version(app, engine)

    async def _tell(self, engine: str) -> None:
        for uri in [uri for uri in self._wanted if engine in _engines([uri])]:
            await self._bus.publish(ResourceUpdated(uri))
            for session in list(self._sessions.get(uri, ())):
                try:
                    await session.send_resource_updated(uri)
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    self._forget(uri, session)

    def _forget(self, uri: str, session: ServerSession) -> None:
        known = self._sessions.pop(uri, [])
        kept = [other for other in known if not _same(session, other)]
        if kept:
            self._sessions[uri] = kept
        self._end([uri] * (len(known) - len(kept)))


def _same(one: ServerSession, other: ServerSession) -> bool:
    """Whether two requests came over one connection: each has a session object of its own, and what the client said of
    itself at the start is one object."""
    return one is other or (one.client_params is not None and one.client_params is other.client_params)


def _engines(uris: Iterable[str]) -> Iterator[str]:
    return (uri.removeprefix(SCHEMA).partition("/")[0] for uri in uris)
