"""A question to the frontend engineer carries the operation it is about, and its answer binds that contract."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from mcp_backend.people import decisions
from tests.conftest import ERAS, Connect, Era
from tests.contract_gate import SPEC
from tests.service import ask

QUESTION = {
    "kind": "frontend_contract",
    "title": "Show the genre of a book",
    "question": "May the list of books carry the genre from the next release on?",
    "details": {
        "contract": "openapi.yaml", "operation": "listBooks", "compatibility": "additive", "consumers": "the web shop",
        "migration_window": "none: the field is new",
    },
}  # fmt: skip


async def answered(repository: Path, identifier: str) -> dict[str, Any]:
    """Lets the frontend engineer agree; the details that they saw."""
    async with open_app(repository) as app:
        row = await escalations.decide(
            app.store,
            identifier,
            status="answered",
            answer="agreed",
            by="fe@example.org",
            channel="terminal",
            now=app.now(),
        )
    return json.loads(row["details"])


@pytest.mark.parametrize("era", ERAS)
async def test_the_question_shows_schema_and_example_and_the_answer_stands(
    repository: Path, connect: Connect, era: Era
) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository, mode=era) as client:
        first = await ask(client, "escalate", **QUESTION)
        (shown,) = (await answered(repository, first["id"]))["operations"]
        assert (shown["spec"], shown["operation"]) == ("openapi.yaml", "GET /books")
        assert "Book" in json.dumps(shown["schema"])
        assert shown["example"] == {"200": [{"id": 1, "title": "sample"}]}
        again = await ask(client, "escalate", **QUESTION)
    assert (again["id"], again["answer"]) == (first["id"], "agreed")


@pytest.mark.parametrize(
    ("old", "new", "stands"),
    [
        pytest.param("        id: {type: integer}", "        id: {type: string}", False, id="a schema it reaches"),
        pytest.param("maximum: 100", "maximum: 50", False, id="a parameter"),
        pytest.param("title: {type: string, maxLength: 100}", "title: {type: string}", True, id="another operation"),
        pytest.param("{description: ok, content", "{description: all of them, content", True, id="a sentence"),
    ],
)
async def test_a_changed_contract_is_asked_about_again(
    repository: Path, connect: Connect, old: str, new: str, stands: bool
) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository) as client:
        first = await ask(client, "escalate", **QUESTION)
        await answered(repository, first["id"])
        assert old in SPEC
        (repository / "openapi.yaml").write_text(SPEC.replace(old, new))
        again = await ask(client, "escalate", **QUESTION)
    assert (again["id"] == first["id"]) is stands


async def test_an_open_question_about_an_older_contract_ends(repository: Path, connect: Connect) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository) as client:
        first = await ask(client, "escalate", **QUESTION)
        (repository / "openapi.yaml").write_text(
            SPEC.replace("        id: {type: integer}", "        id: {type: string}")
        )
        second = await ask(client, "escalate", **QUESTION)
        status = (await ask(client, "check_escalation", id=first["id"]))["status"]
    assert second["id"] != first["id"]
    assert status == "superseded"


async def test_a_question_that_names_no_operation_is_asked_as_it_is(repository: Path, connect: Connect) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    details = {**QUESTION["details"], "operation": "listShelves", "operations": "made up"}  # type: ignore[dict-item]
    async with connect(repository) as client:
        first = await ask(client, "escalate", **{**QUESTION, "details": details})
    assert "operations" not in await answered(repository, first["id"])


async def test_the_record_of_the_decision_names_the_contract(repository: Path, connect: Connect) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository) as client:
        first = await ask(client, "escalate", **QUESTION)
    (shown,) = (await answered(repository, first["id"]))["operations"]
    async with open_app(repository) as app:
        path, _ = decisions.record(repository, await escalations.get(app.store, first["id"]))
    assert f"operations: GET /books of openapi.yaml (contract {shown['digest'][:12]})" in path.read_text()
