"""Pipelines joined from code, contracts and tables: what is read from sources, and what is found along the way."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_backend.contracts import messages
from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.schemas import Place
from mcp_backend.pipelines import judging
from mcp_backend.pipelines.brokers import Broker, Held
from mcp_backend.pipelines.fields import Field, misfit, of
from mcp_backend.pipelines.joining import Joined, join
from mcp_backend.pipelines.linking import Code
from mcp_backend.pipelines.model import MEANING, Column, System, Table
from mcp_backend.pipelines.scan import scan
from mcp_backend.pipelines.tables import of_statements
from mcp_backend.settings import workspace

Schema = dict[str, Any]
ORDER: Schema = {
    "type": "object", "required": ["id", "total", "note"], "additionalProperties": False,
    "properties": {"id": {"type": "integer"}, "total": {"type": "number"}, "note": {"type": "string"}},
}  # fmt: skip


def written(root: Path, files: Mapping[str, str]) -> Code:
    """What the code of these files says."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return scan(workspace(root)).look()[0]


def joined(
    root: Path, system: System, files: Mapping[str, str], schemas: Mapping[str, Schema],
    tables: tuple[Table, ...] = (), held: tuple[Held, ...] = (),
) -> tuple[Joined, dict[str, list[str]]]:  # fmt: skip
    """The graph of a workspace with these files, contracts and tables, and the findings by id."""
    code = written(root, files)
    document = {"asyncapi": "3.0.0", "info": {"title": "t", "version": "1"}, "channels": {
        f"c{n}": {"address": name, "messages": {"m": {"payload": schema}}}
        for n, (name, schema) in enumerate(schemas.items())}}  # fmt: skip
    (root / "asyncapi.yaml").write_text(yaml.safe_dump(document))
    index = messages.read(Documents(root), ["asyncapi.yaml"], {})
    broker = Broker("bus", system, held)
    found = join(code, index, broker, tables)
    by_id: dict[str, list[str]] = {}
    for identifier, where, nodes in judging.judged(found, broker):
        assert identifier in MEANING
        assert set(nodes) <= found.nodes.keys(), (identifier, nodes)
        by_id.setdefault(identifier, []).append(where)
    return found, by_id


def table(name: str, *columns: Column, keys: tuple[frozenset[str], ...] = ()) -> Table:
    return Table("main", "postgresql", name, columns, keys=keys)


PRODUCER = """
import json
from aiokafka import AIOKafkaProducer
TOPIC = "orders"
async def place(producer: AIOKafkaProducer, order):
    await producer.send_and_wait(TOPIC, json.dumps({"id": order.id, "total": 1, "note": ""}).encode(), KEY)
"""


def consumer(insert: str, more: str = "", options: str = ", enable_auto_commit=False") -> str:
    return f"""
import json
from aiokafka import AIOKafkaConsumer
async def main(pool, producer):
    reader = AIOKafkaConsumer("orders", group_id="billing"{options})
    async for message in reader:
        order = json.loads(message.value)
        await pool.execute("{insert}", order["id"], order["total"], order["note"])
        {more}
"""


DEAD = 'await producer.send("orders.dead", message.value, key=message.key)'
GOOD = consumer("INSERT INTO bills (id, total, note) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING", DEAD)
BILLS = table(
    "bills", Column("id", "bigint", False), Column("total", "numeric(12,2)", False), Column("note", "text", False),
    keys=(frozenset({"id"}),),
)  # fmt: skip


def test_a_sound_pipeline_has_no_findings_and_reaches_its_table(tmp_path: Path) -> None:
    files = {"app.py": PRODUCER.replace("KEY", "key=str(order.id).encode()"), "worker.py": GOOD}
    graph, found = joined(tmp_path, "kafka", files, {"orders": ORDER}, (BILLS,))
    assert found == {}
    names = {(graph.nodes[s].name, graph.nodes[t].name) for s, t in graph.edges}
    assert names == {("place", "orders"), ("orders", "main"), ("main", "orders.dead"), ("main", "bills")}


