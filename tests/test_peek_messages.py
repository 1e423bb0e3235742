"""peek_messages through a real client on real servers: it shows what lies there, and leaves everything as it was."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import pytest
import redis.asyncio as redis_py
import yaml
from mcp.client import Client
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext

from tests.conftest import ERAS, Connect, Era
from tests.daemon import free_port
from tests.natsd import Natsd, settled
from tests.natsd import policy as nats_policy
from tests.redisd import Redisd

Body = dict[str, Any]
CONTRACT: Body = {
    "asyncapi": "3.0.0",
    "info": {"title": "orders", "version": "1"},
    "channels": {
        "created": {
            "address": "orders.created",
            "messages": {"Created": {"payload": {
                "type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}},
            }}},
        }
    },
}  # fmt: skip
TOKEN = "ghp_" + "kD83nQz01LxVb7TtRw5Yc2MhGs9UeJp4FaBo"


@pytest.fixture
def place(repository: Path, brokers: tuple[Natsd, Redisd]) -> Path:
    """A workspace with a contract and both servers as its engines."""
    (repository / "asyncapi.yaml").write_text(yaml.safe_dump(CONTRACT))
    urls = {"nats": brokers[0].url, "redis": brokers[1].url}
    tables = (f'[engines.{kind}]\nurl = "{url}"\nenvironment = "development"\n' for kind, url in urls.items())
    (repository / "mcp-backend.toml").write_text("".join(tables))
    return repository


@asynccontextmanager
async def jetstream(brokers: tuple[Natsd, Redisd]) -> AsyncGenerator[JetStreamContext]:
    """A NATS client of the test's own."""
    client = NatsClient()
    await client.connect(brokers[0].url, allow_reconnect=False)
    try:
        yield JetStreamContext(client)
    finally:
        await client.close()


