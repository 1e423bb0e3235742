"""The audit chain: whole under many writers, and every edited, dropped, moved or cut record is found and named."""

import asyncio
import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from mcp_backend import audit
from mcp_backend.cli import main
from mcp_backend.policy.store import LOCAL, Shared
from mcp_backend.settings import Workspace, workspace
from mcp_backend.store import open_store
from tests.conftest import git
from tests.store_fixtures import SWITCHED


async def fill(place: Workspace, count: int = 6, shared: Shared = LOCAL) -> None:
    """A log of so many records."""
    store = open_store(place.state, shared)
    for number in range(1, count + 1):
        async with store.transaction():
            await audit.append(store, {"at": "2026-11-25T10:00:00+00:00", "event": "done", "tool": f"tool{number}"})
    store.close()


def file_of(place: Workspace) -> sqlite3.Connection:
    """The log as an editor for SQLite opens it; skips the test where all run on PostgreSQL."""
    if SWITCHED:
        pytest.skip("the log is not in a file here")
    return sqlite3.connect(place.state / "store.db")


def tamper(place: Workspace, *statements: str) -> None:
    """Changes the store as somebody with an editor for SQLite would."""
    with closing(file_of(place)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rebuild(place: Workspace) -> None:
    """Edits record 2 and computes every hash anew, as somebody who read this program would."""
    with closing(file_of(place)) as connection, connection:
        connection.execute("update audit set record = replace(record, 'tool2', 'tool9') where seq = 2")
        previous = audit.GENESIS
        for seq, record in connection.execute("select seq, record from audit order by seq").fetchall():
            previous = audit.link(previous, record)
            connection.execute("update audit set hash = ? where seq = ?", (previous, seq))
        connection.execute("update audit_head set hash = ?", (previous,))


@pytest.fixture
def place(repository: Path) -> Workspace:
    """A repository with six records in its log."""
    where = workspace(repository)
    asyncio.run(fill(where))
    return where


Verify = Callable[[], tuple[int, str]]


@pytest.fixture
def verify(place: Workspace, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The exit code and the words of `audit verify`."""

    def verified() -> tuple[int, str]:
        capsys.readouterr()
        code = main(["audit", "verify", "--workspace", str(place.root)])
        return code, capsys.readouterr().out

    return verified


def test_an_untouched_log_is_whole(verify: Verify) -> None:
    code, words = verify()
    assert code == 0
    assert "6 records, 0 seals compared: the log is whole" in words
    assert "audit seal" in words, "without a seal it says what a chain alone cannot show"


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["update audit set record = replace(record, 'tool3', 'tool4') where seq = 3"], "record 3 was edited"),
        (["update audit set record = '{}' where seq = 3"], "record 3 holds what was written as record none"),
        (["update audit set record = 'not json' where seq = 3"], "record 3 holds what was written as record none"),
        (["delete from audit where seq = 3"], "record 3 is missing before record 4"),
        (["delete from audit where seq in (2, 3)"], "records 2 to 3 are missing before record 4"),
        (["delete from audit where seq = 1"], "record 1 is missing before record 2"),
        (
            ["update audit set seq = 99 where seq = 3", "update audit set seq = 3 where seq = 4",
             "update audit set seq = 4 where seq = 99"],
            "record 3 holds what was written as record 4: moved",
        ),
        (["delete from audit where seq > 4"], "the log ends at record 4, its head says 6"),
        (["delete from audit"], "the log ends at record 0, its head says 6"),
        (["insert into audit values (7, '{\"seq\": 7}', 'x')"], "the log ends at record 7, its head says 6"),
        (["update audit_head set hash = 'x'"], "the head does not match the last record"),
        (["delete from audit_head"], "the log ends at record 6, its head says 0"),
    ],
    ids=["edited", "emptied", "garbled", "dropped", "two dropped", "first dropped", "reordered", "cut", "all cut",
         "added", "head edited", "head dropped"],
)  # fmt: skip
def test_what_was_done_to_the_log_is_named(place: Workspace, verify: Verify, statements: list[str], found: str) -> None:
    tamper(place, *statements)
    code, words = verify()
    assert code == 1
    assert found in words
    assert "broken at" in words


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update audit set record = replace(record, 'tool3', 'tool4') where seq = 3", "record 3 was edited"),
        ("delete from audit where seq in (2, 3)", "records 2 to 3 are missing before record 4"),
        ("delete from audit where seq > 4", "the log ends at record 4, its head says 6"),
    ],
    ids=["edited", "dropped", "cut"],
)
def test_what_was_done_to_a_log_on_postgresql_is_named(
    repository: Path, store_url: str, verify: Verify, monkeypatch: pytest.MonkeyPatch, statement: str, found: str
) -> None:
    monkeypatch.setenv("STORE", store_url)
    shared = Shared("env:STORE", f"tampered_{secrets.token_hex(4)}")
    (repository / "mcp-backend.toml").write_text(f'store = {{url = "env:STORE", workspace = "{shared.workspace}"}}\n')
    asyncio.run(fill(workspace(repository), shared=shared))
    assert verify()[0] == 0
    with psycopg.connect(store_url, options=f"-c search_path=mcp_backend_{shared.workspace}") as editor:
        editor.execute(statement.encode())
    code, words = verify()
    assert code == 1
    assert found in words


def test_one_edit_is_one_break(place: Workspace, verify: Verify) -> None:
    tamper(place, "update audit set record = replace(record, 'tool3', 'tool4') where seq = 3")
    assert verify()[1].count("broken at") == 1


def test_a_log_cut_together_with_its_head_is_found_by_a_seal(place: Workspace, verify: Verify) -> None:
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0
    head = "(select hash from audit where seq = 4)"
    tamper(place, "delete from audit where seq > 4", f"update audit_head set seq = 4, hash = {head}")
    code, words = verify()
    assert code == 1
    assert "record 6 was sealed, and is gone" in words


def test_a_log_that_was_rewritten_as_a_whole_is_found_by_a_seal(place: Workspace, verify: Verify) -> None:
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0
    rebuild(place)
    code, words = verify()
    assert code == 1
    assert "record 6 is not the one that was sealed" in words


def test_without_a_seal_a_rewritten_log_looks_whole(place: Workspace, verify: Verify) -> None:
    """What SECURITY.md says of the chain; if this ever fails, say so there."""
    rebuild(place)
    assert verify()[0] == 0


def test_every_seal_is_compared_and_the_log_goes_on(place: Workspace, verify: Verify) -> None:
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0, "the same head again changes nothing"
    assert main(["audit", "--workspace", str(place.root)]) == 0, "verify is the default"
    asyncio.run(fill(place, 2))
    git(place.root, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0
    code, words = verify()
    assert code == 0
    assert "8 records, 2 seals compared: the log is whole" in words
    rebuild(place)
    assert verify()[1].count("is not the one that was sealed") == 2


def test_a_seal_is_a_note_of_the_current_commit(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "seal", "--json", "--workspace", str(place.root)]) == 0
    sealed = json.loads(capsys.readouterr().out)
    assert (sealed["seq"], sealed["ref"]) == (6, "refs/notes/mcp-backend-audit")
    assert sealed["commit"] == git(place.root, "rev-parse", "HEAD")
    note = git(place.root, "notes", "--ref", sealed["ref"], "show", "HEAD")
    assert f"record 6 sha256 {sealed['hash']}" in note


def test_the_seals_of_another_clone_are_not_mistaken_for_ours(place: Workspace, verify: Verify) -> None:
    line = f"audit 0123456789ab record 6 sha256 {'0' * 64} at 2026-11-25T10:00:00+00:00"
    git(place.root, "notes", "--ref", "refs/notes/mcp-backend-audit", "add", "-m", line)
    code, words = verify()
    assert code == 0
    assert "1 seals belong to logs of other clones or machines" in words


def test_a_broken_log_is_not_sealed(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(place, "delete from audit where seq = 3")
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 1
    assert "a seal would cover that up" in capsys.readouterr().err
    assert git(place.root, "for-each-ref", "refs/notes") == ""


def test_sealing_starts_no_program_of_the_repository(place: Workspace) -> None:
    marker = place.root / "started"
    for hook in ("reference-transaction", "post-commit", "pre-commit", "prepare-commit-msg"):
        path = place.root / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
        path.chmod(0o755)
    git(place.root, "config", "core.editor", f"touch '{marker}'")
    marker.unlink(missing_ok=True)
    assert main(["audit", "seal", "--workspace", str(place.root)]) == 0
    assert not marker.exists()


def test_without_a_repository_the_log_is_verified_and_a_seal_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(workspace(tmp_path)))
    assert main(["audit", "verify", "--workspace", str(tmp_path)]) == 0
    assert "no seals were read" in capsys.readouterr().out
    assert main(["audit", "seal", "--workspace", str(tmp_path)]) == 1
    assert "not a git repository" in capsys.readouterr().err
    git(tmp_path, "init", "--quiet")
    assert main(["audit", "seal", "--workspace", str(tmp_path)]) == 1
    assert "no commit yet" in capsys.readouterr().err


def test_an_empty_log_is_whole_and_has_nothing_to_seal(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "--workspace", str(repository)]) == 0
    assert "0 records" in capsys.readouterr().out
    assert main(["audit", "seal", "--workspace", str(repository)]) == 1
    assert "nothing to seal" in capsys.readouterr().err
    assert main(["audit", "tail", "--workspace", str(repository)]) == 0
    assert "no call is recorded yet" in capsys.readouterr().out


def test_programs_get_the_verdict_as_data(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "--json", "--workspace", str(place.root)]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole == {
        "ok": True, "unended": [], "records": 6, "breaks": [], "seals": 0, "seals_of_other_logs": 0,
        "seals_unread": None,
    }  # fmt: skip
    tamper(place, "delete from audit where seq = 3")
    assert main(["audit", "verify", "--json", "--workspace", str(place.root)]) == 1
    broken = json.loads(capsys.readouterr().out)
    assert (broken["ok"], broken["records"]) == (False, 5)
    assert broken["breaks"] == [{"seq": 4, "problem": "record 3 is missing before record 4"}]


def test_the_tail_is_the_latest_records_in_their_order(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "tail", "-n", "2", "--workspace", str(place.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["SEQ", "5", "6"]
    assert "tool5" in lines[1]
    assert main(["audit", "tail", "-n", "3", "--json", "--workspace", str(place.root)]) == 0
    assert [r["tool"] for r in json.loads(capsys.readouterr().out)] == ["tool4", "tool5", "tool6"]


def test_a_garbled_record_does_not_stop_the_tail(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(place, "update audit set record = 'not json' where seq = 6", "update audit set record = '[1]' where seq = 5")
    assert main(["audit", "tail", "-n", "3", "--workspace", str(place.root)]) == 0
    assert capsys.readouterr().out.count("unreadable") == 2


@pytest.mark.parametrize("count", [audit.PAGE, audit.PAGE + 1])
async def test_a_log_of_more_than_a_page_is_verified_whole(tmp_path: Path, count: int) -> None:
    store = open_store(tmp_path)
    async with store.transaction(durable=False):
        for number in range(count):
            await audit.append(store, {"number": number})
    assert await audit.verify(store) == (count, [])
    store.close()


@pytest.mark.usefixtures("local_store")
def test_the_log_is_not_for_other_users(place: Workspace) -> None:
    for path in place.state.glob("store.db*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert place.state.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("local_store")
def test_verify_runs_from_a_shell(place: Workspace) -> None:
    command = [sys.executable, "-m", "mcp_backend", "audit", "verify"]
    done = subprocess.run(command, cwd=place.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout, "no colours where no person looks"


async def test_a_call_without_an_end_is_named_by_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One whose server still runs it is none, and neither is one that ended in any way."""
    store = open_store(workspace(tmp_path).state)
    async with store.transaction():
        for call, event in (("a", "started"), ("b", "started"), ("c", "started"), ("a", "unknown"), ("d", "refused")):
            await audit.append(store, {"call": call, "event": event, "tool": f"tool_{call}", "at": "now"})
        await store.run("running_add", call="c", instance="i", tool="tool_c", what="w")
    assert await audit.unended(store) == ["tool_b of now (record 2, call b)"]
    store.close()
    assert await asyncio.to_thread(main, ["audit", "verify", "--workspace", str(tmp_path)]) == 0
    assert "unknown how it ended: tool_b of now" in capsys.readouterr().out