@pytest.mark.parametrize(
    ("worker", "columns", "keys", "expected"),
    [
        (consumer("INSERT INTO bills (id, total, note) VALUES ($1,$2,$3)", DEAD), (), (), "no_dedupe_key"),
        (GOOD.replace(", note) VALUES ($1, $2, $3)", ") VALUES ($1, $2)").replace(', order["note"]', ""),
         (Column("note", "text"),), None, "field_dropped"),
        (GOOD, (Column("total", "integer", False),), None, "field_type_mismatch"),
        (GOOD, (Column("due", "date", False),), None, "field_missing"),
        (GOOD.replace(DEAD, ""), (), None, "no_dead_letter"),
        (GOOD.replace(", enable_auto_commit=False", ""), (), None, "acknowledged_early"),
        (GOOD.replace("await pool.execute", "asyncio.create_task(pool.execute").replace('["note"])', '["note"]))'),
         (), None, "ordering_lost"),
        (GOOD.replace(DEAD, DEAD + '\n        await producer.send("bills", b"")'), (), None, "ordering_lost"),
    ],
)  # fmt: skip
def test_each_fault_between_a_topic_and_its_table_is_found(
    tmp_path: Path, worker: str, columns: tuple[Column, ...], keys: tuple[frozenset[str], ...] | None, expected: str
) -> None:
    changed = {c.name: c for c in (*BILLS.columns, *columns)}
    bills = table("bills", *changed.values(), keys=BILLS.keys if keys is None else keys)
    files = {"app.py": PRODUCER.replace("KEY", "key=str(order.id).encode()"), "worker.py": worker}
    other = {"bills": {"type": "object"}}
    _, found = joined(tmp_path, "kafka", files, {"orders": ORDER, **other}, (bills,))
    assert found.keys() - {"no_consumer"} == {expected}


def test_a_generated_key_does_not_tell_a_repeated_message_apart(tmp_path: Path) -> None:
    worker = consumer("INSERT INTO bills (total, note) VALUES ($2, $3)", DEAD)
    drawn = Column("id", "bigint", False, default=True)
    files = {"app.py": PRODUCER.replace("KEY", "key=str(order.id).encode()"), "worker.py": worker}
    _, found = joined(
        tmp_path, "kafka", files, {"orders": ORDER}, (table("bills", drawn, *BILLS.columns[1:], keys=BILLS.keys),)
    )
    assert found.keys() == {"no_dedupe_key"}


def test_a_converted_field_is_left_to_the_code(tmp_path: Path) -> None:
    worker = GOOD.replace('order["total"]', 'int(order["total"])')
    files = {"app.py": PRODUCER.replace("KEY", "key=str(order.id).encode()"), "worker.py": worker}
    bills = table("bills", BILLS.columns[0], Column("total", "integer", False), BILLS.columns[2], keys=BILLS.keys)
    assert joined(tmp_path, "kafka", files, {"orders": ORDER}, (bills,))[1] == {}


def test_what_a_producer_sends_is_compared_with_the_contract(tmp_path: Path) -> None:
    producer = PRODUCER.replace('"note": ""', '"colour": 1').replace("KEY", "key=b'1'")
    _, found = joined(tmp_path, "kafka", {"app.py": producer, "worker.py": GOOD}, {"orders": ORDER}, (BILLS,))
    assert found["field_missing"] == ["app.py:6 -> orders: note required by asyncapi.yaml#/channels/c0"]
    assert found["field_not_in_contract"] == ["app.py:6 -> orders: colour"]


OUTBOX = """
import nats
async def relay(js, pool):
    for row in await pool.fetch("SELECT id, body FROM outbox WHERE sent_at IS NULL"):
        await js.publish("orders.created", row["body"])
async def shortcut(js, pool):
    async with pool.transaction():
        await js.publish("orders.created", b"{}")
async def place(pool):
    await pool.execute("INSERT INTO outbox (id, body) VALUES ($1, $2)")
async def listen(nc, pool):
    await nc.subscribe("orders.craeted", cb=handle)
async def handle(msg):
    await pool.execute("INSERT INTO log (id) VALUES ($1) ON CONFLICT DO NOTHING")
"""


