"""Outside development a person approves exactly these statements, at exactly this state of the database."""

from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from tests.conftest import ERAS, Era
from tests.migration_fixtures import Project, call
from tests.test_escalation import records_of


@pytest.fixture
def production(project: Project) -> Project:
    """A database that is declared production."""
    project.policy("production")
    project.write("1_a", "create table a(id int);", "drop table a;")
    return project


async def approve(project: Project, escalation: str) -> dict[str, Any]:
    """What a person does at a terminal: looks at the question and says yes."""
    async with open_app(project.root) as app:
        asked = await escalations.get(app.store, escalation)
        await escalations.decide(
            app.store, escalation, status="approved", answer="", by="ana", channel="terminal", now=app.now(),
            constraint=app.policy.constraint("data-consistency"),
        )  # fmt: skip
        return asked


@pytest.mark.proves("data-consistency", "refused")
@pytest.mark.proves("data-consistency", "allowed")
@pytest.mark.parametrize("era", ERAS)
async def test_a_migration_in_production_waits_for_a_person_and_runs_once(production: Project, era: Era) -> None:
    async with production.server(era) as client:
        refused = await call(client)
        assert (refused["code"], refused["retry"]) == ("failed_precondition", "unchanged")
        assert refused["constraint"] == "data-consistency"
        assert production.tables == []
        assert (await call(client))["escalation"] == refused["escalation"]

        asked = await approve(production, refused["escalation"])
        for shown in ("up on main (production) at ", "db/migrations/1_a.sql (one transaction with its history row)",
                      "line 2: create table a(id int);"):  # fmt: skip
            assert shown in asked["details"]

        result = await call(client)
        assert [m["version"] for m in result["applied"]] == ["1"]
        assert production.applied == ["1"]
        assert (await call(client))["note"] == "nothing is pending"
    async with open_app(production.root) as app:
        started = [r for r in await records_of(app) if r["event"] == "started"]
    assert started[0]["approval"]["by"] == "ana"


async def test_an_approval_is_for_these_bytes(production: Project) -> None:
    async with production.server() as client:
        refused = await call(client)
        await approve(production, refused["escalation"])
        path = production.root / "db/migrations/1_a.sql"
        path.write_text(path.read_text().replace("id int", "id  int"))
        other = await call(client)
        assert other["code"] == "failed_precondition"
        assert other["escalation"] != refused["escalation"]
        assert production.tables == []


@pytest.mark.parametrize("change", ["-- a comment", "-- migrate:up transaction:false"])
async def test_an_approval_is_for_comments_and_options_too(production: Project, change: str) -> None:
    async with production.server() as client:
        refused = await call(client)
        await approve(production, refused["escalation"])
        path = production.root / "db/migrations/1_a.sql"
        text = path.read_text()
        path.write_text(text.replace("-- migrate:up", change) if "migrate" in change else text.replace(
            "-- migrate:down", f"{change}\n-- migrate:down"))  # fmt: skip
        other = await call(client)
        assert (other["code"], other["escalation"] != refused["escalation"]) == ("failed_precondition", True)


async def test_an_approval_lapses_when_the_database_moves(production: Project) -> None:
    async with production.server() as client:
        refused = await call(client)
        await approve(production, refused["escalation"])
        production.admin.execute(b"create table sneaked()")
        moved = await call(client)
        assert moved["code"] == "aborted"
        assert production.tables == ["sneaked"]
        assert (await call(client))["code"] == "failed_precondition"


async def test_nothing_pending_asks_nobody(production: Project) -> None:
    (production.root / "db/migrations/1_a.sql").unlink()
    assert (await production.run())["note"] == "nothing is pending"


async def test_a_password_in_a_migration_is_not_shown_to_people(production: Project) -> None:
    production.write("2_role", "create role shown_role password 'hunter2';")
    refused = await production.run()
    async with open_app(production.root) as app:
        asked = await escalations.get(app.store, refused["escalation"])
    assert "create role shown_role password ?;" in asked["details"]
    assert "hunter2" not in asked["details"]
