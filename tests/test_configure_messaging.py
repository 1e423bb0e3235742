"""configure_messaging through a real client: the diff is what happens, nothing else moves, loss waits for a person."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_py
from mcp.client import Client
from nats.aio.client import Client as NatsClient

from mcp_backend import escalations, persona
from mcp_backend.actions import ConfigureMessaging, PublishMessage
from mcp_backend.app import open_app
from mcp_backend.facts import Facts, MessageFit, MessagingChange
from mcp_backend.guards import judge
from mcp_backend.policy import Policy
from tests import natsd
from tests.conftest import ERAS, Connect, Era
from tests.natsd import Natsd
from tests.redisd import Redisd

Body = dict[str, Any]
POLICY = Policy(constraints=persona.load().constraints)
WHY = "a scratch stream of this test, read by the test alone"


@pytest.fixture
def place(repository: Path, brokers: tuple[Natsd, Redisd]) -> Path:
    """A workspace with both servers as its engines."""
    return policy(repository, brokers, "development")


def policy(root: Path, brokers: tuple[Natsd, Redisd], environment: str) -> Path:
    urls = {"nats": brokers[0].url, "redis": brokers[1].url}
    tables = (f'[engines.{kind}]\nurl = "{url}"\nenvironment = "{environment}"\n' for kind, url in urls.items())
    (root / "mcp-backend.toml").write_text("".join(tables))
    return root


@asynccontextmanager
async def api(brokers: tuple[Natsd, Redisd]) -> AsyncGenerator[Any]:
    """`await ask("STREAM.INFO.X", {…})` of the JetStream API, past every client library's idea of a configuration."""
    client = NatsClient()
    await client.connect(brokers[0].url, allow_reconnect=False)

    async def ask(verb: str, request: Body | None = None) -> Body:
        payload = json.dumps(request).encode() if request else b""
        return dict(json.loads((await client.request(f"$JS.API.{verb}", payload)).data))

    try:
        yield ask
    finally:
        await client.close()


