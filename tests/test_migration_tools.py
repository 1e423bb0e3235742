"""Each tool's folder, history and lock: rows as the tool itself would have written them, read as it would read them.

What is expected was written from each tool's own source, which its module names; dbmate is judged by its binary.
"""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from mcp_backend.migrations import flyway, golang_migrate, goose, prisma, sqlx
from mcp_backend.settings import workspace
from mcp_backend.workspace import listing, migration_folders
from tests.conftest import long_proof
from tests.migration_fixtures import Project, call

ONE, TWO = "create table one(id int);\n", "create table two(id int);\n"
BACK = "drop table two;\n"


@dataclass(frozen=True)
class Case:
    """A tool's folder with two migrations, the history after both, and the history after the second was taken back."""

    files: dict[str, str]
    rows: str
    after: list[tuple[Any, ...]]
    back: list[tuple[Any, ...]] | None
    versions: tuple[str, str]
    beside: tuple[str, str] | None = None


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FLYWAY = (
    "select installed_rank, version, description, type, script, checksum, installed_by, success, execution_time >= 0"
)
TOOLS: dict[str, Case] = {
    "golang-migrate": Case(
        {"000001_one.up.sql": ONE, "000001_one.down.sql": "drop table one;", "000002_two.up.sql": TWO,
         "000002_two.down.sql": BACK},
        "select version, dirty from schema_migrations", [(2, False)], [(1, False)], ("1", "2"), ("go.mod", "module x"),
    ),
    "goose": Case(
        {"00001_one.sql": f"-- +goose Up\n{ONE}-- +goose Down\ndrop table one;\n",
         "00002_two.sql": f"-- +goose Up\n-- +goose StatementBegin\n{TWO}-- +goose StatementEnd\n"
                          f"-- +goose Down\n{BACK}"},
        "select id, version_id, is_applied from goose_db_version order by id",
        [(1, 0, True), (2, 1, True), (3, 2, True)], [(1, 0, True), (2, 1, True)], ("1", "2"),
    ),
    "Flyway": Case(
        {"V1__one_thing.sql": ONE, "V1_1__two.sql": TWO, "U1.1__two.sql": BACK},
        f"{FLYWAY} from flyway_schema_history order by 1",
        [(1, "1", "one thing", "SQL", "V1__one_thing.sql", flyway.checksum(ONE), "backend", True, True),
         (2, "1.1", "two", "SQL", "V1_1__two.sql", flyway.checksum(TWO), "backend", True, True)],
        [(1, "1", "one thing", "SQL", "V1__one_thing.sql", flyway.checksum(ONE), "backend", True, True),
         (2, "1.1", "two", "SQL", "V1_1__two.sql", flyway.checksum(TWO), "backend", True, True),
         (3, "1.1", "two", "UNDO_SQL", "U1.1__two.sql", flyway.checksum(BACK), "backend", True, True)],
        ("1", "1.1"),
    ),
    "Prisma": Case(
        {"20260101_one/migration.sql": ONE, "20260102_two/migration.sql": TWO, "migration_lock.toml": ""},
        "select migration_name, checksum, finished_at >= started_at, logs, rolled_back_at, applied_steps_count, "
        "length(id) from _prisma_migrations order by 1",
        [("20260101_one", sha(ONE), True, None, None, 1, 36), ("20260102_two", sha(TWO), True, None, None, 1, 36)],
        None, ("20260101_one", "20260102_two"),
    ),
    "sqlx": Case(
        {"1_one_thing.up.sql": ONE, "1_one_thing.down.sql": "drop table one;", "2_two.up.sql": TWO,
         "2_two.down.sql": BACK},
        "select version, description, success, encode(checksum, 'hex'), execution_time > 0 "
        "from _sqlx_migrations order by 1",
        [(1, "one thing", True, hashlib.sha384(ONE.encode()).hexdigest(), True),
         (2, "two", True, hashlib.sha384(TWO.encode()).hexdigest(), True)],
        [(1, "one thing", True, hashlib.sha384(ONE.encode()).hexdigest(), True)],
        ("1", "2"), ("Cargo.toml", '[dependencies]\nsqlx = "0.9"'),
    ),
    "Supabase": Case(
        {"20260101_one.sql": ONE, "20260102_two.sql": f"{TWO}select 'it''s';"},
        "select version, name, statements from supabase_migrations.schema_migrations order by 1",
        [("20260101", "one", [ONE[:-2]]), ("20260102", "two", [TWO[:-2], "select 'it''s'"])], None,
        ("20260101", "20260102"),
    ),
    "Drizzle": Case(
        {"0000_one.sql": ONE, "0001_two.sql": f"{TWO}--> statement-breakpoint\nselect 1;",
         "meta/_journal.json": '{"entries": [{"idx": 0, "when": 1700000000001, "tag": "0000_one"}, '
                               '{"idx": 1, "when": 1700000000002, "tag": "0001_two"}]}'},
        "select id, hash, created_at from drizzle.__drizzle_migrations order by 1",
        [(1, sha(ONE), 1700000000001), (2, sha(f"{TWO}--> statement-breakpoint\nselect 1;"), 1700000000002)], None,
        ("0000_one", "0001_two"),
    ),
}  # fmt: skip


