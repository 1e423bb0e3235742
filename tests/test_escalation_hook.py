"""A hook of the host carries people's answers to the model, once, and decides nothing by it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.people import answers
from mcp_backend.people.inbox import open_inbox
from mcp_backend.settings import user, workspace
from tests.conftest import Connect
from tests.test_escalation import question, said
from tests.test_hook import run
from tests.test_inbox import ask, ask_approval


def decided(folder: Path, identifier: str, status: str = "answered", answer: str = "half even") -> None:
    """A decision through the inbox of this machine."""

    async def decide() -> None:
        with open_inbox(folder) as people:
            now = datetime.now(UTC).timestamp()
            await people.decide(await people.one(identifier), status=status, answer=answer, channel="terminal", now=now)

    asyncio.run(decide())


def event(folder: Path, command: str = "ls") -> dict[str, Any]:
    return {
        "tool_name": "Bash",
        "tool_input": {"command": command},
        "cwd": str(folder),
        "hook_event_name": "PreToolUse",
    }


def test_an_answer_is_told_once_and_nothing_is_allowed_by_it(repository: Path) -> None:
    assert run("claude-code", event(repository)).stdout == ""
    identifier = ask(repository, asker=user())
    decided(repository, identifier, answer="half even\u202e")
    done = run("claude-code", event(repository))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)["hookSpecificOutput"]
    assert told.keys() == {"hookEventName", "additionalContext"}, "no decision: the host's own rules go on"
    assert f"{identifier} (answered): Rounding: half even" in told["additionalContext"]
    assert run("claude-code", event(repository)).stdout == "", "told once"
    second = ask_approval(repository, asker=user())
    decided(repository, second, "denied", "not on a Friday")
    assert "not on a Friday" in run("claude-code", event(repository)).stdout


def test_a_refusal_is_never_softened_by_an_answer(repository: Path) -> None:
    decided(repository, ask(repository, asker=user()))
    refused = json.loads(run("claude-code", event(repository, "echo x > .git/config")).stdout)["hookSpecificOutput"]
    assert refused["permissionDecision"] == "deny"
    assert "additionalContext" not in refused
    assert "half even" in run("claude-code", event(repository)).stdout, "the answer is not lost"


@pytest.mark.parametrize("host", ["codex", "gemini-cli", "cursor", "opencode", "vscode"])
def test_a_host_that_takes_no_words_beside_a_decision_hears_nothing(repository: Path, host: str) -> None:
    decided(repository, ask(repository, asker=user()))
    line = event(repository) | ({"tool_name": "run_shell_command"} if host == "gemini-cli" else {})
    if host == "opencode":
        line = {"tool": "bash", "args": {"command": "ls"}, "cwd": str(repository)}
    if host == "cursor":
        line = {"hook_event_name": "beforeShellExecution", "command": "ls", "workspace_roots": [str(repository)]}
    assert run(host, line).stdout == ""


async def test_what_a_result_told_is_not_told_again_by_a_hook(connect: Connect, repository: Path) -> None:
    state = workspace(repository).state
    async with connect(repository) as client:
        asked = await said(client, "escalate", question())
        await asyncio.to_thread(decided, repository, asked["id"])
        assert (state / answers.WAITING).exists()
        assert (await said(client, "check_escalation", {}))["notices"]
        assert await asyncio.to_thread(lambda: run("claude-code", event(repository)).stdout) == ""
        await said(client, "check_escalation", {"id": asked["id"]})
        assert not (state / answers.SHOWN).exists()


@pytest.mark.parametrize("content", ["{", "7"])
def test_a_file_that_cannot_be_read_refuses_nothing(repository: Path, content: str) -> None:
    decided(repository, ask(repository, asker=user()))
    (workspace(repository).state / answers.WAITING).write_bytes(content.encode("utf-8", "surrogateescape"))
    done = run("claude-code", event(repository))
    assert (done.returncode, done.stdout) == (0, "")
