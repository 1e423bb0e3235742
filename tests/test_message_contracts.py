"""Message contracts from real files: what is found, what it says of a message, and what it never does."""

import base64
import bz2
import gzip
import json
import lzma
import os
import pickle
import random
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.contracts.patterns import address, subject
from mcp_backend.contracts.unsafe import unsafe_format
from mcp_backend.contracts.watch import Watch
from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.settings import workspace
from tests.conftest import CORPORA, git

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "state"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer"},
        "state": {"enum": ["new", "paid"]},
        "at": {"type": "string", "format": "date-time"},
        "items": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
    },
}
V3: dict[str, Any] = {
    "asyncapi": "3.0.0",
    "info": {"title": "orders", "version": "1"},
    "channels": {
        "created": {
            "address": "orders.{region}.created",
            "parameters": {"region": {"enum": ["eu", "us"]}},
            "messages": {"Created": {"$ref": "#/components/messages/Created"}},
        }
    },
    "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/created"}}},
    "components": {
        "messages": {
            "Created": {
                "payload": {"$ref": "#/components/schemas/Order"},
                "headers": {"type": "object", "required": ["attempt"], "properties": {"attempt": {"type": "integer"}}},
            }
        },
        "schemas": {"Order": ORDER},
    },
}
GOOD = {"id": 1, "state": "new"}
HEADERS = {"attempt": "1"}


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False)


async def contracts(root: Path, declared: dict[str, str] | None = None, **files: Any) -> Index:
    """The contracts of a workspace with these files; a name's `__` stands for `/`, its last `_` for the dot."""
    for name, content in files.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        path = root / f"{stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else (json.dumps if ending == "json" else _yaml)(content)
        path.write_text(text)
    return await Watch(workspace(root), declared or {}).index()


def found(index: Index, destination: str) -> Contract:
    contract = index.contract_for(destination)
    assert contract, destination
    return contract


async def test_an_asyncapi_document_says_what_fits_where(tmp_path: Path) -> None:
    index = await contracts(tmp_path, docs__asyncapi_yaml=V3)
    contract = found(index, "orders.eu.created")
    assert contract.source == "docs/asyncapi.yaml#/channels/created"
    fit = index.fit(contract, GOOD, HEADERS)
    assert (fit.against, fit.problems) == ("docs/asyncapi.yaml#/channels/created/messages/Created", ())
    assert index.contract_for("orders.xx.created") is None, "a parameter's values are limited"
    assert index.contract_for("orders.eu.created.more") is None


@pytest.mark.parametrize(
    ("payload", "headers", "problem"),
    [
        ({"id": 1}, HEADERS, "$: 'state' is required"),
        ({"id": "1", "state": "new"}, HEADERS, "$.id: expected integer, got string"),
        ({"id": 1, "state": "lost"}, HEADERS, '$.state: expected "new" or "paid"'),
        ({"id": 1, "state": "new", "note": 1}, HEADERS, "$: unknown field 'note'; known: id, state, at, items"),
        ({"id": 1, "state": "new", "at": "2026-02-30T00:00:00Z"}, HEADERS, "$.at: not a date-time"),
        ({"id": 1, "state": "new", "at": "2026-02-03 00:00:00"}, HEADERS, "$.at: not a date-time"),
        ({"id": 1, "state": "new", "items": [{"sku": 1}, {}]}, HEADERS, "$.items[1]: 'sku' is required"),
        (GOOD, {}, "headers: 'attempt' is required"),
        (GOOD, {"attempt": "often"}, "headers.attempt: expected integer, got string"),
        (b"\x00\x01", HEADERS, "payload: not JSON, which the contract demands"),
        ([], HEADERS, "$: expected object, got array"),
    ],
)
async def test_what_does_not_fit_is_named_with_its_place(
    tmp_path: Path, payload: Any, headers: dict[str, str], problem: str
) -> None:
    index = await contracts(tmp_path, asyncapi_yaml=V3)
    assert index.fit(found(index, "orders.us.created"), payload, headers).problems == (problem,)


