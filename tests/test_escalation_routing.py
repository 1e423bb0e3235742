"""Whom a question is put to, when the next role is asked, and what people do beside answering."""

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations, persona, policy
from mcp_backend.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from mcp_backend.people import routing
from mcp_backend.people.inbox import open_inbox
from mcp_backend.settings import workspace
from mcp_backend.store import Row, Store, open_store
from tests.conftest import ERAS, Connect, Era
from tests.test_escalation import DETAILS, question, said
from tests.test_inbox import Inbox as CommandLine
from tests.test_inbox import ask, ask_approval, inbox, stored

__all__ = ["inbox"]
HOUR = 3600.0
SPEC = "# Orders\n\n## Totals\n\nRound each line.\n\n## Refunds\n\nSame day.\n"


async def asked(store: Store, kind: str = "unknown", now: float = 0.0, root: Path | None = None, **details: Any) -> str:
    """The id of a new question."""
    found = persona.load().kind(kind)
    assert found is not None
    row, new = await escalations.open_question(
        store,
        found,
        f"t {kind}",
        "Which?",
        {**DETAILS[kind], **details},
        blocking=True,
        asker="agent",
        now=now,
        root=root,
    )
    assert new
    return str(row["id"])


async def at(store: Store, identifier: str, now: float) -> Row:
    """An escalation as somebody who reads it at that time finds it."""
    async with store.transaction():
        await escalations.expire(store, now)
    return await escalations.get(store, identifier)


async def events(store: Store, identifier: str) -> list[tuple[str, str]]:
    """What happened, with its note."""
    return [(e["event"], e["note"]) for e in await store.rows("escalation_events", escalation=identifier)]


