"""The inbox on the command line: people read what is asked and decide; agents don't."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations, persona
from mcp_backend.cli import main
from mcp_backend.people import seat
from mcp_backend.settings import user, workspace
from mcp_backend.store import Row, open_store
from mcp_backend.terminal import hidden, plain

DIGEST = "ab" * 30 + "c0de"
HIDING = "approve\u202e lla ,esrever\u202c z\u200bero\u200d \ufeffwidth\u2066 \x1b[31mred\x07 \U000e0041tag\u00ad"
Inbox = Callable[..., tuple[int, str, str]]


def ask(folder: Path, question: str = "Half even?", *, asker: str = "agent", **details: Any) -> str:
    """An open question of the kind `unknown`."""

    async def opened() -> str:
        kind = persona.load().kind("unknown")
        assert kind is not None
        store = open_store(workspace(folder).state)
        now = datetime.now(UTC).timestamp()
        row, _ = await escalations.open_question(
            store, kind, "Rounding", question, {"known": "x", **details}, blocking=True, asker=asker, now=now
        )
        store.close()
        return str(row["id"])

    return asyncio.run(opened())


def ask_approval(folder: Path, preview: str = "3 statements on main", *, asker: str = "agent") -> str:
    """An open approval, as the judge opens one."""

    async def opened() -> str:
        kind = persona.load().kind("approval")
        promise = next(c for c in persona.load().constraints if c.id == "data-consistency")
        assert kind is not None
        store = open_store(workspace(folder).state)
        row = await escalations.open_approval(
            store, kind, promise, tool="run_migration", digest=DIGEST, at_version="f00dfeed", preview=preview,
            reason="a person approves 3 statement(s) on main (production)", asker=asker,
            now=datetime.now(UTC).timestamp(),
        )  # fmt: skip
        store.close()
        return str(row["id"])

    return asyncio.run(opened())


def stored(folder: Path, identifier: str) -> Row:
    """What the store holds."""

    async def read() -> Row:
        store = open_store(workspace(folder).state)
        row = await escalations.get(store, identifier)
        granted = await store.row("approval_of", escalation=identifier)
        store.close()
        return {**row, "granted": granted}

    return asyncio.run(read())


@pytest.fixture
def inbox(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """Runs `mcp-backend inbox` in this process, without a terminal: the exit code, the output, the errors."""
    for name in seat.MARKERS:
        monkeypatch.delenv(name, raising=False)
    # Whoever runs the tests may be an agent; the processes above are looked at in a test of their own.
    monkeypatch.setattr(seat, "ancestors", lambda: iter(()))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["inbox", *arguments, "--workspace", str(tmp_path)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_an_empty_inbox_says_so(inbox: Inbox) -> None:
    assert inbox() == (0, "nothing waits for an answer\n", "")
    assert inbox("list", "--all")[1] == "nothing was ever asked\n"
    assert json.loads(inbox("list", "--json")[1]) == {"escalations": []}


def test_what_waits_is_listed_the_oldest_first(inbox: Inbox, tmp_path: Path) -> None:
    first, second = ask(tmp_path), ask_approval(tmp_path)
    for arguments in ((), ("list",)):
        code, out, _ = inbox(*arguments)
        lines = out.splitlines()
        assert code == 0
        assert [line.split()[0] for line in lines[:3]] == ["ID", first, second]
        assert "tech lead" in lines[1]
        assert "Rounding (the engineer waits)" in lines[1]
        assert "data owner" in lines[2]
        assert "in 4 h" in lines[2]
    listed = json.loads(inbox("list", "--json")[1])["escalations"]
    assert [(e["id"], e["kind"], e["status"]) for e in listed] == [
        (first, "unknown", "open"),
        (second, "approval", "open"),
    ]


def test_a_question_is_shown_whole_with_what_an_answer_does(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(
        tmp_path, tried=["read api.yaml", "ran the tests"], would_unblock={"rule": "half-even", "from": [1, 2]}
    )
    code, out, _ = inbox("show", identifier)
    assert code == 0
    for words in (identifier, "Half even?", "tech lead", "asked by agent", "it waits for this", "- read api.yaml"):
        assert words in out
    for words in ("rule: half-even", "binds the engineer", "silence is a no", f"answer {identifier} --text"):
        assert words in out
    whole = json.loads(inbox("show", identifier, "--json")[1])
    assert whole["details"]["tried"] == ["read api.yaml", "ran the tests"]
    assert (whole["answer"], whole["by"], whole["decided"]) == (None, None, None)


def test_an_approval_shows_what_it_would_do_and_what_follows(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask_approval(tmp_path, "DROP TABLE orders\nCREATE TABLE orders (id int)")
    out = inbox("show", identifier)[1]
    for words in ("a person approves 3 statement(s)", "data owner", "data-consistency: Must consider data consistency.",
                  "run_migration", "f00dfeed", "  DROP TABLE orders\n  CREATE TABLE", "if yes", "once, within 4h",
                  "if no", "lapses in 4 h: silence is a no", DIGEST):  # fmt: skip
        assert words in out


def test_a_question_is_answered_and_cannot_be_answered_again(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    code, out, _ = inbox("answer", identifier, "--text", "half even, as the ledger does")
    assert code == 0
    assert out.startswith(f"answered: {identifier}, by {user()} through the command")
    row = stored(tmp_path, identifier)
    assert (row["status"], row["answer"], row["answered_by"], row["channel"]) == (
        "answered", "half even, as the ledger does", user(), "command",
    )  # fmt: skip
    code, _, err = inbox("answer", identifier, "--text", "half up")
    assert (code, err) == (1, f"mcp-backend: {identifier} is answered, only an open escalation can be answered\n")
    assert f"answered by {user()} (command)" in inbox("show", identifier)[1]
    assert inbox("list")[1] == "nothing waits for an answer\n"
    assert identifier in inbox("list", "--all")[1]


def test_programs_get_the_decision_as_data(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    decided = json.loads(inbox("answer", identifier, "--text", "yes", "--json")[1])
    assert (decided["id"], decided["status"], decided["answer"]) == (identifier, "answered", "yes")
    assert datetime.fromisoformat(decided["decided"]).tzinfo is not None


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_an_empty_answer_is_none(inbox: Inbox, tmp_path: Path, text: str) -> None:
    identifier = ask(tmp_path)
    code, _, err = inbox("answer", identifier, "--text", text)
    assert (code, err) == (1, "mcp-backend: the answer is empty: say what was decided\n")
    assert stored(tmp_path, identifier)["status"] == "open"


def test_an_unknown_id_names_what_is_open(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    for action in (("show", "ESC-nope"), ("answer", "ESC-nope", "--text", "x")):
        code, out, err = inbox(*action)
        assert (code, out) == (1, "")
        assert err == f"mcp-backend: no escalation ESC-nope; open ones: {identifier}\n"


def test_an_approval_takes_no_text(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask_approval(tmp_path)
    code, _, err = inbox("answer", identifier, "--text", "fine")
    assert (code, err) == (1, f"mcp-backend: {identifier} is an approval: answer it with --approve or --deny\n")


@pytest.mark.parametrize("way", ["--approve", "--deny"])
def test_an_approval_is_not_decided_without_a_terminal(inbox: Inbox, tmp_path: Path, way: str) -> None:
    identifier = ask_approval(tmp_path)
    code, out, err = inbox("answer", identifier, way)
    assert (code, out) == (1, "")
    assert "at a terminal" in err
    assert stored(tmp_path, identifier)["status"] == "open"


def test_who_asked_does_not_approve_without_a_terminal(inbox: Inbox, tmp_path: Path) -> None:
    own, other = ask(tmp_path, asker=user()), ask(tmp_path, "And taxes?", asker="agent")
    code, _, err = inbox("answer", own, "--approve")
    assert code == 1
    assert "somebody else approves it, or the same person at a terminal" in err
    assert inbox("answer", other, "--approve")[0] == 0


@pytest.mark.parametrize("marker", seat.MARKERS)
def test_an_agents_shell_answers_nothing(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    question, approval = ask(tmp_path), ask_approval(tmp_path)
    monkeypatch.setenv(marker, "1")
    for arguments in ((question, "--text", "yes"), (approval, "--approve")):
        code, out, err = inbox("answer", *arguments)
        assert (code, out) == (1, "")
        assert marker in err
        assert "the engineer does not answer itself" in err
    assert stored(tmp_path, question)["status"] == stored(tmp_path, approval)["status"] == "open"
    assert inbox("list")[0] == 0, "reading is nobody's secret"


@pytest.mark.parametrize(
    "setting",
    ["CODEX_HOME", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_SSE_PORT", "COPILOT_MODEL", "COPILOT_GITHUB_TOKEN",
     "AIDER_MODEL", "OPENCODE_CONFIG", "GEMINI_API_KEY", "CURSOR_TRACE_ID", "CODING_AGENT_MODEL"],
)  # fmt: skip
def test_a_person_with_settings_of_an_agent_is_still_a_person(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(setting, "1")
    assert inbox("answer", ask(tmp_path), "--text", "yes")[0] == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_mark_that_was_cleared_is_seen_in_the_processes_above(tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    command = f"{shlex.quote(sys.executable)} -m mcp_backend inbox answer {identifier} --text yes"
    done = subprocess.run(
        ["sh", "-c", f"env -u CLAUDECODE {command}; exit $?"],
        cwd=tmp_path,
        env={**{n: v for n, v in os.environ.items() if n not in seat.MARKERS}, "CLAUDECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Claude Code (CLAUDECODE), of process" in done.stderr
    assert stored(tmp_path, identifier)["status"] == "open"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_processes_above_are_found() -> None:
    program = "from mcp_backend.people import seat; print(*[i for i, _, _ in seat.ancestors()])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert printed[0] == str(os.getpid())
    assert "1" not in printed


def test_what_a_reader_would_not_see_is_taken_out_and_told(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(tmp_path, HIDING, note=["postgresql://ana:hunter2@db/x", {"k\u202ey": "a\u200bb"}])
    approval = ask_approval(tmp_path, HIDING)
    for shown in (inbox("show", identifier)[1], inbox("show", approval)[1], inbox("list")[1],
                  inbox("show", identifier, "--json")[1], inbox("list", "--json")[1]):  # fmt: skip
        assert hidden(shown) == 0
        assert "\\u202e" not in shown
        assert "hunter2" not in shown
    page = inbox("show", identifier)[1]
    assert "postgresql://ana:***@db/x" in page
    assert f"{hidden(HIDING) + 2} invisible or control characters were taken out" in page


def test_plain_text_keeps_what_people_write() -> None:
    text = "SELECT 'Grüße, 世界, مرحبا, 😀' -- naïve\n\tid\r\n"
    assert plain(text) == text.replace("\r\n", "\n")
    assert plain("pass\u200bword=hunter2") == "password=***"
    assert hidden(text) == 0


def test_an_answer_is_kept_without_what_nobody_sees(inbox: Inbox, tmp_path: Path) -> None:
    identifier = ask(tmp_path)
    inbox("answer", identifier, "--text", "half\u202e even; token=abc123")
    assert stored(tmp_path, identifier)["answer"] == "half even; token=***"


def test_the_command_line_says_what_is_wrong(inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["answer", "ESC-1"], ["answer", "ESC-1", "--approve", "--deny"], ["answer", "--text", "x"]):
        with pytest.raises(SystemExit) as ended:
            inbox(*arguments)
        assert ended.value.code == 2
        assert "usage:" in capsys.readouterr().err
