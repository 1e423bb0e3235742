"""message_topology through a real client: what a real server holds, what is declared, and what is risky about it."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp.client import Client
from mcp_types import ResourceTemplateReference
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig

from mcp_backend.engines.nats import Nats
from mcp_backend.engines.nats_findings import MEANING
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era
from tests.natsd import Natsd, policy

Body = dict[str, Any]
NANOSECONDS = 1_000_000_000


def document(*addresses: str, protocol: str = "nats", **message: Any) -> str:
    """An AsyncAPI document that declares these addresses."""
    payload: Body = message or {"payload": {"type": "object", "required": ["id"]}}
    channels: Body = {f"c{i}": {"address": text, "messages": {"m": payload}} for i, text in enumerate(addresses)}
    servers = {"dev": {"host": "127.0.0.1", "protocol": protocol}}
    info = {"title": "t", "version": "1"}
    return yaml.safe_dump({"asyncapi": "3.0.0", "info": info, "servers": servers, "channels": channels})


@pytest.fixture
async def bus(broker: Natsd, tmp_path: Path) -> AsyncGenerator[Nats]:
    """The JetStream API of the module's server, empty before and after."""
    nats = Nats(EngineSettings("bus", "nats", broker.url, "development"), workspace(tmp_path))
    yield nats
    left: list[str] = (await nats.api("STREAM.NAMES")).get("streams") or []
    for name in left:
        await nats.api(f"STREAM.DELETE.{name}")
    await nats.close()


@pytest.fixture
def place(repository: Path, broker: Natsd) -> Path:
    """A workspace with that server as its engine."""
    return policy(repository, broker.url)


@asynccontextmanager
async def buckets(url: str) -> AsyncGenerator[JetStreamContext]:
    client = NatsClient()
    await client.connect(url, allow_reconnect=False)
    try:
        yield JetStreamContext(client)
    finally:
        await client.close()


async def stream(nats: Nats, name: str, *subjects: str, **config: Any) -> None:
    await nats.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": list(subjects), **config})


async def consumer(nats: Nats, of: str, name: str, **config: Any) -> None:
    settings = {"durable_name": name, "ack_policy": "explicit", **config}
    await nats.api(f"CONSUMER.DURABLE.CREATE.{of}.{name}", {"stream_name": of, "config": settings})


async def topology(client: Client, **arguments: Any) -> Body:
    answer = await client.call_tool("message_topology", arguments)
    assert answer.structured_content is not None
    assert len(getattr(answer.content[0], "text", "").encode()) <= 8000
    return answer.structured_content


def findings(body: Body) -> dict[str, list[str]]:
    return {finding["id"]: finding["where"] for finding in body["findings"]}


def named(entries: list[Body], name: str) -> Body:
    return next(entry for entry in entries if entry["name"] == name)