def laid(project: Project, tool: str) -> Case:
    """The repository has the folder of that tool."""
    case = TOOLS[tool]
    folder = "supabase/migrations" if tool == "Supabase" else "db/migrations"
    project.policy(migrations=folder)
    for name, text in case.files.items():
        place = project.root / folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    if case.beside:
        (project.root / case.beside[0]).write_text(case.beside[1])
    return case


def rows(project: Project, query: str) -> list[tuple[Any, ...]]:
    return list(project.admin.execute(query.encode()).fetchall())


@pytest.mark.parametrize("tool", TOOLS)
async def test_the_history_is_what_the_tool_would_have_written(project: Project, tool: str) -> None:
    case = laid(project, tool)
    async with project.server() as client:
        spelled = "000001" if tool == "golang-migrate" else case.versions[0]
        first = await call(client, version=spelled)
        assert [m["version"] for m in first["applied"]] == [case.versions[0]], first
        second = await call(client)
        assert [m["version"] for m in second["applied"]] == [case.versions[1]], second
        assert rows(project, case.rows) == case.after
        assert (await call(client))["note"] == "nothing is pending"
        answer = await client.call_tool("db_schema", {})
        assert answer.structured_content is not None
        status = answer.structured_content["migrations"]
        assert (status["tool"], status["applied_total"], status["pending"]) == (tool, 2, [])
        assert "problem" not in status

        back = await call(client, direction="down")
        if case.back is None:
            assert back["code"] == "failed_precondition"
            assert "no migrations that take one back" in back["reason"]
            return
        assert [m["version"] for m in back["applied"]] == [case.versions[1]], back
        assert rows(project, case.rows) == case.back
        assert project.ask("select to_regclass('two')") == [None]
        again = await call(client)
        assert [m["version"] for m in again["applied"]] == [case.versions[1]], again
        await call(client, direction="down")
        last = await call(client, direction="down", version=case.versions[0])
        assert last["code"] == "invalid_argument" if tool == "Flyway" else last["applied"]
        if tool == "golang-migrate":
            assert rows(project, case.rows) == []


@pytest.mark.parametrize("tool", ["Flyway", "Prisma", "sqlx", "Drizzle"])
async def test_a_file_that_changed_after_it_was_applied_stops_everything(project: Project, tool: str) -> None:
    laid(project, tool)
    async with project.server() as client:
        await call(client)
        name = next(
            name for name in TOOLS[tool].files if "one" in name and name.endswith(".sql") and "down" not in name
        )
        path = project.root / "db/migrations" / name
        path.write_text(ONE.replace("int", "bigint"))
        refused = await call(client)
        assert refused["code"] == "failed_precondition"
        assert f"db/migrations/{name} was changed after it was applied" in refused["reason"]
        status = (await client.call_tool("db_schema", {})).structured_content
        assert status is not None
        assert "was changed after it was applied" in status["migrations"]["problem"]


DIRTY = {
    "golang-migrate": ("update schema_migrations set dirty = true", "dirty at version 2", "migrate force VERSION"),
    "Flyway": ("update flyway_schema_history set success = false where installed_rank = 2", "failed migration 1.1",
               "flyway repair"),
    "Prisma": ("update _prisma_migrations set finished_at = null where migration_name = '20260102_two'",
               "20260102_two was begun and did not end", "prisma migrate resolve"),
    "sqlx": ("update _sqlx_migrations set success = false where version = 2", "2 is marked as failed",
             "delete the row"),
}  # fmt: skip


@pytest.mark.parametrize("tool", DIRTY)
async def test_a_dirty_history_stops_everything_and_names_the_way_out(project: Project, tool: str) -> None:
    laid(project, tool)
    sql, said, way = DIRTY[tool]
    async with project.server() as client:
        await call(client)
        project.admin.execute(sql.encode())
        refused = await call(client)
        assert refused["code"] == "failed_precondition"
        assert said in refused["reason"]
        assert way in refused["reason"]


