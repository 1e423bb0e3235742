"""Contracts in other languages than JSON Schema, in envelopes and frames: what fits, its bytes, and what is refused."""

import base64
import importlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_backend.contracts.messages import Contract, Fit, Index
from mcp_backend.contracts.payloads import avro, confluent
from mcp_backend.contracts.payloads.codec import Known
from mcp_backend.contracts.payloads.misfit import Misfit
from mcp_backend.contracts.watch import Watch
from mcp_backend.errors import FailedPrecondition, NotFound
from mcp_backend.settings import workspace
from tests.engines_fixtures import wait_for

LIBRARY: Any = importlib.import_module("fastavro")
ORDER: dict[str, Any] = {
    "type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}, "default": "NEW"},
        {"name": "items", "type": {"type": "array", "items": "shop.Item"}, "default": []},
    ],
}  # fmt: skip
ITEM = {"type": "record", "name": "shop.Item", "fields": [{"name": "sku", "type": "string"}]}
VALUE: dict[str, Any] = {"id": 7, "price": "12.30", "at": "2026-11-26T01:02:03Z", "items": [{"sku": "a"}]}
PROTO = """syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "shop/v1/item.proto";
message Order {
  int64 id = 1;
  repeated Item items = 2;
  google.protobuf.Timestamp at = 3;
  bytes raw = 4;
  message Line { string text = 1; }
}
message Cancelled { int64 id = 1; }
"""
ITEM_PROTO = 'syntax = "proto3";\npackage shop.v1;\nmessage Item { string sku = 1; int32 n = 2; }\n'
JSON_SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["id"]}
EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/orders", "type": "created", "data": {"id": 1}}