@asynccontextmanager
async def redis_there(brokers: tuple[Natsd, Redisd]) -> AsyncGenerator[Any]:
    """A Redis client of the test's own."""
    client: Any = redis_py.Redis.from_url(brokers[1].url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
    try:
        yield client
    finally:
        await client.aclose()


async def peek(client: Client, engine: str, destination: str, **more: Any) -> Body:
    found = (
        await client.call_tool("peek_messages", {"engine": engine, "destination": destination, **more})
    ).structured_content
    assert found is not None
    return found


def ids(found: Body) -> list[Any]:
    return [message["payload"]["id"] for message in found["messages"]]


async def fill_nats(js: JetStreamContext, stream: str, subject: str, count: int, **config: Any) -> None:
    await js.add_stream(**{"name": stream, "subjects": [f"{subject}.>", subject], **config})  # pyright: ignore
    for number in range(1, count + 1):
        await js.publish(subject, json.dumps({"id": number}).encode(), headers={"Nats-Msg-Id": f"{stream}-{number}"})


async def state_of_nats(js: JetStreamContext, stream: str) -> tuple[Any, ...]:
    """Everything a peek could have moved: what is stored, every consumer, its acknowledgements and its deliveries."""
    info = await js.stream_info(stream)
    consumers = [
        (c.name, c.config, c.delivered, c.ack_floor, c.num_ack_pending, c.num_pending, c.num_redelivered, c.num_waiting)
        for c in await js.consumers_info(stream)
    ]
    return info.state, info.config, consumers


def interest(monitor: int) -> list[str]:
    """Every subscription that the server knows, but for the boxes that clients get their own answers in."""
    with urlopen(f"http://127.0.0.1:{monitor}/subsz?subs=1&limit=10000") as told:
        listed: list[Body] = json.load(told)["subscriptions_list"]
    return sorted(f"{one['subject']} {one.get('qgroup')}" for one in listed if not one["subject"].startswith("_INBOX."))


async def test_a_peek_leaves_no_interest_behind(repository: Path, tmp_path: Path, connect: Connect) -> None:
    monitor = free_port()
    server = Natsd(tmp_path / "natsd", f"http: 127.0.0.1:{monitor}").start()
    nats_policy(repository, server.url)
    try:
        async with jetstream((server, cast("Redisd", None))) as js, connect(repository) as client:
            await js.add_stream(name="HELD", subjects=["held.>"], retention="interest")  # pyright: ignore
            await js.subscribe("held.a", durable="worker")  # pyright: ignore[reportUnknownMemberType]
            await js._nc.subscribe("passing.a", "workers")  # pyright: ignore
            await settled(js._nc)  # pyright: ignore
            before = interest(monitor)
            for subject in ("held.a", "passing.a"):
                for begin in ("oldest", "latest", "new"):
                    await peek(client, "nats", subject, **{"from": begin, "wait_seconds": 0.05})
            waits = {"from": "new", "count": 1, "wait_seconds": 20}
            during = asyncio.ensure_future(peek(client, "nats", "passing.b", **waits))
            listening = False
            while not during.done():
                if not listening and (listening := len(interest(monitor)) > len(before)):
                    await js._nc.publish("passing.b", b"{}")  # pyright: ignore
                await asyncio.sleep(0.02)
            async with asyncio.timeout(60):  # the server hears of the end of a subscription a moment later
                while interest(monitor) != before:
                    await asyncio.sleep(0.02)
    finally:
        server.stop()
    assert listening, "or nothing would be compared"


async def state_of_redis(there: Any, stream: str) -> tuple[Any, ...]:
    """The same for a stream."""
    groups = await there.xinfo_groups(stream)
    consumers = [
        [
            {k: v for k, v in c.items() if k not in ("idle", "inactive")}
            for c in await there.xinfo_consumers(stream, g["name"])
        ]
        for g in groups
    ]
    pending = [
        [
            (p["message_id"], p["consumer"], p["times_delivered"])
            for p in await there.xpending_range(stream, g["name"], "-", "+", 100)
        ]
        for g in groups
    ]
    channels = sorted(await there.pubsub_channels()), await there.pubsub_numpat()
    return await there.xinfo_stream(stream), groups, consumers, pending, channels, sorted(await there.keys("*"))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("engine", ["nats", "redis"])
async def test_messages_are_shown_decoded_and_judged_by_their_contract_and_marked_as_untrusted(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, engine: str, era: Era
) -> None:
    async with jetstream(brokers) as js, redis_there(brokers) as there, connect(place, mode=era) as client:
        name = "orders.created"
        await there.delete(name)
        await there.xgroup_create(name, "g", mkstream=True)
        for stream in await js.streams_info():
            await js.delete_stream(str(stream.config.name))
        await js.add_stream(name="ORDERS", subjects=["orders.>"])  # pyright: ignore[reportUnknownMemberType]
        messages = [{"payload": {"id": 1}, "message_id": f"one-{era}", "key": "k", "headers": {"Trace": "t-1"}}]
        await client.call_tool("publish_message", {"engine": engine, "destination": name, "messages": messages})
        if engine == "nats":
            await js.publish(name, b'{"id": "two"}')
        else:
            await there.xadd(name, {"payload": '{"id": "two"}'})
        found = await peek(client, engine, name)
    first, second = found["messages"]
    assert "never instructions" in found["untrusted"]
    assert (first["payload"], first["message_id"], first["key"], first["fits"]) == ({"id": 1}, f"one-{era}", "k", True)
    assert first["headers"]["Trace"] == "t-1"
    assert first["contract"].startswith("asyncapi.yaml")
    assert (second["fits"], len(second["problems"])) == (False, 1)
    assert found["next"] is None


@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
async def test_a_peek_leaves_every_consumer_of_nats_as_it_was(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, retention: str
) -> None:
    stream, subject = f"P{retention}", f"peek{retention}"
    async with jetstream(brokers) as js, connect(place) as client:
        await js.add_stream(name=stream, subjects=[subject], retention=retention)  # pyright: ignore
        reader = await js.pull_subscribe(subject, "worker", stream=stream)
        for number in range(6):
            await js.publish(subject, json.dumps({"id": number}).encode())
        taken = await reader.fetch(3)
        await taken[0].ack_sync()
        before = await state_of_nats(js, stream)
        for begin in ("oldest", "latest", "new", "3", "2020-01-01T00:00:00Z"):
            found = await peek(client, "nats", subject, **{"from": begin, "wait_seconds": 0.1})
            assert "error" not in found
        assert await state_of_nats(js, stream) == before
        rest = await reader.fetch(3)
        for message in [*taken[1:], *rest]:
            await message.ack_sync()
        left = (await js.stream_info(stream)).state.messages
    assert left == (6 if retention == "limits" else 0)


async def test_a_peek_leaves_every_group_of_redis_as_it_was(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    async with redis_there(brokers) as there, connect(place) as client:
        await there.xgroup_create("kept", "workers", id="0", mkstream=True)
        for number in range(6):
            await there.xadd("kept", {"payload": json.dumps({"id": number})})
        await there.xreadgroup("workers", "w", {"kept": ">"}, count=3)
        before = await state_of_redis(there, "kept")
        for begin in ("oldest", "latest", "new", "0-1", "2020-01-01T00:00:00Z"):
            found = await peek(client, "redis", "kept", **{"from": begin, "wait_seconds": 0.1})
            assert "error" not in found
        assert await state_of_redis(there, "kept") == before


@pytest.mark.parametrize("engine", ["nats", "redis"])
async def test_every_way_to_begin_shows_the_right_messages_and_next_goes_on(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, engine: str
) -> None:
    async with jetstream(brokers) as js, redis_there(brokers) as there, connect(place) as client:
        if engine == "nats":
            await fill_nats(js, "WAYS", "ways", 30)
        else:
            for number in range(1, 31):
                await there.xadd("ways", {"payload": json.dumps({"id": number})})
        oldest = await peek(client, engine, "ways", count=4, **{"from": "oldest"})
        more = await peek(client, engine, "ways", count=4, **{"from": oldest["next"]})
        latest = await peek(client, engine, "ways", count=3, **{"from": "latest"})
        middle = await peek(client, engine, "ways", count=2, **{"from": more["messages"][0]["position"]})
        at = more["messages"][0]["at"]
        timed = await peek(client, engine, "ways", count=40, **{"from": at})
        future = await peek(client, engine, "ways", **{"from": "2090-01-01T00:00:00Z"})
        words = await peek(client, engine, "ways", filter='"id": 17', **{"from": "oldest"})
    assert (ids(oldest), ids(more), ids(latest), ids(middle)) == ([1, 2, 3, 4], [5, 6, 7, 8], [28, 29, 30], [5, 6])
    assert 5 in ids(timed)
    assert ids(timed)[-1] == 30
    assert all(message["at"] >= at for message in timed["messages"])
    assert future["messages"] == []
    assert (ids(words), words["looked_at"]) == ([17], 30)


@pytest.mark.parametrize("engine", ["nats", "redis"])
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "passing"])
async def test_new_messages_are_waited_for(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, engine: str, stored: bool
) -> None:
    name = f"fresh{stored}{engine}"
    async with jetstream(brokers) as js, redis_there(brokers) as there, connect(place) as client:
        nats: Any = js._nc  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportAttributeAccessIssue]
        if stored and engine == "nats":
            await fill_nats(js, name, name, 2)
        elif stored:
            await there.xadd(name, {"payload": '{"id": 2}'})
        looking = asyncio.ensure_future(peek(client, engine, name, count=1, wait_seconds=10, **{"from": "new"}))
        while not looking.done():
            if engine == "nats":
                await nats.publish(name, b'{"id": 3}')
            elif stored:
                await there.xadd(name, {"payload": '{"id": 3}'})
            else:
                await there.publish(name, '{"id": 3}')
            await asyncio.wait([looking], timeout=0.02)
        found = await looking
    assert ids(found) == [3]
    assert ("notes" in found) is not stored


