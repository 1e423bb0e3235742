"""What a fenced program reaches of the network: its own loopback, and on it the named ports of this machine's.

The program has a network of its own with nothing but `lo` in it. On each named port a socket listens inside; the
server accepts its connections and passes the bytes on to the same port of the machine's loopback. A socket belongs to
the network it was made in, whoever accepts from it: network_namespaces(7).
"""

import asyncio
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcp_backend.errors import BackendError
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.settings import Workspace, resolve

DEFAULT_PORTS = {"postgresql": 5432, "clickhouse": 8123, "nats": 4222, "kafka": 9092, "redis": 6379}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANSWER_SECONDS = 0.5
CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Reach:
    """The ports that are passed on, and in words what is not although a program may look for it."""

    ports: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


async def reach(policy: Policy, workspace: Workspace) -> Reach:
    """The ports of the policy and of its development engines on this machine, those that answer now."""
    wanted: dict[int, str] = dict.fromkeys(policy.sandbox.ports, "sandbox.ports")
    notes: list[str] = []
    for engine in policy.engines.values():
        port = await _port(engine, workspace)
        if port is None:
            continue
        if engine.environment == "development":
            wanted.setdefault(port, engine.name)
        elif port not in wanted:
            notes.append(
                f"port {port} of this machine ({engine.name}) is not reachable: the policy does not say that this "
                f'engine is for development (environment = "development"), and unknown counts as production'
            )
    answers = await asyncio.gather(*(_answers(port) for port in wanted))
    return Reach(tuple(port for port, there in zip(wanted, answers, strict=True) if there), tuple(notes))


async def _port(engine: EngineSettings, workspace: Workspace) -> int | None:
    """The loopback port of an engine; `None` when it is elsewhere, or a local one that does not run."""
    if engine.url.startswith("embedded:"):
        from mcp_backend.engines import embedded

        try:
            status = await embedded.status(engine.url.partition(":")[2], workspace)
        except (BackendError, OSError):
            return None
        return int(status["port"]) if status and status.get("port") else None
    try:
        url = resolve(engine.url, field=engine.name)
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except (BackendError, ValueError):
        return None
    if not parts.scheme or not host:
        pairs = dict(re.findall(r"(host|port)\s*=\s*'?([^\s']+)", url))
        host, port = pairs.get("host"), int(pairs["port"]) if pairs.get("port", "").isdigit() else None
    return (port or DEFAULT_PORTS.get(engine.kind)) if host in LOOPBACK else None


async def _answers(port: int) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def pass_on(listening: Iterable[tuple[int, int]], servers: list[asyncio.Server]) -> None:
    """Serves the given descriptors of listening sockets, each for its port, until those who are added to `servers` are
    closed: all of them before anything is waited for, so that a cancellation leaves none open."""
    for port, descriptor in listening:
        there = socket.socket(fileno=descriptor)
        there.setblocking(False)
        servers.append(await asyncio.start_server(_carrier(port), sock=there, start_serving=False))
    for server in servers:
        await server.start_serving()


def _carrier(port: int):
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, far_writer))
                both.create_task(_copy(far_reader, writer))
        finally:
            for one in (writer, far_writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    return carry


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
    except OSError:
        target.transport.abort()
