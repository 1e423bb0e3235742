"""Whoever subscribed to an escalation is told of its answer, in both eras, also when another process gave it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mcp.client import Client
from mcp_types import ResourceUpdatedNotification

from mcp_backend.people.inbox import open_inbox
from mcp_backend.server import Options, build
from mcp_backend.serving import watching
from tests.conftest import Connect
from tests.test_escalation import answer, question, said


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)


async def test_a_stream_tells_of_each_step_and_of_the_list(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        asked = await said(client, "escalate", question())
        one, every = f"escalation://{asked['id']}", "escalation://open"
        async with client.listen(resource_subscriptions=[one]) as heard:
            events = aiter(heard)
            with open_inbox(tmp_path) as people:
                now = datetime.now(UTC).timestamp()
                await people.ask_back(await people.one(asked["id"]), "Which?", channel="web", now=now)
                assert await asyncio.wait_for(anext(events), 60) == watching.ResourceUpdated(one)
            await said(client, "escalate", question(question="This.", details={"reply_to": asked["id"]}))
            assert await asyncio.wait_for(anext(events), 60) == watching.ResourceUpdated(one)
            await said(client, "escalate", question("trade_off"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.3)
        async with client.listen(resource_subscriptions=[every]) as heard:
            await answer(tmp_path, asked["id"])
            assert await asyncio.wait_for(anext(aiter(heard)), 60) == watching.ResourceUpdated(every)


@pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_session_of_the_former_era_is_told_of_an_answer(tmp_path: Path) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def handle(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await told.put(str(message.params.uri))

    async with Client(build(Options(tmp_path)), mode="legacy", message_handler=handle) as client:
        asked = await said(client, "escalate", question())
        await client.subscribe_resource(f"escalation://{asked['id']}")  # pyright: ignore[reportDeprecated]
        await answer(tmp_path, asked["id"])
        assert await asyncio.wait_for(told.get(), 60) == f"escalation://{asked['id']}"
        assert (await said(client, "check_escalation", {"id": asked["id"]}))["answer"] == "half even"


async def test_what_is_no_escalation_stays_silent(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client, client.listen(resource_subscriptions=["escalation://ESC-none"]) as heard:
        await said(client, "escalate", question())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(heard)), 0.3)
