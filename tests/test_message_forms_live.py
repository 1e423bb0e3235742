"""Avro, protobuf, CloudEvents and framed messages through a real client on real servers, and back."""

import base64
import json
import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_py
from mcp.client import Client
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext

from mcp_backend.contracts.payloads import avro, protobuf
from mcp_backend.contracts.payloads import registry as registry_client
from mcp_backend.contracts.protobuf import compiling
from mcp_backend.engines import embedded
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era
from tests.daemon import free_port
from tests.natsd import Natsd
from tests.redisd import Redisd
from tests.registryd import Registryd

Body = dict[str, Any]
ORDER: Body = {"type": "record", "name": "shop.Order", "fields": [
    {"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None},
    {"name": "raw", "type": "bytes", "default": ""},
]}  # fmt: skip
OLDER: Body = {"type": "record", "name": "shop.Order", "fields": [{"name": "id", "type": "int"}]}
PROTO = 'syntax = "proto3";\npackage shop;\nmessage Paid {\n  int64 id = 1;\n  string by = 2;\n}\n'
EVENT: Body = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "shop.paid", "data": {"id": 5}}
POLICY = """[engines.nats]
url = "{nats}"
environment = "development"
[engines.redis]
url = "{redis}"
environment = "development"
[contracts]
"o.avro" = "schemas/order.avsc"
"o.proto" = "proto/paid.proto#Paid"
"o.event" = "cloudevents:schemas/order.avsc"
"o.framed" = "confluent:17:schemas/order.avsc"
"""