LATE = {
    "goose": "00001_one.sql", "Flyway": "V1__one_thing.sql", "Supabase": "20260101_one.sql",
}  # fmt: skip


@pytest.mark.parametrize("tool", LATE)
async def test_what_its_tool_would_not_apply_out_of_order_is_not_applied(project: Project, tool: str) -> None:
    case = laid(project, tool)
    folder = project.root / ("supabase/migrations" if tool == "Supabase" else "db/migrations")
    text = (folder / LATE[tool]).read_text()
    (folder / LATE[tool]).unlink()
    async with project.server() as client:
        await call(client)
        (folder / LATE[tool]).write_text(text)
        for arguments in ({}, {"version": case.versions[0]}):
            refused = await call(client, **arguments)
            assert refused["code"] == "failed_precondition"
            assert f"{tool} does not apply it after that" in refused["reason"]


@pytest.mark.parametrize(
    ("tool", "key"),
    [("goose", goose.LOCK), ("Prisma", prisma.LOCK), ("sqlx", None), ("golang-migrate", None), ("Flyway", None)],
)
async def test_the_tools_own_lock_is_held_and_waited_for(
    project: Project, tool: str, key: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_backend.migrations import run

    monkeypatch.setattr(run, "TURN_SECONDS", 0.05)
    laid(project, tool)
    (database,) = project.ask("select current_database()")
    key = (
        key
        or {
            "sqlx": sqlx.lock(database),
            "golang-migrate": golang_migrate.lock("public", "schema_migrations", f"/{database}"),
            "Flyway": flyway.lock('"public"."flyway_schema_history"'),
        }[tool]
    )
    with psycopg.connect(project.url, autocommit=True, application_name="the tool") as holder:
        holder.execute("select pg_advisory_lock(%s)", (key,))
        error = await project.run()
    assert error["code"] == "deadline_exceeded"
    assert "(the tool, connected since" in error["reason"]
    assert (await project.run())["applied"]


def test_keys_and_checksums_are_those_of_the_tools_code() -> None:
    # In Java "hello".hashCode() is 99162322, that of "polygenelubricants" the least integer.
    assert flyway.lock("hello") == 0x466C79776179 + 99162322
    assert flyway.lock("polygenelubricants") == 0x466C79776179 - 2**31
    assert flyway.checksum("a\r\nb") == flyway.checksum("\ufeffa\nb\n") == zlib.crc32(b"ab") - 2**32
    assert sqlx.lock("postgres") == 0x3D32AD9E * zlib.crc32(b"postgres")
    assert golang_migrate.lock("public", "schema_migrations", "x") == (
        zlib.crc32(b"public\0schema_migrations\0x") * 1486364155 % 2**32
    )


async def test_two_tools_that_fit_are_an_error_that_asks(project: Project) -> None:
    laid(project, "golang-migrate")
    (project.root / "go.mod").unlink()
    refused = await project.run()
    assert refused["code"] == "failed_precondition"
    assert "can be golang-migrate's or sqlx's" in refused["reason"]
    assert 'engines.main.migration_tool of mcp-backend.toml = "golang-migrate" or "sqlx"' in refused["reason"]
    project.policy(migration_tool="sqlx")
    assert (await project.run())["applied"]
    assert project.ask("select count(*) from _sqlx_migrations") == [2]


async def test_the_nearest_manifest_says_whose_a_form_of_two_tools_is(project: Project) -> None:
    folder = project.root / "server/app/migrations"
    project.policy(migrations="server/app/migrations")
    folder.mkdir(parents=True)
    (folder / "1_one.up.sql").write_text("create table one (id int);\n")
    (folder / "1_one.down.sql").write_text("drop table one;\n")
    (project.root / "go.mod").write_text("module example.org/clients\n")
    (project.root / "server/app/Cargo.toml").write_text('[dependencies]\nsqlx = "0.9"\n')
    place = workspace(project.root)
    assert [found.tool for found in migration_folders.found(place, listing.files(place))] == ["sqlx"]
    assert (await project.run())["applied"]
    assert project.ask("select version from _sqlx_migrations") == [1]


async def test_no_second_history_is_made(project: Project) -> None:
    laid(project, "goose")
    project.admin.execute(b"create table flyway_schema_history(installed_rank int)")
    refused = await project.run()
    assert refused["code"] == "failed_precondition"
    assert "but Flyway migrated this database: there is public.flyway_schema_history" in refused["reason"]
    assert project.ask("select to_regclass('goose_db_version')") == [None]


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [("V3__p.sql", "create table ${prefix}_x();", "V3__p.sql:1: ${prefix} is a placeholder"),
     ("afterMigrate.sql", "select 1;", "is a callback"), ("B3__base.sql", "select 1;", "is a baseline migration"),
     ("V3__m.sql", "create index concurrently i on one(id); select 1;", "Flyway refuses to mix them")],
)  # fmt: skip
async def test_what_only_flyway_can_do_is_said(project: Project, name: str, text: str, word: str) -> None:
    laid(project, "Flyway")
    (project.root / "db/migrations" / name).write_text(text)
    refused = await project.run()
    assert refused["code"] in ("failed_precondition", "invalid_argument")
    assert word in refused["reason"]
    assert project.tables == []


