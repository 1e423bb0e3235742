"""A change of a database's schema reaches whoever subscribed to its resources, in both eras."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from mcp.client import Client
from mcp_types import ResourceUpdatedNotification

from mcp_backend import server
from mcp_backend.server import Options, build
from mcp_backend.serving import watching
from tests.asking import result
from tests.conftest import Connect

CHANGE = b"alter table customers add column joined date"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)


async def test_a_stream_tells_of_a_changed_schema_and_not_of_changed_rows(
    shop: Path, connect: Connect, postgres_url: str
) -> None:
    async with connect(shop) as client, client.listen(resource_subscriptions=["schema://main/customers"]) as heard:
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(b"insert into customers values (3, 'x', 'y')")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(heard)), 0.5)
            owner.execute(CHANGE)
        event = await asyncio.wait_for(anext(aiter(heard)), 60)
        assert event == watching.ResourceUpdated("schema://main/customers")
        found = await result(client, "db_schema", table="customers")
        assert found["table"]["columns"][-1]["name"] == "joined"


@pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_session_of_the_former_era_is_told_until_it_unsubscribes(shop: Path, postgres_url: str) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def handle(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await told.put(str(message.params.uri))

    async with Client(build(Options(shop)), mode="legacy", message_handler=handle) as client:
        await client.subscribe_resource("schema://main")  # pyright: ignore[reportDeprecated]
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(CHANGE)
            assert await asyncio.wait_for(told.get(), 60) == "schema://main"
            await client.unsubscribe_resource("schema://main")  # pyright: ignore[reportDeprecated]
            owner.execute(b"alter table customers drop column joined")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(told.get(), 0.5)


@pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_session_of_the_former_era_that_has_gone_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audience = watching.Audience()
    monkeypatch.setattr(server, "Audience", lambda: audience)
    async with Client(build(Options(tmp_path)), mode="legacy") as client:
        await client.subscribe_resource("escalation://open")  # pyright: ignore[reportDeprecated]
        assert audience.watched() == {"escalation://open"}
    assert audience.watched() == frozenset()


async def test_what_is_no_database_can_be_subscribed_to_and_stays_silent(shop: Path, connect: Connect) -> None:
    async with connect(shop) as client, client.listen(resource_subscriptions=["schema://nowhere", "audit://recent"]):
        assert (await result(client, "db_query", sql="select 1"))["rows"] == [[1]]