async def test_a_misfit_never_repeats_the_value(tmp_path: Path) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"pattern": "^x"}, "c": {"format": "uuid"}, "d": {"enum": ["x"]},
        "e": {"maxLength": 2}, "f": {"oneOf": [{"type": "integer"}, {"type": "null"}]}, "g": {"const": 1},
        "h": {"not": {"type": "string"}}, "i": {"type": "array", "uniqueItems": True},
    }}  # fmt: skip
    index = await contracts(tmp_path, schemas__secrets_json=schema)
    for name in "abcdefghi":
        value = ["hunter2", "hunter2"] if name == "i" else "hunter2"
        (problem,) = index.fit(found(index, "secrets"), {name: value}, {}).problems
        assert "hunter2" not in problem


async def test_a_document_of_version_2_is_read_both_ways(tmp_path: Path) -> None:
    small = {"name": "Small", "payload": {"type": "object", "required": ["s"]}}
    document = {
        "asyncapi": "2.6.0",
        "info": {"title": "orders", "version": "1"},
        "channels": {
            "orders/created": {"subscribe": {"message": {"oneOf": [small, {"$ref": "#/components/messages/Big"}]}}},
            "orders.cancel": {"publish": {"message": {"payload": {"type": "object", "required": ["id"]}}}},
        },
        "components": {"messages": {"Big": {"name": "Big", "payload": {"type": "object", "required": ["b"]}}}},
    }  # fmt: skip
    index = await contracts(tmp_path, asyncapi_json=document)
    created = found(index, "orders.created")
    assert (
        index.fit(created, {"b": 1}, {}).against == "asyncapi.json#/channels/orders~1created/subscribe/message/oneOf/1"
    )
    assert "is required" in index.fit(created, {}, {}).problems[0]
    assert index.fit(found(index, "orders.cancel"), {"id": 1}, {}).against


async def test_references_across_files_of_the_workspace_are_followed(tmp_path: Path) -> None:
    document = json.loads(json.dumps(V3))
    document["components"]["schemas"]["Order"] = {"$ref": "./common/order.json#/definitions/Order"}
    order = {"definitions": {"Order": {**ORDER, "properties": {**ORDER["properties"], "id": {"$ref": "ids.yaml#/Id"}}}}}
    index = await contracts(
        tmp_path,
        api__asyncapi_yaml=document,
        api__common__order_json=order,
        api__common__ids_yaml={"Id": {"minimum": 5}},
    )
    contract = found(index, "orders.eu.created")
    assert index.fit(contract, {"id": 7, "state": "new"}, HEADERS).against
    assert index.fit(contract, {"id": 3, "state": "new"}, HEADERS).problems == ("$.id: expected at least 5",)


@pytest.mark.parametrize(
    "reference", ["https://example.org/order.json", "../outside.json", "file:///etc/passwd", "gone.json"]
)
async def test_a_reference_that_leaves_the_workspace_is_named_and_never_followed(
    tmp_path: Path, reference: str
) -> None:
    (tmp_path / "outside.json").write_text(json.dumps({"type": "string"}))
    document = json.loads(json.dumps(V3))
    document["components"]["messages"]["Created"] = {"payload": {"properties": {"id": {"$ref": reference}}}}
    index = await contracts(tmp_path / "inside", asyncapi_yaml=document)
    fit = index.fit(found(index, "orders.eu.created"), GOOD, {})
    assert fit.against is None
    assert not fit.problems
    assert "not fetched" in fit.unchecked