def test_an_outbox_is_followed_and_what_goes_around_it_is_found(tmp_path: Path) -> None:
    held = (Held("ORDERS", ("orders.>",)),)
    graph, found = joined(tmp_path, "nats", {"app.py": OUTBOX}, {}, (table("outbox"),), held)
    names = {(graph.nodes[s].name, graph.nodes[t].name) for s, t in graph.edges}
    assert {("place", "outbox"), ("outbox", "relay"), ("relay", "orders.created")} <= names
    assert found["publish_around_outbox"] == ["app.py:8 -> orders.created, which outbox feeds"]
    assert found["published_before_commit"] == ["app.py:8 -> orders.created"]
    assert found["unknown_destination"] == ["orders.craeted (nearest: orders.created)"]
    assert found["misses_messages"] == ["app.py:13 reading orders.craeted"]
    assert found["no_consumer"] == ["orders.created"]


CLICKHOUSE = """
CREATE TABLE shop.queue (id UInt64, total UInt32, at DateTime) ENGINE = Kafka
SETTINGS kafka_broker_list = 'someone:hunter2@b:9092', kafka_topic_list = 'orders', kafka_group_name = 'ch',
  kafka_format = 'JSONEachRow';
CREATE TABLE shop.daily (id UInt64, total UInt16, n UInt8) ENGINE = SummingMergeTree ORDER BY id;
CREATE MATERIALIZED VIEW shop.mv TO shop.daily AS SELECT id, total, 1 AS n FROM shop.queue;
"""


def test_clickhouse_is_followed_from_the_topic_through_its_views(tmp_path: Path) -> None:
    tables = tuple(of_statements("olap", CLICKHOUSE))
    assert "hunter2" not in repr(tables)
    files = {"app.py": PRODUCER.replace("KEY", "key=b'1'")}
    graph, found = joined(tmp_path, "kafka", files, {"orders": ORDER}, tables)
    names = {(graph.nodes[s].name, graph.nodes[t].name) for s, t in graph.edges}
    assert names == {("place", "orders"), ("orders", "queue"), ("queue", "mv"), ("mv", "daily")}
    assert found == {
        "no_dead_letter": ["queue: one broken message stops it (kafka_handle_error_mode = 'stream')"],
        "field_type_mismatch": [
            "orders -> queue: total, a number with a fraction into UInt32",
            "queue -> mv -> daily: total, UInt32 into UInt16",
        ],
        "field_dropped": ["orders -> queue: note", "queue -> mv: at"],
        "no_dedupe_key": ["mv -> daily (SummingMergeTree, which counts it twice)"],
    }


GO = """
package worker
import ("github.com/nats-io/nats.go"; "github.com/segmentio/kafka-go"; "github.com/redis/go-redis/v9")
const Topic = "payments"
type Paid struct {
	ID int64 `json:"id"`
	Amount float64 `json:"amount,omitempty"`
}
func (s *Service) Pay(ctx context.Context, js nats.JetStreamContext) error {
	body, _ := json.Marshal(Paid{ID: 1})
	js.Publish(fmt.Sprintf("orders.%d.paid", id), body)
	s.writer.WriteMessages(ctx, kafka.Message{Topic: Topic, Key: []byte(o.CustomerID), Value: body})
	rdb.XAdd(ctx, &redis.XAddArgs{Stream: "events", Values: map[string]any{"kind": "paid"}})
	return nil
}
func (s *Service) Listen(js nats.JetStreamContext) {
	js.Subscribe("orders.*.paid", func(m *nats.Msg) { s.store(m) }, nats.Durable("ledger"))
	reader := kafka.NewReader(kafka.ReaderConfig{Topic: Topic, GroupID: "books"})
}
func (s *Service) store(m *nats.Msg) {
	s.db.Exec(`INSERT INTO ledger (id, amount) VALUES ($1, $2)`, id, amount)
}
"""
PYTHON = """
import os
import nats
import redis.asyncio as redis
from confluent_kafka import Producer
SUBJECT = os.environ.get("SUBJECT", "orders.created")
class Bus:
    def __init__(self, js: nats.js.JetStreamContext) -> None:
        self._js = js
    async def emit(self, subject, body):
        await self._js.publish(subject, body)
async def api(bus, order):
    await bus.emit(SUBJECT, json.dumps({"id": order.id}).encode())
async def events(cache: redis.Redis):
    await cache.xadd("events", {"kind": "paid"})
    await cache.xreadgroup("mail", "one", {"events": ">"})
def legacy(message):
    producer = Producer({})
    producer.produce(f"audit.{message.kind}", value=b"", key=str(message.user_id))
async def ws(socket):
    await socket.send("not a topic")
async def unknown(js):
    await js.publish(which(), b"")
"""