def files(root: Path) -> None:
    for name, text in (("schemas/order.avsc", json.dumps(ORDER)), ("proto/paid.proto", PROTO)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def place(repository: Path, brokers: tuple[Natsd, Redisd]) -> Path:
    """A workspace with contracts and both servers as its engines."""
    files(repository)
    (repository / "mcp-backend.toml").write_text(POLICY.format(nats=brokers[0].url, redis=brokers[1].url))
    return repository


async def call(client: Client, tool: str, **arguments: Any) -> Body:
    found = (await client.call_tool(tool, arguments)).structured_content
    assert found is not None
    return found


@asynccontextmanager
async def stream(url: str, name: str, *subjects: str) -> AsyncGenerator[JetStreamContext]:
    """A stream of the test's own."""
    client = NatsClient()
    await client.connect(url, allow_reconnect=False)
    try:
        context = JetStreamContext(client)
        await context.add_stream(name=name, subjects=[*subjects])  # pyright: ignore[reportUnknownMemberType]
        try:
            yield context
        finally:
            await context.delete_stream(name)
    finally:
        await client.close()


@pytest.mark.parametrize("era", ERAS)
async def test_a_json_payload_is_stored_in_the_form_of_its_contract_and_shown_as_json(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, era: Era
) -> None:
    cases: list[tuple[str, Any, bytes, str]] = [
        ("o.avro", {"id": 7, "note": "x"}, b"\x0e\x02\x02x\x00", "avro"),
        ("o.proto", {"id": "7", "by": "card"}, b"\x08\x07\x12\x04card", "protobuf"),
        ("o.framed", {"id": 7}, b"\x00\x00\x00\x00\x11\x0e\x00\x00", "avro in Confluent framing"),
    ]
    async with stream(brokers[0].url, "FORMS", "o.>") as there, connect(place, mode=era) as client:
        for number, (name, payload, data, form) in enumerate(cases, 1):
            told = await call(
                client, "publish_message", engine="nats", destination=name, messages=[{"payload": payload}]
            )
            assert told["results"][0]["stored"] == "yes", told
            assert told["results"][0]["validated_against"]
            assert (await there.get_msg("FORMS", number)).data == data
            (seen,) = (await call(client, "peek_messages", engine="nats", destination=name))["messages"]
            assert (seen["encoding"], seen["fits"]) == (form, True)
            assert payload.items() <= seen["payload"].items()
            refused = await call(
                client, "publish_message", engine="nats", destination=name, messages=[{"payload": {"id": "hunter2"}}]
            )
            assert refused["error"]["code"] == "permission_denied"
            assert "hunter2" not in json.dumps(refused)
        given = {"payload": {"base64": base64.b64encode(cases[0][2]).decode()}, "message_id": "as-bytes"}
        assert (await call(client, "publish_message", engine="nats", destination="o.avro", messages=[given]))["results"]
        assert (await there.get_msg("FORMS", 4)).data == cases[0][2]


async def test_an_event_travels_whole_or_in_headers(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "e2", "ce-source": "/orders", "ce-type": "shop.paid"}
    messages: list[Body] = [{"payload": EVENT}, {"payload": {"id": 6}, "headers": headers}]
    async with stream(brokers[0].url, "EVENTS", "o.event") as there, connect(place) as client:
        told = await call(client, "publish_message", engine="nats", destination="o.event", messages=messages)
        assert [one["stored"] for one in told["results"]] == ["yes", "yes"], told
        by_id = {one["message_id"]: await there.get_msg("EVENTS", one["sequence"]) for one in told["results"]}
        whole, split = (by_id[one["message_id"]] for one in told["results"])
        assert json.loads(whole.data or b"")["data_base64"] == base64.b64encode(b"\x0a\x00\x00").decode()
        sent: Any = whole.headers  # pyright: ignore
        assert sent["content-type"].startswith("application/cloudevents+json")
        assert split.data == b"\x0c\x00\x00"
        parts: Any = split.headers  # pyright: ignore
        assert parts["content-type"] == "application/avro"
        seen = (await call(client, "peek_messages", engine="nats", destination="o.event"))["messages"]
        assert [one["fits"] for one in seen] == [True, True]
        assert sorted(one["payload"].get("data", one["payload"])["id"] for one in seen) == [5, 6]
        broken = [{"payload": {**EVENT, "specversion": "0.3"}}]
        refused = await call(client, "publish_message", engine="nats", destination="o.event", messages=broken)
        assert '$.specversion: expected "1.0"' in refused["error"]["reason"]
        (channel,) = (
            await call(client, "publish_message", engine="redis", destination="channel:o.event", messages=messages[:1])
        )["results"]
        assert channel["sent"]
        await redis_py.Redis.from_url(brokers[1].url).aclose()  # pyright: ignore


async def test_bytes_of_a_form_go_through_a_redis_stream_unharmed(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    there = redis_py.Redis.from_url(brokers[1].url)  # pyright: ignore[reportUnknownMemberType]
    try:
        await there.xadd("o.avro", {"payload": b"\x02\x00\x00"})
        async with connect(place) as client:
            one = {"payload": {"id": 2**40, "raw": {"base64": "gID/"}}}
            told = await call(client, "publish_message", engine="redis", destination="stream:o.avro", messages=[one])
            again = await call(client, "publish_message", engine="redis", destination="stream:o.avro", messages=[one])
            seen = (await call(client, "peek_messages", engine="redis", destination="o.avro"))["messages"]
        assert told["results"][0]["stored"] == "yes", told
        assert again["results"][0]["duplicate"]
        assert [entry["payload"]["id"] for entry in seen] == [1, 2**40]
        assert seen[1]["payload"]["raw"] == {"base64": "gID/"}
    finally:
        await there.aclose()


@pytest.mark.proves("proven-tools", "refused")
async def test_what_runs_code_or_is_a_secret_is_found_inside_other_forms(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect
) -> None:
    pickled = pickle.dumps({"id": 1})
    token = "ghp_" + "kD83nQz01LxVb7TtRw5Yc2MhGs9UeJp4FaBo"
    async with stream(brokers[0].url, "UNSAFE", "o.>") as there, connect(place) as client:

        async def refused(name: str, **message: Any) -> str:
            told = await call(client, "publish_message", engine="nats", destination=name, messages=[message])
            return f"{told['error']['code']} {told['error']['reason']}"

        coded = base64.b64encode(pickled).decode()
        for payload in ({"id": 1, "raw": {"base64": coded}}, {"id": 1, "raw": pickle.dumps({"id": 1}, 0).decode()},
                        {"id": 1, "note": pickled.hex()}):  # fmt: skip
            assert "Python pickle executes code" in await refused("o.avro", payload=payload)
        assert "Python pickle" in await refused("o.avro", payload={"id": 1}, headers={"Trace": coded})
        data = b"\x02\x00" + bytes([len(pickled) * 2]) + pickled
        assert "Python pickle" in await refused("o.avro", payload={"base64": base64.b64encode(data).decode()})
        assert token not in (told := await refused("o.proto", payload={"by": f"token {token}"}))
        assert "permission_denied" in told
        assert (await there.stream_info("UNSAFE")).state.messages == 0


async def test_without_the_package_of_a_form_nothing_is_sent_and_the_extra_is_named(
    place: Path, brokers: tuple[Natsd, Redisd], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"asyncapi": "3.0.0", "channels": {"a": {"address": "p.avro", "messages": {"M": {"payload": {
        "schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": {"type": "long"}}}}}}}  # fmt: skip
    (place / "asyncapi.json").write_text(json.dumps(document))
    for module in (avro, compiling):
        monkeypatch.setattr(module, "find_spec", dict[str, None]().get)  # finds no package
    compiled = protobuf._pool.cache_info()  # pyright: ignore[reportPrivateUsage]
    async with stream(brokers[0].url, "BARE", "o.>", "p.>") as there, connect(place) as client:
        await there.publish("p.avro", b"\x02")
        for name in ("o.avro", "o.proto", "p.avro"):
            told = await call(
                client, "publish_message", engine="nats", destination=name, messages=[{"payload": 1}],
                justification="nobody can check it without the package",
            )  # fmt: skip
            assert "mcp-backend[contracts]" in told["error"]["reason"], told
        (seen,) = (await call(client, "peek_messages", engine="nats", destination="p.avro"))["messages"]
        assert "mcp-backend[contracts]" in seen["unchecked"]
        assert (await there.stream_info("BARE")).state.messages == 1
    assert protobuf._pool.cache_info() == compiled  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def registry() -> Generator[Callable[..., Registryd]]:
    """Starts registries."""
    started: list[Registryd] = []

    def starting(password: str = "") -> Registryd:
        started.append(Registryd(password))
        return started[-1]

    yield starting
    for one in started:
        one.close()


@asynccontextmanager
async def kafka(repository: Path, connect: Connect, url: str, *topics: str) -> AsyncGenerator[Client]:
    """A client of a workspace with the local stand-in of Kafka, these topics and a registry."""
    files(repository)
    (repository / "mcp-backend.toml").write_text(
        f'[engines.kafka]\nurl = "embedded:kafka"\nschema_registry = "{url}"\n'
    )
    lease = await embedded.lease("kafka", workspace(repository))
    try:
        async with connect(repository) as client:
            for name in topics:
                change = {"kind": "topic", "name": name, "config": {"partitions": 1}}
                await call(client, "configure_messaging", changes=[change], apply=True)
            yield client
    finally:
        lease.close()
        await embedded.stop("kafka", workspace(repository), force=True)


async def test_a_topic_with_a_subject_gets_frames_and_shows_what_older_writers_wrote(
    repository: Path, connect: Connect, registry: Callable[..., Registryd]
) -> None:
    server = registry()
    server.add("order-value", 16, json.dumps(OLDER))
    server.add("order-value", 17, json.dumps({**ORDER, "doc": "the same in other words"}))
    server.add("elsewhere-value", 21, json.dumps({"type": "object", "required": ["id"]}), "JSON")
    server.add("item-value", 4, 'syntax = "proto3";\nmessage Item { string sku = 1; }\n', "PROTOBUF")
    text = 'syntax = "proto3";\nimport "item.proto";\nmessage Cart { Item item = 1; }\n'
    server.add("cart-value", 5, text, "PROTOBUF", ("item.proto", "item-value"))
    async with kafka(repository, connect, server.url, "order", "elsewhere", "cart") as client:

        async def publish(topic: str, payload: Any, **more: Any) -> Body:
            messages = [{"payload": payload, "key": "k"}]
            return await call(client, "publish_message", destination=topic, messages=messages, **more)

        older = {"base64": base64.b64encode(b"\x00\x00\x00\x00\x10\x06").decode()}
        for topic, payload in (("order", {"id": 7}), ("order", older), ("elsewhere", {"id": 1}),
                               ("cart", {"item": {"sku": "a"}})):  # fmt: skip
            told = await publish(topic, payload)
            assert told["results"][0]["stored"] == "yes", told
            assert told["results"][0]["validated_against"], told
        strange = {"base64": base64.b64encode(b"\x00\x00\x00\x00\x63\x06").decode()}
        plain = {"base64": base64.b64encode(b"\x0e\x00\x00").decode()}
        for payload, problem in ((strange, "schema id 99"), (plain, "expected Confluent's framing"),
                                 ({"id": "x"}, "$.id: expected long")):  # fmt: skip
            assert (
                problem
                in (await publish("order", payload, justification="it is only a test of the tool"))["error"]["reason"]
            )
        seen = {topic: (await call(client, "peek_messages", destination=topic, **{"from": "oldest"}))["messages"]
                for topic in ("order", "elsewhere", "cart")}  # fmt: skip
    assert [one["payload"]["id"] for one in seen["order"]] == [7, 3]
    assert [one["fits"] for one in seen["order"]] == [True, True]
    assert (seen["elsewhere"][0]["payload"], seen["elsewhere"][0]["encoding"]) == ({"id": 1}, "Confluent framing")
    assert seen["cart"][0]["payload"] == {"item": {"sku": "a"}}
    assert not [line for line in server.asked if line.startswith("POST") and line.endswith("/versions")]


async def test_nothing_is_registered_and_a_registry_that_is_away_or_refuses_is_named(
    place: Path,
    brokers: tuple[Natsd, Redisd],
    connect: Connect,
    registry: Callable[..., Registryd],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry_client, "SECONDS", 0.5)
    server, locked, mover, slow = registry(), registry("right-0ne"), registry(), registry()
    slow.add("order-value", 16, json.dumps(OLDER))
    slow.slow.set()
    server.add("order-value", 16, json.dumps({**OLDER, "fields": [*OLDER["fields"], {"name": "x", "type": "int"}]}))
    mover.moved = server.url
    message = [{"payload": {"id": 7}}]

    async def asked(url: str) -> tuple[Body, Body]:
        entry = f'[engines.nats]\nurl = "{brokers[0].url}"\nschema_registry = "{url}"\nenvironment = "development"\n'
        (place / "mcp-backend.toml").write_text(entry)
        async with connect(place) as client:
            told = await call(client, "publish_message", engine="nats", destination="order", messages=message)
            return told, await call(client, "peek_messages", engine="nats", destination="order")

    async with stream(brokers[0].url, "REGISTRY", "order") as there:
        await _refusals(there, asked, server, locked, mover, slow)


async def _refusals(
    there: JetStreamContext,
    asked: Callable[[str], Awaitable[tuple[Body, Body]]],
    server: Registryd,
    locked: Registryd,
    mover: Registryd,
    slow: Registryd,
) -> None:
    other, empty = await asked(server.url)
    assert empty["messages"] == []
    await there.publish("order", b"\x0e\x00\x00")
    assert "has another schema" in other["error"]["reason"], other
    assert "registers nothing" in other["error"]["reason"]
    for url, problem in (
        (locked.url.replace("//", "//worker:wr0ng-one@"), "refuses these credentials"), (mover.url, "answers 302"),
        (slow.url, "does not answer"),
        (f"http://127.0.0.1:{free_port()}", "does not answer"),
    ):  # fmt: skip
        told, seen = await asked(url)
        assert told["error"]["code"] == "unavailable"
        assert problem in told["error"]["reason"]
        assert "wr0ng-one" not in json.dumps(told)
        assert [one["payload"]["id"] for one in seen["messages"]] == [7]
    assert mover.asked == ["GET /subjects/order-value/versions/latest"] * 2
    assert (await there.stream_info("REGISTRY")).state.messages == 1
