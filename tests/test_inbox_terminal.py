"""Decisions at a real (pseudo-)terminal: retyped, coloured, and only by the people of the policy."""

from pathlib import Path

import pytest

from mcp_backend.settings import user
from tests import at_a_terminal
from tests.test_inbox import DIGEST, ask_approval, stored

pytestmark = pytest.mark.usefixtures("local_store")


def test_a_person_approves_at_a_terminal_by_retyping_the_end_of_the_digest(tmp_path: Path) -> None:
    identifier = ask_approval(tmp_path, "DROP TABLE orders", asker=user())
    code, seen = at_a_terminal.run(
        ["inbox", "answer", identifier, "--approve"], typed={"leave it: ": "c0de\n"}, cwd=tmp_path
    )
    assert code == 0, seen
    assert seen.index("DROP TABLE orders") < seen.index("if yes") < seen.index(DIGEST) < seen.index("to approve")
    assert "approved" in seen
    assert "\x1b[" in seen, "colours where a person looks"
    row = stored(tmp_path, identifier)
    assert (row["status"], row["answered_by"], row["channel"]) == ("approved", user(), "terminal")
    granted = row["granted"]
    assert granted is not None
    assert (granted["approver"], granted["spent"]) == (user(), None)
    assert granted["expires"] - granted["granted"] == 4 * 3600


@pytest.mark.parametrize("typed", ["yes\n", "c0d\n", "\n", "\x04"], ids=["yes", "too short", "enter", "end of input"])
def test_anything_else_approves_nothing(tmp_path: Path, typed: str) -> None:
    identifier = ask_approval(tmp_path)
    code, seen = at_a_terminal.run(
        ["inbox", "answer", identifier, "--approve"], typed={"leave it: ": typed}, cwd=tmp_path
    )
    assert code == 1
    assert "nothing was decided" in seen
    assert stored(tmp_path, identifier)["status"] == "open"


def test_a_person_denies_with_a_reason(tmp_path: Path) -> None:
    identifier = ask_approval(tmp_path)
    arguments = ["inbox", "answer", identifier, "--deny", "--reason", "not on a Friday", "--json"]
    code, seen = at_a_terminal.run(arguments, typed={}, cwd=tmp_path, environment={"NO_COLOR": "1"})
    assert code == 0
    assert "\x1b[" not in seen
    row = stored(tmp_path, identifier)
    assert (row["status"], row["answer"], row["granted"]) == ("denied", "not on a Friday", None)


def test_a_terminal_of_an_agent_is_none(tmp_path: Path) -> None:
    identifier = ask_approval(tmp_path)
    arguments = ["inbox", "answer", identifier, "--approve"]
    code, seen = at_a_terminal.run(arguments, typed={}, cwd=tmp_path, environment={"GEMINI_CLI": "1"})
    assert code == 1
    assert "Gemini CLI (GEMINI_CLI)" in seen


@pytest.mark.parametrize(("people", "code"), [("somebody-else", 1), (user(), 0)])
def test_only_the_people_of_the_policy_approve(tmp_path: Path, people: str, code: int) -> None:
    (tmp_path / "mcp-backend.toml").write_text(f'[people]\ndata_owner = ["{people}"]\n')
    identifier = ask_approval(tmp_path)
    ended, seen = at_a_terminal.run(
        ["inbox", "answer", identifier, "--approve"], typed={"leave it: ": "c0de\n"}, cwd=tmp_path
    )
    assert ended == code
    assert ("not for" in seen) == bool(code)
    assert stored(tmp_path, identifier)["status"] == ("open" if code else "approved")