READ_GROUPS = {
    "x.go": """
package x
import "github.com/redis/go-redis/v9"
const Orders = "orders"
func a(rdb *redis.Client) { rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Streams: []string{Orders, ">"}}) }
func b(rdb *redis.Client, some []string) { rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Streams: append(some, ">")}) }
func (w *W) c() { w.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Streams: []string{w.stream, ">"}}) }
func d(rdb *redis.Client) {
  both := []string{"one", "two", ">", ">"}
  rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Streams: both}) }
func e(rdb *redis.Client) { args := []string{}
  rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Streams: args}) }
func f(rdb *redis.Client, t string) {
  rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Streams: []string{fmt.Sprintf("t:%s:ev", t), ">"}}) }
""",
    "y.py": """
import redis
ORDERS = "orders"
async def a(r): await r.xreadgroup("g", "c", {ORDERS: ">"})
async def b(r, some): await r.xreadgroup("g", "c", some)
async def c(r, names): await r.xreadgroup("g", "c", streams={n: ">" for n in names})
async def d(r):
    both = {"one": ">", "two": ">"}
    await r.xreadgroup("g", "c", both)
async def e(r): await r.xreadgroup("g", "c", dict.fromkeys(["one", "two"], ">"))
async def f(r, t): await r.xreadgroup("g", "c", streams={f"t:{t}:ev": ">"})
""",
}


def test_streams_that_a_group_reads_are_told_and_those_of_run_time_are_counted(tmp_path: Path) -> None:
    code = written(tmp_path, READ_GROUPS)
    read = {(s.function.path[0], s.name): {i.of for i in s.into} for s in code.stages if s.into}
    both = {"one", "two"}
    assert read == {
        ("x", "a"): {"orders"}, ("x", "d"): both, ("x", "f"): {"t:*:ev"},
        ("y", "a"): {"orders"}, ("y", "d"): both, ("y", "e"): both, ("y", "f"): {"t:*:ev"},
    }  # fmt: skip
    assert code.unresolved == ("x.go:6", "x.go:7", "x.go:12", "y.py:5", "y.py:6")


def test_go_sources_say_what_they_publish_read_and_write(tmp_path: Path) -> None:
    code = written(tmp_path, {"service.go": GO, "service_test.go": GO})
    out = {(o.publish.system, o.to, o.publish.key, o.publish.fields) for s in code.stages for o in s.out}
    paid = frozenset({"id", "amount"})
    assert out == {
        ("nats", "orders.*.paid", "", paid), ("kafka", "payments", "CustomerID", paid),
        ("redis", "events", "", frozenset({"kind"})),
    }  # fmt: skip
    into = {(i.consume.system, i.of, i.consume.group, tuple(w.table for w in s.writes))
            for s in code.stages for i in s.into}  # fmt: skip
    assert into == {("nats", "orders.*.paid", "ledger", ("ledger",)), ("kafka", "payments", "books", ())}


