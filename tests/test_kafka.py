"""Kafka through a real client on librdkafka's mock cluster, a stand-in: what it cannot show is not tested here.

With `KAFKA_URL` the tests that need nothing but a broker run on that one.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_backend.engines import embedded, kafka, kafka_publisher
from mcp_backend.errors import InvalidArgument
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era
from tests.daemon import free_port
from tests.test_configure_messaging import approve

Body = dict[str, Any]
WHY = "a scratch topic of this test, read by the test alone"
REAL = os.environ.get("KAFKA_URL", "")


@pytest.fixture
def place(repository: Path) -> Path:
    """A workspace with a broker as its engine."""
    return policy(repository, REAL or "embedded:kafka")


def policy(root: Path, url: str, more: str = "") -> Path:
    text = f'[engines.kafka]\nurl = "{url}"\nenvironment = "development"\n{more}'
    (root / "mcp-backend.toml").write_text(text)
    return root


@asynccontextmanager
async def broker(place: Path) -> AsyncGenerator[int]:
    """The process of the mock cluster, kept alive for the test."""
    lease = await embedded.lease("kafka", workspace(place))
    try:
        yield lease.pid
    finally:
        lease.close()
        await embedded.stop("kafka", workspace(place), force=True)


async def freeze(process: int) -> None:
    """Stops the process; when this returns it does nothing any more."""
    os.kill(process, signal.SIGSTOP)
    while any(
        (task / "stat").read_text().rpartition(")")[2].split()[0] != "T"
        for task in Path(f"/proc/{process}/task").iterdir()
    ):
        await asyncio.sleep(0)


async def call(client: Client, tool: str, **arguments: Any) -> Body:
    result = (await client.call_tool(tool, arguments)).structured_content
    assert result is not None
    return result


async def publish(client: Client, topic: str, *messages: Body) -> Body:
    return await call(client, "publish_message", destination=topic, messages=messages, justification=WHY)


async def topic_of(client: Client, partitions: int = 1) -> str:
    """A new topic."""
    name = f"orders.{secrets.token_hex(4)}"
    change = {"kind": "topic", "name": name, "config": {"partitions": partitions}}
    made = await call(client, "configure_messaging", changes=[change], apply=True)
    assert made["changes"][0]["verified"] is True
    return name


async def stored_ids(client: Client, topic: str) -> list[str]:
    found = await call(client, "peek_messages", destination=topic, count=100, **{"from": "oldest"})
    return [message["message_id"] for message in found["messages"]]


@pytest.mark.parametrize("era", ERAS)
async def test_messages_are_stored_in_the_order_of_their_key_and_seen_where_they_lie(
    place: Path, connect: Connect, era: Era
) -> None:
    async with connect(place, mode=era) as client:
        topic = await topic_of(client, 3)
        sent: list[Body] = [
            {"payload": {"n": n}, "message_id": f"m{n}", "key": "same", "headers": {"Trace": "t"}} for n in range(5)
        ]
        told = await publish(client, topic, *sent)
        oldest = await call(client, "peek_messages", destination=topic, count=2, **{"from": "oldest"})
        rest = await call(client, "peek_messages", destination=topic, **{"from": oldest["next"]})
        latest = await call(client, "peek_messages", destination=topic, count=1)
        timed = await call(client, "peek_messages", destination=topic, **{"from": "2020-01-01T00:00:00Z"})
        seen = await call(client, "message_topology", search=topic)
    results = told["results"]
    assert [r["stored"] for r in results] == ["yes"] * 5
    assert len({r["partition"] for r in results}) == 1
    assert [r["offset"] for r in results] == [0, 1, 2, 3, 4]
    assert told["delivery"] == "at_least_once"
    assert [m["payload"]["n"] for m in [*oldest["messages"], *rest["messages"]]] == [0, 1, 2, 3, 4]
    assert [m["payload"]["n"] for m in latest["messages"]] == [4]
    assert len(timed["messages"]) == 5
    assert (oldest["messages"][0]["key"], oldest["messages"][0]["headers"]["Trace"]) == ("same", "t")
    assert [(d["name"], d["partitions"], d["messages"]) for d in seen["destinations"]] == [(topic, 3, 5)]
    if not REAL:
        assert any("no real Kafka" in note for note in told["notes"])
        assert any("no real Kafka" in note for note in seen["notes"])


async def test_a_topic_that_does_not_exist_is_named_and_not_created(place: Path, connect: Connect) -> None:
    async with connect(place) as client:
        topic = await topic_of(client)
        error = (await publish(client, topic[:-1], {"payload": 1}))["error"]
        peeked = (await call(client, "peek_messages", destination=topic[:-1]))["error"]
        seen = await call(client, "message_topology", search=topic[:-1])
    assert (error["code"], peeked["code"]) == ("invalid_argument", "not_found")
    assert f"nearest: {topic}" in error["reason"]
    assert [d["name"] for d in seen["destinations"]] == [topic]


async def test_a_new_message_is_waited_for_and_no_group_comes_about(place: Path, connect: Connect) -> None:
    async with connect(place) as client:
        topic = await topic_of(client)
        looking = asyncio.ensure_future(
            call(client, "peek_messages", destination=topic, count=1, wait_seconds=10, **{"from": "new"})
        )
        number = 0
        while not looking.done():
            number += 1
            await publish(client, topic, {"payload": {"n": number}})
        found = await looking
        seen = await call(client, "message_topology", search=topic)
    assert found["messages"]
    assert seen["consumers"] == []


@pytest.mark.skipif(bool(REAL), reason="freezes the broker")
async def test_a_frozen_broker_leaves_it_unknown_and_a_repetition_stores_nothing_twice(
    place: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broker(place) as process, connect(place) as client:
        topic = await topic_of(client)
        await publish(client, topic, {"payload": 0, "message_id": "warm"})
        original = kafka.Kafka.ask

        async def ask(self: kafka.Kafka, do: str, **fields: Any) -> Body:
            if do == "publish":
                await freeze(process)
            return await original(self, do, **fields)

        with monkeypatch.context() as during:
            during.setattr(kafka_publisher, "SECONDS", 1.5)
            during.setattr(kafka_publisher, "LOOK_SECONDS", 0.2)
            during.setattr(kafka.Kafka, "ask", ask)
            told = (await publish(client, topic, {"payload": 1, "message_id": "one"}))["error"]
        os.kill(process, signal.SIGCONT)
        while "one" not in await stored_ids(client, topic):
            await asyncio.sleep(0)
        settled = (await publish(client, topic, {"payload": 1, "message_id": "one"}))["results"][0]
        stored = await stored_ids(client, topic)
    assert told["code"] == "unavailable"
    assert told["details"]["results"][0]["stored"] == "unknown"
    assert (settled["stored"], settled["duplicate"]) == ("yes", True)
    assert stored == ["warm", "one"]


@pytest.mark.skipif(bool(REAL), reason="freezes the broker")
async def test_a_client_that_aborts_is_reported_and_takes_nothing_down(
    place: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted: list[int] = []
    async with broker(place) as process, connect(place) as client:
        topic = await topic_of(client)
        await publish(client, topic, {"payload": 0, "message_id": "warm"})
        original = kafka.Kafka.ask

        async def ask(self: kafka.Kafka, do: str, **fields: Any) -> Body:
            if do == "publish":
                assert self.pid
                aborted.append(self.pid)
                await freeze(process)
                asyncio.get_running_loop().call_later(0.3, os.kill, self.pid, signal.SIGABRT)
                asyncio.get_running_loop().call_later(0.6, os.kill, process, signal.SIGCONT)
            return await original(self, do, **fields)

        with monkeypatch.context() as during:
            during.setattr(kafka.Kafka, "ask", ask)
            told = await publish(client, topic, {"payload": 1, "message_id": "one"})
        after = await publish(client, topic, {"payload": 2, "message_id": "two"})
        stored = await stored_ids(client, topic)
    said = (told["error"]["details"]["results"] if "error" in told else told["results"])[0]
    assert aborted
    if said["stored"] == "unknown":
        assert "SIGABRT" in said["reason"]
    else:
        assert (said["stored"], "one" in stored) == ("yes", True)
    assert after["results"][0]["stored"] == "yes"
    assert stored.count("two") == 1


async def test_a_batch_in_a_transaction_is_stored_whole_or_not_at_all(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(repository, REAL or "embedded:kafka", f'transactional_id = "{secrets.token_hex(4)}"\n')
    batch = [{"payload": {"n": n}, "message_id": f"m{n}", "key": f"k{n}"} for n in range(3)]
    async with connect(repository) as client, connect(repository) as other:
        topic = await topic_of(client, 2)
        told = await publish(client, topic, *batch)
        fenced = [await publish(one, topic, *[{**m, "message_id": f"{w}{m['key']}"} for m in batch])
                  for one, w in ((other, "o"), (client, "c"))]  # fmt: skip
        stored = await stored_ids(client, topic)
        original = kafka.Kafka.ask

        async def ask(self: kafka.Kafka, do: str, **fields: Any) -> Body:
            """The answer of the transaction gets lost, before it is made or after."""
            if do != "transact":
                return await original(self, do, **fields)
            if fields["records"][0]["headers"][-1][1] == "lost-before":
                raise kafka.Ended("the process with the Kafka client ended")
            await original(self, do, **fields)
            raise kafka.Ended("the process with the Kafka client ended")

        with monkeypatch.context() as during:
            during.setattr(kafka.Kafka, "ask", ask)
            after = await publish(client, topic, *({**m, "message_id": f"lost-{m['key']}"} for m in batch))
            before = await publish(client, topic, *({**m, "message_id": f"lost-{w}"} for m, w in
                                                    zip(batch, ("before", "x", "y"), strict=True)))  # fmt: skip
        end = await stored_ids(client, topic)
    assert "one transaction" in "".join(told["notes"])
    assert [r["stored"] for one in (told, *fenced) for r in one["results"]] == ["yes"] * 9
    assert len({(r["partition"], r["offset"]) for r in told["results"]}) == 3
    assert sorted(stored) == sorted(m for p in ("m0 m1 m2", "ok0 ok1 ok2", "ck0 ck1 ck2") for m in p.split())
    assert [r["stored"] for r in after["results"]] == ["yes"] * 3
    assert {r["stored"] for r in before["error"]["details"]["results"]} == {"no"}
    assert "not committed" in before["error"]["reason"]
    assert len(end) == 12


async def test_a_broker_that_is_down_is_named_with_the_cause(repository: Path, connect: Connect) -> None:
    port = free_port()
    policy(repository, f"kafka://user:secret-word@127.0.0.1:{port}")
    async with connect(repository) as client:
        error = (await publish(client, "orders", {"payload": 1}))["error"]
    assert error["code"] == "unavailable"
    assert f"127.0.0.1:{port}" in error["reason"]
    assert "secret-word" not in str(error)


@pytest.mark.parametrize("name", ["a b", "a/b", "__consumer_offsets", "..", "x" * 250])
async def test_a_name_that_can_be_no_topic_is_refused(place: Path, connect: Connect, name: str) -> None:
    async with connect(place) as client:
        assert (await publish(client, name, {"payload": 1}))["error"]["code"] == "invalid_argument"


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("a:1,b:2", {"bootstrap.servers": "a:1,b:2"}),
        ("kafka://a:1", {"bootstrap.servers": "a:1"}),
        ("kafka+ssl://a:1?ssl.ca.location=/ca.pem",
         {"bootstrap.servers": "a:1", "security.protocol": "SSL", "ssl.ca.location": "/ca.pem"}),
        ("kafka+ssl://u:p%40@a:1?sasl.mechanism=SCRAM-SHA-512",
         {"bootstrap.servers": "a:1", "security.protocol": "SASL_SSL", "sasl.username": "u", "sasl.password": "p@",
          "sasl.mechanism": "SCRAM-SHA-512"}),
    ],
)  # fmt: skip
def test_a_url_becomes_settings_of_the_client(url: str, settings: Body) -> None:
    assert kafka.client_settings(url, field="url") == settings


@pytest.mark.parametrize("url", ["kafka://", "http://a:1", "a", "kafka://a:1?plugin.library.paths=/x"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^engines\.kafka\.url: "):
        kafka.client_settings(url, field="engines.kafka.url")


async def test_a_peek_leaves_a_group_with_members_as_it_was_and_so_does_a_refused_move(
    place: Path, connect: Connect
) -> None:
    from confluent_kafka import Consumer, TopicPartition, admin

    library: Any = admin
    lease = None if REAL else await embedded.lease("kafka", workspace(place))
    url = REAL or (lease.url if lease else "")
    servers, group = url.removeprefix("kafka://"), f"workers-{secrets.token_hex(4)}"
    member: Any = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False,
                            "auto.offset.reset": "earliest", "session.timeout.ms": 45_000})  # fmt: skip
    revoked: list[Any] = []

    def lost(_: Any, parts: list[Any]) -> None:
        revoked.extend(parts)

    async def state(topic: str) -> Any:
        """Where the group stands, what its member has, and which groups there are."""
        member.poll(0)
        place = [TopicPartition(topic, 0)]
        stands = (await asyncio.to_thread(member.committed, place, 10))[0].offset
        if not REAL:  # the mock cluster has no list of groups
            return stands, [(p.topic, p.partition) for p in member.assignment()]
        groups = library.AdminClient({"bootstrap.servers": servers}).list_consumer_groups(request_timeout=30)
        told: Any = await asyncio.to_thread(groups.result, 10)
        names = sorted((one.group_id, one.state.name) for one in told.valid)
        return stands, [(p.topic, p.partition) for p in member.assignment()], names

    try:
        async with connect(place) as client:
            topic = await topic_of(client)
            await publish(client, topic, *({"payload": n, "message_id": f"m{n}"} for n in range(6)))
            member.subscribe([topic], on_revoke=lost)
            seen: list[Any] = []
            async with asyncio.timeout(60):
                while len(seen) < 3:
                    one = await asyncio.to_thread(member.poll, 0.5)
                    seen += [one] if one is not None and not one.error() else []
            await asyncio.to_thread(member.commit, message=seen[1], asynchronous=False)
            before = await state(topic)
            for begin in ("oldest", "latest", "new", "0:2"):
                found = await call(client, "peek_messages", destination=topic, wait_seconds=0.2, **{"from": begin})
                assert "error" not in found
            after = await state(topic)
            assert revoked == []
            change = {"kind": "group", "name": group, "of": topic, "action": "reset", "config": {"start": "oldest"}}
            moved = await call(client, "configure_messaging", changes=[change], apply=True)
            shown = await call(client, "configure_messaging", changes=[change])
            still = await state(topic)
    finally:
        await asyncio.to_thread(member.close)
        if lease:
            lease.close()
            await embedded.stop("kafka", workspace(place), force=True)
    assert before == after
    assert before[:2] == (2, [(topic, 0)])
    assert still == before
    assert moved["error"]["code"] == "failed_precondition"
    if REAL:
        assert "1 members" in moved["error"]["reason"]
    else:  # the mock cluster describes no groups
        assert "members_unknown" in str(shown["changes"][0]["hazards"])


async def committed(url: str, group: str, topic: str) -> int:
    """Where the group stands, asked past the tool."""
    from confluent_kafka import Consumer, TopicPartition

    reader: Any = Consumer({"bootstrap.servers": url.removeprefix("kafka://"), "group.id": group})
    try:
        return int((await asyncio.to_thread(reader.committed, [TopicPartition(topic, 0)], 10))[0].offset)
    finally:
        reader.close()


async def test_a_group_is_moved_by_a_persons_decision_to_where_it_was_shown(place: Path, connect: Connect) -> None:
    lease = None if REAL else await embedded.lease("kafka", workspace(place))
    try:
        url = REAL or (lease.url if lease else "")
        async with connect(place) as client:
            topic, group = await topic_of(client), f"workers-{secrets.token_hex(4)}"
            await publish(client, topic, *({"payload": n, "message_id": f"m{n}"} for n in range(6)))
            change: Body = {"kind": "group", "name": group, "of": topic, "config": {"start": {"0": 4}}}
            made = await call(client, "configure_messaging", changes=[change], apply=True)
            stands = await committed(url, group, topic)
            change["config"] = {"start": "oldest"}
            wrong = await call(client, "configure_messaging", changes=[change])
            shown = await call(client, "configure_messaging", changes=[change | {"action": "reset"}])
            asked = await call(client, "configure_messaging", changes=[change | {"action": "reset"}], apply=True)
            beyond = await call(client, "configure_messaging", changes=[change | {"config": {"start": {"0": 7}}}])
            change["config"] = {"start": "2020-01-01T00:00:00Z"}
            timed = await call(client, "configure_messaging", changes=[change | {"action": "reset"}])
            change["config"] = {"start": "oldest"}
            untouched = await committed(url, group, topic)
            await approve(place, asked["error"])
            moved = await call(client, "configure_messaging", changes=[change | {"action": "reset"}], apply=True)
            after = await committed(url, group, topic)
    finally:
        if lease:
            lease.close()
            await embedded.stop("kafka", workspace(place), force=True)
    assert made["changes"][0]["verified"] is True
    assert stands == untouched == 4
    assert '"reset"' in wrong["error"]["reason"]
    assert shown["changes"][0]["diff"] == {"partition 0": [4, 0]}
    assert shown["changes"][0]["impact"] == {"repeated": 4, "skipped": 0, "partitions": 1}
    assert asked["error"]["code"] == "failed_precondition"
    if REAL:
        assert timed["changes"][0]["diff"] == {"partition 0": [4, 0]}
    else:
        assert "no index of times" in timed["error"]["reason"]
    assert (moved["changes"][0]["verified"], after) == (True, 0)
    assert "0 to 6" in beyond["error"]["reason"]