async def contracts(root: Path, declared: dict[str, str] | None = None) -> Index:
    """The contracts of a workspace with schemas of every language."""
    document: dict[str, Any] = {"asyncapi": "3.0.0", "info": {"title": "t", "version": "1"}, "channels": {
        "avro": {"address": "api.avro", "messages": {"M": {"payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0", "schema": {"$ref": "schemas/order.avsc"},
        }}}},
        "inline": {"address": "api.inline", "messages": {"M": {"contentType": "application/json", "payload": {
            "schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": {"type": "map", "values": "int"},
        }}}},
        "proto": {"address": "api.proto", "messages": {"Order": {"payload": {
            "schemaFormat": "application/vnd.google.protobuf;version=3",
            "schema": {"$ref": "proto/shop/v1/order.proto#Order"},
        }}}},
        "text": {"address": "api.text", "messages": {"Ping": {"payload": {
            "schemaFormat": "application/vnd.google.protobuf;version=3",
            "schema": 'syntax = "proto3"; message Pong {} message Ping { int32 n = 1; }',
        }}}},
        "event": {"address": "api.event", "messages": {"M": {
            "contentType": "application/cloudevents+json", "payload": {"type": "object", "required": ["id"]},
        }}},
        "whole": {"address": "api.whole", "messages": {"M": {
            "contentType": "application/cloudevents+json",
            "payload": {"allOf": [{"$ref": "#/components/schemas/Event"}]},
        }}},
        "framed": {"address": "api.framed", "messages": {"M": {
            "payload": {"type": "object", "required": ["id"]},
            "bindings": {"kafka": {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}},
        }}},
        "header": {"address": "api.header", "messages": {"M": {
            "payload": {"type": "object"}, "bindings": {"kafka": {"schemaIdLocation": "header"}},
        }}},
    }, "components": {"schemas": {"Event": {
        "type": "object", "required": ["specversion", "data"],
        "properties": {"specversion": {"const": "1.0"}, "data": {"type": "object", "required": ["total"]}},
    }}}}  # fmt: skip
    files = {
        "asyncapi.yaml": yaml.safe_dump(document), "schemas/order.avsc": json.dumps(ORDER),
        "schemas/item.avsc": json.dumps(ITEM), "proto/shop/v1/order.proto": PROTO,
        "proto/shop/v1/item.proto": ITEM_PROTO, "schemas/order.schema.json": json.dumps(JSON_SCHEMA),
        "schemas/shop/paid.avsc": json.dumps({**ORDER, "name": "Paid"}),
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return await Watch(workspace(root), declared or {}).index()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The contracts for tests that only ask."""
    declared = {"orders": "cloudevents:schemas/order.schema.json"}
    return wait_for(contracts(tmp_path_factory.mktemp("contracts"), declared))


def fit(index: Index, destination: str, payload: Any, headers: dict[str, str] | None = None, **known: Any) -> Fit:
    return index.fit(contract(index, destination), payload, headers or {}, Known(**known))


def contract(index: Index, destination: str) -> Contract:
    found = index.contract_for(destination)
    assert found, destination
    return found


def sent(found: Fit) -> bytes:
    assert found.problems == ()
    assert found.read
    assert found.read.data is not None
    return found.read.data


@pytest.mark.parametrize("destination", ["shop.paid", "api.avro", "named", "policy"])
async def test_avro_is_written_as_its_library_reads_it_and_read_back(tmp_path: Path, destination: str) -> None:
    declared = {"policy": "schemas/order.avsc", "named": "schemas/order.avsc#shop.Order"}
    index = await contracts(tmp_path, declared)
    data = sent(fit(index, destination, VALUE))
    name = "Paid" if destination == "shop.paid" else "Order"
    own: Any = LIBRARY.parse_schema({**ORDER, "name": name}, {"shop.Item": LIBRARY.parse_schema(ITEM)})
    value: Any = LIBRARY.schemaless_reader(BytesIO(data), own, None)
    assert (value["id"], str(value["price"]), value["state"], value["items"]) == (7, "12.30", "NEW", [{"sku": "a"}])
    again = fit(index, destination, data)
    assert again.against
    assert again.read
    assert again.read.value == {**VALUE, "note": None, "state": "NEW"}
    assert again.read.form == "avro"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "hunter2"}, "$.id: expected long, got string"),
        ({"id": 2**63}, "$.id: expected long (64 bits), got a larger number"),
        ({"price": "12.345"}, "$.price: expected at most 2 digits after the point"),
        ({"price": "hunter2"}, "$.price: not a decimal"),
        ({"at": "2026-01-01T00:00:00"}, "$.at: expected a time with its zone, such as 2026-11-26T09:30:00Z"),
        ({"state": "LOST"}, "$.state: expected 'NEW' or 'PAID'"),
        ({"items": [{"sku": "a"}, {}]}, "$.items[1]: 'sku' is required"),
        ({"note": 5}, "$.note: expected string, got integer"),
        ({"extra": 1}, "$: unknown field 'extra'; known: id, price, at, note, state, items"),
    ],
)
def test_what_avro_cannot_hold_is_named_with_its_place_and_without_the_value(
    shared: Index, change: dict[str, Any], problem: str
) -> None:
    found = fit(shared, "api.avro", {**VALUE, **change})
    assert found.problems == (problem,)


async def test_bytes_that_avro_does_not_read_to_their_end_do_not_fit(tmp_path: Path) -> None:
    index = await contracts(tmp_path)
    data = sent(fit(index, "api.avro", VALUE))
    for bad in (data + b"x", data[:-2], b"", b"\xff" * 30, json.dumps(VALUE).encode()):
        assert fit(index, "api.avro", bad).problems
    assert sent(fit(index, "api.inline", {"a": 1})) == b'{"a": 1}'
    assert fit(index, "api.inline", b'{"a": "x"}').problems


@pytest.mark.parametrize("data", [b"\x02" * 200_000 + b"\x00", b"\x02" * 200_000])
def test_a_message_nested_without_end_is_refused_and_ends_no_process(data: bytes) -> None:
    chain = avro.schema({"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}, "n")
    with pytest.raises(Misfit, match="nested too deeply"):
        avro.decode(chain, data)


def test_a_list_of_nothing_may_claim_any_length_and_is_not_read() -> None:
    some: list[Any] = ["null", {"type": "record", "name": "E", "fields": []}, {"type": "fixed", "name": "F", "size": 0}]
    for items in some:
        nothing = avro.schema({"type": "array", "items": items}, "n")
        with pytest.raises(Misfit, match="any length"):
            avro.decode(nothing, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")


async def test_protobuf_is_written_by_the_repositorys_own_files_and_read_back(tmp_path: Path) -> None:
    index = await contracts(tmp_path, {"policy": "proto/shop/v1/order.proto#shop.v1.Order"})
    value = {"id": "7", "items": [{"sku": "a", "n": 2}], "at": "2026-11-26T01:02:03Z", "raw": "AAE="}
    for destination in ("api.proto", "policy"):
        data = sent(fit(index, destination, value))
        assert data.startswith(b"\x08\x07\x12\x05\n\x01a\x10\x02")
        again = fit(index, destination, data)
        assert again.read
        assert (again.read.value, again.read.form) == (value, "protobuf")
    assert sent(fit(index, "api.text", {"n": 5})) == b"\x08\x05"


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"id": "hunter2"}, "$.id: expected int64"),
        ({"items": [{"sku": "a", "n": "hunter2"}]}, "$.items.n: expected int32"),
        ({"items": [{"q": 1}]}, "$.items: unknown field 'q'; known: sku, n"),
        ({"raw": "!!hunter2"}, "$.raw: expected bytes as base64"),
        ({"at": "hunter2"}, "$.at: expected google.protobuf.Timestamp"),
        ([1], "$: expected object, got something else"),
        (b"\x08\x01\x48\x05", "$: unknown field number 9 of shop.v1.Order"),
        (b"\x12\x02\x58\x01", "$.items: unknown field number 11 of shop.v1.Item"),
        (b"hello", "$: not a message of type shop.v1.Order"),
    ],
)
def test_what_no_protobuf_message_holds_is_named_without_the_value(shared: Index, payload: Any, problem: str) -> None:
    assert fit(shared, "api.proto", payload).problems == (problem,)


async def test_a_policy_entry_for_a_type_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    index = await contracts(tmp_path, {
        "a": "proto/shop/v1/order.proto#Nope", "b": "schemas/order.avsc#Nope", "c": "proto/shop/v1/order.proto",
        "d": "gone.proto",
    })  # fmt: skip
    for destination, told in (("a", "shop.v1.Cancelled"), ("b", "shop.Order"), ("c", "PATH#NAME"), ("d", "no such")):
        with pytest.raises(FailedPrecondition, match=told):
            index.contract_for(destination)
    with pytest.raises(NotFound, match=r"no message Nope.*shop\.v1\.Order"):
        index.forced("proto/shop/v1/order.proto#Nope", "x")


async def test_a_structured_event_is_checked_as_envelope_and_as_data(tmp_path: Path) -> None:
    index = await contracts(tmp_path, {"avro": "cloudevents:schemas/order.avsc"})
    found = fit(index, "api.event", EVENT)
    assert json.loads(sent(found)) == EVENT if found.read and found.read.data else found.against
    assert found.read
    assert found.read.headers["content-type"].startswith("application/cloudevents+json")
    assert fit(index, "api.event", json.dumps(EVENT).encode()).against
    packed = json.loads(sent(fit(index, "avro", {**EVENT, "data": VALUE})))
    assert fit(index, "api.avro", base64.b64decode(packed["data_base64"])).against
    assert "data" not in packed
    assert packed["datacontenttype"] == "application/avro"
    claims = fit(index, "avro", {**EVENT, "data": VALUE, "datacontenttype": "application/json"})
    assert claims.problems == ("$.datacontenttype: the data is written as avro, not as application/json",)
    two: dict[str, Any] = {"b": 1, "a": 2}
    assert sent(fit(index, "api.inline", two)) == sent(fit(index, "api.inline", dict(sorted(two.items()))))
    again = fit(index, "avro", json.dumps(packed).encode())
    assert again.read
    assert again.read.value["data"]["price"] == "12.30"
    assert fit(index, "api.whole", {**EVENT, "data": {"total": 1}}).against
    assert fit(index, "api.whole", EVENT).problems == ("$.data: 'total' is required",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "$.id: an event must have it"),
        ({"source": ""}, "$.source: expected a URI reference that is not empty"),
        ({"source": "a b"}, "$.source: expected a URI reference that is not empty"),
        ({"specversion": "0.3"}, '$.specversion: expected "1.0"'),
        ({"type": ""}, "$.type: expected text that is not empty"),
        ({"time": "yesterday"}, "$.time: expected a time (RFC 3339)"),
        ({"dataschema": "order.json"}, "$.dataschema: expected an absolute URI"),
        ({"datacontenttype": "json"}, "$.datacontenttype: expected a media type (RFC 2046)"),
        ({"Region": "eu"}, "$.Region: names of attributes are lower-case letters and digits"),
        ({"retries": 2**31}, "$.retries: expected an integer of 32 bits"),
        ({"more": {"a": 1}}, "$.more: expected a string, an integer or a boolean, got object"),
        ({"subject": "a\nb"}, "$.subject: a control character"),
        ({"data": {}}, "$.data: 'id' is required"),
        ({"data": None, "data_base64": "e30="}, "$.data: 'id' is required"),
        ({"data_base64": "e30="}, "$: data and data_base64 exclude each other"),
    ],
)
def test_an_event_that_breaks_the_specification_is_refused(shared: Index, change: dict[str, Any], problem: str) -> None:
    assert problem in fit(shared, "api.event", {**EVENT, **change}).problems


@pytest.mark.parametrize(
    ("engine", "headers", "problem"),
    [
        ("kafka", {"ce_id": "1", "ce_source": "/x", "ce_specversion": "1.0", "ce_type": "t"}, ""),
        ("nats", {"ce-id": "1", "ce-source": "/x%20y", "ce-specversion": "1.0", "ce-type": "t"}, "headers.ce-source"),
        ("nats", {"ce-id": "1", "ce-source": "/x", "ce-specversion": "1.0", "ce-type": "t"}, ""),
        ("nats", {"ce-id": "a b", "ce-source": "/x", "ce-specversion": "1.0", "ce-type": "t"}, "percent-encoded"),
        ("kafka", {"ce-id": "1", "ce-source": "/x", "ce-specversion": "1.0", "ce-type": "t"}, "are ce_… on kafka"),
        ("nats", {"ce-id": "1", "ce-specversion": "1.0", "ce-type": "t"}, "headers.ce-source: an event must have it"),
        ("kafka", {"content-type": "application/cloudevents-batch+json"}, "a batch of events"),
    ],
)
def test_an_event_in_headers_is_judged_by_the_binding_of_its_system(
    shared: Index, engine: str, headers: dict[str, str], problem: str
) -> None:
    index = shared
    found = fit(index, "orders", {"id": 1}, headers, engine=engine)
    assert problem in "\n".join(found.problems) if problem else found.against
    wrong = fit(index, "orders", {}, headers, engine=engine).problems
    assert any("is required" in one for one in wrong) or "batch" in wrong[0]


@pytest.mark.parametrize(("index", "data"), [((0,), "00"), ((1,), "0202"), ((0, 0), "040000"), ((2, 130), "0404 8402")])
def test_the_place_of_a_protobuf_type_is_written_as_confluents_clients_write_it(
    index: tuple[int, ...], data: str
) -> None:
    head = b"\x00\x00\x00\x01\x02"
    assert confluent.framed(258, b"x", index) == head + bytes.fromhex(data) + b"x"
    assert confluent.opened(head + bytes.fromhex(data) + b"x", protobuf=True) == confluent.Frame(258, b"x", index)


async def test_frames_are_those_of_confluents_own_serializers(tmp_path: Path) -> None:
    """The bytes are what AvroSerializer, JSONSerializer and ProtobufSerializer of confluent-kafka 2.16.1 gave."""
    (tmp_path / "order.avsc").write_text(json.dumps({"type": "record", "name": "shop.Order", "fields": [
        {"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    ]}))  # fmt: skip
    (tmp_path / "paid.proto").write_text(
        'syntax = "proto3";\npackage shop;\nmessage Other { int32 a = 1; }\nmessage Paid { int64 id = 1; }\n'
    )
    index = await contracts(tmp_path, {
        "order": "confluent:17:order.avsc", "json": "confluent:18:schemas/order.schema.json",
        "paid": "confluent:19:paid.proto#Paid",
    })  # fmt: skip
    for name, payload, theirs in (
        ("order", {"id": 7, "note": "x", "price": "12.30"}, "AAAAABEOAgJ4BATO"),
        ("json", {"id": 1}, "AAAAABJ7ImlkIjoxfQ=="), ("paid", {"id": 5}, "AAAAABMCAggF"),
    ):  # fmt: skip
        assert base64.b64encode(sent(fit(index, name, payload))).decode() == theirs
        assert fit(index, name, base64.b64decode(theirs)).against


async def test_a_frame_with_the_declared_id_goes_on_and_comes_off(tmp_path: Path) -> None:
    index = await contracts(tmp_path, {
        "avro": "confluent:7:schemas/order.avsc", "line": "confluent:8:proto/shop/v1/order.proto#Order.Line",
        "json": "confluent:9:schemas/order.schema.json", "none": "confluent:schemas/order.avsc",
    })  # fmt: skip
    plain = sent(fit(index, "api.avro", VALUE))
    framed = sent(fit(index, "avro", VALUE))
    assert framed == b"\x00\x00\x00\x00\x07" + plain
    again = fit(index, "avro", framed)
    assert again.read
    assert (again.read.value["price"], again.read.form) == ("12.30", "avro in Confluent framing")
    assert sent(fit(index, "line", {"text": "x"})) == b"\x00\x00\x00\x00\x08\x04\x00\x00\n\x01x"
    assert sent(fit(index, "json", {"id": 1})) == b'\x00\x00\x00\x00\x09{"id":1}'
    for bad, told in (
        (plain, "expected Confluent's framing"), (b"\x00\x00\x00\x00\x08" + plain, "schema id 8 is not"),
        (b"\x00\x00", "expected Confluent's framing"),
    ):  # fmt: skip
        assert told in fit(index, "avro", bad).problems[0]
    assert "names another message type" in fit(index, "line", b"\x00\x00\x00\x00\x08\x00\n\x01x").problems[0]
    assert "the id of its schema is not known" in fit(index, "none", VALUE).problems[0]
    assert "the id of its schema is not known" in fit(index, "api.framed", {"id": 1}).problems[0]
    assert "in the header" in contract(index, "api.header").unchecked