@pytest.mark.parametrize("era", ERAS)
async def test_streams_buckets_and_consumers_are_shown_with_their_contracts(
    place: Path, bus: Nats, broker: Natsd, connect: Connect, era: Era
) -> None:
    (place / "asyncapi.yaml").write_text(document("orders.created", "orders.{id}.paid", "pings.{id}"))
    limits = {"max_age": 3600 * NANOSECONDS, "max_msgs": 1000, "description": "what customers order"}
    await stream(bus, "ORDERS", "orders.>", **limits)
    await consumer(bus, "ORDERS", "billing", filter_subject="orders.*.paid", max_deliver=5)
    for number in range(3):
        await bus.ask("orders.7.paid", b'{"id":7}', {"Nats-Msg-Id": str(number)}, seconds=60)
    async with buckets(broker.url) as jetstream:
        values = await jetstream.create_key_value(KeyValueConfig(bucket="config", history=3))  # pyright: ignore
        await values.put("a", b"1")
        await jetstream.create_object_store("files")  # pyright: ignore[reportUnknownMemberType]
    async with connect(place, mode=era) as client:
        body = await topology(client)
    assert (body["engine"], body["kind"], body["truncated"], body["next"]) == ("nats", "nats", False, None)
    orders = named(body["destinations"], "ORDERS")
    assert orders["subjects"] == ["orders.>"]
    assert orders["limits"] == {"age_s": 3600, "messages": 1000}
    assert (orders["messages"], orders["dedupe_s"], orders["last_sequence"]) == (3, 120, 3)
    assert orders["schema"] == "asyncapi.yaml#/channels/c0"
    assert orders["schemas"] == ["asyncapi.yaml#/channels/c0", "asyncapi.yaml#/channels/c1"]
    config, files = named(body["destinations"], "config"), named(body["destinations"], "files")
    assert (config["kind"], config["messages"], config["limits"]["per_subject"]) == ("kv", 1, 3)
    assert files["kind"] == "object_store"
    assert named(body["destinations"], "pings.{id}") == {
        "name": "pings.{id}", "kind": "subject", "schema": "asyncapi.yaml#/channels/c2",
    }  # fmt: skip
    billing = named(body["consumers"], "billing")
    assert (billing["destination"], billing["lag"], billing["filter"], billing["max_deliver"]) == (
        "ORDERS",
        3,
        "orders.*.paid",
        5,
    )
    assert findings(body) == {
        "declared_missing": ["pings.{id}"], "no_dead_letter": ["ORDERS/billing"],
    }  # fmt: skip
    assert body["totals"]["streams"] == 3


async def test_lag_counts_what_is_delivered_and_not_acknowledged_as_well(
    place: Path, bus: Nats, broker: Natsd, connect: Connect
) -> None:
    await stream(bus, "JOBS", "jobs.>", retention="workqueue", max_age=3600 * NANOSECONDS)
    await consumer(bus, "JOBS", "worker", max_ack_pending=2)
    for number in range(5):
        await bus.ask("jobs.x", b"{}", {"Nats-Msg-Id": str(number)}, seconds=60)
    async with buckets(broker.url) as jetstream:
        fetching = await jetstream.pull_subscribe_bind("worker", stream="JOBS")
        await fetching.fetch(2, timeout=60)
    async with connect(place) as client:
        body = await topology(client)
    worker = named(body["consumers"], "worker")
    assert (worker["lag"], worker["pending"], worker["ack_pending"]) == (5, 3, 2)
    assert findings(body)["stuck"] == ["JOBS/worker: 2 unacknowledged"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"unbounded_stream", "undocumented"}),
        ({"max_bytes": 1_000_000}, {"undocumented"}),
        ({"max_bytes": 1_000_000, "duplicate_window": NANOSECONDS}, {"undocumented", "short_dedupe_window"}),
        ({"max_bytes": 1_000_000, "no_ack": True}, {"undocumented", "no_acknowledgement"}),
        ({"retention": "interest"}, {"undocumented", "discards_everything"}),
    ],
)
async def test_what_is_risky_about_a_stream_is_found(
    place: Path, bus: Nats, connect: Connect, config: Body, expected: set[str]
) -> None:
    await stream(bus, "RISKY", "risky.>", **config)
    async with connect(place) as client:
        body = await topology(client)
    assert set(findings(body)) == expected
    assert body["totals"]["findings"] == dict.fromkeys(expected, 1)
    for finding in body["findings"]:
        assert (finding["severity"], finding["meaning"]) == MEANING[finding["id"]]


async def test_what_a_production_stream_lacks_is_found_only_there(
    place: Path, broker: Natsd, bus: Nats, connect: Connect
) -> None:
    await stream(bus, "FAST", "fast.>", storage="memory", max_bytes=1_000_000)
    async with connect(place) as client:
        assert not {"memory_storage", "single_replica"} & set(findings(await topology(client)))
    (place / "mcp-backend.toml").write_text(f'[engines.nats]\nurl = "{broker.url}"\nenvironment = "production"\n')
    async with connect(place) as client:
        assert {"memory_storage", "single_replica"} <= set(findings(await topology(client)))


