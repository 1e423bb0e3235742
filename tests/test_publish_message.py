"""publish_message through a real client on real servers: what it refuses, and that each statement is true."""

import asyncio
import base64
import itertools
import json
import pickle
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from mcp.client import Client
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from mcp_backend.engines import nats_publish
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era
from tests.engines_fixtures import wait_for
from tests.natsd import Natsd, Proxy, policy, settled

Body = dict[str, Any]
WHY = "a scratch subject of this test, read by the test alone"
CONTRACT: Body = {
    "asyncapi": "3.0.0",
    "info": {"title": "orders", "version": "1"},
    "channels": {
        "created": {
            "address": "orders.{region}.created",
            "messages": {"Created": {"payload": {
                "type": "object", "required": ["id"], "additionalProperties": False,
                "properties": {"id": {"type": "integer"}, "note": {"type": "string"}},
            }}},
        }
    },
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Generator[Natsd]:
    """A server of this test."""
    started = Natsd(tmp_path / "natsd").start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def untouched(broker: Natsd) -> Natsd:
    """A server with an empty stream, for the many calls that must not reach it."""
    wait_for(make_stream(broker))
    return broker


@pytest.fixture
def place(repository: Path, server: Natsd) -> Path:
    """A workspace with a contract for `orders.{region}.created` and that server as its engine."""
    (repository / "asyncapi.yaml").write_text(yaml.safe_dump(CONTRACT))
    return policy(repository, server.url)


@asynccontextmanager
async def outside(url: str) -> AsyncGenerator[tuple[NatsClient, JetStreamContext]]:
    """A client of its own, for making streams and for looking at what is really there."""
    client = NatsClient()
    await client.connect(url, allow_reconnect=False)
    try:
        yield client, JetStreamContext(client)
    finally:
        await client.close()


async def make_stream(server: Natsd, **config: Any) -> None:
    async with outside(server.url) as (_, jetstream):
        await jetstream.add_stream(**{"name": "ORDERS", "subjects": ["orders.>"], **config})  # pyright: ignore


async def stored(server: Natsd, stream: str = "ORDERS") -> list[tuple[int, str, str, bytes]]:
    """Sequence, subject, id and payload of everything in a stream."""
    found: list[tuple[int, str, str, bytes]] = []
    async with outside(server.url) as (_, jetstream):
        state = (await jetstream.stream_info(stream)).state
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            message = await jetstream.get_msg(stream, sequence)
            headers = cast("dict[str, str]", message.headers or {})  # pyright: ignore[reportUnknownMemberType]
            found.append((sequence, message.subject or "", headers.get("Nats-Msg-Id", ""), message.data or b""))
    return found


async def publish(client: Client, **arguments: Any) -> Body:
    """The structured answer, an error or not."""
    answer = await client.call_tool("publish_message", arguments)
    assert answer.structured_content is not None
    assert answer.is_error == ("error" in answer.structured_content)
    return answer.structured_content


def order(number: int, **more: Any) -> Body:
    return {"payload": {"id": number}, **more}


@pytest.mark.parametrize("era", ERAS)
async def test_a_message_that_fits_is_stored_once_however_often_it_is_published(
    place: Path, server: Natsd, connect: Connect, era: Era
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1, message_id="order:1:created")]}
    async with connect(place, mode=era) as client:
        first, second = await publish(client, **call), await publish(client, **call)
    (result,) = first["results"]
    assert result == {
        "message_id": "order:1:created", "stored": "yes", "duplicate": False, "sequence": 1, "stream": "ORDERS",
        "validated_against": "asyncapi.yaml#/channels/created/messages/Created",
    }  # fmt: skip
    assert first["delivery"] == "exactly_once"
    assert second["results"] == [{**result, "duplicate": True}]
    assert await stored(server) == [(1, "orders.eu.created", "order:1:created", b'{"id":1}')]


