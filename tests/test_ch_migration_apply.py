"""run_migration on ClickHouse: dbmate's own history, statement by statement, mutations to their end, once for all."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.migrations.clickhouse import applying, history, subject, turn
from mcp_backend.migrations.clickhouse.history import Checkpoint
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import workspace
from tests.asking import error, result
from tests.clickhouse_fixtures import Refused, Sql
from tests.conftest import Connect

UNREHEARSED = 'unrehearsed_because = "a test of what the server itself refuses"\n'
ADD = (
    "20260101_add",
    "alter table events add column region String default 'eu'",
    "alter table events drop column region",
)


@dataclass
class Project:
    """A repository, its database as a person reaches it, and a way to call the tool."""

    root: Path
    url: str
    sql: Sql
    connect: Connect

    def policy(self, more: str = UNREHEARSED) -> None:
        """Writes the policy file; most tests are about applying, so they do without the rehearsal."""
        (self.root / "mcp-backend.toml").write_text(
            f'[engines.main]\nkind = "clickhouse"\nurl = {json.dumps(self.url)}\nenvironment = "development"\n{more}'
        )

    def write(self, name: str, up: str, down: str = "") -> None:
        """Writes a migration file."""
        folder = self.root / "db" / "migrations"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.sql").write_text(f"-- migrate:up\n{up};\n-- migrate:down\n{down}\n")

    async def run(self, **arguments: Any) -> dict[str, Any]:
        """One call on a server of its own."""
        async with self.connect(self.root) as client:
            return await result(client, "run_migration", **arguments)

    async def refused(self, **arguments: Any) -> dict[str, Any]:
        """One call that has to fail: its error."""
        async with self.connect(self.root) as client:
            return await error(client, "run_migration", **arguments)

    @property
    def applied(self) -> list[str]:
        """What the history says."""
        return self.sql("select version from schema_migrations final where applied order by version").split()

    @property
    def comment(self) -> str:
        """How far a migration has come, as the history table says it."""
        return self.sql(
            "select comment from system.tables where database = currentDatabase() and name = 'schema_migrations'"
        ).strip()

    def type(self, column: str) -> str:
        """The type of a column of `events`."""
        asked = "select type from system.columns where database = currentDatabase() and table = 'events' and name = '"
        return self.sql(f"{asked}{column}'").strip()

    @asynccontextmanager
    async def engine(self) -> AsyncGenerator[Clickhouse]:
        """The engine as the tool has it."""
        engine = Clickhouse(EngineSettings("main", "clickhouse", self.url, "development"), workspace(self.root))
        try:
            yield engine
        finally:
            await engine.close()

    async def stop_at(self, name: str, done: int, *, begun: bool) -> None:
        """Leaves what a server leaves that is killed while it runs a migration."""
        async with self.engine() as engine:
            planned = await subject.pending(engine, self.root, None, "up")
            past = planned.history
            assert past is not None
            self.sql(past.create)
            step = next(step for step in planned.steps if step.file.path.stem == name)
            structure = await history.structure(engine, past)
        point = Checkpoint(step.file.version, "up", step.sha256, done, begun, structure if begun else "")
        self.sql(past.mark(point))


@pytest.fixture
def project(repository: Path, clickhouse_url: str, clickhouse: Sql, connect: Connect) -> Project:
    """A table of 2,000 events, 40 of whose codes are no numbers."""
    clickhouse("create table events (ts DateTime, tenant UInt32, code String) engine = MergeTree order by (tenant, ts)")
    clickhouse(
        "insert into events select toDateTime('2026-01-01 00:00:00') + number, number % 5, "
        "if(number % 50 = 7, 'x', toString(number)) from numbers(2000)"
    )
    made = Project(repository, clickhouse_url, clickhouse, connect)
    made.policy()
    return made


async def test_what_was_rehearsed_is_applied_and_recorded_as_dbmate_does(project: Project) -> None:
    project.policy("")
    project.write(*ADD)
    found = await project.run()
    assert [(a["version"], a["name"]) for a in found["applied"]] == [("20260101", "add")]
    assert found["rehearsal"]["as_rehearsed"] is True
    assert found["schema_diff"] == [f"+ column {urlsplit(project.url).path[1:]}.events.region String"]
    assert project.applied == ["20260101"]
    columns = "select groupArray((name, type)) from system.columns where database = currentDatabase()"
    assert project.sql(f"{columns} and table = 'schema_migrations'").strip() == (
        "[('version','String'),('ts','DateTime'),('applied','UInt8')]"
    )
    assert project.comment == ""
    assert (await project.run())["note"] == "nothing is pending"
    project.policy()
    async with project.connect(project.root) as client:
        told = (await result(client, "db_schema"))["migrations"]
        assert (told["applied"], told["pending"], told["tool"]) == (["20260101_add"], [], "dbmate")
        project.write("20260102_more", "select 1")
        assert (await result(client, "db_schema"))["migrations"]["pending"] == ["20260102_more"]
    (project.root / "db/migrations/20260102_more.sql").unlink()
    down = await project.run(direction="down")
    assert (down["at_version_after"], project.applied) == (found["at_version_before"], [])


async def test_what_the_rehearsal_rejects_is_not_run(project: Project) -> None:
    project.policy("")
    project.write("20260101_bad", "alter table events modify column code UInt32")
    refusal = await project.refused()
    assert (refusal["code"], refusal["constraint"]) == ("permission_denied", "rehearsed-migrations")
    assert "40 rows" in refusal["reason"]
    assert project.type("code") == "String"


async def test_a_change_of_type_that_fails_is_undone_and_what_came_before_is_kept(project: Project) -> None:
    project.write(
        "20260101_two", "alter table events add column region String; alter table events modify column code UInt32"
    )
    refusal = await project.refused()
    assert refusal["code"] == "invalid_argument"
    details = refusal["details"]
    assert (details["code"], details["version"], details["applied"], details["kept"]) == (341, "20260101", [], 1)
    assert (details["file"], details["line"]) == ("db/migrations/20260101_two.sql", 2)
    assert details["statement"] == "alter table events modify column code UInt32"
    assert "taken back" in refusal["reason"]
    assert (project.type("code"), project.type("region")) == ("String", "String")
    assert project.sql("select count(), countIf(code = 'x') from events").split() == ["2000", "40"]
    assert project.sql("select count() from system.mutations where not is_done") == "0\n"
    assert json.loads(project.comment.removeprefix(history.MARK))["done"] == 1
    assert "text changed" not in refusal["reason"]
    project.sql("alter table events delete where code = 'x' settings mutations_sync = 2")
    found = await project.run()
    assert [a["version"] for a in found["applied"]] == ["20260101"]
    assert (project.type("code"), project.comment) == ("UInt32", "")


async def test_a_run_that_was_killed_goes_on_behind_the_last_statement_that_ended(project: Project) -> None:
    project.write("20260101_two", "alter table events add column a UInt8; alter table events add column b UInt8")
    await project.stop_at("20260101_two", 0, begun=True)
    project.sql("alter table events add column a UInt8")
    found = await project.run()
    assert [a["version"] for a in found["applied"]] == ["20260101"]
    assert (project.type("a"), project.type("b")) == ("UInt8", "UInt8")


async def test_a_statement_that_had_no_effect_before_the_kill_is_run_again(project: Project) -> None:
    project.write("20260101_one", "alter table events add column a UInt8")
    await project.stop_at("20260101_one", 0, begun=True)
    await project.run()
    assert (project.type("a"), project.applied) == ("UInt8", ["20260101"])


async def test_rows_that_may_have_been_written_are_a_persons_to_look_at(project: Project) -> None:
    project.write("20260101_rows", "insert into events values (now(), 9, 'new')")
    await project.stop_at("20260101_rows", 0, begun=True)
    refusal = await project.refused()
    assert refusal["code"] == "failed_precondition"
    assert project.sql("select count() from events where tenant = 9") == "0\n"
    had = refusal["reason"].partition("If it had: ")[2].partition(". If not: ")[0]
    project.sql(had)
    await project.run()
    assert (project.applied, project.sql("select count() from events where tenant = 9")) == (["20260101"], "0\n")


async def test_a_changed_text_is_not_continued(project: Project) -> None:
    project.write("20260101_two", "alter table events add column a UInt8; alter table events add column b UInt8")
    await project.stop_at("20260101_two", 1, begun=False)
    project.write("20260101_two", "alter table events add column c UInt8")
    assert "its text changed since" in (await project.refused())["reason"]
    assert project.type("c") == ""


async def test_nothing_begins_behind_a_mutation_that_fails(project: Project) -> None:
    with pytest.raises(Refused):
        project.sql("alter table events modify column code UInt32", mutations_sync=2)
    project.write("20260101_add", ADD[1])
    refusal = await project.refused()
    assert refusal["code"] == "failed_precondition"
    assert "KILL MUTATION" in refusal["reason"]
    assert project.type("region") == ""


async def test_settings_of_the_migration_hold_for_the_statements_after_it(project: Project) -> None:
    project.write(
        "20260101_set",
        "set allow_suspicious_low_cardinality_types = 1; alter table events add column n LowCardinality(UInt8)",
    )
    await project.run()
    assert project.type("n") == "LowCardinality(UInt8)"


async def test_two_servers_apply_each_migration_once(project: Project) -> None:
    project.write("20260101_rows", "insert into events values (now(), 9, 'new')")
    project.write("20260102_more", "insert into events values (now(), 9, 'newer')")
    project.policy()

    async def one() -> dict[str, Any]:
        async with project.connect(project.root) as client:
            answer = await client.call_tool("run_migration", {})
        return dict(answer.structured_content or {})

    answers = await asyncio.gather(*(one() for _ in range(4)))
    assert project.applied == ["20260101", "20260102"]
    assert project.sql("select count() from events where tenant = 9") == "2\n"
    errors = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert sum(len(answer.get("applied", [])) for answer in answers) == 2
    assert set(errors) <= {"aborted"}
    assert not project.sql("show tables like '%lock%'")


SERVER = """
import asyncio, sys
from pathlib import Path
from mcp_backend.app import open_app
from mcp_backend.call import call
from mcp_backend.tools.run_migration import RunMigration
async def main():
    async with open_app(Path(sys.argv[1])) as app:
        await call(app, RunMigration, {})