async def test_messages_that_nobody_reads_or_that_go_unread_are_found(place: Path, bus: Nats, connect: Connect) -> None:
    await stream(bus, "UNREAD", "unread.>", max_msgs=10)
    await stream(bus, "BEHIND", "behind.>", max_msgs=10)
    await consumer(bus, "BEHIND", "slow")
    await consumer(bus, "BEHIND", "astray", filter_subject="behind.it")
    for number in range(9):
        for subject in ("unread.a", "behind.a"):
            await bus.ask(subject, b"{}", {"Nats-Msg-Id": str(number)}, seconds=60)
    async with connect(place) as client:
        found = findings(await topology(client))
    assert found["no_consumer"] == ["UNREAD: 9 messages"]
    assert found["discards_unread"] == ["BEHIND/slow: 9 behind of at most 10"]
    assert found["unlimited_redelivery"] == ["BEHIND/astray", "BEHIND/slow"]


async def test_a_dead_letter_stream_satisfies_the_finding(place: Path, bus: Nats, connect: Connect) -> None:
    await stream(bus, "JOBS", "jobs.>", max_msgs=10)
    await consumer(bus, "JOBS", "worker", max_deliver=3)
    async with connect(place) as client:
        assert findings(await topology(client))["no_dead_letter"] == ["JOBS/worker"]
        await stream(bus, "DEAD", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", max_msgs=10)
        found = findings(await topology(client))
    assert "no_dead_letter" not in found
    assert found["undocumented"] == ["JOBS"], "the server's own advisories need no contract"


async def test_subjects_in_a_stream_that_no_contract_covers_are_named(place: Path, bus: Nats, connect: Connect) -> None:
    (place / "asyncapi.yaml").write_text(document("orders.created"))
    await stream(bus, "ORDERS", "orders.>", max_msgs=10)
    for subject in ("orders.created", "orders.typo"):
        await bus.ask(subject, b"{}", seconds=60)
    async with connect(place) as client:
        assert findings(await topology(client))["undocumented"] == ["ORDERS: orders.typo"]


async def test_what_is_wrong_with_the_contracts_themselves_is_found(place: Path, bus: Nats, connect: Connect) -> None:
    other: Body = {"schemaFormat": "application/raml+yaml;version=1.0", "payload": {"type": "object"}}
    (place / "a.yaml").write_text(document("orders.created"))
    (place / "b.yaml").write_text(document("orders.created", payload={"type": "object", "required": ["other"]}))
    (place / "c.yaml").write_text(document("orders.raml", **other))
    (place / "d.yaml").write_text(document("kafka.topic", protocol="kafka"))
    (place / "e.yaml").write_text("asyncapi: 3.0.0\nchannels: [")
    await stream(bus, "ORDERS", "orders.>", max_msgs=10)
    async with connect(place) as client:
        body = await topology(client)
    found = findings(body)
    assert found["declared_twice"] == ["orders.created: a.yaml#/channels/c0, b.yaml#/channels/c0"]
    assert found["contract_unchecked"][0].startswith("orders.raml: its schema is application/raml+yaml")
    assert found["contract_unreadable"][0].startswith("e.yaml: not valid YAML at line")
    assert "kafka.topic" not in json.dumps(body), "another system's address is not missing here"


async def test_a_search_finds_by_name_subject_description_contract_and_consumer(
    place: Path, bus: Nats, connect: Connect
) -> None:
    (place / "asyncapi.yaml").write_text(document("orders.created", "pings.{id}"))
    await stream(bus, "ORDERS", "orders.>", description="what customers buy")
    await stream(bus, "AUDIT", "audit.>")
    await consumer(bus, "AUDIT", "archiver")
    async with connect(place) as client:
        for words, names in (
            ("orders", {"ORDERS"}), ("AUDIT.>", {"AUDIT"}), ("customers buy", {"ORDERS"}), ("archiver", {"AUDIT"}),
            ("asyncapi.yaml", {"ORDERS", "pings.{id}"}), ("pings", {"pings.{id}"}), ("nothing of it", set[str]()),
        ):  # fmt: skip
            body = await topology(client, search=words)
            assert {entry["name"] for entry in body["destinations"]} == names, words
            assert body["totals"]["found"] == len(names)


async def test_hundreds_of_streams_are_paged_through_without_a_gap(place: Path, bus: Nats, connect: Connect) -> None:
    (place / "asyncapi.yaml").write_text(document(*(f"declared.{i}" for i in range(80))))
    for number in range(300):
        await stream(bus, f"S{number:03}", f"s{number:03}.>", storage="memory")
    for number in range(40):
        await consumer(bus, "S007", f"worker-{number:02}")
    destinations: list[str] = []
    consumers: list[str] = []
    cursor: Body = {}
    async with connect(place) as client:
        began = time.process_time()
        first = await topology(client)
        assert time.process_time() - began < 5
        assert first["totals"]["streams"] == 300
        assert first["totals"]["findings"]["undocumented"] == 300
        while True:
            body = await topology(client, **cursor)
            destinations += [entry["name"] for entry in body["destinations"]]
            consumers += [entry["name"] for entry in body["consumers"]]
            assert body["truncated"] is (body["next"] is not None)
            if not body["truncated"]:
                break
            cursor = {"after": body["next"]}
    assert destinations == [f"S{i:03}" for i in range(300)] + sorted(f"declared.{i}" for i in range(80))
    assert consumers == [f"worker-{i:02}" for i in range(40)]


@pytest.mark.parametrize(
    ("arguments", "code", "named_field"),
    [
        ({"after": "nonsense"}, "invalid_argument", "after"),
        ({"after": ["stream"]}, "invalid_argument", "after"),
        ({"search": "x" * 1_000_000}, "invalid_argument", "search"),
        ({"search": [5]}, "invalid_argument", "search"),
        ({"engine": "kafka"}, "not_found", "engine"),
        ({"depth": 3}, "invalid_argument", "depth"),
    ],
)
async def test_bad_input_is_named_by_its_field(
    place: Path, connect: Connect, arguments: Body, code: str, named_field: str
) -> None:
    async with connect(place) as client:
        error = (await topology(client, **arguments))["error"]
    assert error["code"] == code
    assert error["reason"].startswith(f"{named_field}:")


async def test_a_server_without_jetstream_says_that_nothing_is_stored(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    server = Natsd(tmp_path / "core", jetstream=False).start()
    (repository / "asyncapi.yaml").write_text(document("pings.{id}"))
    try:
        async with connect(policy(repository, server.url)) as client:
            body = await topology(client)
    finally:
        server.stop()
    assert [entry["name"] for entry in body["destinations"]] == ["pings.{id}"]
    assert "no JetStream" in body["notes"][0]


async def test_a_user_who_may_not_look_is_told_what_is_missing(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    users = '{user: w, password: w, permissions: {publish: ["orders.>"]}}'
    server = Natsd(tmp_path / "strict", f"authorization {{ users: [{users}] }}").start()
    try:
        async with connect(policy(repository, server.url.replace("//", "//w:w@"))) as client:
            error = (await topology(client))["error"]
    finally:
        server.stop()
    assert error["code"] == "permission_denied"
    assert "$JS.API.STREAM.LIST" in error["reason"]


async def test_a_server_that_is_down_is_told_and_found_again(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    server = Natsd(tmp_path / "late")
    async with connect(policy(repository, server.url)) as client:
        down = (await topology(client))["error"]
        server.start()
        back = await topology(client)
    server.stop()
    assert down["code"] == "unavailable"
    assert "connection refused. Nothing was done" in down["reason"]
    assert back["destinations"] == []


async def test_the_resource_has_the_first_page_and_completes_engines(place: Path, bus: Nats, connect: Connect) -> None:
    await stream(bus, "ORDERS", "orders.>")
    async with connect(place) as client:
        text = getattr((await client.read_resource("topology://nats")).contents[0], "text", "")
        assert json.loads(text)["destinations"][0]["name"] == "ORDERS"
        reference = ResourceTemplateReference(type="ref/resource", uri="topology://{engine}")
        completed = await client.complete(reference, {"name": "engine", "value": "na"})
        assert completed.completion.values == ["nats"]
