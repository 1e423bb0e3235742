"""message_topology and topology:// with the pipelines of a workspace, on a real broker and database; the page."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from nats.aio.client import Client as NatsClient

from mcp_backend.engines.topology import Finding
from mcp_backend.pipelines.model import Graph, Node
from mcp_backend.web import pipelines
from mcp_backend.web.pipelines_drawing import drawings
from tests.conftest import ERAS, Connect, Era
from tests.natsd import Natsd

NATS = """
import json
import nats
async def place(js, order):
    await js.publish("shop.placed", json.dumps({"id": order.id, "total": order.total}).encode())
async def main(js, pool):
    await js.subscribe("shop.placed", durable="billing", cb=bill)
async def bill(msg):
    order = json.loads(msg.data)
    await pool.execute("INSERT INTO bills (id, total) VALUES ($1, $2)", order["id"], order["total"])
"""
CONTRACT = """
asyncapi: 3.0.0
info: {title: shop, version: "1"}
channels:
  placed:
    address: shop.placed
    messages:
      m: {payload: {type: object, required: [id, total], properties: {id: {type: integer}, total: {type: number}}}}
"""


@pytest.fixture
def place(repository: Path, broker: Natsd, postgres_url: str) -> Path:
    """A workspace whose code publishes, reads and writes."""
    (repository / "shop.py").write_text(NATS)
    (repository / "asyncapi.yaml").write_text(CONTRACT)
    (repository / "mcp-backend.toml").write_text(
        f'[engines.bus]\nkind = "nats"\nurl = "{broker.url}"\nenvironment = "development"\n'
        f'[engines.main]\nkind = "postgresql"\nurl = {json.dumps(postgres_url)}\nenvironment = "development"\n'
    )
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute("create table bills (number bigserial primary key, id bigint, total integer)")
    return repository


def _findings(body: dict[str, Any]) -> dict[str, list[str]]:
    return {finding["id"]: finding["where"] for finding in body["findings"]}


@pytest.mark.parametrize("era", ERAS)
async def test_the_topology_tells_what_breaks_between_a_subject_and_its_table(
    place: Path, connect: Connect, era: Era
) -> None:
    async with connect(place, mode=era) as client:
        answer = await client.call_tool("message_topology", {})
        resource = await client.read_resource("topology://bus")
    body = answer.structured_content
    assert body is not None
    found = _findings(body)
    assert found["field_type_mismatch"] == [
        "shop.placed -> bills (shop.py:10): total, a number with a fraction into integer"
    ]
    assert found["no_dedupe_key"] == ["shop.placed -> bills (shop.py:10)"]
    assert body["pipelines"]["resource"] == "topology://bus"
    page = Path(body["pipelines"]["page"]).read_text("utf-8")
    assert "no_dedupe_key" in page
    assert "shop.placed" in page
    whole = json.loads(getattr(resource.contents[0], "text", ""))["pipelines"]
    names = {node["id"]: node["name"] for node in whole["nodes"]}
    ways = {(names[source], names[target]) for source, target in whole["edges"]}
    assert ways == {("place", "shop.placed"), ("shop.placed", "bill"), ("bill", "bills")}


async def test_a_database_that_is_down_is_named_and_the_rest_is_shown(place: Path, connect: Connect) -> None:
    text = (place / "mcp-backend.toml").read_text()
    (place / "mcp-backend.toml").write_text(re.sub(r"postgresql://[^\"]*", "postgresql://x:secret@127.0.0.1:1/x", text))
    async with connect(place) as client:
        body = (await client.call_tool("message_topology", {})).structured_content
    assert body is not None
    assert body["pipelines"]["stages"] == 4
    assert body["pipelines"]["notes"][0].startswith("tables of main were not looked at: ")
    assert "secret" not in json.dumps(body)


async def test_a_search_keeps_the_findings_it_is_about_and_many_stay_within_the_answer(
    place: Path, connect: Connect
) -> None:
    many = "\n".join(
        f'async def p{n}(js, pool):\n    async with pool.transaction():\n        await js.publish("many.{n}", b"")'
        for n in range(300)
    )
    (place / "many.py").write_text(f"import nats\n{many}\n")
    async with connect(place) as client:
        answer = await client.call_tool("message_topology", {})
        searched = (await client.call_tool("message_topology", {"search": "many.17"})).structured_content
    assert len(getattr(answer.content[0], "text", "").encode()) <= 8000
    assert answer.structured_content is not None
    assert searched is not None
    assert answer.structured_content["pipelines"]["findings"] >= 600
    assert set(_findings(searched)["no_consumer"]) == {"many.17", *(f"many.17{n}" for n in range(10))}


RELAY = """
import nats
async def relay(js, pool):
    for row in await pool.fetch("SELECT id, body FROM shop_outbox WHERE sent_at IS NULL"):
        await js.publish("relayed.orders", row["body"])