async def test_a_link_out_of_the_workspace_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text(yaml.safe_dump(V3))
    root = tmp_path / "inside"
    root.mkdir()
    (root / "asyncapi.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (root / "settings.yaml").symlink_to(tmp_path / "gone.yaml")  # of whatever it was one, no contract is broken
    index = await contracts(root)
    assert index.contract_for("orders.eu.created") is None
    assert set(index.broken) == {"asyncapi.yaml"}
    (root / "asyncapi.yaml").unlink()
    (root / "asyncapi.yaml").symlink_to(tmp_path / "gone.yaml")
    assert set((await contracts(root)).broken) == {"asyncapi.yaml"}


async def test_an_id_inside_an_asyncapi_schema_does_not_bend_its_references(tmp_path: Path) -> None:
    document = json.loads(json.dumps(V3))
    document["components"]["schemas"] = {
        "Order": {"$id": "https://example.org/order", "properties": {"id": {"$ref": "#/components/schemas/Id"}}},
        "Id": {"$id": "https://example.org/id", "type": "integer"},
    }
    index = await contracts(tmp_path, asyncapi_yaml=document)
    assert index.fit(found(index, "orders.eu.created"), {"id": "x"}, HEADERS).problems == (
        "$.id: expected integer, got string",
    )


async def test_schemas_that_know_each_other_by_id_are_found_in_the_workspace(tmp_path: Path) -> None:
    dialect = "https://json-schema.org/draft/2020-12/schema"
    order = {
        "$schema": dialect,
        "$id": "https://example.org/v1/order.json",
        "properties": {"to": {"$ref": "address.json"}},
    }
    place = {"$schema": dialect, "$id": "https://example.org/v1/address.json", "required": ["city"]}
    index = await contracts(tmp_path, schemas__orders__shipped_json=order, schemas__address_json=place)
    assert index.fit(found(index, "orders.shipped"), {"to": {}}, {}).problems == ("$.to: 'city' is required",)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"schemaFormat": "application/raml+yaml;version=1.0", "payload": {"type": "object"}}, "raml"),
        ({"payload": {"schemaFormat": "application/xml;version=1.0", "schema": "<schema/>"}}, "xml"),
        ({"contentType": "application/x-protobuf", "payload": {"type": "string"}}, "content type"),
        ({"name": "Empty"}, "declares no payload"),
    ],
)
async def test_a_format_that_cannot_be_checked_is_said_and_not_passed_over(
    tmp_path: Path, message: dict[str, Any], why: str
) -> None:
    document = json.loads(json.dumps(V3))
    document["components"]["messages"]["Created"] = message
    index = await contracts(tmp_path, asyncapi_yaml=document)
    contract = found(index, "orders.eu.created")
    fit = index.fit(contract, GOOD, HEADERS)
    assert why in contract.unchecked
    assert (fit.against, fit.problems) == (None, ())
    assert why in fit.unchecked


async def test_a_format_nobody_checks_is_said_beside_the_fit(tmp_path: Path) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"type": "string", "format": "iban"}},
    }
    index = await contracts(tmp_path, schemas__payout_json=schema)
    fit = index.fit(found(index, "payout"), {"a": "x"}, {})
    assert fit.against
    assert "iban" in fit.unchecked


async def test_the_policy_decides_before_what_is_found(tmp_path: Path) -> None:
    strict = {"type": "object", "required": ["audit"]}
    files: dict[str, Any] = {"asyncapi_yaml": V3, "any__strict_json": strict}
    index = await contracts(tmp_path, {"orders.>": "any/strict.json", "orders.eu.*": "asyncapi.yaml#Created"}, **files)
    assert index.fit(found(index, "orders.us.created"), GOOD, HEADERS).problems == ("$: 'audit' is required",)
    assert index.fit(found(index, "orders.eu.created"), GOOD, HEADERS).against


@pytest.mark.parametrize(
    "reference", ["gone.json", "asyncapi.yaml#Nothing", "asyncapi.yaml#/channels/none", "../x.json"]
)
async def test_a_policy_entry_that_leads_nowhere_stops_the_call(tmp_path: Path, reference: str) -> None:
    index = await contracts(tmp_path, {"orders.>": reference}, asyncapi_yaml=V3)
    with pytest.raises(FailedPrecondition, match=r"contracts\.'orders\.>' in the policy"):
        index.contract_for("orders.eu.created")
    assert index.contract_for("other") is None


