"""Alembic: the project's own command, observed on a shadow and let through to the database as it was rehearsed."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from mcp_backend.app import open_app
from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations import alembic as reading
from mcp_backend.migrations import planning
from mcp_backend.migrations.wiretap import interrupted, observing, program
from mcp_backend.migrations.wiretap.tap import Tap
from tests.compiled import compiled
from tests.conftest import ERAS, Era, git, long_proof
from tests.migration_fixtures import NOBODY, WAITING, Project, call
from tests.test_run_migration_crash import audit, held, real_server

INI = "[alembic]\nscript_location = %(here)s/alembic\nsqlalchemy.url = postgresql+psycopg://nobody@nowhere/none\n"
ENV = """
from alembic import context
from sqlalchemy import create_engine
url = context.config.get_main_option("sqlalchemy.url")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
MAKE = 'op.create_table("orders", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("note", sa.Text))'
CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index("orders_note", "orders", ["note"], postgresql_concurrently=True)
"""
ELSEWHERE = """
place = op.get_bind().exec_driver_sql("select current_database()").scalar()
op.execute("create table first_one (id int)")
op.execute("create table rehearsed (id int)" if place.startswith("c1_") else "create table another (id int)")
"""
"""On a shadow, whose databases are named so, it does one thing, and another one on the database itself."""


class Alembic:
    """A repository with Alembic in it."""

    def __init__(self, project: Project, shadow: str) -> None:
        self.project = project
        self.folder = project.root / "alembic"
        (self.folder / "versions").mkdir(parents=True)
        (project.root / "alembic.ini").write_text(INI)
        (self.folder / "env.py").write_text(ENV)
        self.settings = {"migration_python": sys.executable, "shadow": shadow, "migrations": "alembic"}
        project.policy(**self.settings)

    def write(self, revision: str, before: object, up: str = "pass", down: str = "pass") -> None:
        bodies = ("\n".join(f"    {line}" for line in text.strip().splitlines()) for text in (up, down))
        text = "from alembic import op\nimport sqlalchemy as sa\nrevision = {!r}\ndown_revision = {!r}\n"
        text += "def upgrade():\n{}\ndef downgrade():\n{}\n"
        (self.folder / "versions" / f"{revision}_x.py").write_text(text.format(revision, before, *bodies))

    @property
    def history(self) -> list[Any]:
        return self.project.ask("select version_num from alembic_version")


@pytest.fixture(scope="module", autouse=True)
def quick() -> None:
    compiled("alembic.command, alembic.op, sqlalchemy.dialects.postgresql.psycopg")


@pytest.fixture
def alembic(project: Project, shadow_url: str) -> Alembic:
    return Alembic(project, shadow_url)


async def status(client: Client) -> dict[str, Any]:
    answer: Any = await client.read_resource("migrations://main")
    return json.loads(answer.contents[0].text)


async def test_a_revision_is_observed_rehearsed_and_applied_by_alembic_itself(alembic: Alembic) -> None:
    alembic.project.policy(**alembic.settings, unrehearsed_because="")
    alembic.write("a1", None, MAKE, 'op.drop_table("orders")')
    alembic.write("b2", "a1", CONCURRENTLY, 'op.drop_index("orders_note")')
    async with alembic.project.server() as client:
        assert (await status(client))["pending"] == ["a1_x", "b2_x"]
        answer: Any = await client.call_tool("rehearse_migration", {})
        report = answer.structured_content
        result = await call(client)
        assert (await status(client))["applied"] == ["a1_x", "b2_x"]
        nothing = await call(client)
    assert [(s["file"], s["sql"].split(" (")[0]) for s in report["statements"]] == [
        ("alembic/versions/a1_x.py", "CREATE TABLE orders"),
        ("alembic/versions/b2_x.py", "CREATE INDEX CONCURRENTLY orders_note ON orders"),
    ]
    assert report["reversible"]["up_down_equal"] is True
    assert [m["version"] for m in result["applied"]] == ["a1", "b2"]
    assert result["commands"] == ["alembic upgrade b2"]
    assert (result["rehearsal"]["digest"], result["rehearsal"]["schema_as_rehearsed"]) == (report["digest"], True)
    assert (nothing["applied"], nothing["note"]) == ([], "nothing is pending")
    assert (alembic.history, alembic.project.tables) == (["b2"], ["alembic_version", "orders"])


async def test_a_way_back_that_does_not_get_through_is_told_with_what_it_raised(alembic: Alembic) -> None:
    alembic.write("a1", None, MAKE, 'raise RuntimeError("the constraint has no name")')
    async with alembic.project.server() as client:
        answer: Any = await client.call_tool("rehearse_migration", {})
    [hazard] = answer.structured_content["hazards"]
    assert (hazard["id"], hazard["reason"].partition(":")[0]) == ("no_down", "nothing takes it back")
    assert "alembic downgrade base failed" in hazard["reason"]
    assert "the constraint has no name" in hazard["reason"]


@pytest.mark.parametrize("era", ERAS)
async def test_two_heads_and_a_revision_that_no_file_has_stop_with_what_to_do(alembic: Alembic, era: Era) -> None:
    alembic.write("a1", None)
    alembic.write("b2", "a1")
    alembic.write("c3", "a1")
    async with alembic.project.server(era) as client:
        heads = await call(client)
        assert "there are 2 heads, b2 and c3" in (await status(client))["problem"]
        alembic.write("d4", ("b2", "c3"))
        alembic.project.admin.execute(b"create table alembic_version (version_num varchar(32) primary key)")
        alembic.project.admin.execute(b"insert into alembic_version values ('fedcba')")
        alembic.project.admin.execute(b"grant select on alembic_version to backend")
        drift = await call(client)
    assert (heads["code"], "alembic merge heads" in heads["reason"]) == ("failed_precondition", True)
    assert (drift["code"], drift["reason"].split(":")[0]) == (
        "failed_precondition", "the database is at fedcba, which no file here is (drift)",
    )  # fmt: skip


async def test_a_statement_that_was_not_rehearsed_is_stopped_and_all_of_it_rolled_back(alembic: Alembic) -> None:
    alembic.write("a1", None, ELSEWHERE)
    refused = await alembic.project.run()
    assert refused["code"] == "aborted"
    assert "is not the one that was rehearsed" in refused["reason"]
    assert "By the history none of it took effect" in refused["reason"]
    assert alembic.project.tables == []


@long_proof
async def test_a_lock_in_the_way_is_named_and_nothing_waits_for_it_for_long(alembic: Alembic) -> None:
    alembic.project.policy(**alembic.settings, lock_deadline="100ms")
    alembic.project.admin.execute(b"create table orders (id int); alter table orders owner to backend")
    alembic.write("a1", None, 'op.add_column("orders", sa.Column("note", sa.Text))')
    with psycopg.connect(alembic.project.superuser_url, application_name="a report") as other:
        other.execute("select * from orders")
        refused = await alembic.project.run()
    assert refused["code"] == "deadline_exceeded"
    assert "a report" in refused["details"]["blocked_by"][0]
    assert alembic.project.ask("select count(*) from information_schema.columns where column_name = 'note'") == [0]


async def test_a_project_that_does_not_take_its_address_from_us_is_told_so(alembic: Alembic) -> None:
    fixed = '"postgresql+psycopg://nobody:secret-word@127.0.0.1:1/none"'
    (alembic.folder / "env.py").write_text(ENV.replace('context.config.get_main_option("sqlalchemy.url")', fixed))
    alembic.write("a1", None, MAKE)
    refused = await alembic.project.run()
    assert refused["code"] == "failed_precondition"
    assert "never connected to the database that it was given" in refused["reason"]
    assert "secret-word" not in json.dumps(refused)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("OSError: [Errno 30] Read-only file system: '/app'", "ended before it connected: OSError: [Errno 30] Read-on"),
        ("app.errors.NotSetError: no SECRET_KEY", "ended before it connected: app.errors.NotSetError: no SECRET_KEY."),
        ("Exception: DB URL not set in config", "ended before it connected: Exception: DB URL not set in config."),
        ("sqlalchemy.exc.OperationalError: [Errno 111] Connection refused", "never connected to the database"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "never connected to the database"),
        ("it has nothing to do", "never connected to the database"),
    ],
)
def test_what_a_project_lacks_before_it_connects_is_told_apart_from_another_address(printed: str, told: str) -> None:
    tap = Tap(cast("Any", None), cast("Any", None), cast("Any", None))  # nothing connected to it
    said = program.why(program.Ended(1, False, f"Traceback\n  File x\n{printed}\n"), tap, "alembic upgrade")
    assert said.startswith(f"alembic upgrade {told}")


async def test_a_run_that_was_killed_is_told_by_the_next_one(alembic: Alembic) -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    alembic.project.admin.execute(b"create table alembic_version (version_num varchar(32) primary key)")
    alembic.project.admin.execute(b"insert into alembic_version values ('a1')")
    alembic.project.admin.execute(b"grant select on alembic_version to backend")
    alembic.write("a1", None, MAKE)
    async with open_app(alembic.project.root) as app:
        place = app.workspace.state / "migrating" / "main.json"
        interrupted.end(app.workspace, "main")
    note = {"began": "2026-01-31T12:00:00+00:00", "pid": ended.pid, "todo": ["a1"], "direction": "up"}
    place.write_text(json.dumps({**note, "at_version": "before@empty"}))
    first, second = await alembic.project.run(), await alembic.project.run()
    assert first["interrupted"]["took_effect"] == ["a1"]
    assert "by the history all of it took effect" in first["interrupted"]["found"]
    assert "interrupted" not in second


async def test_a_program_that_does_not_end_is_stopped_and_told_with_how_far_it_came(
    alembic: Alembic, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alembic.folder / "env.py").write_text("import signal\nsignal.pause()\n")
    alembic.write("a1", None, MAKE)
    monkeypatch.setattr(observing, "RUN_SECONDS", 0.5)
    error = await alembic.project.run()
    assert error["code"] == "failed_precondition"
    assert "did not end in time and was stopped after 0 s and 0 statements. If it waits" in error["reason"]
    assert "the database itself was not touched" in error["reason"]


def test_revisions_are_read_and_never_run(tmp_path: Path) -> None:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "env.py").write_text("raise SystemExit('ran')")
    (versions / "two.py").write_text(
        "'''Second'''\nrevision: str = 'b'\ndown_revision: str | None = 'a'\nraise SystemExit"
    )
    (versions / "one.py").write_text("revision = 'a'\ndown_revision = None\n")
    for folder in (versions, versions.parent):
        assert [(f.version, f.name) for f in reading.files(folder, tmp_path)] == [("a", "one"), ("b", "Second")]
    (versions / "one.py").unlink()
    with pytest.raises(InvalidArgument, match="comes after a, which no file has"):
        reading.files(versions, tmp_path)


async def test_the_folder_is_found_without_a_policy(alembic: Alembic) -> None:
    alembic.write("a1", None)
    (alembic.project.root / "mcp-backend.toml").unlink()
    git(alembic.project.root, "add", "--all")
    async with open_app(alembic.project.root) as app:
        assert app.policy.engines["postgresql"].migrations == "alembic"


@long_proof
async def test_a_server_that_is_killed_leaves_the_database_before_and_the_next_says_what_it_found(
    alembic: Alembic,
) -> None:
    project = alembic.project
    project.policy(**alembic.settings, lock_deadline="5m")
    project.admin.execute(b"create table gate (id int); alter table gate owner to backend")
    alembic.write("a1", None, f'{MAKE}\nop.add_column("gate", sa.Column("n", sa.Integer))')
    async with held(project, "access share"), real_server(project) as (client, process):
        calling = asyncio.create_task(call(client))
        await project.until(WAITING)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(MCPError):
            await calling
        await project.until(NOBODY)
    assert project.tables == ["gate"]
    async with open_app(project.root) as app:
        engine = app.engines.postgresql("main")
        now = await planning.prepare(engine, project.root, None, "up")
        left = interrupted.found(app.workspace, "main", now.history.versions, now.version)
    assert left is not None
    assert (left["did_not"], left["schema_as_before"]) == (["a1"], True)
    assert "nothing of it took effect" in str(left["found"])
    assert [record["event"] for record in await audit(project)] == ["started", "unknown"]
