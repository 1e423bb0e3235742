"""The inbox in a browser: one person comes in by one link, reads the evidence, and decides; nothing else gets in."""

import asyncio
import http.client
import re
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import uvicorn

from mcp_backend import escalations
from mcp_backend.cli import main
from mcp_backend.people import seat
from mcp_backend.people.inbox import open_inbox
from mcp_backend.settings import user, workspace
from mcp_backend.store import open_store
from mcp_backend.web.site import COOKIE, Door, site
from tests import at_a_terminal, chromium
from tests.conftest import Connect
from tests.test_escalation import question, said
from tests.test_inbox import DIGEST, ask, ask_approval, stored


@dataclass
class Answer:
    """What the site said."""

    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class Browser:
    """A cookie jar and HTTP, as far as these pages need it."""

    host: str
    keys: list[str]
    cookie: str = ""
    token: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        connection.request(method, path, body, {**sent, **{k.replace("_", "-"): v for k, v in headers.items()}})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        return answer

    def enter(self) -> Answer:
        """Opens the link that was printed last."""
        answer = self.ask("GET", f"/enter?key={self.keys[-1]}")
        self.cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
        return answer

    def read(self, path: str) -> Answer:
        """A page; its form's token is kept for `send`."""
        answer = self.ask("GET", path)
        found = re.search(r'name="token" value="(\w+)"', answer.text)
        self.token = found[1] if found else ""
        return answer

    def send(self, path: str, **fields: str) -> Answer:
        """A form of this site."""
        form = urlencode({"token": self.token, **fields}).encode()
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", path, form, Content_Type=kind, Origin=f"http://{self.host}")


@contextmanager
def served(folder: Path) -> Generator[Browser]:
    """The site of a workspace in a thread of its own, and a browser that has not come in yet."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    browser = Browser(host, [])
    server: list[uvicorn.Server] = []
    ready = threading.Event()

    def run() -> None:
        async def serve() -> None:
            with open_inbox(folder) as inbox:
                door = Door(browser.keys.append)
                door.renew()
                config = uvicorn.Config(site(inbox, door, host), log_level="error", timeout_graceful_shutdown=1)
                server.append(uvicorn.Server(config))
                ready.set()
                await server[0].serve(sockets=[listening])

        asyncio.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    try:
        yield browser
    finally:
        server[0].should_exit = True
        thread.join(60)
        listening.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser before the site of `tmp_path`."""
    with served(tmp_path) as found:
        yield found


def test_the_link_works_once_and_nothing_is_seen_without_it(tmp_path: Path, browser: Browser) -> None:
    identifier = ask(tmp_path)
    for path in ("/", "/decided", "/audit", "/changes", f"/escalations/{identifier}"):
        closed = browser.ask("GET", path)
        assert closed.status == 403
        assert identifier not in closed.text
    first = browser.keys[-1]
    opened = browser.enter()
    assert (opened.status, opened.headers["Location"]) == (303, "/")
    cookie = opened.headers["Set-Cookie"]
    assert all(mark in cookie for mark in (f"{COOKIE}=", "HttpOnly", "SameSite=strict"))
    assert identifier in browser.read("/").text
    stranger = Browser(browser.host, [first])
    assert stranger.enter().status == 403, "a link that was used"
    assert Browser(browser.host, ["guess"]).enter().status == 403
    assert Browser(browser.host, browser.keys[:]).enter().status == 303, "the next link was printed"


def test_every_page_is_closed_to_other_origins_and_loads_nothing_from_outside(tmp_path: Path, browser: Browser) -> None:
    identifier = ask_approval(tmp_path)
    browser.enter()
    for path in ("/", f"/escalations/{identifier}", "/audit", "/decided", "/site.css", "/nowhere"):
        answer = browser.ask("GET", path)
        if path != "/nowhere":
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"(?:src|href|action)=\W*(?:https?:)?//", answer.text)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert browser.ask("GET", "/", Host="evil.example").status == 421
    assert browser.ask("GET", "/", Host="127.0.0.1:1").status == 421