"""


@pytest.mark.parametrize(("destination", "warned"), [("relayed.orders", True), ("relayed.others", False)])
async def test_a_message_published_around_an_outbox_is_warned_of(
    place: Path, connect: Connect, destination: str, warned: bool
) -> None:
    (place / "relay.py").write_text(RELAY)
    arguments: dict[str, Any] = {
        "destination": destination, "messages": [{"payload": {"id": 1}, "message_id": "one"}],
        "justification": "a message of this test, read by nobody",
    }  # fmt: skip
    async with connect(place) as client:
        body = (await client.call_tool("publish_message", arguments)).structured_content
    assert body is not None
    warnings = body.get("warnings", [])
    assert [w["constraint"] for w in warnings] == (["data-consistency"] if warned else [])
    assert ("shop_outbox" in json.dumps(warnings)) is warned


async def test_of_a_declared_outbox_only_committed_rows_are_published_and_the_relays_copy_is_the_same_message(
    place: Path, connect: Connect, postgres_url: str, broker: Natsd
) -> None:
    with (place / "mcp-backend.toml").open("a") as policy:
        policy.write(
            '[outboxes."fed.>"]\ntable = "public.events"\npayload = "body"\nsent = "sent_at"\nprefix = "ev-"\n'
        )

    async def publish(client: Any, *messages: dict[str, Any]) -> dict[str, Any]:
        why = "a message of this test, read by nobody"
        arguments = {"destination": "fed.orders", "messages": messages, "justification": why}
        return (await client.call_tool("publish_message", arguments)).structured_content or {}

    relay: Any = NatsClient()
    await relay.connect(broker.url)
    await relay.jetstream().add_stream(name="FED", subjects=["fed.>"])
    with psycopg.connect(postgres_url) as writer:
        writer.execute("create table events (id bigint primary key, body jsonb, sent_at timestamptz)")
        writer.commit()
        writer.execute("insert into events values (1, '{\"id\": 1}'), (2, '{\"id\": 2}')")
        async with connect(place) as client:
            early = await publish(client, {"payload": None, "message_id": "ev-1"})
            writer.commit()
            other = await publish(client, {"payload": {"id": 9}, "message_id": "ev-1"})
            unnamed = await publish(client, {"payload": {"id": 1}})
            told = await publish(client, *({"payload": None, "message_id": f"ev-{n}"} for n in (1, 2)))
            copy = await relay.jetstream().publish("fed.orders", b'{"id": 1}', headers={"Nats-Msg-Id": "ev-1"})
            writer.execute("update events set sent_at = now()")
            writer.commit()
            again = await publish(client, {"payload": None, "message_id": "ev-1"})
    await relay.close()
    assert "no committed row for ev-1" in early["error"]["reason"]
    assert "messages.0.payload: not what the row" in other["error"]["reason"]
    assert "messages.0.message_id" in unnamed["error"]["reason"]
    assert [(r["stored"], r["sequence"]) for r in told["results"]] == [("yes", 1), ("yes", 2)]
    assert (copy.seq, copy.duplicate) == (1, True)
    assert "was published (sent_at)" in again["error"]["reason"]


def test_the_page_escapes_what_it_shows_and_lets_nothing_in() -> None:
    evil = "<script>alert(1)</script>"
    nodes = {"a": Node("a", "code", evil, (evil,)), "b": Node("b", "destination", evil)}
    graph = Graph(nodes, (("a", "b"),), (Finding("no_consumer", evil),), {"b": ("no_consumer",)}, (evil,))
    shown = pipelines.rendered(evil, graph, datetime(2026, 1, 1, tzinfo=UTC))
    assert "<script" not in shown
    assert "default-src 'none'" in shown.replace("&#x27;", "'")
    assert " style=" not in shown
    assert " onclick" not in shown
    assert "http:" not in shown.replace("http://www.w3.org", "")


def test_no_box_lies_on_another_and_data_flows_to_the_right() -> None:
    names = [f"n{number}" for number in range(24)]
    edges = [(names[a], names[(a * 5 + b * 4 + 1) % 24]) for a in range(24) for b in range(2)]
    kinds = ("code", "destination", "table")
    nodes = {name: Node(name, kinds[i % 3], name) for i, name in enumerate(names)}
    alone = {"x": Node("x", "table", "alone")}
    pictures = drawings(Graph({**nodes, **alone}, tuple(edges)))
    assert sum(picture.nodes for picture in pictures) == 25
    assert pictures[-1].nodes == 1
    boxes = [
        tuple(map(int, found))
        for found in re.findall(r"<rect x='(\d+)' y='(\d+)' width='(\d+)' height='(\d+)'", pictures[0].svg)
    ]
    assert len(boxes) == pictures[0].nodes > 3
    for i, (x, y, wide, high) in enumerate(boxes):
        assert x + wide <= pictures[0].width
        assert y + high <= pictures[0].height
        assert not any(x == a and abs(y - b) < high for a, b, _, _ in boxes[i + 1 :])
    straight = Graph({n: nodes[n] for n in names[:3]}, ((names[0], names[1]), (names[1], names[2])))
    first = re.findall(r"class='side' x='(\d+)'", drawings(straight)[0].svg)
    assert first == sorted(first, key=int)
    assert len(set(first)) == 3
