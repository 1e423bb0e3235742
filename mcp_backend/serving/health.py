"""Whether a server lives, whether it wants more work, and how it ends: answered calls first.

A proxy that asks `/readyz` stops sending work when the store does not answer, or when the server was told to end.
"""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from mcp.server import Server
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mcp_backend.app import App
from mcp_backend.errors import BackendError
from mcp_backend.serving import memory

READY_SECONDS = 3.0
"""How long the store may take to answer a probe."""
GRACE_SECONDS = 25.0
"""How long calls that run get to end after SIGTERM; orchestrators kill after 30 seconds."""


class Health:
    """What is known of the server that a process runs."""

    def __init__(self, server: Server[App], drain_seconds: float) -> None:
        self._apps: list[App] = []
        self._drain_seconds = drain_seconds
        self._told: float | None = None
        inner = server.lifespan

        @asynccontextmanager
        async def followed(server: Server[App]) -> AsyncGenerator[App]:
            async with inner(server) as app:
                self._apps.append(app)
                try:
                    yield app
                finally:
                    self._apps.remove(app)

        server.lifespan = followed

    def routes(self) -> list[Route]:
        """`/healthz`: the process answers. `/readyz`: and its store does, and it is not ending. Engines are looked at
        by the calls that need them, never by a probe."""

        async def healthy(_: Request) -> Response:
            return PlainTextResponse("ok\n")

        async def ready(_: Request) -> Response:
            problem = "this server is ending" if self.draining else await self._problem()
            return PlainTextResponse(f"{problem}\n", 503) if problem else PlainTextResponse("ok\n")

        return [Route("/healthz", healthy), Route("/readyz", ready)]

    @property
    def draining(self) -> bool:
        """Whether the server was told to end."""
        return self._told is not None

    def drain(self) -> None:
        """The server ends once its calls have."""
        self._told = time.monotonic()

    def drained(self) -> bool:
        """Whether it may end now: a proxy had the time to notice and nothing runs, or that took too long."""
        if self._told is None:
            return False
        gone = time.monotonic() - self._told
        return gone > GRACE_SECONDS or (gone >= self._drain_seconds and not any(app.live for app in self._apps))

    async def _problem(self) -> str:
        for app in self._apps[:1]:
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await app.store.ready()
            except (BackendError, TimeoutError):
                return "the store does not answer"  # Why is in the log and in the calls: a probe is anybody.
        return ""


class Draining(uvicorn.Server):
    """Ends on SIGTERM when its calls have, on a second one and on an interrupt at once."""

    def __init__(self, config: uvicorn.Config, health: Health) -> None:
        super().__init__(config)
        self._health = health

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._giving = asyncio.create_task(memory.giving_back())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._giving.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._health.draining:
            self._health.drain()
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        return self._health.drained() or await super().on_tick(counter)
