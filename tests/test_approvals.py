"""Approvals: bound to exactly this call in exactly this world, given by the right person, spent once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.actions import CreateCommit, ExecuteSql, digest
from mcp_backend.app import App, open_app
from mcp_backend.call import call
from mcp_backend.errors import Aborted, BackendError, FailedPrecondition, InvalidArgument, PermissionDenied
from mcp_backend.tools.check_escalation import CheckEscalation
from tests.migrating import Migrate, executed
from tests.test_escalation import records_of

pytestmark = pytest.mark.usefixtures("each_store")


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins in the same state of the world."""
    monkeypatch.setattr(Migrate, "world", "version-1")


async def refused(app: App, **arguments: Any) -> BackendError:
    """The refusal of a call that must not run."""
    before = executed(app)
    with pytest.raises(BackendError) as failure:
        await call(app, Migrate, arguments)
    assert executed(app) == before
    return failure.value


async def asked(app: App, **arguments: Any) -> str:
    """The id of the approval that a call waits for."""
    error = await refused(app, **arguments)
    assert isinstance(error, FailedPrecondition), error.reason
    assert error.escalation is not None
    return error.escalation


async def decide(app: App, identifier: str, status: str = "approved", **change: Any) -> None:
    """A decision by somebody else, at a terminal, by the policy."""
    given: dict[str, Any] = {"answer": "", "by": "ana", "channel": "terminal", "now": app.now()}
    constraint = app.policy.constraint("data-consistency")
    await escalations.decide(app.store, identifier, status=status, constraint=constraint, **{**given, **change})


def later(app: App, **by: float) -> App:
    """The app at a later time."""
    moment = app.clock() + timedelta(**by)
    return replace(app, clock=lambda: moment)


async def test_a_change_of_production_waits_for_a_person_and_then_runs_once(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        error = await refused(app)
        assert (error.code, error.retry, error.constraint) == ("failed_precondition", "unchanged", "data-consistency")
        assert "data owner" in error.reason
        assert "Repeat this call unchanged" in error.reason
        identifier = await asked(app)
        assert identifier == error.escalation, "the same call asks once"
        row = await escalations.get(app.store, identifier)
        assert (row["kind"], row["assignee"], row["at_version"]) == ("approval", "data_owner", "version-1")
        assert "runs CREATE TABLE" in row["details"]

        await decide(app, identifier)
        assert await call(app, Migrate, {}) == {"applied": "CREATE TABLE t (id int)"}
        assert executed(app) == ["CREATE TABLE t (id int)"]
        started = [r for r in await records_of(app) if r["event"] == "started"]
        assert started[-1]["approval"] == {
            "id": started[-1]["approval"]["id"], "escalation": identifier, "by": "ana", "channel": "terminal",
        }  # fmt: skip
        assert started[-1]["at_version"] == "version-1"
        assert await asked(app) != identifier, "an approval is spent once"


async def test_a_spent_approval_is_no_news(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier)
        assert (await call(app, CheckEscalation, {}))["notices"]
        await call(app, Migrate, {})
        assert "notices" not in await call(app, CheckEscalation, {})


@pytest.mark.parametrize(
    "change",
    [{"sql": "CREATE TABLE t (id int) "}, {"sql": "create table t (id int)"}, {"environment": "staging"}],
    ids=["one byte more", "another case", "another environment"],
)
async def test_an_approval_is_for_exactly_this_call(tmp_path: Path, change: dict[str, str]) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier)
        assert await asked(app, **change) != identifier
        await call(app, Migrate, {})


