"""Publishing to Redis and looking at it, through a real client on a real server: every statement is true."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_py
import yaml
from mcp.client import Client

from mcp_backend import engines
from mcp_backend.engines import redis, redis_address
from mcp_backend.errors import InvalidArgument
from tests.conftest import ERAS, Connect, Era
from tests.daemon import free_port
from tests.natsd import Proxy
from tests.redisd import Redisd, policy

Body = dict[str, Any]
WHY = "a scratch stream of this test, read by the test alone"
CONTRACT: Body = {
    "asyncapi": "3.0.0",
    "info": {"title": "orders", "version": "1"},
    "channels": {
        "created": {
            "address": "orders.created",
            "messages": {"Created": {"payload": {
                "type": "object", "required": ["id"], "additionalProperties": False,
                "properties": {"id": {"type": "integer"}},
            }}},
        }
    },
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Generator[Redisd]:
    """A server of this test."""
    started = Redisd(tmp_path / "redisd").start()
    yield started
    started.stop()


@pytest.fixture
def place(repository: Path, server: Redisd) -> Path:
    """A workspace with a contract for `orders.created` and that server as its engine."""
    (repository / "asyncapi.yaml").write_text(yaml.safe_dump(CONTRACT))
    return policy(repository, server.url)


@asynccontextmanager
async def outside(url: str, *streams: str) -> AsyncGenerator[Any]:
    """A client of its own, for making streams and for looking at what is really there."""
    client: Any = redis_py.Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
    try:
        for stream in streams:
            await client.xgroup_create(stream, "workers", id="0", mkstream=True)
        yield client
    finally:
        await client.aclose()


async def publish(client: Client, destination: str, *payloads: Any, **more: Any) -> Body:
    """The result of publishing payloads, or messages that are spelled out in `messages`."""
    arguments: Body = {"destination": destination, "messages": [{"payload": p} for p in payloads], **more}
    result = (await client.call_tool("publish_message", arguments)).structured_content
    assert result is not None
    return result


def ids(entries: list[tuple[str, dict[str, str]]]) -> list[str]:
    return [fields["message_id"] for _, fields in entries if "message_id" in fields]


@pytest.mark.parametrize("era", ERAS)
async def test_a_message_is_stored_in_the_stream_once_however_often_it_is_published(
    place: Path, server: Redisd, connect: Connect, era: Era
) -> None:
    async with outside(server.url, "orders.created") as there, connect(place, mode=era) as client:
        first = await publish(client, "orders.created", {"id": 7})
        again = await publish(client, "orders.created", {"id": 7})
        entries = await there.xrange("orders.created")
    told = first["results"][0]
    assert (told["stored"], told["duplicate"], first["delivery"]) == ("yes", False, "exactly_once")
    assert (again["results"][0]["duplicate"], again["results"][0]["entry_id"]) == (True, told["entry_id"])
    assert [(entry, json.loads(fields["payload"])) for entry, fields in entries] == [(told["entry_id"], {"id": 7})]
    assert entries[0][1]["message_id"] == told["message_id"]
    assert told["validated_against"].startswith("asyncapi.yaml")


async def test_a_payload_that_breaks_its_contract_reaches_no_stream(
    place: Path, server: Redisd, connect: Connect
) -> None:
    async with outside(server.url, "orders.created") as there, connect(place) as client:
        refused = await publish(client, "orders.created", {"id": "seven"})
        assert refused["error"]["code"] == "permission_denied"
        assert await there.xlen("orders.created") == 0


async def test_an_id_that_another_message_has_is_refused_and_named(
    place: Path, server: Redisd, connect: Connect
) -> None:
    async with outside(server.url, "orders.created", "scratch") as there, connect(place) as client:
        one = [{"payload": {"id": 1}, "message_id": "order:1"}]
        other = [{"payload": {"id": 2}, "message_id": "order:1"}]
        await publish(client, "orders.created", messages=one)
        refused = (await publish(client, "orders.created", messages=other))["error"]
        assert await there.xlen("orders.created") == 1
        more: list[Body] = [{"payload": {"id": 3, "n": 1}, "message_id": "order:3", "key": "k"}]
        stored = await publish(client, "scratch", messages=more, justification=WHY)
        more[0]["payload"] = {"n": 1, "id": 3}  # the same, written in another order
        more.append({"payload": {"id": 4}, "message_id": "order:4", "key": "k"})
        again = await publish(client, "scratch", messages=more, justification=WHY)
        more[0]["payload"] = {"n": True, "id": 3}
        taken = await publish(client, "scratch", messages=[more[0], {"payload": {"id": 5}}], justification=WHY)
        await there.xtrim("scratch", 0)
        gone = await publish(client, "scratch", messages=more, justification=WHY)
    assert [(r["stored"], r["duplicate"]) for r in again["results"]] == [("yes", True), ("yes", False)]
    assert again["results"][0]["entry_id"] == stored["results"][0]["entry_id"]
    assert [(r["stored"], r["entry_id"] is None) for r in taken["results"]] == [("no", True), ("yes", False)]
    assert [r["stored"] for r in gone["results"]] == ["unknown", "no"]
    assert refused["code"] == "invalid_argument"
    assert "already used by a different message" in refused["reason"]


async def test_messages_of_one_key_stop_at_the_first_that_fails(place: Path, server: Redisd, connect: Connect) -> None:
    async with outside(server.url, "orders.created") as there, connect(place) as client:
        await publish(client, "orders.created", messages=[{"payload": {"id": 1}, "message_id": "b"}])
        told = await publish(
            client, "orders.created",
            messages=[
                {"payload": {"id": 10}, "message_id": "a", "key": "k"},
                {"payload": {"id": 11}, "message_id": "b", "key": "k"},
                {"payload": {"id": 12}, "message_id": "c", "key": "k"},
                {"payload": {"id": 13}, "message_id": "d"},
            ],
        )  # fmt: skip
        assert [r["stored"] for r in told["results"]] == ["yes", "no", "no", "yes"]
        assert sorted(ids(await there.xrange("orders.created"))) == ["a", "b", "d"]


async def test_nothing_is_created_for_a_stream_that_does_not_exist(
    place: Path, server: Redisd, connect: Connect
) -> None:
    async with outside(server.url, "orders.created") as there, connect(place) as client:
        refused = await publish(client, "stream:orders.creatd", {"id": 1}, justification=WHY)
        assert await there.exists("orders.creatd") == 0
    assert refused["error"]["code"] == "invalid_argument"
    assert "nearest stream: orders.created" in refused["error"]["reason"]


@pytest.mark.parametrize("kind", ["channel", "shard"])
async def test_a_channel_stores_nothing_and_says_how_many_got_it(
    place: Path, server: Redisd, connect: Connect, kind: str
) -> None:
    async with outside(server.url) as there, connect(place) as client:
        nobody = await publish(client, f"{kind}:news", {"a": 1}, justification=WHY)
        listening = there.pubsub()
        await (listening.ssubscribe if kind == "shard" else listening.subscribe)("news")
        assert await listening.get_message(timeout=60) is not None
        one = await publish(client, f"{kind}:news", {"a": 2}, justification=WHY)
        heard = await listening.get_message(timeout=60)
        await listening.aclose()
    assert (nobody["delivery"], nobody["results"][0]["stored"], nobody["results"][0]["receivers"]) == (
        "at_most_once", "no", 0,
    )  # fmt: skip
    assert one["results"][0]["receivers"] == 1
    assert json.loads(heard["data"]) == {"a": 2}


@pytest.mark.parametrize("name", ["a b", "a*", "__keyspace@0__:x", "a\nb"])
async def test_a_name_that_can_be_no_destination_is_refused(place: Path, connect: Connect, name: str) -> None:
    async with connect(place) as client:
        assert (await publish(client, name, {"id": 1}))["error"]["code"] == "invalid_argument"


def before_writing(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Does something right before the next message is handed to the client."""
    todo, original = [do], redis.Redis.write

    async def write(self: redis.Redis, *words: Any) -> Any:
        while todo:
            todo.pop()()
        return await original(self, *words)

    monkeypatch.setattr(redis.Redis, "write", write)