async def test_a_contract_named_by_the_caller_must_say_something(tmp_path: Path) -> None:
    index = await contracts(tmp_path, asyncapi_yaml=V3, free_json={"description": "whatever"}, order_json=ORDER)
    assert index.fit(index.forced("order.json", "x"), GOOD, {}).against == "order.json"
    assert index.fit(index.forced("asyncapi.yaml#/components/schemas/Order", "x"), GOOD, {}).against
    with pytest.raises(InvalidArgument, match="accepts everything"):
        index.forced("free.json", "x")
    with pytest.raises(NotFound, match=r"known: asyncapi\.yaml"):
        index.forced("nothing.json", "x")
    with pytest.raises(NotFound, match="Created"):
        index.forced("asyncapi.yaml#Other", "x")


async def test_a_broken_document_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    index = await contracts(
        tmp_path,
        a_yaml="asyncapi: 3.0.0\nchannels: [\n",
        b_json='{"asyncapi": ',
        c_yaml={"asyncapi": "1.0.0"},
        d_yaml=V3,
    )
    assert sorted(index.broken) == ["a.yaml", "b.json", "c.yaml"]
    assert "line" in index.broken["a.yaml"]
    assert index.contract_for("orders.eu.created")


async def test_yaml_dates_stay_the_text_that_a_message_carries(tmp_path: Path) -> None:
    text = "$schema: http://json-schema.org/draft-07/schema#\nproperties: {day: {enum: [2026-01-01, yes]}}\n"
    index = await contracts(tmp_path, events__closed_yaml=text)
    assert index.fit(found(index, "closed"), {"day": "2026-01-01"}, {}).against


async def test_a_document_of_aliases_upon_aliases_is_no_burden(tmp_path: Path) -> None:
    lines = ["asyncapi: 3.0.0", "a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}" for i in range(1, 12)]
    lines += ["channels: {c: {address: bomb, messages: {m: {payload: {properties: {p: *a11}}}}}}"]
    began = time.process_time()
    index = await contracts(tmp_path, asyncapi_yaml="\n".join(lines))
    assert index.fit(found(index, "bomb"), {}, {}).against
    assert time.process_time() - began < 5


async def test_schemas_that_refer_to_each_other_check_values_of_any_depth(tmp_path: Path) -> None:
    tree = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "required": ["n"],
        "properties": {"left": {"$ref": "#"}},
    }
    index = await contracts(tmp_path, schemas__tree_json=tree)
    assert index.fit(found(index, "tree"), {"n": 1, "left": {"n": 2, "left": {}}}, {}).problems == (
        "$.left.left: 'n' is required",
    )
    circle = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#"}
    index = await contracts(tmp_path, schemas__circle_json=circle)
    assert index.fit(found(index, "circle"), {}, {}).against is None


async def test_files_that_change_are_read_again_and_others_are_not(repository: Path) -> None:
    watch = Watch(workspace(repository), {})
    first = await watch.index()
    assert first.contract_for("orders.eu.created") is None
    assert await watch.index() is first
    (repository / "docs").mkdir()
    (repository / "docs" / "asyncapi.yaml").write_text(yaml.safe_dump(V3))
    second = await watch.index()
    assert second.contract_for("orders.eu.created")
    (repository / "docs" / "asyncapi.yaml").write_text(yaml.safe_dump(V3).replace("orders.{region}", "sales.{region}"))
    third = await watch.index()
    assert third.contract_for("orders.eu.created") is None
    assert third.contract_for("sales.eu.created")
    git(repository, "add", ".")
    (repository / "docs" / "asyncapi.yaml").unlink()
    assert (await watch.index()).contract_for("sales.eu.created") is None


async def test_data_of_tests_declares_nothing(tmp_path: Path) -> None:
    index = await contracts(tmp_path, tests__fixtures__asyncapi_yaml=V3, node_modules__x__asyncapi_yaml=V3)
    assert index.contract_for("orders.eu.created") is None


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("orders.*", "orders.a", "orders.a.b"),
        ("orders.>", "orders.a.b", "orders"),
        ("*.created", "orders.created", "created"),
        ("orders.created", "orders.created", "orders.Created"),
        (">", "x", ""),
    ],
)
def test_wildcards_mean_what_nats_means(pattern: str, fitting: str, other: str) -> None:
    assert subject(pattern).matches(fitting)
    assert not other or not subject(pattern).matches(other)
    assert subject(pattern).overlaps(subject(fitting))
    assert subject("orders.>").overlaps(subject("*.created"))
    assert not subject("orders.a.>").overlaps(subject("orders.b.*"))


