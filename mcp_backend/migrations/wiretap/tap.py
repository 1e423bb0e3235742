"""The proxy: a program connects to it with a password of this run, and it passes on what its judge lets through.

Whatever the program sends is read as whole messages and judged before the server sees it. What is refused ends the
session on both sides, so the server rolls its transaction back.
"""

import asyncio
import secrets
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from mcp_backend.errors import BackendError, InvalidArgument, Unavailable
from mcp_backend.migrations.wiretap import protocol, upstream
from mcp_backend.migrations.wiretap.judges import Judge
from mcp_backend.migrations.wiretap.protocol import Message
from mcp_backend.migrations.wiretap.sent import Sorting
from mcp_backend.migrations.wiretap.talk import Talk
from mcp_backend.migrations.wiretap.upstream import Place, Upstream

USER = "mcp_backend_tap"
CLEARTEXT = 3
_OWN = ("user", "database", "replication", "_pq_.")


@dataclass(slots=True)
class Tap:
    """A tap that listens. `sessions` counts those that were opened; `wanted_tls` tells that a program asked for TLS,
    which is not spoken on loopback; `trouble` is why a session could not be served, `lost` that the server went away
    in the middle of one."""

    place: Place
    judge: Judge
    sorting: Sorting
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    sessions: int = 0
    wanted_tls: bool = False
    trouble: str = ""
    lost: bool = False
    _running: dict[Upstream, Talk] = field(default_factory=dict[Upstream, Talk])
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    @property
    def busy(self) -> list[int]:
        """The process numbers of the server's sessions that have a statement to answer."""
        return [server.pid for server, talk in self._running.items() if talk.waiting]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if (asked := await self._opened(reader, writer)) is not None:
                await self._session(reader, writer, asked)
        except BackendError as error:
            self.trouble = self.trouble or error.reason
            writer.write(protocol.error("XX000", f"mcp-backend: {error.reason}"))
            with suppress(OSError):
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def _opened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, str] | None:
        """The parameters of a session whose program knows the password."""
        while (came := await protocol.opening(reader)) is not None:
            code, rest = came
            if code in (protocol.SSL, protocol.GSS):
                self.wanted_tls = self.wanted_tls or code == protocol.SSL
                writer.write(b"N")
                continue
            if code == protocol.CANCEL:
                number = struct.unpack("!I", rest[:4])[0] if len(rest) >= 4 else 0
                for server in [s for s in self._running if s.pid == number and s.key == rest[4:]]:
                    await server.cancel()
                return None
            if code >> 16 != protocol.VERSION_3:
                writer.write(protocol.error("08P01", "only version 3 of the protocol is spoken here"))
                return None
            if code & 0xFFFF:
                writer.write(Message(b"v", struct.pack("!II", protocol.VERSION_3 << 16, 0)).raw)
            writer.write(Message(b"R", struct.pack("!I", CLEARTEXT)).raw)
            given = await protocol.read(reader)
            if given is None:
                return None
            if not secrets.compare_digest(given.body.rstrip(b"\0"), self.password.encode()):
                writer.write(protocol.error("28P01", "this tap serves another program"))
                return None
            return protocol.parameters(rest)
        return None

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[str, str]) -> None:
        kept = {name: value for name, value in asked.items() if not name.startswith(_OWN)}
        server = await upstream.open_session(self.place, kept)
        self.sessions += 1
        talk = Talk(self.sessions, self.judge, self.sorting)
        self._running[server] = talk
        try:
            writer.write(Message(b"R", struct.pack("!I", 0)).raw + b"".join(m.raw for m in server.greeting))
            ways = [
                asyncio.create_task(self._up(reader, writer, server, talk)),
                asyncio.create_task(self._down(writer, server, talk)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if talk.waiting:
                    await asyncio.shield(server.cancel())
                for way in ways:
                    way.cancel()
                ended = await asyncio.gather(*ways, return_exceptions=True)
            for error in ended:
                if isinstance(error, BackendError):
                    raise error
        finally:
            self._running.pop(server, None)
            server.writer.close()

    async def _patience(self, server: Upstream, talk: Talk, message: Message) -> None:
        """Before a statement that lets reads and writes go on while it waits, and after it, the lock timeout is set:
        such a one would be in nobody's way, and ended by its timeout it leaves an invalid index."""
        wanted = await talk.patient(message)
        if wanted is None or wanted == talk.waits_long or not (short := self.place.settings.get("lock_timeout")):
            return
        talk.waits_long, talk.settled = wanted, asyncio.Event()
        text = f"set lock_timeout = '{'0' if wanted else short}'"
        server.writer.write(Message(b"Q", text.encode() + b"\0").raw)
        await talk.settled.wait()
        talk.settled = None

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Upstream, talk: Talk
    ) -> None:
        while (message := await protocol.read(reader)) is not None:
            await self._patience(server, talk, message)
            if refused := await talk.up(message):
                self.trouble = self.trouble or refused
                writer.write(protocol.error("57014", f"mcp-backend: {refused}"))
                await writer.drain()
                return
            server.writer.write(message.raw)
            await server.writer.drain()
            if message.kind == b"X":
                return

    async def _down(self, writer: asyncio.StreamWriter, server: Upstream, talk: Talk) -> None:
        while (message := await protocol.read(server.reader)) is not None:
            if talk.settled is not None:  # the answer to a setting of the tap's own
                if message.kind == b"Z":
                    talk.settled.set()
                continue
            talk.down(message)
            if message.kind == b"S":
                _as_required(message)
            writer.write(message.raw)
            await writer.drain()
        self.lost = self.lost or talk.inside or bool(talk.waiting)

    async def end(self) -> None:
        """Ends every session; what the server still runs is cancelled there."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=upstream.SECONDS)


def _as_required(message: Message) -> None:
    """Raises `InvalidArgument` when the session's settings are no longer those that statements are read by."""
    name, value = (part.decode("utf-8", "replace") for part in message.body.split(b"\0")[:2])
    if name in upstream.REQUIRED and value.upper() != upstream.REQUIRED[name].upper():
        raise InvalidArgument(f"the command set {name} to {value}, with which its statements cannot be judged")


@asynccontextmanager
async def opened(place: Place, judge: Judge, sorting: Sorting) -> AsyncGenerator[Tap]:
    """A tap on a port of its own, until the block ends. Raises `Unavailable` when it cannot listen."""
    tap = Tap(place, judge, sorting)
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object] = tap.serve
    try:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        raise Unavailable(f"the tap cannot listen on loopback: {error.strerror}") from error
    tap.port = int(server.sockets[0].getsockname()[1])
    try:
        yield tap
    finally:
        server.close()
        await tap.end()