async def test_a_repeated_call_without_ids_is_a_no_op_and_says_that_they_were_derived(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    one, same = {"payload": {"id": 1, "note": "é"}}, {"payload": {"note": "é", "id": 1}}
    async with connect(place) as client:
        first = await publish(client, destination="orders.eu.created", messages=[one, one, order(2)])
        again = await publish(client, destination="orders.eu.created", messages=[same, same, order(2)])
        other = await publish(client, destination="orders.eu.created", messages=[{**one, "headers": {"Try": "2"}}])
    assert [r["sequence"] for r in first["results"]] == [1, 2, 3], "equal messages of one call are both meant"
    assert [(r["sequence"], r["duplicate"]) for r in again["results"]] == [(1, True), (2, True), (3, True)]
    assert other["results"][0]["sequence"] == 4, "another header, another message"
    assert "derived from the content" in first["notes"][0]


async def test_an_id_that_another_message_has_is_an_error_because_the_server_drops_the_message(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    taken = order(1, message_id="taken")
    async with connect(place) as client:
        await publish(client, destination="orders.eu.created", messages=[taken])
        payload = await publish(client, destination="orders.eu.created", messages=[order(2, message_id="taken")])
        subject = await publish(client, destination="orders.us.created", messages=[taken])
        batch = await publish(
            client,
            destination="orders.eu.created",
            messages=[order(3, message_id="taken"), order(4, message_id="free")],
        )
    for refused in (payload, subject):
        assert refused["error"]["code"] == "invalid_argument"
        assert "already used by a different message (orders.eu.created, sequence 1)" in refused["error"]["reason"]
        assert refused["error"]["details"]["results"][0]["stored"] == "no"
    assert [r["stored"] for r in batch["results"]] == ["no", "yes"]
    assert [item[2] for item in await stored(server)] == ["taken", "free"]


async def test_an_id_whose_message_is_gone_is_not_called_stored(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1, message_id="gone")]}
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        await publish(client, **call)
        await jetstream.delete_msg("ORDERS", 1)
        (result,) = (await publish(client, **call))["results"]
    assert (result["stored"], result["duplicate"]) == ("unknown", True)
    assert "gone from the stream" in result["reason"]


async def test_an_expected_sequence_is_that_of_the_subject_and_a_conflict_changes_nothing(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created"}
    async with connect(place) as client:
        await publish(client, destination="orders.us.created", messages=[order(0)])
        first = await publish(client, **call, messages=[order(1), order(2)], expected_last_sequence=0)
        late = await publish(client, **call, messages=[order(3), order(4)], expected_last_sequence=2)
        right = await publish(client, **call, messages=[order(3)], expected_last_sequence=3)
    assert [r["sequence"] for r in first["results"]] == [2, 3]
    assert late["error"]["code"] == "aborted"
    assert "expected sequence 2" in late["error"]["reason"]
    assert "not sent" in late["error"]["details"]["results"][1]["reason"]
    assert right["results"][0]["sequence"] == 4
    assert len(await stored(server)) == 4


async def test_repeating_ones_own_success_is_no_conflict(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    call: Body = {
        "destination": "orders.eu.created", "expected_last_sequence": 0,
        "messages": [order(1, message_id="a"), order(2, message_id="b")],
    }  # fmt: skip
    async with connect(place) as client:
        await publish(client, **call)
        again = await publish(client, **call)
    assert [(r["stored"], r["duplicate"], r["sequence"]) for r in again["results"]] == [
        ("yes", True, 1),
        ("yes", True, 2),
    ]
    assert len(await stored(server)) == 2


async def test_a_subject_without_a_stream_is_told_as_at_most_once_and_not_stored(
    place: Path, server: Natsd, connect: Connect
) -> None:
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    async with connect(place) as client, outside(server.url) as (listener, _):
        await listener.subscribe("orders.eu.created", cb=heard.put)  # pyright: ignore[reportUnknownMemberType]
        await settled(listener)
        told = await publish(client, destination="orders.eu.created", messages=[order(1, headers={"Trace": "t1"})])
        message = await asyncio.wait_for(heard.get(), 60)
        expecting = await publish(
            client, destination="orders.eu.created", messages=[order(1)], expected_last_sequence=0
        )
    (result,) = told["results"]
    assert (told["delivery"], result["stored"], result["sent"], result["receivers"]) == (
        "at_most_once",
        "no",
        True,
        None,
    )
    assert "nothing stores orders.eu.created" in told["notes"][0]
    assert message.data == b'{"id":1}'
    assert message.headers == {"Trace": "t1", "Nats-Msg-Id": result["message_id"]}
    assert expecting["error"]["code"] == "invalid_argument"


async def test_a_misfit_is_refused_whoever_justifies_it(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1), {"payload": {"id": "x"}}]}
    async with connect(place) as client:
        for more in ({}, {"justification": WHY}, {"schema": "asyncapi.yaml"}):
            refused = (await publish(client, **call, **more))["error"]
            assert (refused["code"], refused["constraint"]) == ("permission_denied", "proven-tools")
            assert "messages.1: $.id: expected integer, got string" in refused["reason"]
    assert await stored(server) == []


