"""A signed commit decides when somebody of the allowed signers signed exactly it."""

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.cli import main
from mcp_backend.errors import BackendError, FailedPrecondition
from mcp_backend.people import signed_commits
from mcp_backend.people.inbox import open_inbox
from mcp_backend.store import Row
from tests.conftest import git
from tests.test_inbox import ask, ask_approval


class Team:
    """A repository, keys of two people outside it, and the file of who may sign."""

    def __init__(self, root: Path, outside: Path) -> None:
        self.root, self.outside = root, outside
        for who in ("ana", "eve"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(outside / who)],
                check=True,
                capture_output=True,
            )
        public = (outside / "ana.pub").read_text()
        self.signers = outside / "allowed_signers"
        self.signers.write_text(f'ana@example.org namespaces="git" {public}')
        self.policy(f'allowed_signers = "{self.signers}"\n')

    def policy(self, text: str) -> None:
        (self.root / "mcp-backend.toml").write_text(text + '[people]\ndata_owner = ["ana@example.org"]\n')

    def commit(self, message: str, who: str | None = "ana") -> str:
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.outside / who}"] if who else []
        sign = ["-S"] if who else []
        git(self.root, *signing, "commit", "--allow-empty", "--quiet", *sign, "-m", message)
        return git(self.root, "rev-parse", "HEAD")

    def receive(self, revision: str) -> Row:
        async def received() -> Row:
            with open_inbox(self.root) as inbox:
                return await signed_commits.receive(inbox, revision, datetime.now(UTC).timestamp())

        return asyncio.run(received())

    def row(self, identifier: str) -> Row:
        async def found() -> Row:
            with open_inbox(self.root) as inbox:
                return await inbox.one(identifier)

        return asyncio.run(found())


@pytest.fixture
def team(repository: Path, tmp_path: Path) -> Team:
    outside = tmp_path / "outside"
    outside.mkdir()
    return Team(repository, outside)


def approving(row: Row, **change: str) -> str:
    said = {"Escalation": row["id"], "Decision": "approve", "Digest": row["digest"], **change}
    return "a decision\n\n" + "\n".join(f"{name}: {value}" for name, value in said.items() if value)


def test_a_commit_of_an_allowed_signer_approves_once(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    row = team.row(ask_approval(team.root))
    commit = team.commit(approving(row))
    assert main(["inbox", "commit", commit, "--workspace", str(team.root)]) == 0
    assert capsys.readouterr().out == f"{row['id']}: approved by ana@example.org\n"
    assert (team.row(row["id"])["status"], team.row(row["id"])["channel"]) == ("approved", "commit")
    with pytest.raises(FailedPrecondition, match="is approved"):
        team.receive(commit)


def test_a_question_is_answered_with_the_body(team: Team) -> None:
    identifier = ask(team.root)
    row = team.receive(team.commit(f"half even\n\nAs the bank does.\n\nEscalation: {identifier}\nDecision: answer"))
    assert (row["status"], row["answer"], row["answered_by"]) == (
        "answered", "half even\n\nAs the bank does.", "ana@example.org",
    )  # fmt: skip


def test_nothing_else_decides(team: Team) -> None:
    row = team.row(ask_approval(team.root))
    good = team.commit(approving(row))
    raw = subprocess.run(["git", "cat-file", "commit", good], cwd=team.root, check=True, capture_output=True).stdout
    changed = _stored(team.root, raw.replace(b"a decision", b"A decision"))
    forged = team.commit(approving(row), "eve")
    commits = {
        "unsigned": team.commit(approving(row), None),
        "signed by somebody else": forged,
        "changed after it was signed": changed,
        "another digest": team.commit(approving(row, Digest="0" * 64)),
        "no digest": team.commit(approving(row, Digest="")),
        "two decisions": team.commit(approving(row) + "\nDecision: deny"),
        "no decision": team.commit(approving(row, Decision="")),
        "another question": team.commit(approving(row, Escalation="ESC-00000000")),
        "no commit": "0" * 40,
        "a name": "HEAD",
    }
    (team.root / "orders.py").write_text("x = 1\n")
    git(team.root, "add", "orders.py")
    with pytest.raises(BackendError, match="changes nothing"):
        team.receive(team.commit(approving(row)))
    program = team.root / "yes"
    program.write_text("#!/bin/sh\necho '[GNUPG:] GOODSIG'; echo 'Good \"git\" signature for ana@example.org'\n")
    program.chmod(0o755)
    for name in ("gpg.program", "gpg.ssh.program", "gpg.ssh.allowedSignersFile"):
        git(team.root, "config", name, str(program))
    git(team.root, "replace", forged, good)
    for name, commit in commits.items():
        with pytest.raises(BackendError):
            team.receive(commit)
        assert team.row(row["id"])["status"] == "open", name
    team.signers.write_text(team.signers.read_text().replace("ana@example.org", "*"))
    with pytest.raises(BackendError, match="nobody"):
        team.receive(good)


def test_the_signers_lie_outside_the_workspace(team: Team) -> None:
    row = team.row(ask_approval(team.root))
    commit = team.commit(approving(row))
    (team.root / "signers").write_text(team.signers.read_text())
    (team.outside / "link").symlink_to(team.root / "signers")
    places: dict[str, Any] = {
        "": "not set", f'allowed_signers = "{team.root}/signers"\n': "outside the workspace",
        'allowed_signers = "signers"\n': "absolute", f'allowed_signers = "{team.outside}/none"\n': "is no file",
        f'allowed_signers = "{team.outside}/link"\n': "outside the workspace",
    }  # fmt: skip
    for text, problem in places.items():
        team.policy(text)
        with pytest.raises(BackendError, match=problem):
            team.receive(commit)


def _stored(root: Path, commit: bytes) -> str:
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    return subprocess.run(command, cwd=root, input=commit, check=True, capture_output=True).stdout.decode().strip()
