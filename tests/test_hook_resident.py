"""Beside a server over stdio a process judges for hooks, and says what the hook would have said; without it, or when
its answer is late or odd, the hook judges by itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import pytest

from mcp_backend.hosts import answering, resident
from mcp_backend.settings import user
from tests.conftest import ALL, git
from tests.shell_corpus import Stage
from tests.test_escalation_hook import decided, event
from tests.test_front import server
from tests.test_hook import EVENTS, cases, run, staged
from tests.test_inbox import ask

Asked: TypeAlias = Callable[[str, dict[str, Any]], str | None]

ALONE = """
import sys
from mcp_backend.hosts import resident
resident.SECONDS = 60.0
resident.start()
sys.stdin.read()
"""
"""A server as far as hooks are concerned."""
EVERY = 1 if ALL else 12
"""Of so many lines of the corpora one is judged both ways."""
LISTED = """
import io, json, sys
before = set(sys.modules)
sys.stdin = io.TextIOWrapper(io.BytesIO(sys.argv[1].encode()))
from mcp_backend import hook
code = hook.main(["claude-code"])
print(json.dumps([code, sorted(set(sys.modules) - before)]))
"""
READ: dict[str, Any] = {"tool_name": "Read", "tool_input": {}}


def until(true: Callable[[], object]) -> None:
    """Waits for what another process does."""
    end = monotonic() + 60
    while not true():
        assert monotonic() < end, "it never happened"
        threading.Event().wait(0.01)


def hooks(state: Path) -> set[int]:
    """The processes that listen."""
    folder = state / "hook"
    return {int(name) for name in os.listdir(folder) if name.isdecimal()} if folder.is_dir() else set()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, list["subprocess.Popen[bytes]"]]]:
    """A state folder, and the servers that were started for it."""
    state, started = tmp_path_factory.mktemp("beside"), list["subprocess.Popen[bytes]"]()
    yield state, started
    for process in started:
        process.communicate()
    until(lambda: not os.listdir(state / "hook"))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine nothing is late."""
    monkeypatch.setattr(resident, "SECONDS", 60.0)


@pytest.fixture
def judge(beside: tuple[Path, list["subprocess.Popen[bytes]"]], monkeypatch: pytest.MonkeyPatch) -> int:
    """The process, which has read what it needs. Where somebody edits this
    program it ends, and another comes."""
    state, started = beside
    monkeypatch.setenv("MCP_BACKEND_STATE", str(state))
    if not hooks(state):
        started.append(subprocess.Popen([sys.executable, "-c", ALONE], stdin=subprocess.PIPE))
        until(lambda: hooks(state))
    until(lambda: resident.asked("claude-code", json.dumps(READ).encode()) is not None)
    return max(hooks(state))


def both(host: str, event: dict[str, Any]) -> tuple[str | None, str | None]:
    """What the process beside the server says, and what the hook says by itself."""
    data = json.dumps(event).encode()
    return resident.asked(host, data), answering.answer(host, data, answering.left)


@pytest.fixture
def shop(repository: Path) -> Path:
    (repository / "frontend").mkdir()
    (repository / "frontend/package.json").write_text('{"dependencies": {"react": "18"}}')
    git(repository, "add", ".")
    return repository


@pytest.mark.usefixtures("judge")
def test_it_says_of_the_corpora_byte_for_byte_what_the_hook_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path / "corpus")
    monkeypatch.chdir(stage.base)
    monkeypatch.setenv("HOME", str(stage.home))
    rows = [*cases("guard_attacks"), *cases("guard_benign")][::EVERY]
    said = [both("claude-code", staged(row.values[0], stage)) for row in rows]
    assert [there for there, _ in said] == [here for _, here in said]
    assert not rows or {there == "" for there, _ in said} == {True, False}


