# ruff: noqa: E501 - one change, one line: tables read best so
"""Changes of specifications: what breaks clients is called by its name, what does not stays silent."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from mcp_backend.contracts import revisions, sources, specs
from mcp_backend.settings import Workspace
from tests.conftest import CORPORA, ERAS, Connect, Era, git
from tests.service import ask, refused, write

CASES = CORPORA / "contracts_corpus"
BREAKING = sorted(p.parent.name for p in CASES.glob("*/case.json") if json.loads(p.read_text())["check"] == "breaking")
TODAY = date(2026, 11, 25)
Edit: TypeAlias = Callable[[dict[str, Any]], object]
SHOP = """\
openapi: 3.0.3
info: {title: Shop, version: 1.0.0}
servers: [{url: 'https://api.example.com/v1'}]
security: [{key: []}]
paths:
  /items/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      parameters:
      - {name: sort, in: query, schema: {type: string, enum: [a, b], default: a}}
      - {name: q, in: query, schema: {type: string, maxLength: 50}}
      - {name: limit, in: query, allowEmptyValue: true, schema: {type: integer, maximum: 100, default: 20}}
      - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 9}}}
      - {name: old, in: query, deprecated: true, x-sunset: '2027-01-01', schema: {type: string}}
      responses:
        '200':
          description: ok
          headers: {X-Total: {required: true, schema: {type: integer}}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Item'}}
            text/csv: {schema: {type: string}}
        '404': {description: none}
    put:
      security: [{key: []}, {login: [read]}]
      requestBody:
        content:
          application/json: {schema: {$ref: '#/components/schemas/New'}}
          application/xml: {schema: {type: string}}
          text/plain: {}
      responses: {'200': {description: ok}, '204': {description: same}}
      callbacks:
        done:
          '{$request.body#/url}':
            post:
              requestBody: {content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}}
              responses: {'200': {description: ok}}
    delete: {security: [], responses: {'204': {description: gone}}}
