"""Questions to people through the tools: what they must say, how they are answered, how the engineer hears of it."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_backend import escalations, persona
from mcp_backend.app import App, Caller, open_app
from mcp_backend.call import call
from mcp_backend.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from mcp_backend.people import answers
from mcp_backend.settings import workspace
from mcp_backend.store import Store, open_store
from mcp_backend.tools.check_escalation import CheckEscalation
from mcp_backend.tools.escalate import Escalate
from tests.conftest import ERAS, Connect, Era

KINDS = [kind for kind in persona.load().kinds if kind.id != "approval"]
DETAILS: dict[str, dict[str, Any]] = {
    "spec_clarification": {"spec_ref": "api.yaml:12", "readings": ["a: x", "b: y"], "recommended": "a"},
    "trade_off": {"options": [{"name": "a"}, {"name": "b"}], "recommended": "a", "cost_of_delay": "none"},
    "frontend_contract": {
        "contract": "api.yaml", "compatibility": "additive", "consumers": ["web"], "migration_window": "2 weeks",
    },
    "data_model": {
        "entities": ["orders"], "change": "split", "affected_rows": 0, "retention_or_personal_data": False,
        "reversible": "yes", "migration": "0002_split.sql",
    },
    "unknown": {"known": "a", "tried": "b", "would_unblock": "c"},
}  # fmt: skip


def question(kind: str = "unknown", **change: Any) -> dict[str, Any]:
    """The arguments of a complete question."""
    return {"kind": kind, "title": "Rounding", "question": "Half even?", "details": DETAILS.get(kind, {}), **change}


async def said(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The structured result of a call."""
    result = await client.call_tool(tool, arguments)
    assert result.structured_content is not None
    return result.structured_content


async def answer(place: Path, identifier: str, text: str = "half even", status: str = "answered") -> None:
    """What the inbox does when somebody else than the asker decides."""
    store = open_store(workspace(place).state)
    try:
        now = datetime.now(UTC).timestamp()
        await escalations.decide(store, identifier, status=status, answer=text, by="ana", channel="terminal", now=now)
    finally:
        store.close()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.id)
async def test_what_a_question_lacks_is_named(connect: Connect, tmp_path: Path, era: Era, kind: persona.Kind) -> None:
    async with connect(tmp_path, mode=era) as client:
        error = (await said(client, "escalate", question(kind.id, details={})))["error"]
        assert (error["code"], error["retry"]) == ("invalid_argument", "changed")
        assert error["details"] == {"missing": [need.name for need in kind.requires]}
        assert all(f"details.{need.name}: {need.why}" in error["reason"] for need in kind.requires)
        asked = await said(client, "escalate", question(kind.id))
        assert asked["status"] == "open"
        assert asked["assignee"] == kind.to
        assert asked["channels"] == ["inbox"]
        assert asked["meanwhile"]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("spec_clarification", "readings", ["only one"]),
        ("spec_clarification", "readings", ["one", "  "]),
        ("spec_clarification", "readings", "two in one string"),
        ("spec_clarification", "spec_ref", "   "),
        ("trade_off", "options", {}),
        ("frontend_contract", "compatibility", "maybe"),
        ("frontend_contract", "compatibility", ["additive"]),
        ("data_model", "entities", []),
        ("data_model", "reversible", None),
    ],
)
async def test_a_detail_that_says_nothing_counts_as_missing(
    connect: Connect, tmp_path: Path, kind: str, field: str, value: object
) -> None:
    async with connect(tmp_path) as client:
        asked = await said(client, "escalate", question(kind, details={**DETAILS[kind], field: value}))
    assert asked["error"]["details"] == {"missing": [field]}


