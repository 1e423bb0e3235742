"""Who wants to know when the schema of a database or an escalation changes, and how they are told, in both eras.

2025-11-25: `resources/subscribe`, and `notifications/resources/updated` on the session. 2026-07-28: a stream of its own
(`subscriptions/listen`). https://modelcontextprotocol.io/specification/2025-11-25/server/resources#subscriptions
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError

from mcp_backend import escalations
from mcp_backend.app import App
from mcp_backend.errors import BackendError

Context: TypeAlias = ServerRequestContext[App, Any]

SCHEMA, ESCALATION = "schema://", "escalation://"
WATCHED = (SCHEMA, ESCALATION)
LOOK_SECONDS = 2.0
"""Between two looks at what somebody watches; an unchanged database answers from a token. Escalations are looked at as
soon as any server of the store wrote to one, and then at most every `REST_SECONDS`."""
REST_SECONDS = 0.1
SESSIONLESS = (
    "this server keeps no sessions, so it cannot tell of updates in protocol 2025-11-25: speak 2026-07-28 "
    "(subscriptions/listen), or read the resource again; [http] sticky = true keeps sessions behind a proxy that does"
)


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
        uris = [uri for uri in params.notifications.resource_subscriptions or () if uri.startswith(WATCHED)]
        await self._begin(ctx.lifespan_context, uris)
        try:
            return await self._streams(ctx, params)
        finally:
            self._end(uris)

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """`resources/subscribe`: any resource may be named, those of schemas and escalations are watched. Where no
        session is kept there is none to tell, which is an error and not silence."""
        uri = str(params.uri)
        if ctx.session.client_params is None:
            raise MCPError(code=types.INVALID_REQUEST, message=SESSIONLESS)
        if uri.startswith(WATCHED) and not any(_same(ctx.session, known) for known in self._sessions.get(uri, ())):
            await self._begin(ctx.lifespan_context, [uri])
            self._sessions.setdefault(uri, []).append(ctx.session)
            # Telling a session that has gone raises nothing, and the context of a request has no public way to the end.
            ending = ctx.session._connection.exit_stack  # pyright: ignore[reportPrivateUsage]
            ending.callback(self._forget, uri, ctx.session)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """`resources/unsubscribe`."""
        self._forget(str(params.uri), ctx.session)
        return types.EmptyResult()

    def watched(self) -> frozenset[str]:
        """The addresses that somebody watches now."""
        return frozenset(self._wanted)

    async def watch(self, app: App) -> None:
        """Looks at what somebody watches, and tells of changes; never ends by itself."""
        clock = asyncio.get_running_loop().time
        due = clock() + LOOK_SECONDS
        while True:
            await self._somebody.wait()
            mark = app.store.mark()
            wanted = sorted(set(_topics(self._wanted)))
            everything = clock() >= due
            for topic in wanted if everything else [each for each in wanted if each.startswith(ESCALATION)]:
                before = self._versions.get(topic)
                await self._look(app, topic)
                if before is not None and self._versions.get(topic, before) != before:
                    await self._tell(topic)
            if everything:
                due = clock() + LOOK_SECONDS
            await asyncio.sleep(min(REST_SECONDS, LOOK_SECONDS))
            await app.store.changed(mark, max(due - clock(), 0))

    async def _begin(self, app: App, uris: list[str]) -> None:
        """What is seen now is what later looks are compared with."""
        for topic in set(_topics(uris)) - self._versions.keys():
            await self._look(app, topic)
        self._wanted.update(uris)
        if self._wanted:
            self._somebody.set()

    def _end(self, uris: list[str]) -> None:
        self._wanted -= Counter(uris)
        for topic in self._versions.keys() - set(_topics(self._wanted)):
            del self._versions[topic]
        if not self._wanted:
            self._somebody.clear()

    async def _look(self, app: App, topic: str) -> None:
        """What is away, or is none, has not changed."""
        with suppress(BackendError):
            if topic.startswith(ESCALATION):
                self._versions[topic] = await _state(app, topic.removeprefix(ESCALATION))
                return
            from mcp_backend.tools.db_schema import version

            self._versions[topic] = await version(app, topic.removeprefix(SCHEMA))

    async def _tell(self, topic: str) -> None:
        for uri in [uri for uri in self._wanted if topic in _topics([uri])]:
            await self._bus.publish(ResourceUpdated(uri))
            for session in list(self._sessions.get(uri, ())):
                await session.send_resource_updated(uri)

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


def _topics(uris: Iterable[str]) -> Iterator[str]:
    """What is looked at for each address: the database of a table, an escalation by itself."""
    for uri in uris:
        yield uri if uri.startswith(ESCALATION) else SCHEMA + uri.removeprefix(SCHEMA).partition("/")[0]


async def _state(app: App, name: str) -> str:
    """How an escalation, or `open` for the list of them, stands. What is overdue is ended or passed on by the look."""
    now = app.now()
    rows = await app.store.rows("escalations_open")
    if any(row["expires"] <= now or (row["escalate_at"] or now + 1) <= now for row in rows):
        async with app.store.transaction(durable=False):
            await escalations.expire(app.store, now)
        rows = await app.store.rows("escalations_open")
    if name != "open":
        rows = [await escalations.get(app.store, name)]
    parts = [f"{row['id']} {row['status']} {row['assignee']} {row['awaits']}" for row in rows]
    steps = await app.store.rows("escalation_events", escalation=name) if name != "open" else []
    return f"{len(steps)} {' '.join(parts)}"