webhooks: {sold: {post: {responses: {'200': {description: ok}}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    login: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.example.com/token', scopes: {read: r}}}}
  schemas:
    Card: {type: object, required: [kind, pan], properties: {kind: {type: string, enum: [card]}, pan: {type: string}}}
    Bank: {type: object, required: [kind, iban], properties: {kind: {type: string, enum: [bank]}, iban: {type: string}}}
    Pay: {oneOf: [{$ref: '#/components/schemas/Card'}, {$ref: '#/components/schemas/Bank'}]}
    New:
      type: object
      required: [name]
      properties:
        name: {type: string, minLength: 1, maxLength: 80}
        code: {type: [string, integer], maxLength: 9}
        state: {type: string, enum: [draft, live]}
        note: {type: string, nullable: true}
        price: {type: integer, maximum: 1000}
        weight: {type: number, maximum: 9.5}
        tags: {type: array, maxItems: 20, items: {type: string}}
        pay: {$ref: '#/components/schemas/Pay'}
        id: {type: integer, readOnly: true}
    Item:
      type: object
      required: [id, name, state]
      properties:
        id: {type: integer}
        name: {type: string, maxLength: 80}
        state: {type: string, enum: [draft, live]}
        price: {type: integer}
        parent: {allOf: [{$ref: '#/components/schemas/Item'}], nullable: true}
        pay: {$ref: '#/components/schemas/Pay'}
"""


def new(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda d: d["components"]["schemas"]["New"]["properties"].setdefault(name, {})


def item(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda d: d["components"]["schemas"]["Item"]["properties"].setdefault(name, {})


def get(d: dict[str, Any]) -> dict[str, Any]:
    return d["paths"]["/items/{id}"]["get"]


def put(d: dict[str, Any]) -> dict[str, Any]:
    return d["paths"]["/items/{id}"]["put"]


def schemas(d: dict[str, Any]) -> dict[str, Any]:
    return d["components"]["schemas"]


def moved(d: dict[str, Any]) -> None:
    d["paths"]["/items/{item_id}"] = d["paths"].pop("/items/{id}")
    d["paths"]["/items/{item_id}"]["parameters"][0]["name"] = "item_id"


def renamed(d: dict[str, Any]) -> None:
    text = json.dumps(d).replace("schemas/Item", "schemas/Thing")
    d.update(json.loads(text))
    schemas(d)["Thing"] = schemas(d).pop("Item")


def newer(d: dict[str, Any]) -> None:
    d["openapi"] = "3.1.0"
    new("note")(d).clear()
    new("note")(d).update({"type": ["string", "null"]})
    item("parent")(d).clear()
    item("parent")(d).update({"anyOf": [{"$ref": "#/components/schemas/Item"}, {"type": "null"}]})


def required(d: dict[str, Any], name: str, about: dict[str, Any]) -> None:
    new(name)(d).update(about)
    schemas(d)["New"]["required"].append(name)


CHANGES: list[tuple[str, Edit]] = [
    ("request-property-max-length-decreased", lambda d: new("code")(d).pop("type") and new("code")(d).update(oneOf=[{"type": "string", "maxLength": 3}, {"type": "integer"}])),
    ("request-parameter-serialization-changed", lambda d: get(d)["parameters"][1].update(content={"application/json": {"schema": get(d)["parameters"][1].pop("schema")}})),
    ("request-property-unique-items-changed", lambda d: new("tags")(d).update(uniqueItems=True)),
    ("api-path-removed-without-deprecation", lambda d: d["paths"].clear()),
    ("api-removed-without-deprecation", lambda d: d["paths"]["/items/{id}"].pop("delete")),
    ("api-security-added", lambda d: d["paths"]["/items/{id}"]["delete"].pop("security")),
    ("new-required-request-parameter", lambda d: get(d)["parameters"].append({"name": "x", "in": "query", "required": True, "schema": {"type": "string"}})),
    ("new-required-request-property", lambda d: required(d, "sku", {"type": "string"})),
    ("new-required-request-property-with-default", lambda d: required(d, "sku", {"type": "string", "default": "x"})),
    ("request-body-became-required", lambda d: put(d)["requestBody"].update(required=True)),
    ("request-body-media-type-removed", lambda d: put(d)["requestBody"]["content"].pop("application/xml")),
    ("request-body-wrapped-in-one-of", lambda d: put(d)["requestBody"]["content"]["application/json"].update(schema={"oneOf": [{"$ref": "#/components/schemas/New"}, {"$ref": "#/components/schemas/Card"}]})),
    ("request-parameter-became-enum", lambda d: get(d)["parameters"][1]["schema"].update(enum=["x"])),
    ("request-parameter-became-required", lambda d: get(d)["parameters"][1].update(required=True)),
    ("request-parameter-default-value-removed", lambda d: get(d)["parameters"][2]["schema"].pop("default")),
    ("request-body-media-type-schema-added", lambda d: put(d)["requestBody"]["content"].update({"text/plain": {"schema": {"type": "string"}}})),
    ("request-property-became-required-with-default", lambda d: (schemas(d)["New"]["required"].append("state"), new("state")(d).update(default="draft"))),
    ("response-property-one-of-added", lambda d: (schemas(d).update(Cash={"type": "object", "required": ["kind"], "properties": {"kind": {"const": "cash"}}}), schemas(d)["Pay"]["oneOf"].append({"$ref": "#/components/schemas/Cash"}))),
    ("webhook-removed", lambda d: d["webhooks"].pop("sold")),
    ("request-parameter-removed-before-sunset", lambda d: get(d)["parameters"].pop(4)),
    ("request-parameter-default-value-changed", lambda d: get(d)["parameters"][2]["schema"].update(default=10)),
    ("request-parameter-enum-value-removed", lambda d: get(d)["parameters"][0]["schema"]["enum"].remove("b")),
    ("request-parameter-max-decreased", lambda d: get(d)["parameters"][2]["schema"].update(maximum=50)),
    ("request-parameter-max-length-decreased", lambda d: get(d)["parameters"][3]["schema"]["items"].update(maxLength=5)),
    ("request-parameter-max-length-decreased", lambda d: get(d)["parameters"][1]["schema"].update(maxLength=5)),
    ("request-parameter-type-changed", lambda d: d["paths"]["/items/{id}"]["parameters"][0].update(schema={"type": "string", "format": "uuid"})),
    ("request-property-became-not-nullable", lambda d: new("note")(d).pop("nullable")),
    ("request-property-became-required", lambda d: schemas(d)["New"]["required"].append("state")),
    ("request-property-enum-value-removed", lambda d: new("state")(d)["enum"].remove("live")),
    ("request-property-max-decreased", lambda d: new("price")(d).update(maximum=10)),
    ("request-property-max-items-decreased", lambda d: new("tags")(d).update(maxItems=2)),
    ("request-property-min-length-increased", lambda d: new("name")(d).update(minLength=2)),
    ("request-property-pattern-added", lambda d: new("name")(d).update(pattern="^a")),
    ("request-property-type-changed", lambda d: new("price")(d).update(type="string")),
    ("required-response-header-removed", lambda d: get(d)["responses"]["200"].pop("headers")),
    ("response-media-type-removed", lambda d: get(d)["responses"]["200"]["content"].pop("text/csv")),
    ("response-property-became-nullable", lambda d: item("name")(d).update(nullable=True)),
    ("response-property-became-optional", lambda d: schemas(d)["Item"]["required"].remove("name")),
    ("response-property-max-length-increased", lambda d: item("name")(d).update(maxLength=90)),
    ("response-property-type-changed", lambda d: item("id")(d).update(type="string")),
    ("response-property-type-generalized", lambda d: item("price")(d).update(type="number")),
    ("response-required-property-removed", lambda d: (item("name")(d), schemas(d)["Item"]["properties"].pop("name"))),
    ("response-success-status-removed", lambda d: put(d)["responses"].pop("204")),
    ("server-path-changed", lambda d: d["servers"][0].update(url="https://api.example.com/v2")),
    ("request-parameter-serialization-changed", lambda d: get(d)["parameters"][3].update(explode=False)),
    ("api-security-alternative-removed", lambda d: (d.update(security=[{"door": []}]), d["components"]["securitySchemes"].update(door={"type": "http", "scheme": "basic"}))),
    ("response-property-type-changed", lambda d: item("pay")(d).update({"$ref": "#/components/schemas/Item"})),
    ("response-property-type-changed", lambda d: get(d)["responses"]["200"]["headers"]["X-Total"].update(schema={"type": "string"})),
    ("response-required-property-removed", lambda d: put(d)["callbacks"]["done"]["{$request.body#/url}"]["post"]["requestBody"]["content"]["application/json"].update(schema={"type": "object"})),
    ("callback-removed", lambda d: put(d).pop("callbacks")),
    ("api-security-added", lambda d: d.update(security=[{"key": [], "login": ["read"]}])),
    ("server-path-changed", lambda d: put(d).update(servers=[{"url": "https://api.example.com/v2"}])),
    ("server-path-changed", lambda d: d.update(servers=[{"url": "https://{host}/{v}", "variables": {"host": {"default": "a.example"}, "v": {"default": "v2", "enum": ["v2", "v3"]}}}])),
    ("request-parameter-max-decreased", lambda d: get(d)["parameters"][2].update(schema={"maximum": 100, "default": 20, "allOf": [{"type": "integer", "maximum": 50}]})),
    ("request-parameter-default-value-changed", lambda d: get(d)["parameters"][2].update(schema={"maximum": 100, "allOf": [{"type": "integer", "default": 10}]})),
    ("request-property-max-decreased", lambda d: new("weight")(d).update(exclusiveMaximum=True)),
    ("request-property-max-decreased", lambda d: (new("weight")(d).pop("maximum"), new("weight")(d).update(exclusiveMaximum=9.5))),
    ("request-property-one-of-removed", lambda d: new("pay")(d).update({"$ref": "#/components/schemas/Card"})),
]  # fmt: skip
RISKY: list[tuple[str, Edit]] = [
    ("request-parameter-empty-value-forbidden", lambda d: get(d)["parameters"][2].pop("allowEmptyValue")),
    ("api-security-scope-added", lambda d: put(d)["security"][1]["login"].append("write")),
    ("request-parameter-removed", lambda d: get(d)["parameters"].pop(1)),
    ("request-property-removed", lambda d: schemas(d)["New"]["properties"].pop("tags")),
    ("response-optional-property-removed", lambda d: schemas(d)["Item"]["properties"].pop("price")),
    ("response-property-enum-value-added", lambda d: item("state")(d)["enum"].append("sold")),
    (
        "api-security-component-oauth-token-url-changed",
        lambda d: d["components"]["securitySchemes"]["login"]["flows"]["clientCredentials"].update(
            tokenUrl="https://other.example.com/token"
        ),
    ),
]
SILENT: list[tuple[str, Edit]] = [
    ("a field of several types is written as alternatives", lambda d: new("code")(d).pop("type") and new("code")(d).update(anyOf=[{"type": "string"}, {"type": "integer"}])),
    ("a limit of an integer is written as an exclusive one", lambda d: (new("price")(d).pop("maximum"), new("price")(d).update(exclusiveMaximum=1001))),
    ("the path's parameter has another name", moved),
    ("a component has another name", renamed),
    ("null is written as 3.1 writes it", newer),
    ("a read-only field is required", lambda d: schemas(d)["New"]["required"].append("id")),
    ("fields stand in another order", lambda d: schemas(d)["Item"].update(properties=dict(reversed(list(schemas(d)["Item"]["properties"].items()))))),
    ("a request takes more", lambda d: (new("price")(d).update(type="number"), new("state")(d)["enum"].append("sold"), new("sku")(d).update(type="string"), new("name")(d).update(maxLength=100))),
    ("a response says more exactly what it holds", lambda d: (item("name")(d).update(maxLength=10), item("state")(d)["enum"].remove("live"), schemas(d)["Item"]["required"].append("price"))),
    ("an error is no longer described", lambda d: get(d)["responses"].pop("404")),
    ("an alternative is accepted in addition", lambda d: new("pay")(d).update({"oneOf": [{"$ref": "#/components/schemas/Card"}, {"$ref": "#/components/schemas/Bank"}, {"type": "string"}]}) or new("pay")(d).pop("$ref")),
    ("credentials are no longer asked for", lambda d: put(d).update(security=[])),
    ("the version went from the server into the path", lambda d: (d["servers"][0].update(url="https://api.example.com"), d.update(paths={f"/v1{p}": about for p, about in d["paths"].items()}))),
    ("a server answers at one more value of its variable", lambda d: d.update(servers=[{"url": "https://api.example.com/{v}", "variables": {"v": {"default": "v2", "enum": ["v1", "v2"]}}}])),
    ("a scheme has another name", lambda d: (d["components"]["securitySchemes"].update(token=d["components"]["securitySchemes"].pop("key")), d.update(security=[{"token": []}]), put(d)["security"][0].update(token=put(d)["security"][0].pop("key")))),
]  # fmt: skip


def compared(folder: Path, old: str, later: str, name: str = "api.yaml") -> dict[str, set[str]]:
    for side, text in (("old", old), ("new", later)):
        write(folder, {f"{side}/{name}": text})
    source = sources.work_tree(Workspace(folder, folder / "state", False))
    one, two = specs.find(source, f"old/{name}")[0], specs.find(source, f"new/{name}")[0]
    found = revisions.between(source, one, source, two, TODAY)
    return {level: {c.id for c in found if c.level == level} for level in ("breaking", "risky")}


def edited(edit: Edit) -> str:
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(SHOP))
    edit(document)
    return yaml.safe_dump(document, sort_keys=False)


ORDER = """
import sys
from datetime import date
from pathlib import Path
from mcp_backend.contracts import revisions, sources, specs
from mcp_backend.settings import Workspace
folder = Path(sys.argv[1])
source = sources.work_tree(Workspace(folder, folder / "state", False))
for name in ("api.yaml", "shop.proto"):
    one, two = specs.find(source, f"old/{name}")[0], specs.find(source, f"new/{name}")[0]
    for change in revisions.between(source, one, source, two, date(2026, 11, 25)):
        print(change)
"""


def test_changes_are_told_in_the_same_order_by_every_server(tmp_path: Path) -> None:
    statuses = {str(status): {"description": "no"} for status in range(400, 430)}
    more = [{"name": f"p{n}", "in": "query", "schema": {"type": "string"}} for n in range(30)]
    later = edited(lambda d: (get(d)["responses"].update(statuses), get(d)["parameters"].extend(more)))
    fields = "".join(f"string f{n} = {n}; " for n in range(1, 30))
    values = "".join(f" message M{n} {{}}" for n in range(30))
    write(tmp_path, {"old/api.yaml": SHOP, "new/api.yaml": later})
    proto = 'syntax = "proto3"; package shop; message Item { '
    write(tmp_path, {"old/shop.proto": f"{proto} }}", "new/shop.proto": f"{proto} {fields}}} {values}"})
    told = [
        subprocess.run(
            [sys.executable, "-c", ORDER, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told[0].count("\n") > 80
    assert told[0] == told[1]


@pytest.mark.parametrize(("word", "edit"), CHANGES, ids=[c[0] for c in CHANGES])
def test_what_breaks_clients_of_an_api_is_named(word: str, edit: Edit, tmp_path: Path) -> None:
    found = compared(tmp_path, SHOP, edited(edit))
    assert found["breaking"] == {word}


@pytest.mark.parametrize(("word", "edit"), RISKY, ids=[c[0] for c in RISKY])
def test_what_may_break_clients_is_a_risk(word: str, edit: Edit, tmp_path: Path) -> None:
    assert compared(tmp_path, SHOP, edited(edit)) == {"breaking": set(), "risky": {word}}


@pytest.mark.parametrize(("what", "edit"), SILENT, ids=[c[0] for c in SILENT])
def test_what_no_client_notices_is_neither(what: str, edit: Edit, tmp_path: Path) -> None:
    assert compared(tmp_path, SHOP, edited(edit)) == {"breaking": set(), "risky": set()}, what


def test_an_alternative_that_goes_breaks_requests_and_one_that_comes_breaks_responses(tmp_path: Path) -> None:
    fewer = edited(
        lambda d: schemas(d).update(Pay={"oneOf": [{"$ref": "#/components/schemas/Card"}, {"type": "string"}]})
    )
    assert compared(tmp_path, SHOP, fewer)["breaking"] == {
        "request-property-one-of-removed",
        "response-property-one-of-added",
    }
    wrapped = edited(
        lambda d: (
            item("price")(d).update({"anyOf": [{"type": "integer"}, {"type": "string"}]})
            or item("price")(d).pop("type")
        )
    )
    assert compared(tmp_path, SHOP, wrapped)["breaking"] == {"response-property-one-of-added"}


def test_an_alternative_without_demands_covers_only_those_whose_fields_it_has(tmp_path: Path) -> None:
    pets = """
openapi: 3.1.0
info: {title: pets, version: '1'}
paths:
  /pets:
    post:
      requestBody: {content: {application/json: {schema: {oneOf: [{$ref: '#dog'}, {$ref: '#/components/schemas/Fish'}]}}}}
      responses: {'200': {description: ok}}
webhooks:
  born:
    post: {requestBody: {content: {application/json: {schema: {$ref: '#dog'}}}}, responses: {'200': {description: ok}}}
components:
  schemas:
    Dog: {$anchor: dog, type: object, required: [name], properties: {name: {type: string}, tail: {type: integer}}}
    Fish: {type: object, properties: {fins: {type: integer}}}
"""
    fewer = pets.replace(", {$ref: '#/components/schemas/Fish'}", ", {type: string}")
    assert compared(tmp_path, pets, fewer)["breaking"] == {"request-property-one-of-removed"}
    like = pets.replace("{fins:", "{tail:").replace("required: [name], ", "")
    fewer = like.replace(", {$ref: '#/components/schemas/Fish'}", ", {type: string}")
    assert compared(tmp_path, like, fewer) == {"breaking": set(), "risky": {"request-property-one-of-removed"}}
    hidden = pets.replace(
        "name: {type: string}", "name: {type: string, writeOnly: true}"
    )  # the webhook sends it no more
    assert compared(tmp_path, pets, hidden)["breaking"] == {"response-required-property-removed"}
    stored = pets.replace("tail: {type: integer}", "tail: {type: integer, readOnly: true}")
    assert compared(tmp_path, pets, stored)["risky"] == {"request-property-removed"}
    asked = stored.replace("required: [name]", "required: [name, tail]")
    again = asked.replace(", readOnly: true", "")
    assert compared(tmp_path, asked, again)["breaking"] == {"new-required-request-property"}


def test_operations_of_methods_without_a_field_of_their_own_are_compared(tmp_path: Path) -> None:
    old = """
openapi: 3.2.0
info: {title: files, version: '1'}
paths:
  /files:
    additionalOperations:
      COPY: {operationId: copy, responses: {'201': {description: made}}}
    get: {responses: {'200': {description: ok}}}
"""
    gone = old.replace("      COPY: {operationId: copy, responses: {'201': {description: made}}}\n", "      {}\n")
    assert compared(tmp_path, old, gone)["breaking"] == {"api-removed-without-deprecation"}


def test_the_base_path_of_version_2_is_part_of_every_address(tmp_path: Path) -> None:
    old = "swagger: '2.0'\ninfo: {title: a, version: '1'}\nbasePath: /v1\npaths: {/a: {get: {responses: {200: {description: ok}}}}}\n"
    assert compared(tmp_path, old, old.replace("/v1", "/v2"))["breaking"] == {"base-path-changed"}
    assert compared(tmp_path, old, old) == {"breaking": set(), "risky": set()}


EDITIONS = """\
edition = "2023";
package shop.v1;
import "google/protobuf/cpp_features.proto";
import "google/protobuf/java_features.proto";
message Item {
  extensions 100 to 199;
  int32 qty = 1;
  string name = 2;
  string code = 3;
  string text = 4;
  Item part = 5;
  int32 weight = 6 [default = 3];
  int32 plain = 7;
}
enum State { STATE_UNSPECIFIED = 0; }
enum Size { SIZE_UNSPECIFIED = 0; }
message Old { string a = 1; }
extend Item { int32 rank = 100; int32 gone = 101; }
"""
FEATURES = [
    ("int32 qty = 1;", "int32 qty = 1 [features.field_presence = IMPLICIT];", {"FIELD_SAME_CARDINALITY"}),
    ("string name = 2;", "string name = 2 [features.utf8_validation = NONE];", {"FIELD_SAME_UTF8_VALIDATION", "FIELD_SAME_JAVA_UTF8_VALIDATION"}),
    ("string code = 3;", "string code = 3 [features.(pb.cpp).string_type = VIEW];", {"FIELD_SAME_CPP_STRING_TYPE"}),
    ("string text = 4;", "string text = 4 [features.(pb.java).utf8_validation = VERIFY];", set[str]()),
    ("Item part = 5;", "Item part = 5 [features.message_encoding = DELIMITED];", {"FIELD_SAME_TYPE"}),
    ("[default = 3]", "[default = 4]", {"FIELD_SAME_DEFAULT"}),
    ("int32 plain = 7;", "int32 plain = 7 [default = 0];", set[str]()),
    ("enum State {", "enum State { option features.enum_type = CLOSED;", {"ENUM_SAME_TYPE"}),
    ("enum Size {", "enum Size { option features.json_format = LEGACY_BEST_EFFORT;", {"ENUM_SAME_JSON_FORMAT"}),
    ("message Old {", "message Old { option features.json_format = LEGACY_BEST_EFFORT;", {"MESSAGE_SAME_JSON_FORMAT"}),
    ("100 to 199", "100 to 149, 150 to 199", set[str]()),
    ("int32 rank", "string rank", {"FIELD_SAME_TYPE"}),
    (" int32 gone = 101;", "", {"EXTENSION_NO_DELETE"}),
]  # fmt: skip


def test_features_of_editions_and_extensions_are_compared_as_buf_does(tmp_path: Path) -> None:
    later, expected = EDITIONS, set[str]()
    for before, after, words in FEATURES:
        assert before in later
        later, expected = later.replace(before, after), expected | words
    assert compared(tmp_path, EDITIONS, later, "shop/v1/shop.proto")["breaking"] == expected


def test_what_an_edition_says_in_place_of_a_syntax_breaks_nothing_else(tmp_path: Path) -> None:
    old = (
        'syntax = "proto3";\npackage a;\nmessage A { int32 b = 1; optional string c = 2; map<string, int32> d = 3; }\n'
    )
    later = old.replace('syntax = "proto3";', 'edition = "2023";\noption features.field_presence = IMPLICIT;')
    later = later.replace("optional string c = 2", "string c = 2 [features.field_presence = EXPLICIT]")
    assert compared(tmp_path, old, later, "a/a.proto")["breaking"] == {"FILE_SAME_SYNTAX"}


def test_a_message_that_went_to_another_file_is_compared_there(tmp_path: Path) -> None:
    head = 'syntax = "proto3";\npackage a;\n'
    one, two = "message A { int32 b = 1; }\n", "message C {}\n"
    write(tmp_path, {"old/a/one.proto": head + one, "old/a/two.proto": head + two})
    write(tmp_path, {"new/a/one.proto": head, "new/a/two.proto": head + two + one.replace("int32", "string")})
    states = [sources.work_tree(Workspace(tmp_path / n, tmp_path / "state", False)) for n in ("old", "new")]
    found = revisions.compared(states[0], states[1], "", TODAY)
    assert {c.id for one in found for c in one.changes if c.level == "breaking"} == {"MESSAGE_NO_DELETE", "FIELD_SAME_TYPE"}  # fmt: skip
    write(tmp_path, {"broken/a/one.proto": head + "message {}"})
    broken = revisions.compared(states[0], sources.work_tree(Workspace(tmp_path / "broken", tmp_path / "state", False)), "", TODAY)  # fmt: skip
    assert "protoc: a/one.proto:3:" in broken[0].problem


EVENTS = """\
asyncapi: 3.0.0
info: {title: Orders, version: 1.0.0}
servers: {main: {host: mq.example.com, protocol: amqp}}
channels:
  created:
    address: orders.created
    messages:
      Created:
        headers: {type: object, required: [trace], properties: {trace: {type: string}}}
        payload:
          type: object
          required: [id, state]
          properties: {id: {type: integer}, state: {type: string, enum: [new, paid]}}
  cancel:
    address: orders.cancel
    messages: {Cancel: {payload: {type: object, properties: {id: {type: integer}, why: {type: string, maxLength: 50}}}}}
operations:
  onCreated: {action: send, channel: {$ref: '#/channels/created'}}
  cancel: {action: receive, channel: {$ref: '#/channels/cancel'}}
"""
EVENTS_2 = """\
asyncapi: 2.6.0
info: {title: Chat, version: 1.0.0}
channels:
  chat/{room}:
    parameters: {room: {schema: {type: string, enum: [a, b]}}}
    subscribe: {message: {payload: {type: object}, headers: {type: object}, traits: [{headers: {type: object, required: [tenant], properties: {tenant: {type: string}}}}]}}
"""


def test_names_of_parameters_of_an_address_and_headers_of_traits_are_compared(tmp_path: Path) -> None:
    renamed = EVENTS_2.replace("room", "place")
    assert compared(tmp_path, EVENTS_2, renamed) == {"breaking": set(), "risky": set()}
    fewer = renamed.replace("[a, b]", "[a]").replace("required: [tenant], properties: {tenant: {type: string}}", "")
    word = {"channel-parameter-enum-value-removed", "send-required-header-removed"}
    assert compared(tmp_path, EVENTS_2, fewer.replace("type: object, }", "type: object}"))["breaking"] == word


def test_an_input_of_which_one_field_may_be_given_now_breaks(tmp_path: Path) -> None:
    old = "type Query { a(by: By): Int }\ninput By { id: ID name: String }\n"
    later = old.replace("input By", "input By @oneOf")
    assert compared(tmp_path, old, later, "a.graphql") == {"breaking": {"INPUT_OBJECT_BECAME_ONE_OF"}, "risky": set()}
    assert compared(tmp_path, later, old, "a.graphql") == {"breaking": set(), "risky": set()}


EVENT_CHANGES = [
    ("server-protocol-changed", "protocol: amqp", "protocol: kafka"),
    ("operation-action-changed", "cancel: {action: receive", "cancel: {action: send"),
    ("operation-removed", "  cancel: {action: receive, channel: {$ref: '#/channels/cancel'}}\n", ""),
    ("send-property-type-changed", "{id: {type: integer}, state", "{id: {type: string}, state"),
    ("send-required-property-removed", "{id: {type: integer}, state", "{state"),
    ("send-required-header-removed", "headers: {type: object, required: [trace], properties: {trace: {type: string}}}", "headers: {type: object}"),
    ("send-required-header-removed", "        headers: {type: object, required: [trace], properties: {trace: {type: string}}}\n", ""),
    ("receive-property-max-length-decreased", "maxLength: 50", "maxLength: 5"),
    ("channel-address-changed", "address: orders.cancel", "address: orders.cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "before", "after"), EVENT_CHANGES)
def test_what_breaks_the_other_side_of_a_channel_is_named(word: str, before: str, after: str, tmp_path: Path) -> None:
    assert before in EVENTS
    assert compared(tmp_path, EVENTS, EVENTS.replace(before, after)) == {"breaking": {word}, "risky": set()}


def test_a_server_that_stands_elsewhere_is_a_risk(tmp_path: Path) -> None:
    moved = EVENTS.replace("mq.example.com", "mq2.example.com")
    assert compared(tmp_path, EVENTS, moved) == {"breaking": set(), "risky": {"server-address-changed"}}
    renamed = EVENTS.replace("main:", "production:")
    assert compared(tmp_path, EVENTS, renamed) == {"breaking": set(), "risky": set()}


def test_a_value_that_is_sent_in_addition_is_a_risk(tmp_path: Path) -> None:
    later = EVENTS.replace("[new, paid]", "[new, paid, sold]")
    assert compared(tmp_path, EVENTS, later) == {"breaking": set(), "risky": {"send-enum-value-added"}}
    assert compared(tmp_path, later, EVENTS) == {"breaking": set(), "risky": set()}


@pytest.mark.parametrize("era", ERAS)
async def test_the_specifications_are_compared_with_a_revision(repository: Path, connect: Connect, era: Era) -> None:
    write(
        repository,
        {
            "api.yaml": SHOP,
            "proto/shop/v1/a.proto": 'syntax = "proto3";\npackage shop.v1;\nmessage A { int64 id = 1; }\n',
        },
    )
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "specs")
    async with connect(repository, mode=era) as client:
        same = await ask(client, "check_contract", base="HEAD")
        assert (same["compatible"], same["changes"], same["counts"]["safe"]) == (True, [], 0)
        write(repository, {"api.yaml": edited(lambda d: item("name")(d).update(nullable=True))})
        write(
            repository, {"proto/shop/v1/a.proto": 'syntax = "proto3";\npackage shop.v2;\nmessage A { int64 id = 1; }\n'}
        )
        (repository / "later.graphql").write_text("type Query { a: Int }\n")
        found = await ask(client, "check_contract", base="HEAD")
        assert not found["compatible"]
        shown = {(c["id"], c["level"]): c for c in found["changes"]}
        assert set(shown) == {
            ("response-property-became-nullable", "breaking"),
            ("FILE_SAME_PACKAGE", "breaking"),
            ("specification-added", "safe"),
        }
        nullable = shown["response-property-became-nullable", "breaking"]
        assert (nullable["where"], nullable["operations"]) == ("Item.name", ["GET /items/{id}"])
        assert (await refused(client, "check_contract", base="nowhere"))["code"] == "not_found"
        assert "api.yaml" in (await refused(client, "check_contract", base="HEAD", path="other.yaml"))["reason"]


@pytest.mark.skipif(not BREAKING, reason="the corpus is not here")
async def test_the_changes_of_the_corpus_are_found_and_traps_stay_silent(tmp_path: Path, connect: Connect) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    cases = [(f"work{i}", json.loads((CASES / name / "case.json").read_text())) for i, name in enumerate(BREAKING)]
    for side in ("old_spec", "new_spec"):
        for folder, case in cases:
            origin, target = CASES / case["id"] / case[side], tmp_path / folder
            shutil.rmtree(target, ignore_errors=True)
            if origin.is_dir():
                shutil.copytree(origin, target)
            else:
                target.mkdir()
                shutil.copy(origin, target / f"spec{origin.suffix}")
        if side == "old_spec":
            git(tmp_path, "add", ".")
            git(tmp_path, "commit", "--quiet", "-m", "old")
    wrong: list[str] = []
    async with connect(tmp_path) as client:
        for folder, case in cases:
            found = await ask(client, "check_contract", path=folder, base="HEAD")
            for level in ("breaking", "risky"):
                ids = {c["id"] for c in found["changes"] if c["level"] == level}
                if ids != set(case["expect"].get(level, ids)):
                    wrong.append(f"{case['id']}: {level} {sorted(ids)}, expected {case['expect'][level]}")
    assert wrong == []
