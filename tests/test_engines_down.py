"""A server whose engines are all down: it lists, it says what is down and since when, and it recovers by itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from mcp.client import Client

from tests.conftest import ERAS, Connect, Era
from tests.daemon import free_port

DATABASE: dict[str, dict[str, Any]] = {"db_schema": {}, "db_query": {"sql": "select 1"}, "run_migration": {}}
BROKER: dict[str, dict[str, Any]] = {
    "message_topology": {},
    "publish_message": {
        "destination": "down.test",
        "messages": [{"payload": {"a": 1}}],
        "justification": "proves what a broker that is down leads to",
    },
}


def moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))


@asynccontextmanager
async def forwarding(port: int, url: str) -> AsyncGenerator[None]:
    """Whoever connects to `port` reaches the engine at `url`; every connection ends with the block."""
    target = urlsplit(url)
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(target.hostname, target.port)
        writers.extend((writer, inner_writer))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def down(client: Client, calls: dict[str, dict[str, Any]], engine: str) -> None:
    for tool, arguments in calls.items():
        result = await client.call_tool(tool, arguments)
        body: dict[str, Any] = result.structured_content or {}
        assert result.is_error is True, (tool, body)
        assert body["error"]["code"] == "unavailable", (tool, body)
        assert engine in body["error"]["reason"], (tool, body)
        assert "since" in body["error"]["reason"], (tool, body)
        assert "secret" not in str(body)


async def up(client: Client, calls: dict[str, dict[str, Any]]) -> None:
    for tool, arguments in calls.items():
        result = await client.call_tool(tool, arguments)
        assert result.is_error is False, (tool, result.structured_content)


@pytest.mark.parametrize("era", ERAS)
async def test_tools_say_what_is_down_and_recover_without_a_restart(
    repository: Path, connect: Connect, era: Era, postgres_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {"postgresql": free_port(), "nats": free_port()}
    monkeypatch.setenv("A_DATABASE", moved(postgres_url, ports["postgresql"]))
    monkeypatch.setenv("A_BROKER", moved(nats_url, ports["nats"]))
    (repository / "mcp-backend.toml").write_text(
        '[engines.postgresql]\nurl = "env:A_DATABASE"\nenvironment = "development"\n'
        '[engines.nats]\nurl = "env:A_BROKER"\nenvironment = "development"\n'
    )
    (repository / "db/migrations").mkdir(parents=True)
    async with connect(repository, mode=era) as client:
        for _ in range(2):
            assert len((await client.list_tools()).tools) >= 10
            await down(client, DATABASE, "postgresql")
            await down(client, BROKER, "nats")
            async with forwarding(ports["postgresql"], postgres_url), forwarding(ports["nats"], nats_url):
                await up(client, DATABASE)
                await up(client, BROKER)
