# ruff: noqa: E501 - a specification is read best in few lines
"""check_contract with schemathesis, as the policy asks for it: what it may reach, and how its report is told."""

import base64
import http.client
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import policy
from mcp_backend.contracts import sources
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.service import deep, door
from mcp_backend.errors import InvalidArgument
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era, long_proof
from tests.service import ask, refused, write
from tests.test_call_api import Reply, always, serving

SPEC = """\
openapi: 3.1.0
info: {title: Items, version: '1'}
paths:
  /items:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 50}}]
      responses:
        '200': {description: OK, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Item'}}}}}
        '422': {description: refused}
    delete: {responses: {'204': {description: gone}}}
components:
  schemas:
    Item: {type: object, required: [id], properties: {id: {type: integer}}}
"""
DEEP = "[check_contract]\ndeep_seconds = 5\n"


@pytest.mark.parametrize("era", ERAS)
async def test_without_schemathesis_nothing_is_asked_and_how_to_get_it_is_said(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    write(repository, {"api.yaml": SPEC, policy.POLICY_FILE: DEEP})
    monkeypatch.setattr(deep, "PROGRAM", "schemathesis-that-is-not-here")
    with serving(always(200)) as (url, seen):
        async with connect(repository, mode=era) as client:
            error = await refused(client, "check_contract", url=url)
    assert error["code"] == "unavailable"
    assert "uv tool install" in error["reason"]
    assert not seen


def test_a_time_that_is_no_whole_number_is_refused(tmp_path: Path) -> None:
    for bad in ("true", '"30"', "-1", "301"):
        (tmp_path / policy.POLICY_FILE).write_text(f"[check_contract]\ndeep_seconds = {bad}\n")
        with pytest.raises(InvalidArgument, match=r"check_contract\.deep_seconds"):
            policy.load(tmp_path / policy.POLICY_FILE, ())


def test_only_questions_pass_the_door_and_credentials_are_added_there() -> None:
    given: list[str] = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        given.append(f"{headers.get('authorization')} {body!r}")
        return (204, {}, b"") if "none" in path else (200, {"X-More": "1"}, b"[]")

    with serving(answer) as (url, seen), door.opened(f"{url}/api", {"Authorization": "Bearer t"}) as there:

        def sent(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str | None]:
            connection = http.client.HTTPConnection("127.0.0.1", there.port, timeout=60)
            connection.request(method, path, body)
            answer = connection.getresponse()
            got = answer.status, answer.read(), answer.getheader("X-More")
            connection.close()
            return got

        assert sent("GET", "/items?limit=1", b"a body") == (200, b"[]", "1")
        assert sent("HEAD", "/items") == (200, b"", "1")
        assert sent("GET", "/none") == (204, b"", None)
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
            assert sent(method, "/items")[0] == 501
    assert seen == ["GET /api/items?limit=1", "HEAD /api/items", "GET /api/none"]
    assert given == ["Bearer t b''"] * 3
    assert (there.passed, there.refused) == (3, 7)


def test_a_service_that_gives_no_answer_is_not_answered_for() -> None:
    with door.opened("http://127.0.0.1:1", {}) as there:
        connection = http.client.HTTPConnection("127.0.0.1", there.port, timeout=60)
        connection.request("GET", "/items")
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()


def failure(check: str, status: int, body: bytes, message: str = "", **case: Any) -> str:
    """One line of a report, in the form of schemathesis 4.32."""
    recorder = {
        "label": "GET /items",
        "cases": {"a": {"value": {"method": "GET", "path": "/items"} | case}},
        "checks": {
            "a": [
                {"name": check, "status": "failure", "failure_info": {"failure": {"message": message}}},
                {"name": "other", "status": "success"},
            ]
        },
        "interactions": {
            "a": {
                "response": {
                    "status_code": status,
                    "headers": {"content-type": ["application/json"]},
                    "content": {"$base64": base64.b64encode(body).decode()},
                }
            }
        },
    }
    return json.dumps({"ScenarioFinished": {"recorder": recorder}})


def meta(name: str, text: str) -> dict[str, Any]:
    return {"phase": {"data": {"parameter": name, "parameter_location": "query", "description": text}}}


def test_a_report_is_told_in_the_words_of_deviations_and_what_was_cut_off_is_left_out(repository: Path) -> None:
    write(repository, {"api.yaml": SPEC})
    api = Api(sources.work_tree(workspace(repository)).documents(), "api.yaml")
    report = repository / "report.ndjson"
    lines = [
        json.dumps({"Initialize": {"seed": 1}}),
        failure("response_schema_conformance", 200, b'[{"id": "1"}]'),
        failure("status_code_conformance", 409, b"{}"),
        failure("status_code_conformance", 405, b"{}"),
        failure("not_a_server_error", 500, b"{}"),
        failure(
            "negative_data_rejection", 200, b"[]", query={"limit": "51"}, meta=meta("limit", "more than the maximum")
        ),
        failure("negative_data_rejection", 200, b"[]", query={"page": {"": []}}, meta=meta("page", "became an object")),
        failure("response_headers_conformance", 200, b"[]", "X-Rate is missing\nmore"),
        failure("response_schema_conformance", 200, b"[]", method="PURGE"),
        '{"ScenarioFinished": {"recor',
    ]
    report.write_text("\n".join(lines))
    found, unsure = deep.judged(api, deep.failures(report))
    assert {(d.id, d.where, d.actual) for d in found} == {
        ("type-mismatch", "Item.id", "string"),
        ("status-undocumented", "GET /items 409", "409"),
        ("status-undocumented", "GET /items 500", "500"),
        ("constraint-not-enforced", "GET /items limit", "'51' is accepted"),
        ("response-header-missing", "GET /items 200", "X-Rate is missing"),
    }
    assert {d.source for d in found} == {"schemathesis"}
    assert [u.where for u in unsure] == ["GET /items 405"]


@long_proof
@pytest.mark.skipif(shutil.which("schemathesis") is None, reason="schemathesis is not installed")
async def test_schemathesis_finds_what_one_value_of_a_parameter_does(repository: Path, connect: Connect) -> None:
    write(repository, {"api.yaml": SPEC, policy.POLICY_FILE: DEEP.replace("5", "30")})

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        limit = path.partition("limit=")[2]
        if "limit=" in path and not (limit.isdigit() and 1 <= int(limit) <= 50):
            return 422, {"Content-Type": "application/json"}, b"{}"
        # The probe tries one limit that is allowed, the least.
        rows = [{"id": "1"}] if limit not in ("", "1") else [{"id": n} for n in range(int(limit or 2))]
        return 200, {"Content-Type": "application/json"}, json.dumps(rows).encode()

    with serving(answer) as (url, seen):
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=url)
    assert [(d["id"], d["where"], d["source"]) for d in found["deviations"]] == [
        ("type-mismatch", "Item.id", "schemathesis")
    ], found
    assert found["sources"] == ["probe", "schemathesis"]
    assert {line.partition(" ")[0] for line in seen} <= {"GET", "HEAD"}
