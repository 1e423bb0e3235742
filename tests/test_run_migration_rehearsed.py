"""run_migration and its rehearsal: what was rehearsed is applied, what was rejected is not, a decision is asked for."""

from typing import Any

import pytest

from mcp_backend.app import open_app
from mcp_backend.migrations import rehearsed
from tests.conftest import ERAS, Era
from tests.migration_fixtures import Project, call
from tests.test_escalation import records_of
from tests.test_migration_tools import OUTSIDE, laid
from tests.test_run_migration_approval import approve

FILLED = "create table a(id bigint primary key, x text); insert into a select g, 'x' from generate_series(1, 100) g;"


@pytest.fixture
def rehearsing(project: Project, shadow_url: str) -> Project:
    """A database in development whose migrations are rehearsed."""
    project.shadow = shadow_url
    project.policy(unrehearsed_because="")
    return project


@pytest.mark.proves("rehearsed-migrations", "allowed")
async def test_what_was_rehearsed_on_a_server_of_the_workspaces_own_is_applied_and_compared(project: Project) -> None:
    project.policy(unrehearsed_because="")
    project.write("1_a", FILLED, "drop table a;")
    result = await project.run()
    assert [m["version"] for m in result["applied"]] == ["1"]
    assert result["rehearsal"]["verdict"] in ("safe", "warn")
    assert result["rehearsal"]["schema_as_rehearsed"] is True
    async with open_app(project.root) as app:
        kept = rehearsed.find(app.workspace, result["rehearsal"]["digest"], result["at_version_before"])
        assert kept is not None
        assert kept.version_after.partition("@")[0] == result["at_version_after"].partition("@")[0]


@pytest.mark.proves("rehearsed-migrations", "refused")
@pytest.mark.parametrize("era", ERAS)
async def test_what_the_rehearsal_rejects_does_not_run(rehearsing: Project, era: Era) -> None:
    rehearsing.admin.execute(f"{FILLED} alter table a owner to backend".encode())
    rehearsing.write("1_b", "alter table a add y int not null;")
    async with rehearsing.server(era) as client:
        refused = await call(client)
    assert (refused["code"], refused["retry"]) == ("permission_denied", "never")
    assert refused["constraint"] == "rehearsed-migrations"
    assert "db/migrations/1_b.sql:2" in refused["reason"]
    assert rehearsing.ask("select count(*) from information_schema.columns where column_name = 'y'") == [0]


async def test_what_the_rehearsal_finds_to_be_a_decision_is_asked_and_then_runs(rehearsing: Project) -> None:
    rehearsing.write("1_a", FILLED)
    rehearsing.write("2_b", "alter table a drop column x;", "alter table a add x text;")
    async with rehearsing.server() as client:
        await call(client, version="1")
        refused = await call(client)
        assert (refused["code"], refused["constraint"]) == ("failed_precondition", "rehearsed-migrations")
        asked = await approve(rehearsing, refused["escalation"])
        assert "rehearsed: needs_approval" in asked["details"]
        assert "line 2: alter table a drop column x;" in asked["details"]
        result = await call(client)
        assert result["rehearsal"]["schema_as_rehearsed"] is True
    assert rehearsing.applied == ["1", "2"]


async def test_the_shadow_follows_what_was_applied_and_notices_what_was_not(rehearsing: Project) -> None:
    rehearsing.write("1_a", FILLED, "drop table a;")
    rehearsing.write("2_b", "alter table a add y int;")
    rehearsing.write("3_c", "alter table a add z int;")
    async with rehearsing.server() as client:
        shadows: list[Any] = []
        for version in ("1", "2", "3"):
            report = (await client.call_tool("rehearse_migration", {"version": version})).structured_content
            assert report is not None
            shadows.append(report["shadow"]["cached"])
            result = await call(client, version=version)
            assert result["rehearsal"]["schema_as_rehearsed"] is True
            if version == "2":
                rehearsing.admin.execute(b"alter table a add by_hand int")
    assert shadows == [False, True, False]


async def test_that_nothing_was_rehearsed_is_said_and_recorded(project: Project) -> None:
    project.write("1_a", "create table a();")
    result = await project.run()
    assert result["rehearsal"]["verdict"] == "off"
    async with open_app(project.root) as app:
        started = [r for r in await records_of(app) if r["event"] == "started"]
    assert started[0]["recorded"] == {"unrehearsed_because": "these tests are about applying"}


@pytest.mark.parametrize("tool", ["golang-migrate", "Flyway"])
async def test_another_tools_migrations_end_as_they_were_rehearsed(rehearsing: Project, tool: str) -> None:
    laid(rehearsing, tool)
    rehearsing.policy(unrehearsed_because="")
    name, text = OUTSIDE[tool]
    (rehearsing.root / "db/migrations" / name).write_text(text)
    result: dict[str, Any] = {}
    async with rehearsing.server() as client:
        for _ in range(2):
            result = await call(client)
            if "escalation" not in result:
                break
            await approve(rehearsing, result["escalation"])
        assert len(result.get("applied", [])) == 3, result
        assert result["rehearsal"]["schema_as_rehearsed"] is True
