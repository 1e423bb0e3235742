"""A request that does not come to its end in time ends its connection; how long an answer takes is another matter."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from mcp_backend.listening import listener
from mcp_backend.serving import http_limits

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"


@asynccontextmanager
async def serving(may_answer: asyncio.Event) -> AsyncGenerator[int]:
    """The port of a server that reads a body and answers when it may."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await may_answer.wait()
        answer: Response = PlainTextResponse(body)
        await answer(scope, receive, send)

    config = uvicorn.Config(app, port=0, log_level="critical", http=http_limits.Impatient, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def test_a_slow_head_and_a_slow_body_end_the_connection_and_a_slow_answer_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(http_limits, "BODY_SECONDS", 0.3)
    may_answer = asyncio.Event()
    async with serving(may_answer) as port:
        whole, whole_writer = await asyncio.open_connection("127.0.0.1", port)
        whole_writer.write(HEAD + b"\r\n" + b"0123456789")
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for (_, writer), part in zip(slow, (b"", HEAD, HEAD + b"\r\n0123"), strict=True):
            writer.write(part)
        for reader, writer in slow:
            assert await asyncio.wait_for(reader.read(), 60) == b"", "it is ended without an answer"
            writer.close()
        may_answer.set()
        said = await asyncio.wait_for(whole.readuntil(b"0123456789"), 60)
        assert said.startswith(b"HTTP/1.1 200")
        whole_writer.write(HEAD)
        assert await asyncio.wait_for(whole.read(), 60) == b"", "the second request of a connection has its time, too"
        whole_writer.close()


def test_a_server_keeps_descriptors_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]

    def limited(_: int) -> tuple[int, int]:
        return limits[-1]

    def limit(_: int, found: tuple[int, int]) -> None:
        limits.append(found)

    monkeypatch.setattr(http_limits.resource, "getrlimit", limited)
    monkeypatch.setattr(http_limits.resource, "setrlimit", limit)
    assert http_limits.connections() == 4096 - http_limits.KEPT
    assert limits[-1] == (4096, 4096)


async def test_no_answer_waits_for_an_acknowledgement_of_the_one_before() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listener("127.0.0.1", 0) as listening:
        async with await asyncio.start_server(take, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            assert await accepted
            writer.close()