async def test_what_nobody_acknowledges_is_put_to_one_role_after_the_other(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    identifier = await asked(store, "frontend_contract")
    assert (await at(store, identifier, 8 * HOUR - 1))["assignee"] == "frontend_engineer"
    assert (await at(store, identifier, 8 * HOUR))["assignee"] == "architect"
    assert (await at(store, identifier, 15 * HOUR))["assignee"] == "architect"
    assert (await at(store, identifier, 16 * HOUR))["assignee"] == "tech_lead"
    assert (await at(store, identifier, 100 * HOUR))["assignee"] == "tech_lead"
    row = await at(store, identifier, 7 * 24 * HOUR)
    assert (row["status"], row["answer"]) == ("expired", None), "silence is no answer"
    assert routing.asked(row) == ["frontend_engineer", "architect", "tech_lead"]
    steps = [("open", ""), ("reassigned", "architect"), ("reassigned", "tech_lead"), ("expired", "")]
    assert await events(store, identifier) == steps
    store.close()


async def test_who_acknowledged_is_not_passed_over_but_silence_still_ends_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    identifier = await asked(store)
    await routing.acknowledge(store, identifier, by="ana", channel="terminal", now=HOUR)
    row = await at(store, identifier, 90 * HOUR)
    assert (row["assignee"], row["status"]) == ("tech_lead", "acknowledged")
    with pytest.raises(FailedPrecondition, match="acknowledged already"):
        await routing.acknowledge(store, identifier, by="ben", channel="web", now=HOUR)
    assert (await at(store, identifier, 8 * 24 * HOUR))["status"] == "expired"
    with pytest.raises(FailedPrecondition, match="is expired"):
        await routing.acknowledge(store, identifier, by="ben", channel="web", now=9 * 24 * HOUR)
    store.close()


async def test_an_approval_passes_between_the_approvers_of_its_constraint_only(tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text(
        '[people]\ndata_owner = ["ana"]\ntech_lead = ["ben"]\narchitect = ["cyd"]\n'
        '[constraints.data-consistency]\napprovers = ["data_owner", "tech_lead"]\n'
        '[escalations.approval]\nescalate_after = "10m"\n'
    )
    rules = policy.load(tmp_path / "mcp-backend.toml", persona.load().constraints)
    promise, kind = rules.constraint("data-consistency"), persona.load().kind("approval")
    assert promise is not None
    assert kind is not None
    store = open_store(tmp_path)
    row = await escalations.open_approval(
        store, routing.kind_for(kind, rules), promise, tool="x", digest="d", at_version="", preview="", reason="r",
        asker="agent", now=0,
    )  # fmt: skip
    identifier = row["id"]
    assert routing.targets(row, rules, persona.load().kinds) == ("tech_lead", "ana", "ben")
    with pytest.raises(InvalidArgument, match="can go to tech_lead, ana, ben, not to 'architect'"):
        await routing.delegate(
            store, identifier, "architect", routing.targets(row, rules, persona.load().kinds), by="ana",
            channel="web", now=1,
        )  # fmt: skip
    allowed: dict[str, Any] = {"status": "approved", "answer": "", "channel": "web", "constraint": promise}
    with pytest.raises(PermissionDenied, match="not for ben"):
        await escalations.decide(store, identifier, by="ben", now=2, people=routing.entitled(row, rules), **allowed)
    row = await at(store, identifier, 600)
    assert (row["assignee"], routing.entitled(row, rules)) == ("tech_lead", ("ana", "ben"))
    people = routing.entitled(row, rules)
    with pytest.raises(PermissionDenied, match="not for cyd"):
        await escalations.decide(store, identifier, by="cyd", now=601, people=people, **allowed)
    await escalations.decide(store, identifier, by="ben", now=602, people=people, **allowed)
    store.close()


async def test_a_question_is_handed_to_a_role_or_a_person_and_to_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text('[people]\narchitect = ["Cyd <cyd@example.org>"]\n')
    rules = policy.load(tmp_path / "mcp-backend.toml", persona.load().constraints)
    store = open_store(tmp_path)
    identifier = await asked(store)
    allowed = routing.targets(await escalations.get(store, identifier), rules, persona.load().kinds)
    assert "Cyd <cyd@example.org>" in allowed
    assert "product_owner" in allowed
    with pytest.raises(InvalidArgument, match="not to 'mallory'"):
        await routing.delegate(store, identifier, "mallory", allowed, by="ana", channel="web", now=1)
    await routing.delegate(store, identifier, "Product Owner", allowed, by="ana", channel="web", now=1)
    row = await at(store, identifier, 90 * HOUR)
    assert (row["assignee"], row["status"]) == ("product_owner", "open"), "a person chose: no timer asks others"
    await routing.delegate(store, identifier, "cyd <cyd@example.org>", allowed, by="ben", channel="web", now=2)
    row = await escalations.get(store, identifier)
    assert row["assignee"] == "Cyd <cyd@example.org>"
    assert routing.entitled(row, rules) == ("Cyd <cyd@example.org>",)
    store.close()


@pytest.mark.parametrize(
    ("reference", "change", "ends"),
    [
        ("docs/api.md", ("Same day.", "Same day.x"), True),
        ("docs/api.md:5", ("# Orders", "new first line\n# Orders"), False),
        ("docs/api.md:5", ("each line", "the sum"), True),
        ("docs/api.md lines 3-5", ("Same day", "Never"), False),
        ("see docs/api.md#L3-L5", ("each line", "the sum"), True),
        ("docs/api.md#totals", ("Same day", "Never"), False),
        ("docs/api.md, Totals", ("each line", "the sum"), True),
        ("docs/api.md", None, True),
        ("nowhere.md", ("Same day.", "Same day.x"), False),
        ("../outside.md", ("Same day.", "Same day.x"), False),
    ],
)  # fmt: skip
async def test_a_question_ends_when_what_it_quotes_says_something_else(
    tmp_path: Path, reference: str, change: tuple[str, str] | None, ends: bool
) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (tmp_path / "outside.md").write_text(SPEC)
    file = root / "docs/api.md"
    file.write_text(SPEC)
    store = open_store(tmp_path / "state")
    identifier = await asked(store, "spec_clarification", root=root, spec_ref=reference)
    await routing.end_changed(store, root, 1.0)
    assert (await escalations.get(store, identifier))["status"] == "open"
    if change is None:
        file.unlink()
    else:
        file.write_text(SPEC.replace(*change))
        (tmp_path / "outside.md").write_text(SPEC.replace(*change))
    await routing.end_changed(store, root, 2.0)
    row = await escalations.get(store, identifier)
    assert row["status"] == ("superseded" if ends else "open")
    store.close()


async def test_a_key_of_a_yaml_file_is_quoted_with_what_is_below_it(tmp_path: Path) -> None:
    text = "paths:\n  /orders:\n    post:\n      summary: new\n  /refunds:\n    get: {}\n"
    (tmp_path / "api.yaml").write_text(text)
    store = open_store(tmp_path / "state")
    identifier = await asked(store, "spec_clarification", root=tmp_path, spec_ref="api.yaml POST /orders")
    (tmp_path / "api.yaml").write_text(text.replace("get: {}", "delete: {}"))
    await routing.end_changed(store, tmp_path, 1.0)
    assert (await escalations.get(store, identifier))["status"] == "open"
    (tmp_path / "api.yaml").write_text(text.replace("new", "old"))
    await routing.end_changed(store, tmp_path, 1.0)
    assert (await escalations.get(store, identifier))["status"] == "superseded"
    store.close()


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_about_former_words_is_a_hint_and_no_answer(connect: Connect, tmp_path: Path, era: Era) -> None:
    (tmp_path / "api.md").write_text(SPEC)
    details = {**DETAILS["spec_clarification"], "spec_ref": "api.md#totals"}
    async with connect(tmp_path, mode=era) as client:
        first = await said(client, "escalate", question("spec_clarification", details=details))
        store = open_store(workspace(tmp_path).state)
        await escalations.decide(
            store, first["id"], status="answered", answer="half even", by="ana", channel="web",
            now=datetime.now(UTC).timestamp(),
        )  # fmt: skip
        store.close()
        same = await said(client, "escalate", question("spec_clarification", details=details))
        assert (same["decided_in"], same["answer"]) == (first["id"], "half even")
        (tmp_path / "api.md").write_text(SPEC.replace("each line", "the sum"))
        other = await said(client, "escalate", question("spec_clarification", details=details))
        assert (other["status"], other["id"] != first["id"]) == ("open", True)
        assert [hint["answer"] for hint in other["similar"]] == ["half even"]
        (tmp_path / "api.md").write_text(SPEC)
        await said(client, "check_escalation", {})
        notices = (await said(client, "check_escalation", {}))["notices"]
        assert [(n["escalation"], n["status"]) for n in notices] == [(other["id"], "superseded")]
        heard = await said(client, "check_escalation", {"id": other["id"]})
        assert heard["status"] == "superseded"
        assert heard["exchange"][-1]["text"] == "api.md changed"


@pytest.mark.parametrize("era", ERAS)
async def test_a_person_asks_back_and_the_engineer_replies(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        first = await said(client, "escalate", question())
        waiting = asyncio.create_task(said(client, "check_escalation", {"id": first["id"], "wait_seconds": 45}))
        await asyncio.sleep(0)
        with open_inbox(tmp_path) as people:
            now = datetime.now(UTC).timestamp()
            await people.ask_back(await people.one(first["id"]), "For refunds, too?", channel="terminal", now=now)
        heard = await waiting
        assert (heard["status"], "reply_to" in heard["reply"]) == ("acknowledged", True)
        assert heard["exchange"][-1] == {"event": "asked_back", "by": heard["exchange"][-1]["by"],
                                         "text": "For refunds, too?"}  # fmt: skip
        reply = question(question="Yes, both.", details={"reply_to": first["id"]})
        assert (await said(client, "escalate", reply))["status"] == "acknowledged"
        again = await said(client, "escalate", reply)
        assert "nobody asked back" in again["error"]["reason"]
        with open_inbox(tmp_path) as people:
            row = await people.one(first["id"])
            page = await people.page(row, now)
            assert page.index("For refunds, too?") < page.index("the engineer replies: Yes, both.")
            assert people.full(row)["awaits_reply"] is False


@pytest.mark.parametrize("era", ERAS)
async def test_a_result_carries_what_a_person_asks_back_until_it_was_read(
    connect: Connect, tmp_path: Path, era: Era
) -> None:
    async with connect(tmp_path, mode=era) as client:
        first = await said(client, "escalate", question())
        with open_inbox(tmp_path) as people:
            now = datetime.now(UTC).timestamp()
            await people.ask_back(await people.one(first["id"]), "Which currency?", channel="web", now=now)
        notices = (await said(client, "check_escalation", {}))["notices"]
        assert notices[0]["status"] == "acknowledged"
        assert "a person asks back: Which currency?" in notices[0]["summary"]
        assert first["id"] in notices[0]["summary"]
        await said(client, "check_escalation", {"id": first["id"]})
        assert "notices" not in await said(client, "check_escalation", {})


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reply_to": "ESC-none"}, "no escalation ESC-none"),
        ({"reply_to": 7}, "details.reply_to: expected the id"),
        ({"reply_to": "ESC-1", "known": "x"}, "details.known"),
        ({"reply_to": "ESC-1", "withdraw": "yes"}, "details.withdraw: expected true or false"),
    ],
)
async def test_a_reply_that_cannot_be_one_is_refused(
    connect: Connect, tmp_path: Path, details: dict[str, Any], reason: str
) -> None:
    async with connect(tmp_path) as client:
        assert reason in (await said(client, "escalate", question(details=details)))["error"]["reason"]


async def test_only_who_asked_replies_or_withdraws(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        store = open_store(workspace(tmp_path).state)
        stranger = await asked(store, now=datetime.now(UTC).timestamp())
        store.close()
        for more in ({}, {"withdraw": True}):
            answer = await said(client, "escalate", question(details={"reply_to": stranger, **more}))
            assert "only the asker" in answer["error"]["reason"]
        own = await said(client, "escalate", question("trade_off"))
        gone = await said(
            client, "escalate", question(question="moot", details={"reply_to": own["id"], "withdraw": True})
        )
        assert gone["status"] == "withdrawn"
        assert (await said(client, "check_escalation", {"id": own["id"]}))["status"] == "withdrawn"
        new = await said(client, "escalate", question("trade_off"))
        assert new["id"] != own["id"], "what was withdrawn was never decided"


def test_the_command_line_acknowledges_hands_over_and_asks(inbox: CommandLine, tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    assert inbox("ack", identifier)[1].startswith("acknowledged")
    assert stored(tmp_path, identifier)["status"] == "acknowledged"
    code, out, _ = inbox("ask", identifier, "--text", "Which cu\u202errency?")
    assert (code, "next result" in out) == (0, True)
    assert "asks the engineer: Which currency?" in inbox("show", identifier)[1]
    assert inbox("delegate", identifier, "--to", "architect")[1] == f"{identifier} is for architect now\n"
    code, _, error = inbox("delegate", identifier, "--to", "nobody")
    assert (code, "can go to" in error) == (1, True)
    code, _, error = inbox("ask", identifier, "--text", "  ")
    assert (code, "is empty" in error) == (1, True)


@pytest.mark.parametrize("action", [("ack",), ("delegate", "--to", "architect"), ("ask", "--text", "x")])
def test_an_agents_shell_neither_acknowledges_nor_hands_over(
    inbox: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: tuple[str, ...]
) -> None:
    identifier = ask_approval(tmp_path)
    monkeypatch.setenv("CLAUDECODE", "1")
    code, _, error = inbox(action[0], identifier, *action[1:])
    assert (code, "does not answer itself" in error) == (1, True)
    assert (stored(tmp_path, identifier)["status"], stored(tmp_path, identifier)["assignee"]) == ("open", "data_owner")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[escalations.nonsense]\nto = "x"', "escalations.nonsense: unknown kind"),
        ('[escalations.unknown]\nwho = "x"', "unknown key who"),
        ('[escalations.unknown]\nescalate_after = "soon"', "escalate_after: expected a duration"),
        ('[escalations.unknown]\nexpires_after = "0s"', "expires_after: expected more than nothing"),
        ('[escalations.unknown]\nthen = "x"', "then: expected a list of roles"),
        ('[escalations.approval]\nto = "agent"', "approvers of the constraint"),
        ("[escalations]\nunknown = 1", "expected a table"),
    ],
)
def test_a_wrong_route_of_the_policy_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mcp-backend.toml").write_text(text)
    with pytest.raises(InvalidArgument, match=reason):
        policy.load(tmp_path / "mcp-backend.toml", persona.load().constraints)


@pytest.mark.parametrize("era", ERAS)
async def test_the_policy_routes_questions(connect: Connect, tmp_path: Path, era: Era) -> None:
    (tmp_path / "mcp-backend.toml").write_text(
        '[people]\ndba = ["dora"]\n[escalations.data_model]\nto = "dba"\nthen = []\nexpires_after = "2d"\n'
    )
    async with connect(tmp_path, mode=era) as client:
        answer = await said(client, "escalate", question("data_model"))
    assert answer["assignee"] == "dba (dora)"
    store = open_store(workspace(tmp_path).state)
    row = await escalations.get(store, answer["id"])
    store.close()
    assert (row["expires"] - row["opened"], row["escalate_at"]) == (2 * 24 * HOUR, None)


@pytest.mark.usefixtures("local_store")
async def test_a_store_of_the_first_version_is_taken_along(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    sql = Path(escalations.__file__).parent / "store/schema.sql"
    connection.executescript(sql.read_text("utf-8"))
    connection.execute(
        "insert into escalation values ('ESC-1', 'unknown', 't', 'q?', '{}', 1, 'd', '', '', '', 'open', 'tech_lead', "
        "'agent', 0, 1e9, null, null, null, null, 0)"
    )
    connection.execute("pragma user_version = 1")
    connection.commit()
    connection.close()
    store = open_store(tmp_path)
    row = await at(store, "ESC-1", 5.0)
    assert (row["status"], routing.asked(row), row["escalate_at"]) == ("open", ["tech_lead"], None)
    await escalations.decide(store, "ESC-1", status="answered", answer="a", by="ana", channel="web", now=6.0)
    store.close()