def test_python_sources_say_what_they_publish_and_read(tmp_path: Path) -> None:
    code = written(tmp_path, {"app.py": PYTHON, "tests/test_app.py": PYTHON.replace("events", "tested")})
    out = {(o.publish.system, o.to, o.publish.key, o.publish.fields) for s in code.stages for o in s.out}
    assert out == {
        ("nats", "orders.created", "", frozenset({"id"})), ("kafka", "audit.*", "user_id", None),
        ("redis", "events", "", frozenset({"kind"})),
    }  # fmt: skip
    assert {(i.consume.system, i.of, i.consume.group) for s in code.stages for i in s.into} == {
        ("redis", "events", "mail")
    }
    assert code.unresolved == ()


def test_a_changed_file_is_read_again_and_no_other(tmp_path: Path) -> None:
    written(tmp_path, {"app.py": PYTHON, "b.go": GO})
    looking = scan(workspace(tmp_path))
    before = looking.look()
    assert looking.look() is not None
    (tmp_path / "app.py").write_text(PYTHON.replace("orders.created", "orders.placed"))
    after = looking.look()
    assert {o.to for s in after[0].stages for o in s.out} >= {"orders.placed", "orders.*.paid"}
    assert {o.to for s in before[0].stages for o in s.out} >= {"orders.created"}


@pytest.mark.parametrize(
    ("schema", "column", "fits"),
    [
        ({"types": {"integer"}}, "bigint", True), ({"types": {"integer"}, "form": "int64"}, "integer", False),
        ({"types": {"integer"}, "most": 40_000}, "smallint", False),
        ({"types": {"integer"}, "least": -1}, "UInt8", False),
        ({"types": {"number"}}, "Nullable(Decimal(18, 2))", True), ({"types": {"number"}}, "Int64", False),
        ({"types": {"string"}}, "text", True), ({"types": {"string"}, "longest": 50}, "character varying(20)", False),
        ({"types": {"string"}}, "timestamp with time zone", False),
        ({"types": {"string"}, "form": "uuid"}, "UUID", True),
        ({"types": {"string"}, "form": "date-time"}, "DateTime64(3)", True), ({"types": {"object"}}, "jsonb", True),
        ({"types": {"array"}}, "text[]", True), ({"types": {"string"}}, "Array(String)", False),
        ({"types": {"boolean"}}, "boolean", True), ({"types": {"string"}}, "boolean", False),
        ({"types": {"string"}}, "LowCardinality(String)", True), ({"types": {"integer"}}, "geometry", True),
    ],
)  # fmt: skip
def test_a_column_holds_what_the_contract_allows_or_not(schema: Schema, column: str, fits: bool) -> None:
    given: dict[str, Any] = {"name": "f", "required": True, **schema, "types": frozenset[str](schema["types"])}
    assert (misfit(Field(**given), Column("f", column)) == "") is fits


def test_an_enumeration_must_have_every_value_of_the_contract() -> None:
    field = Field("state", frozenset({"string"}), required=True, values=("new", "paid"))
    assert misfit(field, Column("state", "status", labels=("new",))) == "status has no paid"
    assert misfit(field, Column("state", "status", labels=("new", "paid", "void"))) == ""


def test_an_avro_record_is_compared_like_json(tmp_path: Path) -> None:
    record = {"type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "long"}, {"name": "total", "type": ["null", "double"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["NEW", "PAID"]}},
        {"name": "buyer", "type": "Buyer"},
    ]}  # fmt: skip
    (tmp_path / "order.avsc").write_text(json.dumps(record))
    found = of(Documents(tmp_path), Place("order.avsc"), "avro")
    assert found is not None
    columns = {"id": "integer", "total": "bigint", "at": "timestamp", "state": "text", "buyer": "integer"}
    assert {name: misfit(found.by_name[name], Column(name, kind)) for name, kind in columns.items()} == {
        "id": "an int64 into integer", "total": "a number with a fraction into bigint", "at": "", "state": "",
        "buyer": "",
    }  # fmt: skip
    assert (found.by_name["total"].required, found.by_name["total"].nullable) == (False, True)
    assert misfit(found.by_name["state"], Column("state", "s", labels=("NEW",))) == "s has no PAID"
