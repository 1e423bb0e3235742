"""What a person sees of an escalation in a browser, and what they do there beside deciding."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import audit, escalations, persona
from mcp_backend.people import routing
from mcp_backend.settings import workspace
from mcp_backend.store import open_store
from mcp_backend.web import kept
from tests.conftest import git
from tests.test_escalation import DETAILS
from tests.test_inbox import DIGEST, ask, ask_approval, stored
from tests.test_inbox_site import Browser, served
from tests.test_rehearsal_report import HOSTILE, NOW, REPORT

API = """openapi: 3.1.0
info: {title: Orders, version: '1'}
paths:
  /orders:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 100}}]
      responses: {'200': {description: ok}}
"""


@pytest.fixture
def browser(repository: Path) -> Iterator[Browser]:
    """A browser that has come in."""
    with served(repository) as found:
        found.enter()
        yield found


def opened(folder: Path, kind: str, evidence: dict[str, Any] | None = None, **details: Any) -> str:
    """A question of a kind, or an approval with evidence."""

    async def add() -> str:
        found = persona.load().kind(kind)
        assert found is not None
        store, now = open_store(workspace(folder).state), datetime.now(UTC).timestamp()
        if kind == "approval":
            promise = next(c for c in persona.load().constraints if c.id == "data-consistency")
            row = await escalations.open_approval(
                store, found, promise, tool="t", digest=DIGEST, at_version="", preview="p", reason="r", asker="agent",
                now=now, evidence=evidence,
            )  # fmt: skip
        else:
            row, _ = await escalations.open_question(
                store, found, "Title", "Which?", {**DETAILS[kind], **details}, blocking=True, asker="agent", now=now,
                root=folder,
            )  # fmt: skip
        store.close()
        return str(row["id"])

    return asyncio.run(add())


def test_an_approval_shows_the_rehearsal_it_rests_on(repository: Path, browser: Browser) -> None:
    kept.keep(workspace(repository), REPORT, NOW)
    identifier = opened(repository, "approval", {"rehearsal": REPORT.digest})
    shown = browser.read(f"/escalations/{identifier}").text
    assert shown.index("table_rewrite") < shown.index("Locks over time") < shown.index("If yes")
    assert "CREATE INDEX i ON orders (token)" in shown
    assert len(re.findall(r'<rect class="b-rw"', shown)) == 1
    link = f"/rehearsals/{REPORT.digest}"
    assert link in shown
    whole = browser.ask("GET", link)
    assert whole.status == 200
    assert re.match(r"default-src 'none'; style-src 'sha256-", whole.headers["Content-Security-Policy"])
    assert browser.ask("GET", "/rehearsals/" + "0" * 64).status == 404
    assert Browser(browser.host, []).ask("GET", link).status == 403, "not without the link of the terminal"


def test_a_rehearsal_that_is_gone_is_said_to_be(repository: Path, browser: Browser) -> None:
    identifier = opened(repository, "approval", {"rehearsal": "f" * 64})
    assert "is not kept any more" in browser.read(f"/escalations/{identifier}").text


def test_messages_changes_and_diffs_are_drawn_and_nothing_of_them_becomes_part_of_the_page(
    repository: Path, browser: Browser
) -> None:
    message = {"destination": HOSTILE, "message_id": HOSTILE, "headers": {HOSTILE: HOSTILE}, "payload": HOSTILE}
    change = {
        "action": "set",
        "kind": "stream",
        "name": HOSTILE,
        "diff": {HOSTILE: [HOSTILE, "1d"]},
        "destroys": HOSTILE,
    }
    lines = "diff --git a/x b/x\n@@ -1 +1 @@\n-return 1\n+return 2\n " + HOSTILE.replace("\0", "")
    evidence = {
        "messages": [message, {"payload": '{"id": 7}'}],
        "messages_total": 9,
        "changes": [change],
        "diff": lines,
    }
    shown = browser.read(f"/escalations/{opened(repository, 'approval', evidence)}").text
    assert "<del>-return 1</del>" in shown
    assert "<ins>+return 2</ins>" in shown
    assert "&quot;id&quot;: 7" in shown
    assert "and 7 more messages of this call" in shown
    assert "<ins>1d</ins>" in shown
    assert "<script>alert" not in shown
    assert "<img" not in shown
    assert "invisible or control characters were taken out" in shown


def test_a_contract_is_shown_by_what_its_change_means(repository: Path, browser: Browser) -> None:
    (repository / "api.yaml").write_text(API)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "api")
    (repository / "api.yaml").write_text(API.replace("100", "50"))
    identifier = opened(repository, "frontend_contract", contract="api.yaml")
    shown = browser.read(f"/escalations/{identifier}").text
    assert "request-parameter-max-decreased" in shown
    assert "<del>100</del> → <ins>50</ins>" in shown
    other = opened(repository, "data_model", change="--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new")
    assert "<ins>+new</ins>" in browser.read(f"/escalations/{other}").text


def test_a_question_is_answered_by_one_of_its_readings(repository: Path, browser: Browser) -> None:
    identifier = opened(repository, "spec_clarification", readings=["Half even", {"name": "Half up"}])
    shown = browser.read(f"/escalations/{identifier}").text
    assert re.findall(r"type='radio' name='choice' value='([^']*)'", shown) == ["Half even", "Half up"]
    assert browser.send(f"/escalations/{identifier}", way="answered", answer="").status == 400
    done = browser.send(f"/escalations/{identifier}", way="answered", choice="Half up", answer="for refunds, too")
    assert done.status == 303
    assert stored(repository, identifier)["answer"] == "Half up\nfor refunds, too"


def test_a_person_takes_hands_over_and_asks_back(repository: Path, browser: Browser) -> None:
    identifier = ask(repository)
    path = f"/escalations/{identifier}"
    shown = browser.read(path).text
    assert "Take it, hand it over or ask back" in shown
    assert browser.send(path, way="acknowledged").status == 303
    assert stored(repository, identifier)["status"] == "acknowledged"
    assert "acknowledged already" in browser.send(path, way="acknowledged").text
    assert browser.send(path, way="delegated", to="architect").status == 303
    assert "not to &#x27;mallory&#x27;" in browser.send(path, way="delegated", to="mallory").text
    assert browser.send(path, way="asked_back", answer=" ").status == 400
    assert browser.send(path, way="asked_back", answer="Which currency?").status == 303
    shown = browser.read(path).text
    assert "handed it to architect" in shown
    assert "asks the engineer: Which currency?" in shown
    assert "its reply appears here" in shown
    assert "asked back" in browser.read("/").text
    token, browser.token = browser.token, "0" * 64
    for way in ("acknowledged", "delegated", "asked_back"):
        assert "another session" in browser.send(path, way=way, to="architect", answer="x").text
    browser.token = token


def test_an_approval_is_handed_to_its_approvers_only(repository: Path) -> None:
    (repository / "mcp-backend.toml").write_text('[people]\ndata_owner = ["ana", "ben"]\ntech_lead = ["cyd"]\n')
    identifier = ask_approval(repository)
    with served(repository) as browser:
        browser.enter()
        offered = re.findall(r"<option value='([^']+)'", browser.read(f"/escalations/{identifier}").text)
        refused = browser.send(f"/escalations/{identifier}", way="delegated", to="cyd")
        assert offered == ["ana", "ben"]
        assert refused.status == 400
        assert browser.send(f"/escalations/{identifier}", way="delegated", to="ben").status == 303
        assert "not for" in browser.send(f"/escalations/{identifier}", way="approved", tail="c0de").text
    assert stored(repository, identifier)["status"] == "open"


def test_the_audit_is_a_timeline_that_can_be_narrowed_and_paged(repository: Path, browser: Browser) -> None:
    async def write() -> None:
        store = open_store(workspace(repository).state)
        async with store.transaction(durable=False):
            for number in range(120):
                event = "refused" if number % 60 == 0 else "done"
                record = {"at": f"2026-11-2{number // 100}T10:00:00+00:00", "event": event, "tool": f"tool{number:03}"}
                await audit.append(store, {**record, "actions": [HOSTILE]} if number == 119 else record)
        store.close()

    asyncio.run(write())
    shown = browser.read("/audit").text
    assert shown.index("2026-11-21") < shown.index("tool119") < shown.index("tool100") < shown.index("2026-11-20")
    assert "tool019" not in shown
    assert "<script>alert" not in shown
    older = re.search(r"href='(/audit\?before=\d+)'", shown)
    assert older is not None
    assert "tool019" in browser.read(older[1]).text
    assert re.findall(r"<b>(tool\d+)</b>", browser.read("/audit?show=refused").text) == ["tool060", "tool000"]
    assert "No record of this kind" in browser.read("/audit?show=decisions").text
    assert browser.ask("GET", "/audit?show=x&before=-1").status == 200


async def test_a_passed_on_question_says_so(tmp_path: Path) -> None:
    store = open_store(workspace(tmp_path).state)
    kind = persona.load().kind("trade_off")
    assert kind is not None
    then = datetime.now(UTC).timestamp() - 5 * 3600
    row, _ = await escalations.open_question(
        store, kind, "T", "Q?", DETAILS["trade_off"], blocking=False, asker="agent", now=then
    )
    store.close()

    def read() -> str:
        with served(tmp_path) as browser:
            browser.enter()
            browser.read("/")
            return browser.read(f"/escalations/{row['id']}").text

    shown = await asyncio.to_thread(read)
    assert "nobody acknowledged it in time: put to the tech lead too" in shown
    assert routing.asked(row) == ["product_owner"]