@pytest.mark.parametrize("era", ERAS)
async def test_the_same_words_are_one_question(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        first = await said(client, "escalate", question())
        again = await said(client, "escalate", question(title="  ROUNDING ", question="Half  even"))
        assert again["id"] == again["duplicate_of"] == first["id"]
        assert "duplicate_of" not in first
        other = await said(client, "escalate", question(question="Half up?"))
        assert other["id"] != first["id"]
        elsewhere = await said(client, "escalate", question("trade_off"))
        assert elsewhere["id"] not in (first["id"], other["id"])
        listed = await said(client, "check_escalation", {})
    assert {row["id"] for row in listed["open"]} == {first["id"], other["id"], elsewhere["id"]}
    assert listed["truncated"] is False


async def test_the_same_words_about_another_place_are_another_question(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        ids = {
            (await said(client, "escalate", question(kind, details={**DETAILS[kind], "spec_ref": place})))["id"]
            for kind, place in (("spec_clarification", "a.yaml:1"), ("spec_clarification", "b.yaml:1"))
        }
    assert len(ids) == 2


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("status", ["answered", "approved", "denied"])
async def test_what_was_decided_is_not_asked_again(connect: Connect, tmp_path: Path, era: Era, status: str) -> None:
    async with connect(tmp_path, mode=era) as client:
        first = await said(client, "escalate", question("data_model"))
        await answer(tmp_path, first["id"], "keep two years", status)
        again = await said(client, "escalate", question("data_model"))
        assert (again["id"], again["decided_in"], again["answer"]) == (first["id"], first["id"], "keep two years")
        assert again["status"] == status
        assert "ana" in again["meanwhile"]
        assert "notices" not in await said(client, "check_escalation", {})


ANSWERING = """
import asyncio, pathlib, sys, time
from mcp_backend import escalations
from mcp_backend.settings import workspace
from mcp_backend.store import open_store

store = open_store(workspace(pathlib.Path(sys.argv[1])).state)
decided = escalations.decide(
    store, sys.argv[2], status="answered", answer="half even", by="ana", channel="terminal", now=time.time()
)
asyncio.run(decided)
"""


@pytest.mark.usefixtures("local_store")
@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_of_another_process_ends_the_wait(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        identifier = (await said(client, "escalate", question()))["id"]
        waiting = asyncio.create_task(said(client, "check_escalation", {"id": identifier, "wait_seconds": 45}))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", ANSWERING, str(tmp_path), identifier)
        assert await process.wait() == 0
        found = await asyncio.wait_for(waiting, 40)
    assert (found["status"], found["answer"], found["by"]) == ("answered", "half even", "ana")
    assert (found["channel"], found["kind"], found["question"]) == ("terminal", "unknown", "Half even?")


async def test_a_wait_without_an_answer_ends_and_says_open(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        identifier = (await said(client, "escalate", question()))["id"]
        found = await said(client, "check_escalation", {"id": identifier, "wait_seconds": 0.05})
    assert (found["status"], found["answer"], found["by"]) == ("open", None, None)


@pytest.mark.parametrize("era", ERAS)
async def test_results_carry_an_answer_until_it_was_read(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        identifier = (await said(client, "escalate", question()))["id"]
        assert "notices" not in await said(client, "check_escalation", {})
        await answer(tmp_path, identifier)
        notice = {"escalation": identifier, "status": "answered", "summary": "Rounding: half even"}
        for _ in range(2):
            assert (await said(client, "check_escalation", {}))["notices"] == [notice]
        other = await said(client, "escalate", question(question="And taxes?"))
        assert other["notices"] == [notice]
        assert (await said(client, "check_escalation", {"id": identifier}))["answer"] == "half even"
        assert "notices" not in await said(client, "check_escalation", {})


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_id_names_the_open_ones(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        error = (await said(client, "check_escalation", {"id": "ESC-nope"}))["error"]
        assert (error["code"], error["retry"]) == ("not_found", "changed")
        assert "open ones: none" in error["reason"]
        identifier = (await said(client, "escalate", question()))["id"]
        error = (await said(client, "check_escalation", {"id": "ESC-nope"}))["error"]
    assert f"open ones: {identifier}" in error["reason"]


async def test_a_long_list_is_cut_and_says_so(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        for number in range(51):
            await said(client, "escalate", question(question=f"Question {number}?"))
        listed = await said(client, "check_escalation", {})
    assert len(listed["open"]) == 50
    assert listed["truncated"] is True


@pytest.mark.parametrize("era", ERAS)
async def test_resources_show_what_is_open_and_each_question(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        identifier = (await said(client, "escalate", question("data_model", blocking=False)))["id"]
        listed = json.loads(getattr((await client.read_resource("escalation://open")).contents[0], "text", ""))
        whole = json.loads(getattr((await client.read_resource(f"escalation://{identifier}")).contents[0], "text", ""))
        assert [row["id"] for row in listed] == [identifier]
        assert whole["details"] == DETAILS["data_model"]
        assert whole["blocking"] is False
        with pytest.raises(Exception, match="no escalation ESC-nope"):
            await client.read_resource("escalation://ESC-nope")


async def test_silence_is_never_consent(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    async with open_app(tmp_path, clock=lambda: moment) as app:
        identifier = str((await call(app, Escalate, question()))["id"])
        later = replace(app, clock=lambda: moment + timedelta(days=7, seconds=-1))
        assert (await call(later, CheckEscalation, {"id": identifier}))["status"] == "open"
        later = replace(app, clock=lambda: moment + timedelta(days=7))
        listed = await call(later, CheckEscalation, {})
        assert listed["open"] == []
        assert listed["notices"] == [{"escalation": identifier, "status": "expired", "summary": "Rounding: expired"}]
        found = await call(later, CheckEscalation, {"id": identifier})
        assert (found["status"], found["answer"], found["by"]) == ("expired", None, None)
        with pytest.raises(FailedPrecondition, match="is expired, only an open escalation can be answered"):
            await decided(app.store, identifier, now=later.now())
        again = await call(later, Escalate, question())
        assert again["id"] != identifier


async def decided(store: Store, identifier: str, **change: Any) -> dict[str, Any]:
    """A decision with everything right but what is changed."""
    given: dict[str, Any] = {
        "status": "answered", "answer": "yes", "by": "ana", "channel": "terminal",
        "now": datetime.now(UTC).timestamp(), **change,
    }  # fmt: skip
    return await escalations.decide(store, identifier, **given)


async def test_a_question_is_answered_once_and_not_with_nothing(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = str((await call(app, Escalate, question()))["id"])
        with pytest.raises(InvalidArgument, match="the answer is empty"):
            await decided(app.store, identifier, answer="  ")
        await decided(app.store, identifier, answer="first")
        with pytest.raises(FailedPrecondition, match=f"{identifier} is answered"):
            await decided(app.store, identifier, answer="second")
        assert (await call(app, CheckEscalation, {"id": identifier}))["answer"] == "first"


async def test_the_asker_does_not_approve_itself(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        asker = app.caller.principal
        identifier = str((await call(app, Escalate, question("data_model")))["id"])
        for channel in ("command", "elicitation"):
            with pytest.raises(PermissionDenied, match="somebody else approves it"):
                await decided(app.store, identifier, status="approved", by=asker, channel=channel)
        assert (await decided(app.store, identifier, status="approved", by=asker))["status"] == "approved"


async def test_every_step_of_a_question_is_on_record(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = str((await call(app, Escalate, question()))["id"])
        await decided(app.store, identifier)
        events = await app.store.rows("escalation_events", escalation=identifier)
        assert [(e["event"], e["actor"], e["channel"]) for e in events] == [
            ("open", app.caller.principal, "tool"),
            ("answered", "ana", "terminal"),
        ]
        records = await records_of(app)
    assert [(r["event"], r.get("tool")) for r in records] == [
        ("started", "escalate"),
        ("done", "escalate"),
        ("answered", None),
    ]
    assert (records[2]["escalation"], records[2]["by"], records[2]["channel"]) == (identifier, "ana", "terminal")


async def records_of(app: App) -> list[dict[str, Any]]:
    """The audit log, oldest first."""
    return [json.loads(row["record"]) for row in await app.store.rows("audit_after", seq=0, limit=10_000)]


async def test_only_who_asked_is_told_and_only_they_have_read_it(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        cy, bo = (replace(app, caller=Caller(who, "host", who, frozenset(["mcp-backend"]))) for who in ("cy", "bo"))
        identifier = str((await call(cy, Escalate, question()))["id"])
        again = await call(bo, Escalate, question())
        assert again["duplicate_of"] == identifier
        assert "notices go to cy" in str(again["meanwhile"])
        await answer(tmp_path, identifier)
        assert "notices" not in await call(bo, CheckEscalation, {})
        assert (await call(bo, CheckEscalation, {"id": identifier}))["answer"] == "half even"
        assert identifier in str((await call(cy, CheckEscalation, {}))["notices"])
        assert await call(cy, CheckEscalation, {"id": identifier})
        assert "notices" not in await call(cy, CheckEscalation, {})
        assert not answers.take(app.workspace.state), "a hook of this machine hears nothing of other principals"
