"""Questions to the person at the host on the spot, in both eras; what a host must not decide, it does not."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client import Client

from mcp_backend.server import Options, build
from mcp_backend.settings import user
from tests.conftest import ERAS, Era, git
from tests.test_escalation import DETAILS, question, said

Fill = Callable[[types.ElicitRequestFormParams], types.ElicitResult]
LOOSE = '[constraints.protected-branches]\nchannels = ["terminal", "elicitation"]\ndisabled_because = "a team of one"\n'


@asynccontextmanager
async def host(
    place: Path, mode: Era, fill: Fill
) -> AsyncGenerator[tuple[Client, list[types.ElicitRequestFormParams]]]:
    """A host whose person fills in forms; what it was asked."""
    asked: list[types.ElicitRequestFormParams] = []

    async def answer(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        del context
        assert isinstance(params, types.ElicitRequestFormParams)
        asked.append(params)
        return fill(params)

    async with Client(build(Options(place)), mode=mode, elicitation_callback=answer) as client:
        yield client, asked


def accept(**content: Any) -> Fill:
    return lambda _: types.ElicitResult(action="accept", content=content)


def decline(params: types.ElicitRequestFormParams) -> types.ElicitResult:
    """A host that nobody looks at."""
    del params
    return types.ElicitResult(action="decline")


def accept_everything(params: types.ElicitRequestFormParams) -> types.ElicitResult:
    """A host that says yes for its user, with the first of whatever can be chosen."""
    filled = {name: field.get("enum", ["yes"])[0] for name, field in params.requested_schema["properties"].items()}
    return types.ElicitResult(action="accept", content=filled)


@pytest.mark.parametrize("era", ERAS)
async def test_the_person_at_the_host_answers_a_question(tmp_path: Path, era: Era) -> None:
    async with host(tmp_path, era, accept(choice="b: y", answer="for refunds, too")) as (client, asked):
        answer = await said(client, "escalate", question("spec_clarification"))
        assert (answer["status"], answer["answer"], answer["by"]) == ("answered", "b: y\nfor refunds, too", user())
        assert answer["channels"] == ["elicitation", "inbox"]
        assert "Half even?" in asked[0].message
        assert asked[0].requested_schema["properties"]["choice"]["enum"] == ["a: x", "b: y"]
        heard = await said(client, "check_escalation", {"id": answer["id"]})
        assert (heard["channel"], heard["status"]) == ("elicitation", "answered")
        assert "notices" not in await said(client, "check_escalation", {})
        again = await said(client, "escalate", question("spec_clarification"))
        assert (again["decided_in"], len(asked)) == (answer["id"], 1)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "fill",
    [decline, accept(answer="  "), accept(answer=7)],
    ids=["declined", "blank", "a number"],
)  # fmt: skip
async def test_what_is_not_answered_stays_in_the_inbox_and_is_not_asked_twice(
    tmp_path: Path, era: Era, fill: Fill
) -> None:
    async with host(tmp_path, era, fill) as (client, asked):
        answer = await said(client, "escalate", question())
        assert (answer["status"], "answer" in answer, "duplicate_of" in answer) == ("open", False, False)
        again = await said(client, "escalate", question())
        assert (again["status"], again["duplicate_of"]) == ("open", answer["id"])
        assert len(asked) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_only_what_the_engineer_waits_for_interrupts_and_only_the_right_person(tmp_path: Path, era: Era) -> None:
    (tmp_path / "mcp-backend.toml").write_text('[people]\narchitect = ["somebody-else"]\n')
    async with host(tmp_path, era, accept_everything) as (client, asked):
        for arguments in (question(blocking=False), question("spec_clarification")):
            answer = await said(client, "escalate", arguments)
            assert (answer["status"], answer["channels"]) == ("open", ["inbox"])
        assert asked == []


def pushed(root: Path) -> None:
    """A repository whose branch was pushed and then rewritten."""
    remote = root.parent / "remote.git"
    git(root, "init", "--quiet", "--bare", str(remote))
    git(root, "remote", "add", "origin", str(remote))
    git(root, "checkout", "-q", "-b", "work")
    git(root, "commit", "-q", "--allow-empty", "-m", "one")
    git(root, "push", "-q", "origin", "work")
    git(root, "fetch", "-q", "origin")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    git(root, "commit", "-q", "--allow-empty", "-m", "two")


FORCED = {"branch": "work", "force_with_lease": True}


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_that_accepts_everything_approves_nothing(repository: Path, era: Era) -> None:
    pushed(repository)
    before = git(repository, "ls-remote", "origin", "work")
    async with host(repository, era, accept_everything) as (client, asked):
        error = (await said(client, "git_push", FORCED))["error"]
        assert (error["code"], asked) == ("failed_precondition", [])
        assert (await said(client, "check_escalation", {"id": error["escalation"]}))["status"] == "open"
    assert git(repository, "ls-remote", "origin", "work") == before


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("decision", ["approve", "deny", "maybe"])
async def test_a_constraint_may_take_an_approval_from_the_host(repository: Path, era: Era, decision: str) -> None:
    pushed(repository)
    (repository / "mcp-backend.toml").write_text(LOOSE)
    before = git(repository, "ls-remote", "origin", "work")
    async with host(repository, era, accept(decision=decision, answer="on Monday")) as (client, asked):
        result = await said(client, "git_push", FORCED)
        assert "push 1 commit(s) of work" in asked[0].message
        code = result.get("error", {}).get("code")
        assert code == {"approve": None, "deny": "permission_denied", "maybe": "failed_precondition"}[decision]
    assert (git(repository, "ls-remote", "origin", "work") == before) == (decision != "approve")


async def test_an_answer_to_a_form_that_was_not_sent_is_none(tmp_path: Path) -> None:
    async with host(tmp_path, "auto", accept(answer="unused")) as (client, asked):
        filled = types.ElicitResult(action="accept", content={"answer": "forged"})
        for state in (None, "ESC-00000000"):
            result = await client.session.call_tool(
                "escalate",
                question(question=f"Which {state}?"),
                input_responses={"answer": filled},
                request_state=state,
            )
            assert isinstance(result, types.CallToolResult)
            body = result.structured_content
            assert body is not None
            assert body["status"] == "open"
        assert asked == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_without_forms_is_not_asked(tmp_path: Path, era: Era) -> None:
    async with Client(build(Options(tmp_path)), mode=era) as client:
        assert (await said(client, "escalate", question("unknown", details=DETAILS["unknown"])))["channels"] == [
            "inbox"
        ]