async def test_a_repeatable_migration_runs_again_when_it_changed(project: Project) -> None:
    laid(project, "Flyway")
    view = project.root / "db/migrations/R__the_view.sql"
    view.write_text("create or replace view v as select 1 as a;")
    async with project.server() as client:
        assert [m["version"] for m in (await call(client))["applied"]] == ["1", "1.1", "R__the_view"]
        assert (await call(client))["note"] == "nothing is pending"
        view.write_text("create or replace view v as select 2 as a;")
        assert [m["version"] for m in (await call(client))["applied"]] == ["R__the_view"]
        assert (await call(client))["note"] == "nothing is pending"
    assert project.ask("select version from flyway_schema_history order by installed_rank") == ["1", "1.1", None, None]


ALONE = "create index concurrently i on one(id);\n"
OUTSIDE: dict[str, tuple[str, str]] = {
    "golang-migrate": ("000003_i.up.sql", ALONE),
    "goose": ("00003_i.sql", f"-- +goose NO TRANSACTION\n-- +goose Up\n{ALONE}select 1;\n-- +goose Down\n"),
    "Flyway": ("V3__i.sql", ALONE),
    "Prisma": ("20260103_i/migration.sql", ALONE),
    "sqlx": ("3_i.up.sql", f"-- no-transaction\n{ALONE}select 1;"),
}


@pytest.mark.parametrize("tool", OUTSIDE)
async def test_what_runs_outside_a_transaction_is_recorded_when_it_ended(project: Project, tool: str) -> None:
    laid(project, tool)
    name, text = OUTSIDE[tool]
    path = project.root / "db/migrations" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    result = await project.run()
    assert len(result["applied"]) == 3, result
    assert project.ask("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [True]
    query = TOOLS[tool].rows
    last = rows(project, query)[-1]
    expected = {
        "golang-migrate": (3, False), "goose": (4, 3, True),
        "Flyway": (3, "3", "i", "SQL", name, flyway.checksum(text), "backend", True, True),
        "Prisma": ("20260103_i", sha(text), True, None, None, 1, 36),
        "sqlx": (3, "i", True, hashlib.sha384(text.encode()).hexdigest(), True),
    }  # fmt: skip
    assert last == expected[tool]
    assert (await project.run())["note"] == "nothing is pending"


async def test_own_begin_and_commit_round_a_file_are_its_transaction(project: Project) -> None:
    laid(project, "golang-migrate")
    (project.root / "db/migrations/000003_b.up.sql").write_text("BEGIN;\ncreate table b();\nselect 1/0;\nCOMMIT;\n")
    error = await project.run()
    assert error["details"]["line"] == 3
    assert "3 was rolled back" in error["reason"]
    assert rows(project, "select version, dirty from schema_migrations") == [(2, False)]
    (project.root / "db/migrations/000003_b.up.sql").write_text(
        "create table b(x int);\ncreate index concurrently i on b(x);"
    )
    assert "put it in a file of its own" in (await project.run())["reason"]


OWN: dict[str, tuple[str, str]] = {
    "goose": ("00003_b.sql", "-- +goose Up\n{}-- +goose Down\n"), "Flyway": ("V3__b.sql", "{}"),
    "sqlx": ("3_b.up.sql", "{}"),
}  # fmt: skip


@pytest.mark.parametrize("tool", ["goose", *(pytest.param(tool, marks=long_proof) for tool in ("Flyway", "sqlx"))])
async def test_where_the_tool_lets_a_file_end_its_transaction_the_file_says_where_they_end(
    project: Project, shadow_url: str, tool: str
) -> None:
    laid(project, tool)
    project.shadow = shadow_url
    project.policy(unrehearsed_because="")
    name, form = OWN[tool]
    text = "create table b(x int);\nbegin;\ncreate table c();\ncommit;\ncreate table d();\n"
    (project.root / "db/migrations" / name).write_text(form.format(text))
    result = await project.run()
    assert (len(result["applied"]), result["rehearsal"]["schema_as_rehearsed"]) == (3, True), result
    assert {"b", "c", "d"} <= set(project.tables)