@asynccontextmanager
async def redis_there(brokers: tuple[Natsd, Redisd]) -> AsyncGenerator[Any]:
    client: Any = redis_py.Redis.from_url(brokers[1].url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
    try:
        yield client
    finally:
        await client.aclose()


async def configure(client: Client, engine: str, *changes: Body, **more: Any) -> Body:
    arguments: Body = {"engine": engine, "changes": changes, **more}
    result = (await client.call_tool("configure_messaging", arguments)).structured_content
    assert result is not None
    return result


async def publish(client: Client, engine: str, destination: str, count: int) -> Body:
    messages = [{"payload": {"id": number}} for number in range(count)]
    arguments: Body = {"engine": engine, "destination": destination, "messages": messages, "justification": WHY}
    result = (await client.call_tool("publish_message", arguments)).structured_content
    assert result is not None
    return result


async def approve(root: Path, error: Body) -> None:
    """What a person does at a terminal."""
    async with open_app(root) as app:
        await escalations.decide(
            app.store, error["escalation"], status="approved", answer="", by="ana", channel="terminal", now=app.now(),
            constraint=app.policy.constraint(error["constraint"]),
        )  # fmt: skip


def stream(name: str, **config: Any) -> Body:
    return {"kind": "stream", "name": name, "config": config}


@pytest.mark.skipif(natsd.version() < (2, 10), reason="streams have metadata since 2.10")
@pytest.mark.parametrize("era", ERAS)
async def test_a_stream_and_its_consumer_are_shown_first_and_then_made(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, era: Era
) -> None:
    name = f"MADE{era}"
    make = stream(name, subjects=[f"{name}.>"], max_age="7d", metadata={"owner": "orders"})
    reader: Body = {"kind": "consumer", "name": "w", "of": name, "config": {"max_deliver": 5, "ack_wait": "30s"}}
    async with api(brokers) as ask, connect(place, mode=era) as client:
        shown = await configure(client, "nats", make)
        assert (await ask(f"STREAM.INFO.{name}"))["error"]["code"] == 404
        made = await configure(client, "nats", make, apply=True, at_version=shown["at_version"])
        also = await configure(client, "nats", reader, apply=True)
        again = await configure(client, "nats", make, reader, apply=True)
        less = await configure(client, "nats", stream(name, max_age="1h", discard="new", max_msg_size=1000))
        config = (await ask(f"STREAM.INFO.{name}"))["config"]
        consumer = (await ask(f"CONSUMER.INFO.{name}.w"))["config"]
    assert shown["applied"] is False
    assert shown["changes"][0]["diff"]["max_age"] == [None, 7 * 86_400 * 10**9]
    assert (made["changes"][0]["action"], made["changes"][0]["verified"]) == ("create", True)
    assert also["changes"][0]["verified"] is True
    assert [change["action"] for change in again["changes"]] == ["none", "none"]
    assert [hazard["id"] for hazard in less["changes"][0]["hazards"]] == ["retention_cut", "discard_policy"]
    assert (config["max_age"], config["metadata"]["owner"]) == (7 * 86_400 * 10**9, "orders")
    assert (consumer["max_deliver"], consumer["ack_wait"], consumer["ack_policy"]) == (5, 30 * 10**9, "explicit")


async def test_a_change_moves_nothing_that_it_does_not_name(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    async with api(brokers) as ask, connect(place) as client:
        whole: Body = {
            "name": "WHOLE", "subjects": ["whole.>"], "retention": "limits", "storage": "file", "num_replicas": 1,
            "duplicate_window": 60 * 10**9, "allow_direct": True, "compression": "s2", "metadata": {"owner": "x"},
        }  # fmt: skip
        assert "error" not in await ask("STREAM.CREATE.WHOLE", whole)
        before = (await ask("STREAM.INFO.WHOLE"))["config"]
        told = await configure(client, "nats", stream("WHOLE", description="orders"), apply=True)
        after = (await ask("STREAM.INFO.WHOLE"))["config"]
    assert told["changes"][0]["diff"] == {"description": [None, "orders"]}
    assert "moved_unasked" not in told["changes"][0]
    assert after == {**before, "description": "orders"}


async def test_what_changed_since_it_was_shown_is_not_overwritten(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    async with api(brokers) as ask, connect(place) as client:
        await configure(client, "nats", stream("MOVED", subjects=["moved.>"]), apply=True)
        shown = await configure(client, "nats", stream("MOVED", description="mine"))
        config = (await ask("STREAM.INFO.MOVED"))["config"]
        await ask("STREAM.UPDATE.MOVED", {**config, "description": "somebody else's"})
        change = stream("MOVED", description="mine")
        refused = await configure(client, "nats", change, apply=True, at_version=shown["at_version"])
        config = (await ask("STREAM.INFO.MOVED"))["config"]
    assert refused["error"]["code"] == "aborted"
    assert config["description"] == "somebody else's"


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"action": "purge"}, "5 messages"),
        ({"action": "delete"}, "5 messages"),
        ({"config": {"max_msgs": 2}}, "the oldest 3 of 5 messages"),
        pytest.param(
            {"config": {"max_msgs_per_subject": 1}},
            "older messages of each subject beyond 1",
            marks=pytest.mark.skipif(natsd.version() < (2, 10), reason="before 2.10 they went with the next message"),
        ),
    ],
    ids=["purge", "delete", "count", "per subject"],
)
async def test_what_destroys_messages_waits_for_a_person_and_is_done_once(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, change: Body, lost: str
) -> None:
    name = f"LOST{abs(hash(json.dumps(change)))}"
    body = {"kind": "stream", "name": name, **change}
    async with api(brokers) as ask, connect(place) as client:
        await configure(client, "nats", stream(name, subjects=[f"{name}.>"]), apply=True)
        await publish(client, "nats", f"{name}.a", 5)
        shown = await configure(client, "nats", body)
        refused = (await configure(client, "nats", body, apply=True))["error"]
        kept = (await ask(f"STREAM.INFO.{name}"))["state"]["messages"]
        await approve(place, refused)
        done = await configure(client, "nats", body, apply=True)
        left = await ask(f"STREAM.INFO.{name}")
    assert shown["changes"][0]["destroys"].startswith(lost)
    assert (refused["code"], refused["constraint"], kept) == ("failed_precondition", "kept-messages", 5)
    assert done["changes"][0]["verified"] is True
    assert left.get("state", {"messages": 0})["messages"] in (0, 1, 2)


