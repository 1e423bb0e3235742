"""api_contract: finds specifications by content, shows them in brief, asks what they leave open."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.contracts import reading, sources, specs
from mcp_backend.settings import Workspace
from tests.conftest import CORPORA, ERAS, Connect, Era
from tests.service import Answer, ask, refused, write

CASES = CORPORA / "contracts_corpus"
GAPS = sorted(p.parent.name for p in CASES.glob("gap-*/case.json"))
SPEC = """\
openapi: 3.1.0
info: {title: Orders, version: 1.2.0}
servers: [{url: https://api.example.com/v1}]
security: [{key: []}]
paths:
  /orders:
    $ref: 'paths/orders.yaml'
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      operationId: getOrder
      summary: One order
      responses:
        200: {description: ok, content: {application/json: {schema: {$ref: 'schemas.yaml#/Order'}}}}
        404: {description: none}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
"""
PATHS = """\
get:
  operationId: listOrders
  parameters:
  - {name: limit, in: query, schema: {type: integer, maximum: 100}}
  responses:
    '200':
      description: ok
      content: {application/json: {schema: {type: array, items: {$ref: '../schemas.yaml#/Order'}}}}
    '401': {description: no key}
"""
SCHEMAS = """\
Order:
  type: object
  required: [id, parent]
  properties:
    id: {type: integer}
    on: {type: boolean}
    parent: {oneOf: [{$ref: '#/Order'}, {type: 'null'}]}
    far: {$ref: 'https://example.com/far.json'}
"""


@pytest.mark.parametrize("era", ERAS)
async def test_specifications_are_found_by_content_and_shown_in_brief(
    repository: Path, connect: Connect, era: Era
) -> None:
    put(repository, "api/orders.yaml", SPEC)
    put(repository, "api/paths/orders.yaml", PATHS)
    put(repository, "api/schemas.yaml", SCHEMAS)
    put(repository, "config.yaml", "service:\n  openapi: 3\n")
    async with connect(repository, mode=era) as client:
        shown = await ask(client, "api_contract")
        assert (shown["path"], shown["version"], shown["title"]) == ("api/orders.yaml", "3.1.0", "Orders")
        assert [line.partition("(")[0] for line in texts(shown["operations"])] == ["GET /orders", "GET /orders/{id}"]
        far = next(g for g in gaps_of(shown) if g["id"] == "unresolved-ref")
        assert far["where"] == "https://example.com/far.json"
        assert far["severity"] == "block"
        assert len(far["readings"]) >= 2
        one = await ask(client, "api_contract", operation="getOrder")
        assert one["operation"] == "GET /orders/{id}"
        assert one["schemas"]["Order"].startswith("{id: integer, on?: boolean, parent: Order | null")


async def test_a_gap_keeps_its_key_when_the_specification_changes_elsewhere(repository: Path, connect: Connect) -> None:
    put(
        repository,
        "api.yaml",
        SPEC.replace("    $ref: 'paths/orders.yaml'\n", "    get: {responses: {200: {description: ok}}}\n"),
    )
    async with connect(repository) as client:
        before = {g["where"]: g["key"] for g in gaps_of(await ask(client, "api_contract"))}
        put(repository, "api.yaml", (repository / "api.yaml").read_text().replace("title: Orders", "title: New orders"))
        after = await ask(client, "api_contract", path="api.yaml")
        assert after["title"] == "New orders"
        assert {g["where"]: g["key"] for g in gaps_of(after)} == before
        assert before


async def test_what_is_missing_is_answered_with_what_is_there(repository: Path, connect: Connect) -> None:
    async with connect(repository) as client:
        for name, given in (("api_contract", {}), ("check_contract", {"implementation": "auto"})):
            error = await refused(client, name, **given)
            assert (error["code"], error["reason"].partition(".")[0]) == (
                "not_found", "this repository has no OpenAPI, protobuf, GraphQL or AsyncAPI specification",
            )  # fmt: skip
        put(repository, "api.yaml", SPEC.replace("    $ref: 'paths/orders.yaml'\n", "    {}\n"))
        assert "api.yaml" in (await refused(client, "api_contract", path="other.yaml"))["reason"]
        assert "GET /orders/{id}" in (await refused(client, "api_contract", operation="deleteOrder"))["reason"]
        put(repository, "api.yaml", "openapi: 3.0.3\npaths: [\n")
        broken = await refused(client, "api_contract", path="api.yaml")
        assert (broken["code"], "not valid YAML" in broken["reason"]) == ("failed_precondition", True)


async def test_a_large_specification_is_paged_and_searched_within_the_budget(
    repository: Path, connect: Connect
) -> None:
    paths: dict[str, Any] = {
        f"/things{i}": {
            "get": {
                "operationId": f"listThings{i}",
                "tags": [f"t{i % 7}"],
                "responses": {"200": {"description": "x" * 200}},
            }
        }
        for i in range(600)
    }
    put(repository, "openapi.json", json.dumps({"openapi": "3.0.3", "info": {"title": "Big"}, "paths": paths}))
    async with connect(repository) as client:
        page = await ask(client, "api_contract")
        assert len(json.dumps(page)) < 8200
        names: list[str] = []
        while True:
            names += texts(page["operations"])
            if not page["truncated"]:
                break
            page = await ask(client, "api_contract", after=page["next"])
        assert len(names) == len(set(names)) == 600
        assert (await ask(client, "api_contract", search="listThings599"))["found"] == 1


async def test_protobuf_whose_imports_are_not_in_the_repository_is_read_without_their_options(
    repository: Path, connect: Connect
) -> None:
    put(repository, "proto/shop/v1/shop.proto", """\
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "acme/money.proto";
import "google/protobuf/timestamp.proto";
service Shop {
  // Finds one, see option (x) in "option (y) = ;".
  rpc Find(FindRequest) returns (Thing) {
    option (google.api.http) = { get: "/v1/{id}" additional_bindings { get: "/v2/{id}" } };
  }
}
message FindRequest { string id = 1 [(buf.validate.field).string = {min_len: 1, pattern: "[;]"}, deprecated = true]; }
message Thing { acme.Money price = 1; google.protobuf.Timestamp at = 2; map<string, Thing> parts = 3; }
""")  # fmt: skip
    async with connect(repository) as client:
        shown = await ask(client, "api_contract")
        assert (shown["path"], shown["kind"]) == ("proto", "protobuf")
        assert shown["imports_not_here"] == ["acme/money.proto", "google/api/annotations.proto"]
        one = await ask(client, "api_contract", operation="Find")
        assert "acme.Money price = 1" in one["types"]["shop.v1.Thing"]
        assert "map<string, shop.v1.Thing> parts = 3" in one["types"]["shop.v1.Thing"]


async def test_a_graphql_schema_in_several_files_is_one_specification(repository: Path, connect: Connect) -> None:
    put(repository, "schema/root.graphql", "type Query { order(id: ID!): Order }\n")
    put(
        repository,
        "schema/parts/order.graphql",
        "type Order { id: ID! placedAt: String }\nextend type Query { raw: Json }\nscalar Json\n",
    )
    put(repository, "queries/order.graphql", "query Order { order(id: 1) { id } }\n")
    async with connect(repository) as client:
        shown = await ask(client, "api_contract")
        assert shown["path"] == "schema"
        assert {g["id"] for g in gaps_of(shown)} == {"date-without-format", "free-form-scalar"}
        assert (await ask(client, "api_contract", operation="Query.order"))["types"][
            "Order"
        ] == "type Order { id: ID! placedAt: String }"


async def test_the_resource_shows_what_the_tool_shows(repository: Path, connect: Connect) -> None:
    put(repository, "api/schema.graphql", "type Query { a: Int }\n")
    async with connect(repository) as client:
        contents: Any = (await client.read_resource("contract://api/schema.graphql")).contents
        assert json.loads(contents[0].text)["operations"] == ["Query.a: Int"]


def test_examples_of_bodies_and_parameters_fit_and_a_schema_that_takes_anything_says_nothing(tmp_path: Path) -> None:
    document = """
openapi: 3.1.0
info: {title: notes, version: '1'}
paths:
  /notes:
    post:
      parameters: [{name: size, in: query, example: 500, schema: {type: integer, maximum: 100}}]
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Note'}
            examples: {good: {value: {text: a}}, bad: {$ref: '#/components/examples/Bad'}}
      responses:
        '200': {description: ok, content: {application/json: {schema: {}, example: {a: 1}}}}
components:
  examples: {Bad: {value: {text: 5}}}
  schemas: {Note: {type: object, properties: {text: {type: string}}}}
"""
    write(tmp_path, {"api.yaml": document})
    source = sources.work_tree(Workspace(tmp_path, tmp_path / "state", False))
    found = {(g.id, g.where) for g in reading.contract(source, specs.find(source)[0]).gaps}
    assert found >= {
        ("response-schema-missing", "POST /notes 200"),
        ("example-contradicts-schema", "POST /notes size"),
        ("example-contradicts-schema", "POST /notes body"),
    }
    assert ("example-contradicts-schema", "POST /notes 200") not in found


@pytest.mark.skipif(not GAPS, reason="the corpus is not here")
async def test_the_gaps_of_the_corpus_are_found_and_clean_ones_stay_silent(tmp_path: Path, connect: Connect) -> None:
    missed: list[str] = []
    false: list[str] = []
    for number, name in enumerate(GAPS):
        shutil.copytree(CASES / name, tmp_path / f"work{number}", ignore=shutil.ignore_patterns("case.json"))
    async with connect(tmp_path) as client:
        for number, name in enumerate(GAPS):
            case = json.loads((CASES / name / "case.json").read_text())
            found = gaps_of(await ask(client, "api_contract", path=f"work{number}/{case['spec']}"))
            expected = [(g["gap"], g["at"]) for g in case["expect"]["gaps"]]
            missed += [
                f"{name}: {e}" for e in expected if not any(g["id"] == e[0] and e[1] in g["where"] for g in found)
            ]
            known = {gap for gap, _ in expected}
            others = [g["id"] for g in found if g["severity"] != "note" and g["id"] not in known]
            false += [f"{name}: {others}"] if others else []
    assert (missed, false) == ([], [])


def put(root: Path, path: str, text: str) -> None:
    write(root, {path: text})


def gaps_of(answer: Answer) -> list[dict[str, Any]]:
    return list(answer["gaps"])


def texts(values: Any) -> list[str]:
    return [str(value) for value in values]


async def test_what_is_hard_to_read_is_read_or_named(repository: Path, connect: Connect) -> None:
    head = "openapi: 3.1.0\ninfo: {title: a, version: '1'}\n"
    merged = "x-b: &b {responses: {'200': {description: ok}}}\npaths: {/a: {get: {<<: *b, operationId: x}}}\n"
    slow = "{name: q, in: query, schema: {type: string, pattern: '^(a+)+$', example: '" + "a" * 40 + "!'}}"
    put(repository, "merged.yaml", head + merged)
    put(repository, "twice.yaml", f"{head}paths:\n  /a: {{}}\n  /a: {{}}\n")
    put(repository, "slow.yaml", f"{head}paths: {{/a: {{get: {{parameters: [{slow}]}}}}}}\n")
    async with connect(repository) as client:
        assert (await ask(client, "api_contract", path="merged.yaml"))["operations"] == ["GET /a() → 200"]
        assert "'/a' is there twice" in (await refused(client, "api_contract", path="twice.yaml"))["reason"]
        assert "example-contradicts-schema" in {
            g["id"] for g in gaps_of(await ask(client, "api_contract", path="slow.yaml"))
        }