@pytest.mark.parametrize("engine", ["nats", "redis"])
async def test_credentials_in_messages_are_hidden_and_long_ones_are_cut(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, engine: str
) -> None:
    big = json.dumps({"id": 1, "text": "x" * 50_000})
    secret = json.dumps({"id": 2, "token": TOKEN})
    async with jetstream(brokers) as js, redis_there(brokers) as there, connect(place) as client:
        if engine == "nats":
            await js.add_stream(name="BIG", subjects=["big"])  # pyright: ignore[reportUnknownMemberType]
            for text in (big, secret, big, big, big):
                await js.publish("big", text.encode())
        else:
            for text in (big, secret, big, big, big):
                await there.xadd("big", {"payload": text})
        found = await peek(client, engine, "big", **{"from": "oldest"})
    assert TOKEN not in json.dumps(found)
    assert (found["messages"][1]["redacted"], found["messages"][0]["truncated"]) == (1, True)
    assert len(json.dumps(found)) < 12_500
    assert found["truncated"] is True
    assert found["next"] is not None


@pytest.mark.parametrize("engine", ["nats", "redis"])
async def test_what_is_not_there_is_said_with_what_to_do(place: Path, connect: Connect, engine: str) -> None:
    async with connect(place) as client:
        nothing = await peek(client, engine, "nothing-here")
        nonsense = await peek(client, engine, "nothing-here", **{"from": "yesterday"})
    assert nothing["error"]["code"] in ("not_found", "invalid_argument")
    assert "wait_seconds" in nothing["error"]["reason"]
    assert nonsense["error"]["code"] == "invalid_argument"


async def test_without_a_place_it_shows_the_latest_and_waits_for_the_new(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    async with jetstream(brokers) as js, connect(place) as client:
        await fill_nats(js, "PLACELESS", "placeless", 3)
        assert ids(await peek(client, "nats", "placeless")) == [1, 2, 3]
        waited = await peek(client, "nats", "placeless", wait_seconds=0.05)
        assert waited["messages"] == []
        assert 'from "latest" shows what is there already' in waited["notes"][-1]
        named = await peek(client, "nats", "placeless", **{"from": "new"})
        assert (named["messages"], len(named["notes"])) == ([], 1)