def test_a_person_approves_by_the_end_of_the_digest(tmp_path: Path, browser: Browser) -> None:
    identifier = ask_approval(tmp_path, "DROP TABLE orders", asker=user())
    browser.enter()
    shown = browser.read(f"/escalations/{identifier}").text
    assert shown.index("DROP TABLE orders") < shown.index("If yes")
    assert DIGEST in shown
    for tail in ("yes", "", "c0d"):
        wrong = browser.send(f"/escalations/{identifier}", way="approved", tail=tail)
        assert wrong.status == 400
        assert "nothing was decided" in wrong.text
    assert stored(tmp_path, identifier)["status"] == "open"
    done = browser.send(f"/escalations/{identifier}", way="approved", tail="C0DE", answer="after the backup")
    assert done.status == 303
    row = stored(tmp_path, identifier)
    assert (row["status"], row["channel"], row["answer"]) == ("approved", "web", "after the backup")
    granted = row["granted"]
    assert granted is not None
    assert (granted["approver"], granted["spent"]) == (user(), None)
    again = browser.send(f"/escalations/{identifier}", way="denied", answer="changed my mind")
    assert again.status == 400
    assert "approved, only an open" in again.text
    assert f"by {user()} (web)" in browser.read("/decided").text


def test_a_form_of_another_site_or_session_decides_nothing(tmp_path: Path, browser: Browser) -> None:
    identifier = ask_approval(tmp_path)
    path = f"/escalations/{identifier}"
    browser.enter()
    browser.read(path)
    good = {"way": "approved", "tail": "c0de"}
    form = urlencode({"token": browser.token, **good}).encode()
    assert browser.ask("POST", path, form, Origin="https://evil.example").status == 400
    assert browser.ask("POST", path, form, Origin="null").status == 400
    assert browser.ask("POST", path, form).status == 400, "no origin at all"
    other = Browser(browser.host, browser.keys)
    other.enter()
    other.token = browser.token
    assert "another session" in other.send(path, **good).text
    other.token = ""
    assert other.send(path, **good).status == 400
    other.cookie, other.token = "", browser.token
    assert other.send(path, **good).status == 403
    assert browser.send(path, way="answered", answer="yes").status == 400, "an approval is not a question"
    assert browser.send(path, way="approve").status == 400
    assert browser.ask("POST", path, b"x" * 200_000, Origin=f"http://{browser.host}").status == 400
    assert browser.ask("POST", path, b"\xff=\xfe", Origin=f"http://{browser.host}").status == 400
    assert stored(tmp_path, identifier)["status"] == "open"
    assert browser.send(path, **good).status == 303


async def test_an_answer_reaches_the_engineer(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path) as client:
        asked = await said(client, "escalate", question())
        path = f"/escalations/{asked['id']}"

        def answered() -> None:
            with served(tmp_path) as browser:
                browser.enter()
                browser.read(path)
                assert "the answer is empty" in browser.send(path, way="answered", answer="  ").text
                assert browser.send(path, way="answered", answer="half even").status == 303

        await asyncio.to_thread(answered)
        heard = await said(client, "check_escalation", {"id": asked["id"]})
        assert (heard["status"], heard["answer"], heard["channel"]) == ("answered", "half even", "web")


