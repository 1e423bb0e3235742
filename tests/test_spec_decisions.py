"""A specification changes by a decision: a person answered the question about it, and approves exactly that commit."""

from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from mcp_backend.hosts import claude_code, judging
from tests.conftest import ERAS, Connect, Era, git
from tests.contract_gate import FASTAPI, SPEC
from tests.service import ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
CHANGED = SPEC.replace("maximum: 100", "maximum: 200")
QUESTION: dict[str, Any] = {
    "kind": "spec_clarification", "title": "How long a page may be", "question": "The shop needs pages of 200 books.",
    "details": {"spec_ref": "openapi.yaml GET /books", "readings": ["100 stays", "200"], "recommended": "200"},
}  # fmt: skip


@pytest.fixture
def books(tmp_path: Path, person: Path) -> Path:
    root = tmp_path / "books service"
    write(root, {**FASTAPI, "docs/openapi.yaml": SPEC})
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


async def decide(root: Path, identifier: str, status: str) -> None:
    async with open_app(root) as app:
        row = await escalations.get(app.store, identifier)
        await escalations.decide(
            app.store, identifier, status=status, answer="200", by="ada", channel="terminal", now=app.now(),
            constraint=app.policy.constraint(row["constraint_id"]),
        )  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_a_decided_change_of_the_specification_is_committed_once_the_architect_approves_it(
    books: Path, connect: Connect, era: Era
) -> None:
    async with connect(books, mode=era) as client:
        error = await refused(client, "write_file", path="openapi.yaml", content=CHANGED)
        assert (error["code"], error["constraint"]) == ("permission_denied", "follow-api-spec")
        asked = await ask(client, "escalate", **QUESTION)
        error = await refused(client, "write_file", path="openapi.yaml", content=CHANGED)
        assert error["code"] == "permission_denied", "an open question decides nothing"
        await decide(books, asked["id"], "answered")
        done = await ask(client, "write_file", path="openapi.yaml", content=CHANGED)
        assert asked["id"] in done["warnings"][0]["reason"]
        error = await refused(client, "git_commit", message="Allow pages of 200", paths=["openapi.yaml"])
        assert (error["code"], error["constraint"]) == ("failed_precondition", "follow-api-spec")
        await decide(books, error["escalation"], "approved")
        made = await ask(client, "git_commit", message="Allow pages of 200", paths=["openapi.yaml"])
    assert made["commit"] == git(books, "rev-parse", "HEAD")
    assert git(books, "show", "HEAD:openapi.yaml") == CHANGED.strip()


async def test_the_architect_sees_the_change_and_approves_no_other(books: Path, connect: Connect) -> None:
    async with connect(books) as client:
        asked = await ask(client, "escalate", **QUESTION)
        await decide(books, asked["id"], "answered")
        await ask(client, "write_file", path="openapi.yaml", content=CHANGED)
        error = await refused(client, "git_commit", message="Allow pages of 200", paths=["openapi.yaml"])
        async with open_app(books) as app:
            row = await escalations.get(app.store, error["escalation"])
        assert row["assignee"] == "architect"
        assert (
            "+        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 200}}" in row["details"]
        )
        await decide(books, error["escalation"], "approved")
        await ask(client, "write_file", path="openapi.yaml", content=CHANGED.replace("200}", "900}"))
        error = await refused(client, "git_commit", message="Allow pages of 200", paths=["openapi.yaml"])
        assert error["code"] == "failed_precondition"


async def test_the_hosts_own_edit_tool_is_told_of_the_decision_as_well(books: Path, connect: Connect) -> None:
    def answer(path: str, tool: str = "Write", **given: str) -> str | None:
        event = {"tool_name": tool, "cwd": str(books), "tool_input": given or {"file_path": path, "content": CHANGED}}
        intent = claude_code.intent(event, {})
        assert intent is not None
        return judging.refusal(intent, {})

    async with connect(books) as client:
        assert "follow-api-spec" in (answer("openapi.yaml") or "")
        asked = await ask(client, "escalate", **QUESTION)
        assert answer("openapi.yaml"), "an open question decides nothing"
        await decide(books, asked["id"], "answered")
        assert answer("openapi.yaml") is None
        assert answer("docs/openapi.yaml"), "of another file nothing was asked"
        assert answer("", "Bash", command="echo x > openapi.yaml"), "an edit shows what it changes, a line need not"
    (books / "mcp-backend.toml").write_text('store = "env:SHARED"\n')
    assert answer("openapi.yaml"), "what a shared store holds, a hook does not see"


async def test_a_decision_about_one_specification_opens_no_other(books: Path, connect: Connect) -> None:
    async with connect(books) as client:
        asked = await ask(client, "escalate", **QUESTION)
        await decide(books, asked["id"], "answered")
        error = await refused(client, "write_file", path="docs/openapi.yaml", content=CHANGED)
    assert error["code"] == "permission_denied"