async def test_what_is_not_unicode_can_be_approved(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        constraint, kind = app.policy.constraint("data-consistency"), app.persona.kind("approval")
        assert constraint is not None
        assert kind is not None
        row = await escalations.open_approval(
            app.store, kind, constraint, tool="t", digest="d", at_version="", preview="a\udcff.sql", reason="\udcff",
            asker="x", now=app.now(),
        )  # fmt: skip
        assert (row["question"], "a\\\\udcff.sql" in row["details"]) == ("\\udcff", True)


async def test_an_approval_lapses_with_the_world_it_was_given_in(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier)
        Migrate.world = "version-2"
        error = await refused(app)
        assert isinstance(error, Aborted)
        assert error.retry == "changed"
        assert "version-1" in error.reason
        assert "version-2" in error.reason
        assert (await escalations.get(app.store, identifier))["status"] == "superseded"
        again = await asked(app)
        assert again != identifier
        Migrate.world = "version-1"
        assert await asked(app) not in (identifier, again), "what lapsed stays lapsed when the world moves back"


async def test_what_was_asked_in_another_world_is_no_longer_open(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        old = await asked(app)
        Migrate.world = "version-2"
        new = await asked(app)
        assert (await escalations.get(app.store, old))["status"] == "superseded"
        with pytest.raises(FailedPrecondition, match="is superseded"):
            await decide(app, old)
        await decide(app, new)
        await call(app, Migrate, {})


async def test_the_history_of_a_spent_approval_is_kept(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        spent = await asked(app)
        await decide(app, spent)
        await call(app, Migrate, {})
        Migrate.world = "version-2"
        await asked(app)
        assert (await escalations.get(app.store, spent))["status"] == "approved"


async def test_an_approval_expires(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier)
        late = later(app, hours=4)
        assert await asked(late) != identifier
        early = later(app, hours=4, seconds=-30)
        await call(early, Migrate, {})


async def test_an_unanswered_approval_is_a_no_after_its_time(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        late = later(app, hours=4)
        with pytest.raises(FailedPrecondition, match="is expired"):
            await decide(late, identifier)
        assert await asked(late) != identifier


async def test_a_denied_call_says_who_and_why_and_may_be_asked_again_later(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier, "denied", answer="not on a Friday")
        for _ in range(2):
            error = await refused(app)
            assert (error.code, error.retry, error.escalation) == ("permission_denied", "never", identifier)
            assert "ana" in error.reason
            assert "not on a Friday" in error.reason
        assert await asked(app, sql="DROP TABLE t") != identifier
        assert await asked(later(app, hours=4)) != identifier


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channel": "elicitation"}, "not through elicitation"),
        ({"channel": "command"}, "not through command"),
        ({"people": ("bea", "Cleo <cleo@example.org>")}, "not for ana"),
    ],
)
async def test_a_decision_of_the_wrong_person_or_channel_is_none(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        with pytest.raises(PermissionDenied, match=reason):
            await decide(app, identifier, **change)
        assert await asked(app) == identifier


@pytest.mark.parametrize("people", [("bea", "ana"), ("ANA",), ("ana@example.org",), ("Ana Silva <ana@example.org>",)])
async def test_a_listed_person_decides(tmp_path: Path, people: tuple[str, ...]) -> None:
    async with open_app(tmp_path) as app:
        await decide(app, await asked(app), people=people)
        await call(app, Migrate, {})


async def test_an_approval_is_not_answered_with_words(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        with pytest.raises(InvalidArgument, match="--approve or --deny"):
            await decide(app, identifier, "answered", answer="fine by me")
        assert await asked(app) == identifier


async def test_the_asker_does_not_approve_its_own_call(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        with pytest.raises(PermissionDenied, match="somebody else approves it"):
            await decide(app, identifier, by=app.caller.principal, channel="webhook")
        await decide(app, identifier, by="ana", channel="webhook")
        await call(app, Migrate, {})


async def test_development_does_not_wait(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        await call(app, Migrate, {"environment": "development"})
        assert executed(app) == ["CREATE TABLE t (id int)"]


@pytest.mark.parametrize(("outcome", "code"), [("deny", "permission_denied"), ("warn", ""), ("allow", "")])
async def test_the_repository_may_tighten_or_loosen_the_promise(tmp_path: Path, outcome: str, code: str) -> None:
    because = 'disabled_because = "one database, one person"\n' if outcome != "deny" else ""
    (tmp_path / "mcp-backend.toml").write_text(f'[constraints.data-consistency]\noutcome = "{outcome}"\n{because}')
    async with open_app(tmp_path) as app:
        if code:
            assert (await refused(app)).code == code
            return
        result = await call(app, Migrate, {})
        assert bool(result.get("warnings")) == (outcome == "warn")
        started = next(r for r in await records_of(app) if r["event"] == "started")
        assert started["loosened"] == {"data-consistency": "one database, one person"}


async def test_an_approval_given_between_two_looks_is_found(tmp_path: Path) -> None:
    """A person may decide just after the call found nothing to spend: asking again must not open a second question."""
    async with open_app(tmp_path) as app:
        identifier = await asked(app)
        await decide(app, identifier)
        constraint, kind = app.policy.constraint("data-consistency"), app.persona.kind("approval")
        assert constraint is not None
        assert kind is not None
        row = await escalations.get(app.store, identifier)
        found = await escalations.open_approval(
            app.store, kind, constraint, tool="migrate", digest=row["digest"], at_version="version-1", preview="",
            reason="", asker="x", now=app.now(),
        )  # fmt: skip
        assert found["id"] == identifier


def test_the_digest_names_every_field_but_the_version() -> None:
    base = ExecuteSql("main", "production", ("A", "B"), "v1")
    same = digest("migrate", (replace(base, at_version="v2"),))
    assert digest("migrate", (base,)) == same
    others = {
        digest("migrate", (other,))
        for other in (
            replace(base, engine="other"),
            replace(base, environment="staging"),
            replace(base, statements=("A B",)),
            replace(base, statements=("B", "A")),
            replace(base, statements=("A",)),
        )
    }
    assert len({same, *others, digest("other", (base,)), digest("migrate", (base, base)), digest("migrate", ())}) == 9
    assert digest("t", (CreateCommit(("a", "b"), "m", "t"),)) != digest("t", (CreateCommit(("a,b",), "m", "t"),))