async def test_a_format_without_contract_needs_a_justification_that_is_recorded_and_travels(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.note", "messages": [{"payload": "hello", "message_id": "n1"}]}
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        bare = (await publish(client, **call))["error"]
        short = (await publish(client, **call, justification="because"))["error"]
        told = await publish(client, **call, justification=f"{WHY}, token=abcdefgh")
        message = await jetstream.get_msg("ORDERS", 1)
        audit = (await client.read_resource("audit://recent")).contents[0]
    for refused in (bare, short):
        assert (refused["code"], refused["constraint"]) == ("permission_denied", "proven-tools")
        assert "no contract is declared for orders.note" in refused["reason"]
    assert told["results"][0]["validated_against"] is None
    headers = cast("dict[str, str]", message.headers)  # pyright: ignore[reportUnknownMemberType]
    assert headers["Mcp-Backend-Justification"] == told["justification"]
    records = json.loads(getattr(audit, "text", "[]"))
    kept = [r["recorded"] for r in records if "recorded" in r]
    assert kept[0]["justification_id"] == told["justification"]
    assert WHY in kept[0]["justification"]
    assert "abcdefgh" not in json.dumps(records)


async def test_a_justification_names_alternatives_and_ends(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    full = {"reason": WHY, "alternatives": "the orders contract has other fields", "expires": "2999-01-01"}
    today = datetime.now(UTC).date()
    call: Body = {"destination": "orders.note", "messages": [{"payload": "hello", "message_id": "n1"}]}
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        far = (await publish(client, **call, justification=full))["error"]
        for change, told in (
            ({"expires": (today - timedelta(days=1)).isoformat()}, "ended on"),
            ({"expires": "soon"}, "justification.expires: expected a date"),
            ({"alternatives": ""}, "justification.alternatives: expected"),
            ({"expires": None}, "justification.expires"), ({"reason": "because"}, "needs `justification`"),
            ({"why": "x"}, "justification.why: unknown"),
        ):  # fmt: skip
            given = {**full, "expires": (today + timedelta(days=9)).isoformat(), **change}
            assert told in (await publish(client, **call, justification=given))["error"]["reason"]
        assert await stored(server) == []
        given = {**full, "expires": (today + timedelta(days=9)).isoformat()}
        told = await publish(client, **call, justification=given)
        headers: Any = (await jetstream.get_msg("ORDERS", 1)).headers  # pyright: ignore
        audit = (await client.read_resource("audit://recent")).contents[0]
    assert "within 366 days" in far["reason"]
    assert headers["Mcp-Backend-Justification"] == told["justification"]
    assert headers["Mcp-Backend-Justification-Expires"] == given["expires"]
    kept = next(r["recorded"] for r in json.loads(getattr(audit, "text", "[]")) if "recorded" in r)
    assert {"alternatives": full["alternatives"], "expires": given["expires"]}.items() <= kept.items()


async def test_a_reason_alone_holds_for_a_month_from_its_first_use(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.note", "messages": [{"payload": "hello"}], "justification": WHY}
    async with connect(place) as client:
        told = await publish(client, **call)
        (kept,) = workspace(place).state.glob("justifications.json")
        until = json.loads(kept.read_text())
        assert until == {told["justification"]: (datetime.now(UTC).date() + timedelta(days=30)).isoformat()}
        kept.write_text(json.dumps({told["justification"]: "2026-01-01"}))
        refused = (await publish(client, **call))["error"]
    assert "ended on 2026-01-01" in refused["reason"]
    assert len(await stored(server)) == 1


async def test_a_contract_named_by_the_caller_is_demanded_beside_the_declared_one(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    (place / "loose.json").write_text('{"type": "object"}')
    (place / "strict.json").write_text('{"type": "object", "required": ["note"]}')
    async with connect(place) as client:
        evasion = await publish(
            client, destination="orders.eu.created", messages=[{"payload": {"x": 1}}], schema="loose.json"
        )
        narrower = await publish(client, destination="orders.eu.created", messages=[order(1)], schema="strict.json")
        alone = await publish(client, destination="orders.note", messages=[{"payload": {"x": 1}}], schema="loose.json")
        unknown = await publish(client, destination="orders.note", messages=[order(1)], schema="../../etc/passwd")
    assert "unknown field 'x'" in evasion["error"]["reason"]
    assert "'note' is required" in narrower["error"]["reason"]
    assert alone["results"][0]["validated_against"] == "loose.json"
    assert unknown["error"]["code"] == "not_found"


async def test_a_contract_in_a_language_that_cannot_be_checked_is_said_and_needs_a_justification(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    document = json.loads(json.dumps(CONTRACT))
    document["channels"]["created"]["messages"]["Created"] = {
        "schemaFormat": "application/raml+yaml;version=1.0", "payload": {"type": "string"},
    }  # fmt: skip
    (place / "asyncapi.yaml").write_text(yaml.safe_dump(document))
    data = {"payload": {"base64": base64.b64encode(b"\x02\x06abc").decode()}}
    async with connect(place) as client:
        refused = (await publish(client, destination="orders.eu.created", messages=[data]))["error"]
        told = await publish(client, destination="orders.eu.created", messages=[data], justification=WHY)
    assert "application/raml" in refused["reason"]
    assert told["results"][0]["validated_against"] is None
    assert any("application/raml" in note for note in told["notes"])
    assert (await stored(server))[0][3] == b"\x02\x06abc"


async def test_bytes_that_are_json_are_judged_by_the_contract_like_json(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    good, bad = ({"base64": base64.b64encode(text).decode()} for text in (b'{"id": 5}', b"\xff\x00"))
    async with connect(place) as client:
        told = await publish(client, destination="orders.eu.created", messages=[{"payload": good}])
        refused = await publish(client, destination="orders.eu.created", messages=[{"payload": bad}])
    assert told["results"][0]["validated_against"]
    assert (await stored(server))[0][3] == b'{"id": 5}'
    assert "not JSON" in refused["error"]["reason"]


async def test_formats_that_run_code_are_refused_even_with_a_justification(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    pickled = base64.b64encode(pickle.dumps({"id": 1})).decode()
    async with connect(place) as client:
        for payload in ({"base64": pickled}, {"deep": [pickled]}, {"base64": "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA=="}):
            refused = await publish(
                client, destination="orders.note", messages=[{"payload": payload}], justification=WHY
            )
            assert (refused["error"]["code"], refused["error"]["constraint"]) == ("permission_denied", "proven-tools")
            assert "cannot be justified" in refused["error"]["reason"]
    assert await stored(server) == []


@pytest.mark.parametrize("where", ["payload", "headers"])
async def test_a_credential_is_refused_and_not_repeated(
    place: Path, server: Natsd, connect: Connect, where: str
) -> None:
    await make_stream(server)
    token = f"gh{'p'}_{'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'}"
    message = (
        order(1, headers={"Authorization": token}) if where == "headers" else {"payload": {"id": 1, "note": token}}
    )
    async with connect(place) as client:
        answer = await client.call_tool("publish_message", {"destination": "orders.eu.created", "messages": [message]})
    text = json.dumps(answer.structured_content)
    assert answer.is_error
    assert '"no-secrets"' in text
    assert token not in text
    assert await stored(server) == []


BAD: list[tuple[Body, str]] = [
    ({"destination": "orders.*"}, "destination"),
    ({"destination": "orders.>"}, "destination"),
    ({"destination": "orders created"}, "destination"),
    ({"destination": "orders.created\r\nPUB x 0\r\n"}, "destination"),
    ({"destination": "orders..created"}, "destination"),
    ({"destination": ".orders"}, "destination"),
    ({"destination": "$JS.API.STREAM.DELETE.ORDERS"}, "destination"),
    ({"destination": "$SYS.REQ.SERVER.PING"}, "destination"),
    ({"destination": "_INBOX.x"}, "destination"),
    ({"destination": ""}, "destination"),
    ({"destination": "x" * 1_000_000}, "destination"),
    ({"destination": "ord\x00ers"}, "destination"),
    ({"messages": []}, "messages"),
    ({"messages": [{"key": "k"}]}, "messages.0.payload"),
    ({"messages": [{"payload": 1, "extra": 2}]}, "messages.0.extra"),
    ({"messages": [{"payload": {"base64": "no base64!"}}]}, "messages.0.payload.base64"),
    ({"messages": [{"payload": {"base64": 7}}]}, "messages.0.payload.base64"),
    ({"messages": [order(1, headers={"Nats-Rollup": "all"})]}, "messages.0.headers.Nats-Rollup"),
    ({"messages": [order(1, headers={"nats-msg-id": "x"})]}, "messages.0.headers.nats-msg-id"),
    ({"messages": [order(1, headers={"A": "b\r\nNats-Rollup: all"})]}, "messages.0.headers.A"),
    ({"messages": [order(1, headers={"A b": "c"})]}, "messages.0.headers"),
    ({"messages": [order(1, headers={"A": " c"})]}, "messages.0.headers.A"),
    ({"messages": [order(1, message_id="a b")]}, "messages.0.message_id"),
    ({"messages": [order(1, message_id="")]}, "messages.0.message_id"),
    ({"messages": [order(1, key="a\nb")]}, "messages.0.key"),
    ({"messages": [order(1, message_id="a"), order(2, message_id="a")]}, "messages"),
    ({"messages": [{"payload": 1}] * 1001}, "messages"),
    ({"expected_last_sequence": -1}, "expected_last_sequence"),
    ({"engine": "kafka"}, "engine"),
    ({"justification": 5}, "justification"),
]


@pytest.mark.parametrize(("change", "named"), BAD)
async def test_bad_input_is_named_by_its_field_and_nothing_is_sent(
    repository: Path, untouched: Natsd, connect: Connect, change: Body, named: str
) -> None:
    call: Body = {"destination": "orders.note", "messages": [order(1)], "justification": WHY, **change}
    async with connect(policy(repository, untouched.url)) as client:
        error = (await publish(client, **call))["error"]
    assert error["code"] == ("not_found" if "engine" in change else "invalid_argument")
    assert error["reason"].startswith(f"{named}:"), error["reason"]
    assert len(error["reason"]) < 500
    assert await stored(untouched) == []


async def test_a_message_larger_than_the_server_or_the_stream_takes_is_refused_before_it_is_sent(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    await make_stream(server, name="SMALL", subjects=["small.>"], max_msg_size=500)
    async with connect(place) as client:
        for destination, size, limit in (("orders.note", 1_048_570, "1,048,576"), ("small.note", 600, "500")):
            payload = {"base64": base64.b64encode(b"\0" * size).decode()}
            refused = await publish(client, destination=destination, messages=[{"payload": payload}], justification=WHY)
            assert refused["error"]["code"] == "invalid_argument"
            assert limit in refused["error"]["reason"]
        fitting = {"base64": base64.b64encode(b"\0" * 1_000_000).decode()}
        told = await publish(client, destination="orders.note", messages=[{"payload": fitting}], justification=WHY)
    assert told["results"][0]["stored"] == "yes"
    assert await stored(server, "SMALL") == []


async def test_what_the_stream_refuses_comes_with_its_words(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server, max_msgs=2, discard="new")
    async with connect(place) as client:
        told = await publish(client, destination="orders.eu.created", messages=[order(i) for i in range(3)])
        full = await publish(client, destination="orders.eu.created", messages=[order(9)])
        many = await publish(client, destination="orders.eu.created", messages=[order(i) for i in range(10, 210)])
    assert Counter(r["stored"] for r in told["results"]) == {"yes": 2, "no": 1}
    assert many["error"]["details"]["counts"] == {"no": 200}
    assert len(many["error"]["details"]["results"]) == 50
    assert full["error"]["code"] == "failed_precondition"
    assert "maximum messages exceeded" in full["error"]["reason"]


async def test_messages_of_one_key_keep_their_order_and_stop_at_the_first_failure(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    async with connect(place) as client:
        await publish(client, destination="orders.eu.created", messages=[order(0, message_id="taken")])
        messages = [order(i, key="a") for i in range(1, 30)] + [order(i, key="b") for i in range(30, 60)]
        messages.insert(10, order(99, key="a", message_id="taken"))
        told = await publish(client, destination="orders.eu.created", messages=messages)
    outcomes = [r["stored"] for r in told["results"]]
    assert outcomes == ["yes"] * 10 + ["no"] * 20 + ["yes"] * 30
    assert "not sent: taken before it was not stored" in told["results"][11]["reason"]
    numbers = [json.loads(payload)["id"] for _, _, _, payload in await stored(server)]
    assert [n for n in numbers if 1 <= n < 30] == list(range(1, 11))
    assert [n for n in numbers if n >= 30] == list(range(30, 60))


async def test_a_large_batch_is_stored_in_the_order_it_is_given(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    async with connect(place) as client:
        told = await publish(client, destination="orders.eu.created", messages=[order(i) for i in range(1000)])
    assert [r["sequence"] for r in told["results"]] == list(range(1, 1001))
    assert [json.loads(item[3])["id"] for item in await stored(server)] == list(range(1000))


async def test_a_server_that_is_down_is_told_and_the_next_call_finds_it_back(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1, message_id="a")]}
    server.kill()
    async with connect(place) as client:
        down = await publish(client, **call)
        server.start()
        back = await publish(client, **call)
    assert (down["error"]["code"], down["error"]["retry"]) == ("unavailable", "later")
    assert f"127.0.0.1:{server.port}: connection refused. Nothing was done" in down["error"]["reason"]
    assert back["results"][0]["stored"] == "yes"


async def test_a_stream_that_went_away_or_was_replaced_since_the_last_call_is_noticed(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created"}
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        await publish(client, **call, messages=[order(1)])
        await jetstream.delete_stream("ORDERS")
        gone = await publish(client, **call, messages=[order(2)])
        core = await publish(client, **call, messages=[order(2)])
        await make_stream(server)
        await publish(client, **call, messages=[order(3)])
        await jetstream.delete_stream("ORDERS")
        await make_stream(server, name="OTHER")
        replaced = await publish(client, **call, messages=[order(4)])
        after = await publish(client, **call, messages=[order(4)])
    for moved, words in ((gone, "stream ORDERS is gone"), (replaced, "not stored by ORDERS any more")):
        assert moved["error"]["code"] == "aborted"
        assert words in moved["error"]["reason"]
    assert core["delivery"] == "at_most_once"
    assert (after["results"][0]["stored"], after["results"][0]["stream"]) == ("yes", "OTHER")


async def test_a_call_that_the_host_cancels_is_recorded_and_leaves_the_engine_usable(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1, message_id="one")]}
    async with connect(place) as client:
        await publish(client, destination="orders.eu.created", messages=[order(0)])
        server.freeze()
        calling = asyncio.create_task(publish(client, **call))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calling, 1)
        server.thaw()
        again = await publish(client, **call)
        audit = (await client.read_resource("audit://recent")).contents[0]
    assert again["results"][0]["stored"] == "yes"
    assert [item[2] for item in await stored(server)].count("one") == 1
    assert "cancelled" in [record["event"] for record in json.loads(getattr(audit, "text", "[]"))]


async def test_a_user_who_may_not_publish_there_is_told_at_once(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    users = (
        '{user: admin, password: admin}, {user: w, password: w, permissions: {publish: ["$JS.API.>", "orders.eu.>"]}}, '
        '{user: blind, password: blind, permissions: {publish: ["orders.>"]}}'
    )
    server = Natsd(tmp_path / "strict", f"authorization {{ users: [{users}] }}").start()
    try:
        host = server.url.removeprefix("nats://")
        async with outside(f"nats://admin:admin@{host}") as (_, jetstream):
            await jetstream.add_stream(name="ORDERS", subjects=["orders.>"])  # pyright: ignore[reportUnknownMemberType]
        (repository / "asyncapi.yaml").write_text(yaml.safe_dump(CONTRACT))
        policy(repository, f"nats://w:w@{host}")
        async with connect(repository) as client:
            denied = await publish(client, destination="orders.us.created", messages=[order(1)])
            fine = await publish(client, destination="orders.eu.created", messages=[order(1)])
            core = await publish(client, destination="other", messages=[order(1)], justification=WHY)
        policy(repository, f"nats://blind:blind@{host}")
        async with connect(repository) as client:
            blind = await publish(client, destination="orders.eu.created", messages=[order(2, message_id="b")])
            again = await publish(client, destination="orders.eu.created", messages=[order(2, message_id="b")])
    finally:
        server.stop()
    for refused in (denied, core):
        assert refused["error"]["code"] == "permission_denied"
        assert "may not publish to" in refused["error"]["reason"]
    assert fine["results"][0]["stored"] == "yes"
    assert (blind["results"][0]["stored"], blind["delivery"]) == ("yes", "at_least_once")
    assert (again["results"][0]["stored"], again["results"][0]["duplicate"]) == ("unknown", True), "cannot be compared"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short wait, so that faults that last a moment are enough."""
    monkeypatch.setattr(nats_publish, "ACK_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
async def test_a_frozen_server_is_asked_again_until_it_is_known(place: Path, server: Natsd, connect: Connect) -> None:
    await make_stream(server)
    async with connect(place) as client:
        await publish(client, destination="orders.eu.created", messages=[order(0)])
        server.freeze()
        asyncio.get_running_loop().call_later(1.0, server.thaw)
        told = await publish(client, destination="orders.eu.created", messages=[order(i) for i in range(1, 20)])
    assert {r["stored"] for r in told["results"]} == {"yes"}
    assert sorted(json.loads(item[3])["id"] for item in await stored(server)) == list(range(20))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("window", [120.0, 0.2])
async def test_an_acknowledgement_that_got_lost_is_found_out_without_a_second_copy(
    place: Path, server: Natsd, connect: Connect, window: float
) -> None:
    await make_stream(server, duplicate_window=window)
    async with Proxy(server.port) as proxy:
        policy(place, f"nats://127.0.0.1:{proxy.port}")
        async with connect(place) as client:
            await publish(client, destination="orders.eu.created", messages=[order(0)])
            proxy.cutting = True
            asyncio.get_running_loop().call_later(0.5, setattr, proxy, "cutting", False)
            told = await publish(client, destination="orders.eu.created", messages=[order(1, message_id="one")])
    assert proxy.cuts
    assert told["results"][0]["stored"] == "yes"
    assert told["delivery"] == ("exactly_once" if window > 1 else "at_least_once")
    assert [item[2] for item in await stored(server)].count("one") == 1


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_found_out_is_called_unknown(
    place: Path, server: Natsd, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_stream(server)
    call: Body = {"destination": "orders.eu.created", "messages": [order(1, message_id="lost")]}
    async with Proxy(server.port) as proxy:
        policy(place, f"nats://127.0.0.1:{proxy.port}")
        async with connect(place) as client:
            await publish(client, destination="orders.eu.created", messages=[order(0)])
            with monkeypatch.context() as giving_up:
                giving_up.setattr("mcp_backend.engines.nats_publisher.SECONDS", 1.0)
                proxy.cutting = True
                told = await publish(client, **call)
            proxy.cutting = False
            again = await publish(client, **call)
            audit = (await client.read_resource("audit://recent")).contents[0]
    error = told["error"]
    assert (error["code"], error["retry"]) == ("unavailable", "later")
    assert error["details"]["results"][0]["stored"] == "unknown"
    assert "is unknown" in error["reason"]
    assert "unknown" in [record["event"] for record in json.loads(getattr(audit, "text", "[]"))]
    assert (again["results"][0]["stored"], again["results"][0]["duplicate"]) == ("yes", True)
    assert [item[2] for item in await stored(server)].count("lost") == 1


async def test_killing_the_server_again_and_again_makes_no_statement_wrong(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)
    ids: list[str] = []
    size = 100
    up = asyncio.Event()

    async def killer() -> None:
        """Kills the server in the middle of a batch, three times: whenever it has passed on 40 messages."""
        for _ in range(3):
            enough, seen = asyncio.Event(), itertools.count(1)

            async def count(_: Msg, enough: asyncio.Event = enough, seen: Iterator[int] = seen) -> None:
                if next(seen) >= 40:
                    enough.set()

            async with outside(server.url) as (listener, _):
                await listener.subscribe("orders.>", cb=count)  # pyright: ignore[reportUnknownMemberType]
                await settled(listener)
                up.set()
                await enough.wait()
                up.clear()
                server.kill()
            await asyncio.to_thread(server.start)
        up.set()

    said: dict[str, str] = {}

    async def batch(client: Client, chosen: list[str]) -> None:
        messages = [order(int(name[1:]), message_id=name) for name in chosen]
        told = await publish(client, destination="orders.eu.created", messages=messages)
        # A call that ends before anything is sent has no entry for each message: none of them is stored.
        details: Body = told["error"].get("details", {}) if "error" in told else told
        results: list[Body] = details.get("results", [])
        said.update({r["message_id"]: r["stored"] for r in results} or dict.fromkeys(chosen, "no"))

    killing = asyncio.create_task(killer())
    async with connect(place) as client:
        while not killing.done():
            await up.wait()
            ids += [f"m{len(ids) + n}" for n in range(size)]
            await batch(client, ids[-size:])
        await killing
        present = Counter(item[2] for item in await stored(server))
        assert [name for name, outcome in said.items() if outcome == "yes" and present[name] != 1] == []
        assert [name for name, outcome in said.items() if outcome == "no" and present[name]] == []
        for _ in range(3):
            left = [name for name in ids if said[name] != "yes"]
            for start in range(0, len(left), size):
                await batch(client, left[start : start + size])
    assert set(said.values()) == {"yes"}
    assert Counter(item[2] for item in await stored(server)) == Counter(ids)


async def test_a_stream_that_acknowledges_nothing_is_looked_at_instead(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server, no_ack=True)
    async with connect(place) as client:
        told = await publish(client, destination="orders.eu.created", messages=[order(1)])
        while len(await stored(server)) != 1:
            await asyncio.sleep(0)
    said = told["error"]["details"] if "error" in told else told  # on a busy machine it is looked for too early
    assert said["results"][0]["stored"] in ("yes", "unknown")
    assert told.get("delivery", "at_most_once") == "at_most_once"


async def test_an_answer_of_a_subscriber_is_not_taken_for_the_streams(
    place: Path, server: Natsd, connect: Connect
) -> None:
    await make_stream(server)

    async def meddle(message: Msg) -> None:
        if message.reply:
            await message.respond(b'{"ok": true}')

    async with connect(place) as client, outside(server.url) as (listener, _):
        await listener.subscribe("orders.>", cb=meddle)  # pyright: ignore[reportUnknownMemberType]
        await settled(listener)
        told = [await publish(client, destination="orders.eu.created", messages=[order(i)]) for i in range(20)]
    assert [answer["results"][0]["sequence"] for answer in told] == list(range(1, 21))


async def test_what_is_acknowledged_and_not_kept_is_said_so(place: Path, server: Natsd, connect: Connect) -> None:
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        limits: Body = {"a": {"retention": "interest"}, "b": {"max_msgs_per_subject": 1}, "c": {"max_bytes": 99},
                        "d": {"max_msgs": 2}}  # fmt: skip
        for name, more in limits.items():
            await jetstream.add_stream(name=name, subjects=[f"{name}.>"], **more)  # pyright: ignore
        told = {n: await publish(client, destination=f"{n}.x", messages=[order(i) for i in range(3)], justification=WHY)
                for n in "abcd"}  # fmt: skip
        await jetstream.pull_subscribe("a.x", "reader", stream="a")  # pyright: ignore[reportUnknownMemberType]
        kept = await publish(client, destination="a.x", messages=[order(7)], justification=WHY)
    assert told["a"]["error"]["code"] == "failed_precondition"
    assert "has no consumer" in told["a"]["error"]["reason"]
    assert "max_bytes" in told["c"]["error"]["reason"]
    gone = [["removed by the limits" in r.get("reason", "") for r in told[n]["results"]] for n in "bd"]
    assert gone == [[True, True, False], [True, False, False]]
    assert (kept["results"][0]["stored"], "reason" in kept["results"][0]) == ("yes", False)


async def test_a_refusal_does_not_deny_what_an_earlier_call_stored(
    place: Path, server: Natsd, connect: Connect
) -> None:
    call: Body = {"destination": "orders.eu.created", "messages": [order(i, message_id=f"m{i}") for i in range(3)]}
    async with connect(place) as client, outside(server.url) as (_, jetstream):
        made = await jetstream.add_stream(name="ORDERS", subjects=["orders.>"], max_msgs_per_subject=1)  # pyright: ignore
        await publish(client, **call, expected_last_sequence=0)
        again = await publish(client, **call, expected_last_sequence=0)
        await jetstream.update_stream(made.config, sealed=True)  # pyright: ignore[reportUnknownMemberType]
        sealed = await publish(client, **call)
    for told in (again, sealed):
        last = told["results"][2]
        assert (last["stored"], last["duplicate"], last["sequence"]) == ("yes", True, 3)
        assert [r["stored"] for r in told["results"][:2]] == ["no", "no"]


async def test_a_read_only_server_offers_no_publishing(place: Path, connect: Connect) -> None:
    async with connect(place, read_only=True) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert "publish_message" not in names
    assert "message_topology" in names