async def test_an_approval_to_purge_is_for_these_messages_alone(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    purge: Body = {"kind": "stream", "name": "THESE", "action": "purge"}
    async with api(brokers) as ask, connect(place) as client:
        await configure(client, "nats", stream("THESE", subjects=["these.>"]), apply=True)
        await publish(client, "nats", "these.a", 3)
        refused = (await configure(client, "nats", purge, apply=True))["error"]
        await approve(place, refused)
        await publish(client, "nats", "these.b", 1)
        moved = (await configure(client, "nats", purge, apply=True))["error"]
        assert (await ask("STREAM.INFO.THESE"))["state"]["messages"] == 4
    assert moved["code"] == "aborted"


async def test_a_destroying_change_never_travels_with_another(place: Path, connect: Connect) -> None:
    async with connect(place) as client:
        await configure(client, "nats", stream("ALONE", subjects=["alone.>"]), apply=True)
        await publish(client, "nats", "alone.a", 1)
        both = ({"kind": "stream", "name": "ALONE", "action": "purge"}, stream("ALONE2", subjects=["alone2.>"]))
        refused = (await configure(client, "nats", *both, apply=True))["error"]
        nothing = (await configure(client, "nats", stream("ALONE2", description="x")))["error"]
    assert (refused["code"], refused["constraint"]) == ("permission_denied", "kept-messages")
    assert "config.subjects" in nothing["reason"]


@pytest.mark.parametrize(
    ("engine", "change", "words"),
    [
        ("nats", {"kind": "group", "name": "g"}, "streams and consumers"),
        ("nats", {"kind": "stream", "name": "a.b"}, "no dots"),
        ("nats", {"kind": "consumer", "name": "c"}, "changes.0.of"),
        ("nats", {"kind": "consumer", "name": "c", "of": "NOWHERE"}, "no stream NOWHERE"),
        ("nats", {"kind": "stream", "name": "N", "config": {"subjects": ["n"], "max_age": "soon"}}, "duration"),
        ("nats", {"kind": "stream", "name": "N", "config": {"subjects": ["n"], "max_age": 7}}, 'such as "7s" or "7d"'),
        ("nats", {"kind": "stream", "name": "GONE", "action": "delete"}, "does not exist"),
        ("redis", {"kind": "consumer", "name": "g"}, "streams and groups"),
        ("redis", {"kind": "stream", "name": "s", "config": {"x": 1}}, "max_length"),
        ("redis", {"kind": "group", "of": "s", "name": "g", "config": {"start": "first"}}, "config.start"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_with_what_was_expected(
    place: Path, connect: Connect, engine: str, change: Body, words: str
) -> None:
    async with connect(place) as client:
        error = (await configure(client, engine, change, apply=True))["error"]
    assert error["code"] in ("invalid_argument", "not_found")
    assert words in error["reason"]


async def test_a_field_the_server_does_not_know_changes_nothing(place: Path, connect: Connect) -> None:
    async with connect(place) as client:
        await configure(client, "nats", stream("FIELDS", subjects=["fields.>"]), apply=True)
        told = await configure(client, "nats", stream("FIELDS", nonsense=1), apply=True)
    if natsd.version() < (2, 11):  # it passes over what it does not know, which shows when it is read back
        assert told["changes"][0]["verified"] is False
        return
    assert told["error"]["code"] == "invalid_argument"
    assert "nonsense" in told["error"]["reason"]


async def test_streams_and_groups_of_redis_are_made_moved_and_trimmed(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    group: Body = {"kind": "group", "of": "made", "name": "workers", "config": {"start": "0"}}
    reset: Body = {"kind": "group", "of": "made", "name": "workers", "action": "reset", "config": {"start": "$"}}
    trim = stream("made", max_length=2)
    async with redis_there(brokers) as there, connect(place) as client:
        made = await configure(client, "redis", stream("made"), group, apply=True)
        again = await configure(client, "redis", stream("made"), group, apply=True)
        await publish(client, "redis", "made", 5)
        for change in (reset, trim):
            refused = (await configure(client, "redis", change, apply=True))["error"]
            assert (refused["code"], refused["constraint"]) == ("failed_precondition", "kept-messages")
            await approve(place, refused)
            assert (await configure(client, "redis", change, apply=True))["changes"][0]["verified"] is True
        last = (await there.xinfo_stream("made"))["last-generated-id"]
        assert [g["last-delivered-id"] for g in await there.xinfo_groups("made")] == [last]
        assert await there.xlen("made") == 2
    assert [change["verified"] for change in made["changes"]] == [True, True]
    assert [change["action"] for change in again["changes"]] == ["none", "none"]


@pytest.mark.parametrize("environment", ["staging", "production"])
async def test_outside_development_a_person_approves_each_message_and_each_change(
    repository: Path, brokers: tuple[Natsd, Redisd], connect: Connect, environment: str
) -> None:
    name = f"SHARED{environment}"
    async with connect(policy(repository, brokers, "development")) as client:
        await configure(client, "nats", stream(name, subjects=[f"{name}.>"]), apply=True)
    async with api(brokers) as ask, connect(policy(repository, brokers, environment)) as client:
        refused = (await publish(client, "nats", f"{name}.a", 1))["error"]
        changed = (await configure(client, "nats", stream(name, description="x"), apply=True))["error"]
        assert (await ask(f"STREAM.INFO.{name}"))["state"]["messages"] == 0
        await approve(repository, refused)
        sent = await publish(client, "nats", f"{name}.a", 1)
        other = (await publish(client, "nats", f"{name}.b", 1))["error"]
    for error in (refused, changed, other):
        assert (error["code"], error["constraint"]) == ("failed_precondition", "data-consistency")
    assert sent["results"][0]["stored"] == "yes"


def judged(*changes: MessagingChange) -> str:
    action = ConfigureMessaging("events", "development", tuple(change.target for change in changes))
    return judge([action], POLICY, Facts(changes=changes))[0].outcome


@pytest.mark.proves("kept-messages", "refused")
def test_destroying_messages_is_refused_until_a_person_agrees_and_beside_other_changes_always() -> None:
    purge = MessagingChange("purge stream ORDERS", "20,113 messages")
    assert judged(purge) == "approve"
    assert judged(purge, MessagingChange("set stream OTHER")) == "deny"
    assert judged(purge, purge) == "deny"


@pytest.mark.proves("kept-messages", "allowed")
def test_changes_that_destroy_nothing_are_allowed_together() -> None:
    assert judged(MessagingChange("set stream ORDERS"), MessagingChange("set consumer ORDERS/w")) == "allow"


@pytest.mark.proves("data-consistency", "refused")
@pytest.mark.proves("data-consistency", "allowed")
def test_publishing_waits_for_a_person_outside_development_alone() -> None:
    facts = Facts(messages=(MessageFit("orders", "orders.json", True),))
    for environment, outcome in (("development", "allow"), ("staging", "approve"), ("production", "approve")):
        action = PublishMessage("events", environment, "orders", "m1", (), "0" * 64, "orders.json")
        assert judge([action], POLICY, facts)[0].outcome == outcome