def test_only_the_people_of_the_policy_approve(tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text('[people]\ndata_owner = ["somebody-else"]\n')
    identifier = ask_approval(tmp_path)
    with served(tmp_path) as browser:
        browser.enter()
        browser.read(f"/escalations/{identifier}")
        refused = browser.send(f"/escalations/{identifier}", way="approved", tail="c0de")
    assert refused.status == 400
    assert "somebody-else" in refused.text
    assert stored(tmp_path, identifier)["status"] == "open"


def test_what_the_engineer_wrote_cannot_become_part_of_the_page(tmp_path: Path, browser: Browser) -> None:
    hostile = "<script>fetch('/')</script> \"'><img src=x onerror=alert(1)> \u202egnp.exe"
    details: dict[str, Any] = {hostile: [hostile, {hostile: hostile}]}
    identifier = ask(tmp_path, hostile, **details)
    browser.enter()
    shown = browser.read(f"/escalations/{identifier}").text
    assert "<script>fetch" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;fetch" in shown
    assert "\u202e" not in shown
    assert "invisible or control characters were taken out" in shown
    missing = browser.ask("GET", "/escalations/<script>alert(1)</script>".replace("<", "%3C").replace(">", "%3E"))
    assert missing.status == 404
    assert "<script>alert" not in missing.text


def test_the_audit_page_shows_calls_and_whether_the_chain_holds(tmp_path: Path, browser: Browser) -> None:
    identifier = ask_approval(tmp_path)
    browser.enter()
    browser.read(f"/escalations/{identifier}")
    browser.send(f"/escalations/{identifier}", way="denied", answer="not on a Friday")
    shown = browser.read("/audit").text
    assert "the chain holds" in shown
    assert identifier in shown
    assert "denied" in shown


def test_a_change_by_another_process_is_told_at_once(tmp_path: Path, browser: Browser) -> None:
    browser.enter()
    connection = http.client.HTTPConnection(browser.host, timeout=60)
    connection.request("GET", "/changes", headers={"Cookie": browser.cookie})
    response = connection.getresponse()
    assert response.readline() == b"retry: 2000\n"
    mark = re.search('data-mark="([^"]+)"', browser.read("/").text)
    ask(tmp_path)
    lines = iter(response.readline, b"")
    assert b"event: change\n" in (next(lines), next(lines))
    connection.close()
    assert mark is not None
    connection.request("GET", f"/changes?since={quote(mark[1])}", headers={"Cookie": browser.cookie})
    late = connection.getresponse()
    assert b"event: change\n" in [late.readline() for _ in range(3)], "also what came before the page listened"
    connection.close()


def test_an_agent_and_a_pipe_get_no_inbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in seat.MARKERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(seat, "ancestors", lambda: iter(()))
    assert main(["inbox", "serve", "--workspace", str(tmp_path)]) == 1
    assert "a terminal only" in capsys.readouterr().err
    monkeypatch.setenv("CLAUDECODE", "1")
    assert main(["inbox", "serve", "--workspace", str(tmp_path)]) == 1
    assert "the engineer does not answer itself" in capsys.readouterr().err


def test_a_terminal_shows_the_link(tmp_path: Path) -> None:
    code, seen = at_a_terminal.run(["inbox", "serve"], typed={"/enter?key=": "\x03"}, cwd=tmp_path)
    assert code in (0, 130), seen
    assert re.search(r"open once: http://127\.0\.0\.1:\d+/enter\?key=[\w-]{32}", seen)


def test_an_expired_question_is_shown_as_such(tmp_path: Path, browser: Browser) -> None:
    identifier = ask(tmp_path)
    store = open_store(workspace(tmp_path).state)

    async def later() -> None:
        async with store.transaction():
            await escalations.expire(store, 4e9)

    asyncio.run(later())
    store.close()
    browser.enter()
    assert "nobody answered" in browser.read(f"/escalations/{identifier}").text
    assert "Nothing waits" in browser.read("/").text


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on this machine")
def test_a_person_at_a_real_browser_sees_a_question_come_and_answers_it(tmp_path: Path, browser: Browser) -> None:
    """By the keyboard at a desk; and without scripts, on a phone in the dark."""
    with chromium.opened(tmp_path / "profile") as page:
        page.look(1000, 800)
        page.open(f"http://{browser.host}/enter?key={browser.keys[-1]}")
        page.until("document.body.innerText.includes('Nothing waits for you')")
        first = ask_approval(tmp_path, "DROP TABLE orders")
        page.until(f"document.querySelector('a[href=\"/escalations/{first}\"]')")
        while not page.run("document.activeElement.matches('a[href^=\"/escalations/\"]')"):
            page.press("Tab")
        page.press("Enter")
        page.until("document.querySelector('#tail')")
        while page.run("document.activeElement.id") != "tail":
            page.press("Tab")
        page.type(DIGEST[-4:])
        page.press("Enter")
        page.until("document.body.innerText.includes('Approved by')")
        second = ask(tmp_path)
        page.look(390, 844, dark=True, scripts=False, touch=True)
        page.open(f"http://{browser.host}/escalations/{second}")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing runs out of a phone"
        page.run("document.querySelector('#answer').focus()")
        page.type("half even")
        page.run("document.querySelector('button[value=answered]').click()")
        page.until("document.body.innerText.includes('Answered by')")
        asked = page.asked
    assert {url.split("/")[2] for url in asked} == {browser.host}, "nothing from outside"
    assert [stored(tmp_path, each)["status"] for each in (first, second)] == ["approved", "answered"]