@pytest.mark.usefixtures("judge")
def test_it_answers_every_host_in_its_own_form_in_the_environment_of_the_hook(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, call, key in EVENTS:
        there, here = both(host, {**call, "cwd": str(shop), "workspace_roots": [str(shop)]})
        assert there == here
        assert key in json.loads(there or "")
    # The folder of the hook, its home, its places for temporary files.
    monkeypatch.chdir(shop)
    written: dict[str, Any] = {"tool_name": "Bash", "cwd": ".", "tool_input": {"command": "touch ~/a $TMPDIR/b"}}
    outside = both("claude-code", written)
    monkeypatch.setenv("HOME", str(shop))
    monkeypatch.setenv("TMPDIR", str(shop.parent / "temporary"))
    inside = both("claude-code", written)
    assert outside[0] == outside[1] != ""
    assert inside == ("", "")


@pytest.mark.usefixtures("judge")
def test_what_cannot_be_judged_there_is_judged_and_refused_here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for odd in (b"", b"[]", b'{"tool_name": "Bash", "tool_input": {}}'):
        assert resident.asked("claude-code", odd) is None
    (shop / "mcp-backend.toml").write_text("[paths]\nfrontned = []\n")
    done = run("claude-code", event(shop))
    assert (done.returncode, "paths.frontned" in done.stderr) == (2, True)
    (shop / "mcp-backend.toml").write_text('[paths]\nprotected = ["orders/**"]\n')
    there, here = both("claude-code", event(shop, "echo x > orders/a.py"))
    assert there == here
    assert "protects" in (there or ""), "the policy is read anew for each judgement"
    monkeypatch.setattr(resident, "program", lambda: b"another version")
    assert resident.asked("claude-code", json.dumps(READ).encode()) is None


@pytest.mark.usefixtures("judge")
def test_an_answer_of_a_person_is_told_once_and_by_the_hook(repository: Path) -> None:
    identifier = ask(repository, asker=user())
    decided(repository, identifier)
    assert resident.asked("claude-code", json.dumps(event(repository)).encode()) is None
    assert identifier in run("claude-code", event(repository)).stdout
    assert resident.asked("claude-code", json.dumps(event(repository)).encode()) == ""


@pytest.mark.usefixtures("judge")
def test_the_hook_itself_reads_next_to_nothing_then(shop: Path) -> None:
    line = json.dumps(event(shop, "rm frontend/package.json"))
    done = subprocess.run([sys.executable, "-c", LISTED, line], capture_output=True, text=True, check=True)
    refused, last = done.stdout.splitlines()
    assert json.loads(refused)["hookSpecificOutput"]["permissionDecision"] == "deny"
    code, brought = json.loads(last)
    assert (code, {name for name in brought if not name.startswith("mcp_backend")} - {"types"}) == (0, {"_socket"})


def test_a_hook_waits_for_no_process_that_stands_still(shop: Path, judge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "SECONDS", 0.05)
    os.kill(judge, signal.SIGSTOP)
    try:
        assert resident.asked("claude-code", json.dumps(event(shop)).encode()) is None
    finally:
        os.kill(judge, signal.SIGCONT)


ODD = [b"", b"\0\0\0\1", resident.packed(b"said"), resident.packed(b"silent", b"x"), resident.packed(), b"\xff" * 9,
       resident.packed(b"yours"), resident.packed(b"said", b"\xff")[:-1], b"\0\0\0\5\0\0\0\6silen"]  # fmt: skip


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_that_is_not_of_the_form_is_none(state: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state / "hook"
    folder.mkdir(mode=0o700)
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("1.sock")
        listening.listen(4)
        (folder / "1").write_bytes(b"k" * resident.KEY)

        def say() -> None:
            with listening.accept()[0] as connection:
                assert connection.recv(resident.KEY) == b"k" * resident.KEY
                connection.sendall(answer)

        thread = threading.Thread(target=say)
        thread.start()
        assert resident.asked("claude-code", b"{}") is None
        thread.join()
        folder.chmod(0o750)
        assert resident.asked("claude-code", b"{}") is None, "others may look into this folder"


def test_who_does_not_know_the_key_or_is_another_user_gets_no_answer(
    shop: Path, judge: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.dumps(event(shop)).encode()
    assert resident.asked("claude-code", data) == ""
    key = Path(resident.place(), str(judge))
    right = key.read_bytes()
    key.write_bytes(b"x" * resident.KEY)
    assert resident.asked("claude-code", data) is None
    key.write_bytes(right)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert not resident.same_user(one)
    assert resident.asked("claude-code", data) is None


def test_it_ends_with_its_server_and_leaves_nothing(tmp_path: Path, state: Path) -> None:
    left = state / "hook" / "4194305"  # No process has this number.
    left.parent.mkdir(mode=0o700)
    left.write_bytes(b"")
    with server(tmp_path):  # ... which the block kills.
        until(lambda: (state / "hook").is_dir() and hooks(state) - {4194305})
        assert not left.exists()
        [number] = hooks(state)
        os.kill(number, signal.SIGINT)  # as a terminal does
        assert os.listdir(left.parent)
    until(lambda: not os.listdir(left.parent))