asyncio.run(main())
"""


async def test_a_server_that_is_killed_between_two_statements_leaves_what_the_next_one_finishes(
    project: Project,
) -> None:
    project.sql("system stop merges events")
    project.sql("alter table events update code = 'y' where code = 'x'", mutations_sync=0)
    project.write("20260101_two", "create table first (a UInt8) engine = Log; alter table events add column b UInt8")
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, str(project.root))
    try:
        async with asyncio.timeout(100):
            while "first" not in await asyncio.to_thread(project.sql, "show tables"):
                assert server.returncode is None
                await asyncio.sleep(0.02)
    finally:
        server.kill()
        await server.wait()
    assert "schema_migrations_lock" in project.sql("show tables")
    assert (project.applied, project.type("b")) == ([], "")
    project.sql("system start merges events")
    found = await project.run()
    assert [a["version"] for a in found["applied"]] == ["20260101"]
    assert (project.type("b"), project.comment) == ("UInt8", "")
    assert "schema_migrations_lock" not in project.sql("show tables")


async def test_a_lock_of_a_server_elsewhere_is_waited_for_and_taken_over_when_it_died(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(*ADD)
    monkeypatch.setattr(applying, "TURN_SECONDS", 0.3)
    held = json.dumps({"holder": "1@elsewhere", "until": 9e9})
    project.sql(f"create table schema_migrations_lock (held UInt8) engine = Memory comment '{held}'")
    refusal = await project.refused()
    assert (refusal["code"], "1@elsewhere" in refusal["reason"]) == ("deadline_exceeded", True)
    dead = json.dumps({"holder": "1@elsewhere", "until": 1})
    project.sql(f"alter table schema_migrations_lock modify comment '{dead}'")
    await project.run()
    assert project.applied == ["20260101"]


async def test_who_holds_the_turn_says_so_again_and_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "RENEW_SECONDS", 0.01)
    told = "select comment from system.tables where database = currentDatabase() and name = 'schema_migrations_lock'"
    renewed = threading.Event()
    async with project.engine() as engine:
        past = await history.read(engine, project.root)
        async with turn.taken(engine, workspace(project.root), past, 5), asyncio.timeout(60):
            first = project.sql(told)
            while not renewed.is_set():
                if await asyncio.to_thread(project.sql, told) != first:
                    renewed.set()
    assert project.sql(told) == ""


async def test_a_schema_that_changed_since_the_plan_is_left_alone(project: Project) -> None:
    project.write(*ADD)
    async with project.engine() as engine:
        planned = await subject.pending(engine, project.root, None, "up")
        project.sql("alter table events add column other UInt8")

        async def silent(done: float, total: float | None, words: str) -> None:
            del done, total, words

        with pytest.raises(applying.Aborted, match="the schema changed"):
            await applying.apply(engine, workspace(project.root), planned, 30, silent)
    assert project.type("region") == ""


async def test_a_history_of_another_tool_is_not_touched(project: Project) -> None:
    project.write(*ADD)
    project.sql("create table schema_migrations (version Int64, dirty UInt8) engine = MergeTree order by version")
    refusal = await project.refused()
    assert refusal["code"] == "failed_precondition"
    assert "not dbmate's" in refusal["reason"]