def test_addresses_have_places_for_one_token_or_part_of_one() -> None:
    assert address("/chat/{room}", {}).matches("chat.blue")
    assert address("orders.v{version}", {"version": ("1", "2")}).matches("orders.v2")
    assert not address("orders.v{version}", {"version": ("1", "2")}).matches("orders.v3")
    assert not address("orders.{id}", {}).matches("orders.1.2")


class Evil:
    """Its pickle would run a program when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("owned",))


def wrapped(data: bytes) -> dict[str, Any]:
    """The same bytes in every form that a payload, as bytes or as JSON, can carry them."""
    text = base64.b64encode(data).decode()
    return {
        "bytes": data, "gzip": gzip.compress(data, mtime=0), "base64": text, "deep": {"body": [text]},
        "name": {text: 1},
        "url-safe": base64.urlsafe_b64encode(data).decode().rstrip("="), "lines": base64.encodebytes(data).decode(),
        "twice": base64.b64encode(text.encode()).decode(), "of gzip": base64.b64encode(gzip.compress(data)).decode(),
        "of zlib": base64.b64encode(zlib.compress(data)).decode(),
        "of bzip2": base64.b64encode(bz2.compress(data)).decode(),
        "of xz": base64.b64encode(lzma.compress(data)).decode(), "hex": data.hex(), "HEX": data.hex().upper(),
        "characters": data.decode("latin-1"), "link": f"data:application/octet-stream;base64,{text}",
        "JSON as bytes": json.dumps({"a": text}).encode(), "JSON as text": json.dumps({"a": [text]}),
        "JSON in gzip": gzip.compress(json.dumps({"a": text}).encode()),
    }  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"id": 1}, [1, "x", 2], Evil()], ids=["dict", "list", "evil"])
def test_a_pickle_is_recognised_in_every_protocol_and_wrapping(protocol: int, value: object) -> None:
    for form, payload in wrapped(pickle.dumps(value, protocol)).items():
        assert unsafe_format(payload) == "Python pickle", form


def test_a_java_object_is_recognised_in_every_wrapping() -> None:
    for form, payload in wrapped(b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07").items():
        assert unsafe_format(payload) == "Java serialisation", form


def test_random_bytes_and_words_are_not_taken_for_code() -> None:
    chance = random.Random(5)
    for _ in range(int(os.environ.get("MORE_BYTES", "400"))):
        data = chance.randbytes(chance.randint(6, 60))
        for payload in (data, base64.b64encode(data).decode(), data.hex(), data.decode("latin-1")):
            assert unsafe_format(payload) is None, data


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap", "Java serialisation"),
        (b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x0c", ".NET BinaryFormatter"),
        (pickle.dumps({"id": 1}, 4) + b"and more", "Python pickle"),
        (pickle.dumps({"id": 1}, 4)[:-1], "Python pickle"),
    ],
)
def test_other_formats_that_run_code_are_recognised(data: bytes, name: str) -> None:
    assert unsafe_format(data) == name


@pytest.mark.parametrize(
    "payload",
    [b"", b".", b"N.", b"Hello.", b"1.", b'{"a": 1}', b"\x80", b"\x08\x96\x01", b"\x80\x02",
     gzip.compress(b"plain", mtime=0), b"plain,csv\n1,2.", "gAI is a word.",
     {"a": ["rO0A", "gASx"]}, None, 3, "Is it (really) done.", b"0123."],
)  # fmt: skip
def test_honest_payloads_are_not_taken_for_code(payload: Any) -> None:
    assert unsafe_format(payload) is None


@pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not here")
async def test_every_asyncapi_document_of_the_corpus_is_read() -> None:
    folders = [folder for folder in (CORPORA / "contracts_corpus").iterdir() if "async" in folder.name]
    assert folders
    for folder in folders:
        index = await Watch(workspace(folder), {}).index()
        assert not index.broken
        assert index.channels