async def test_answers_that_get_lost_are_found_out_and_nothing_is_stored_twice(
    place: Path, server: Redisd, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(server.port) as proxy, outside(server.url, "orders.created") as there:
        policy(place, f"redis://127.0.0.1:{proxy.port}")
        async with connect(place) as client:
            await publish(client, "orders.created", {"id": 0})

            def cut() -> None:
                proxy.cutting = True
                asyncio.get_running_loop().call_later(0.6, setattr, proxy, "cutting", False)

            before_writing(monkeypatch, cut)
            messages: list[Body] = [{"payload": {"id": n}, "message_id": f"m{n}"} for n in range(1, 150)]
            told = await publish(client, "orders.created", messages=messages)
        entries = await there.xrange("orders.created")
    assert proxy.cuts, told
    assert {r["stored"] for r in told["results"]} == {"yes"}
    assert sorted(ids(entries)[1:]) == sorted(m["message_id"] for m in messages)


async def test_a_frozen_server_leaves_the_outcome_unknown_and_a_repetition_settles_it(
    place: Path, server: Redisd, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with outside(server.url, "orders.created") as there, connect(place) as client:
        await publish(client, "orders.created", {"id": 1})
        arguments: Body = {"destination": "orders.created", "messages": [{"payload": {"id": 2}, "message_id": "two"}]}
        with monkeypatch.context() as impatient:
            impatient.setattr("mcp_backend.engines.redis_publisher.SECONDS", 0.8)
            impatient.setattr(redis, "ANSWER_SECONDS", 0.3)
            impatient.setattr(redis, "OPEN_SECONDS", 0.3)
            before_writing(impatient, server.freeze)
            told = (await publish(client, **arguments))["error"]
        server.thaw()
        settled = await publish(client, **arguments)
        entries = await there.xrange("orders.created")
    assert (told["code"], told["retry"]) == ("unavailable", "later")
    assert told["details"]["results"][0]["stored"] == "unknown"
    assert settled["results"][0]["stored"] == "yes"
    assert ids(entries).count("two") == 1


async def test_a_killed_server_keeps_every_message_that_was_said_to_be_stored(
    place: Path, server: Redisd, connect: Connect
) -> None:
    said: dict[str, str] = {}
    async with outside(server.url, "orders.created"), connect(place) as client:
        for round_ in range(3):
            messages = [{"payload": {"id": n}, "message_id": f"r{round_}-{n}"} for n in range(200)]
            work = asyncio.ensure_future(publish(client, "orders.created", messages=messages))
            if round_ == 1:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            told = await work
            results = told["results"] if "results" in told else told["error"]["details"].get("results", [])
            said |= {r["message_id"]: r["stored"] for r in results}
    async with outside(server.url) as there:
        stored = ids(await there.xrange("orders.created"))
    assert len(stored) == len(set(stored))
    assert {m for m, s in said.items() if s == "yes"} <= set(stored)
    assert not {m for m, s in said.items() if s == "no"} & set(stored)


async def test_a_server_that_is_down_is_named_with_the_cause_and_its_return_is_noticed(
    place: Path, server: Redisd, connect: Connect
) -> None:
    async with connect(place) as client:
        async with outside(server.url, "orders.created"):
            pass
        server.stop()
        down = (await publish(client, "orders.created", {"id": 1}))["error"]
        server.start()
        up = await publish(client, "orders.created", {"id": 1})
    assert down["code"] == "unavailable"
    assert down["details"]["cause"] == "unreachable"
    assert f"127.0.0.1:{server.port}" in down["reason"]
    assert up["results"][0]["stored"] == "yes"


async def test_a_wrong_password_is_told_as_that_and_never_shown(
    tmp_path: Path, repository: Path, connect: Connect
) -> None:
    locked = Redisd(tmp_path / "locked", "requirepass right-one").start()
    try:
        policy(repository, f"redis://:wrong-one@127.0.0.1:{locked.port}")
        async with connect(repository) as client:
            error = (await publish(client, "orders", {"id": 1}, justification=WHY))["error"]
    finally:
        locked.stop()
    assert (error["code"], error["details"]["cause"]) == ("unavailable", "credentials")
    assert "wrong-one" not in json.dumps(error)


async def test_a_user_without_permission_gets_a_refusal_and_nothing_is_stored(
    place: Path, server: Redisd, connect: Connect
) -> None:
    async with outside(server.url, "orders.created") as there:
        await there.execute_command(
            "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+ping", "+info", "+type", "+xrevrange"
        )
        policy(place, f"redis://reader:pw@127.0.0.1:{server.port}")
        async with connect(place) as client:
            error = (await publish(client, "orders.created", {"id": 1}))["error"]
        assert await there.xlen("orders.created") == 0
    assert error["code"] == "permission_denied"


async def test_a_refusal_does_not_deny_what_an_earlier_call_stored(
    repository: Path, server: Redisd, connect: Connect
) -> None:
    policy(repository, f"redis://app:word@127.0.0.1:{server.port}")
    rights = ("-xrevrange", "-eval", "+eval -xadd")
    call: Body = {"messages": [{"payload": {"base64": ""}, "message_id": "one"}], "justification": WHY}
    async with outside(server.url, "notes") as there, connect(repository) as client:
        await there.execute_command("ACL", "SETUSER", "app", "on", ">word", "~*", "&*", "+@all")
        told: list[Body] = []
        for right in rights:
            await there.execute_command("ACL", "SETUSER", "app", *right.split())
            told.append(await publish(client, "notes", **call))
        new = await publish(client, "notes", {"id": 2}, justification=WHY)
        count = await there.xlen("notes")
    assert [(one["results"][0]["stored"], one["results"][0]["duplicate"]) for one in told] == [
        ("yes", False), ("yes", True), ("yes", True),
    ]  # fmt: skip
    assert new["error"]["code"] == "permission_denied"
    assert count == 1


async def test_a_server_that_is_a_cluster_is_found_out_and_served(
    tmp_path: Path, repository: Path, connect: Connect
) -> None:
    node = Redisd(
        tmp_path / "node", "cluster-enabled yes", "cluster-config-file nodes.conf", f"cluster-port {free_port()}"
    ).start()  # fmt: skip
    try:
        async with outside(node.url) as there:
            await there.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while (await there.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
                await asyncio.sleep(0)
            await there.xgroup_create("orders{eu}", "workers", id="0", mkstream=True)
        policy(repository, node.url)
        async with connect(repository) as client:
            first = await publish(client, "orders{eu}", {"id": 1}, justification=WHY)
            again = await publish(client, "orders{eu}", {"id": 1}, justification=WHY)
            seen = (await client.call_tool("message_topology", {})).structured_content
    finally:
        node.stop()
    assert first["results"][0]["stored"] == "yes"
    assert again["results"][0]["duplicate"] is True
    assert seen is not None
    assert [d["name"] for d in seen["destinations"]] == ["orders{eu}"]


async def test_a_missing_client_package_is_named_with_the_extra_that_brings_it(
    place: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(engines, "find_spec", nothing)
    monkeypatch.delitem(sys.modules, "redis", raising=False)
    async with connect(place) as client:
        error = (await publish(client, "orders.created", {"id": 1}))["error"]
    assert error["code"] == "unavailable"
    assert "mcp-backend[redis]" in error["reason"]


@pytest.mark.parametrize("era", ERAS)
async def test_the_topology_shows_streams_groups_and_channels_with_what_is_risky(
    place: Path, server: Redisd, connect: Connect, era: Era
) -> None:
    async with outside(server.url, "orders.created") as there, connect(place, mode=era) as client:
        for _ in range(3):
            await there.xadd("orders.created", {"payload": "1"})
        await there.xreadgroup("workers", "w1", {"orders.created": ">"}, count=2)
        await there.xadd("scratch", {"a": "b"})
        await there.expire("scratch", 900)
        listening = there.pubsub()
        await listening.subscribe("news")
        await listening.get_message(timeout=60)
        seen = (await client.call_tool("message_topology", {})).structured_content
        await listening.aclose()
    assert seen is not None
    places = {d["name"]: d for d in seen["destinations"]}
    assert places["orders.created"]["schema"].startswith("asyncapi.yaml")
    assert places["news"] == {"name": "news", "kind": "channel", "subscribers": 1, "schema": None}
    assert [(c["name"], c["lag"], c["pending"]) for c in seen["consumers"]] == [("workers", 3, 2)]
    found = {finding["id"]: finding["where"] for finding in seen["findings"]}
    assert found["stream_expires"][0].startswith("scratch")
    assert found["no_consumer"] == ["scratch: 1 entries"]
    assert found["undocumented"] == ["scratch", "news"]


async def test_a_topology_of_many_streams_is_paged_to_its_end(place: Path, server: Redisd, connect: Connect) -> None:
    names = [f"s/{number:03}" for number in range(150)]
    async with outside(server.url, *names) as there, connect(place) as client:
        seen: list[str] = []
        after: Body = {}
        while True:
            page = (await client.call_tool("message_topology", after)).structured_content
            assert page is not None
            assert len(json.dumps(page)) <= 8_000
            seen += [d["name"] for d in page["destinations"]]
            if not page["truncated"]:
                break
            after = {"after": page["next"]}
        await there.xadd("s/149", {"n": "1"})
        found = (await client.call_tool("message_topology", {"search": "s/149"})).structured_content
    assert found is not None
    assert [(d["name"], d["messages"], d["added"], d["fields"]) for d in found["destinations"]] == [
        ("s/149", 1, 1, ["n"])
    ]
    assert [name for name in seen if name.startswith("s/")] == names


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "host:6379"),
        ("rediss://u:secret-word@[::1]:6380/2", "[::1]:6380"),
        ("valkey://a:1,b:2", "a:1,b:2"),
        ("redis+cluster://a,b:7", "a:6379,b:7"),
        ("redis+sentinel://a,b:1/orders/3", "orders of a:26379,b:1"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_its_credentials(url: str, shown: str) -> None:
    read = redis_address.address(url, field="url")
    assert str(read) == shown
    assert "secret-word" not in repr(read)


@pytest.mark.parametrize(
    "url", ["http://x", "redis://", "redis+sentinel://a:1", "redis://h?ssl_nonsense=1", "redis://h:x"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^engines\.redis\.url: "):
        redis_address.address(url, field="engines.redis.url")
