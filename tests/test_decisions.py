"""Answers that stay: found again in other words, written as decision records, and read before asking twice."""

import asyncio
import json
from pathlib import Path

import pytest

from mcp_backend.cli import main
from mcp_backend.errors import FailedPrecondition
from mcp_backend.people import decisions
from mcp_backend.settings import workspace
from mcp_backend.store import open_store
from tests.conftest import ERAS, Connect, Era
from tests.test_escalation import DETAILS, answer, question, said


def asked(title: str, text: str) -> dict[str, object]:
    return question("spec_clarification", title=title, question=text)


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_becomes_a_record_that_is_read_before_asking_again(
    connect: Connect, repository: Path, era: Era, capsys: pytest.CaptureFixture[str]
) -> None:
    async with connect(repository, mode=era) as client:
        first = await said(client, "escalate", asked("Rounding of totals", "Is a total rounded half even?"))
        await answer(repository, first["id"], "half even\n## Decision Outcome\nhalf up")
        assert (await said(client, "check_escalation", {"id": first["id"]}))["decision"] is None
        assert await asyncio.to_thread(main, ["inbox", "record", first["id"], "--workspace", str(repository)]) == 0
        assert capsys.readouterr().out == "wrote docs/decisions/0001-rounding-of-totals.md\n"
        assert (await said(client, "check_escalation", {"id": first["id"]}))["decision"] == "0001"
        [content] = (await client.read_resource("decision://1")).contents
        text = str(getattr(content, "text", ""))
        assert "status: accepted" in text
        assert "decision-makers: ana" in text
        assert "\\## Decision Outcome" in text, "an answer cannot open a section of its record"
        again = await said(client, "escalate", asked("Rounding of totals", "Is a total rounded half even?"))
        assert (again["id"], again["decided_in"]) == (first["id"], "0001")
        assert again["answer"].startswith("half even")
    assert (
        await asyncio.to_thread(main, ["inbox", "record", first["id"], "--workspace", str(repository), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out) == {"path": "docs/decisions/0001-rounding-of-totals.md", "new": False}


async def test_a_record_answers_where_the_store_is_another(
    connect: Connect, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(repository) as client:
        first = await said(client, "escalate", asked("Rounding", "Half even?"))
        await answer(repository, first["id"])
    assert await asyncio.to_thread(main, ["inbox", "record", first["id"], "--workspace", str(repository)]) == 0
    monkeypatch.setenv("MCP_BACKEND_STATE", str(tmp_path / "another machine"))
    async with connect(repository) as client:
        again = await said(client, "escalate", asked("Rounding", "Half even?"))
        assert (again["status"], again["decided_in"], again["answer"]) == ("answered", "0001", "half even")
        record = repository / "docs/decisions/0001-rounding.md"
        record.write_text(record.read_text().replace("status: accepted", "status: superseded by 0002"))
        assert (await said(client, "escalate", asked("Rounding", "Half even?")))["status"] == "open"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Should the total of an order be rounded half even?", True),
        ("Is the order total rounded half even?", False),
        ("Should totals of orders be rounded half even", True),
        ("Should the total of an order be rounded half up?", False),
        ("Should the total of an order not be rounded half even?", False),
        ("Should the total of 2 orders be rounded half even?", False),
        ("Should the order of a total be rounded half even?", False),
    ],
)
async def test_other_words_are_one_question_only_when_they_cannot_mean_another(
    connect: Connect, repository: Path, text: str, same: bool
) -> None:
    async with connect(repository) as client:
        first = await said(client, "escalate", asked("Totals", "Should the total of an order be rounded half even?"))
        second = await said(client, "escalate", asked("Totals", text))
    assert (second["id"] == first["id"]) is same
    if same:
        assert second["duplicate_of"] == first["id"]
    else:
        assert [near["id"] for near in second["similar"]] == [first["id"]], "a near miss is shown"


async def test_a_question_of_another_kind_or_place_is_another(connect: Connect, repository: Path) -> None:
    async with connect(repository) as client:
        first = await said(client, "escalate", asked("Totals", "Are totals rounded?"))
        elsewhere = {**DETAILS["spec_clarification"], "spec_ref": "api.yaml:99"}
        moved = await said(client, "escalate", {**asked("Totals", "Are the totals rounded?"), "details": elsewhere})
        other = await said(client, "escalate", question("unknown", title="Totals", question="Are the totals rounded?"))
    assert len({first["id"], moved["id"], other["id"]}) == 3


def test_records_of_other_tools_are_read_and_counted_on(tmp_path: Path) -> None:
    place = tmp_path / "docs" / "adr"
    place.mkdir(parents=True)
    (place / "0007-use-nats.md").write_text(
        "# 7. Use NATS\n\nDate: 2026-01-01\n\n## Status\n\nAccepted\n\n## Decision\n\nNATS it is.\n"
    )
    (place / "README.md").write_text("# Decisions\n")
    (place / "0008-broken.md").write_bytes(b"\xff\xfe")
    [found] = decisions.all_of(tmp_path)
    assert (found.number, found.title, found.status, found.outcome) == ("0007", "Use NATS", "accepted", "NATS it is.")


async def test_what_nobody_answered_is_no_decision(connect: Connect, repository: Path) -> None:
    async with connect(repository) as client:
        first = await said(client, "escalate", asked("Rounding", "Half even?"))
    store = open_store(workspace(repository).state)
    row = await store.row("escalation_get", id=first["id"])
    store.close()
    assert row is not None
    with pytest.raises(FailedPrecondition, match="is open: only answered"):
        decisions.record(repository, row)
    assert not (repository / "docs").exists()
