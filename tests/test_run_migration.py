"""run_migration through a real client on a real PostgreSQL: what it does, and what it refuses."""

import asyncio
import json

import psycopg
import pytest
from mcp_types import TextResourceContents

from mcp_backend.migrations import dbmate, run
from tests.conftest import ERAS, Era
from tests.migration_fixtures import QUEUED, WAITING, Project, call

A = "create table a(id bigint primary key, x text);"


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_pending_is_applied_and_told(project: Project, era: Era) -> None:
    project.write("20260101_create_a", A, "drop table a;")
    project.write("20260102_index", "create index a_x on a(x);", "drop index a_x;")
    async with project.server(era) as client:
        result = await call(client)
        assert [(m["version"], m["name"]) for m in result["applied"]] == [
            ("20260101", "create_a"),
            ("20260102", "index"),
        ]
        assert all(m.keys() == {"version", "name", "elapsed_ms"} and m["elapsed_ms"] > 0 for m in result["applied"])
        assert result["at_version_before"].endswith("@empty")
        assert result["at_version_after"].endswith("@20260102")
        assert result["waited_for_locks_ms"] == 0
        assert "+ table public.a (id bigint not null, x text)" in result["schema_diff"]
        assert "+ index public.a_x: on public.a USING btree (x)" in result["schema_diff"]
        assert result["rehearsal"] == {
            "verdict": "off", "because": "these tests are about applying", "schema_as_rehearsed": "unknown",
        }  # fmt: skip
        assert result["preflight"]["replicas"] == result["preflight"]["slots"] == []
        assert result["preflight"]["disk"]["free_bytes"] == "unknown"
        assert (project.applied, project.tables) == (["20260101", "20260102"], ["a"])

        again = await call(client)
        assert again["applied"] == again["schema_diff"] == []
        assert again["note"] == "nothing is pending"
        assert again["at_version_before"] == again["at_version_after"] == result["at_version_after"]
        assert (await call(client, version="20260101"))["note"] == "migration 20260101 is applied already"


async def test_up_then_down_gives_the_same_fingerprint(project: Project) -> None:
    project.write("1_a", A, "drop table a;")
    project.write("2_more", "alter table a add y int default 5; create view v as select y from a;",
                  "drop view v; alter table a drop y;")  # fmt: skip
    async with project.server() as client:
        first = await call(client, version="1")
        second = await call(client)
        back = await call(client, direction="down")
        assert back["at_version_before"] == second["at_version_after"]
        assert back["at_version_after"] == first["at_version_after"]
        assert [m["version"] for m in back["applied"]] == ["2"]
        assert set(back["schema_diff"]) == {"- view public.v", "- column public.a.y: integer default 5"}
        refused = await call(client, direction="down", version="2")
        assert refused["code"] == "failed_precondition"
        assert refused["reason"] == "only the newest applied migration can be taken back: that is 1, not 2"
        await call(client, direction="down", version="1")
        assert (project.applied, project.tables) == ([], [])
        assert (await call(client, direction="down"))["code"] == "failed_precondition"


async def test_an_empty_down_block_takes_nothing_back(project: Project) -> None:
    project.write("1_a", A, "-- cannot be undone")
    async with project.server() as client:
        await call(client)
        refused = await call(client, direction="down")
    assert refused["code"] == "failed_precondition"
    assert "db/migrations/1_a.sql: what takes it back is empty" in refused["reason"]
    assert project.applied == ["1"]


async def test_a_failing_statement_takes_its_whole_migration_back(project: Project) -> None:
    project.write("1_a", A)
    project.write("2_b", "create table b(id int);\n\ninsert into a values (1);\nalter table a add y itn;")
    project.write("3_c", "create table c(id int);")
    error = await project.run()
    assert error["code"] == "invalid_argument"
    assert error["retry"] == "changed"
    assert error["reason"].startswith('db/migrations/2_b.sql:5: type "itn" does not exist (SQLSTATE 42704)')
    assert "2 was rolled back; this call applied before: 1" in error["reason"]
    details = error["details"]
    assert (details["sqlstate"], details["file"], details["line"]) == ("42704", "db/migrations/2_b.sql", 5)
    assert (details["version"], details["applied"]) == ("2", ["1"])
    assert details["statement"] == "alter table a add y itn"
    assert (project.applied, project.tables) == (["1"], ["a"])
    assert project.ask("select count(*) from a") == [0]


async def test_the_line_of_an_error_inside_a_long_statement_is_its_own(project: Project) -> None:
    project.write("1_a", "select 'é',\n  1,\n  nothing\n;")
    error = await project.run()
    assert (error["details"]["line"], error["details"]["column"]) == (4, 3)
    project.write("1_a", "do $$\nbegin\n  perform 1;\n  raise exception 'no' using hint = 'try harder';\nend $$;")
    error = await project.run()
    assert error["details"]["hint"] == "try harder"
    assert "line 4 at RAISE" in error["details"]["context"]


async def test_an_error_at_commit_is_an_error(project: Project) -> None:
    project.write("1_a", "create table p(id int primary key);"
                         "create table c(p int references p deferrable initially deferred);"
                         "insert into c values (1);")  # fmt: skip
    error = await project.run()
    assert error["details"]["sqlstate"] == "23503"
    assert "1 was rolled back" in error["reason"]
    assert project.tables == []


async def test_one_bad_file_stops_all_before_anything_runs(project: Project) -> None:
    project.write("1_a", A)
    project.write("2_b", "create tabel b();")
    error = await project.run()
    assert error["code"] == "invalid_argument"
    assert error["reason"].startswith("db/migrations/2_b.sql:2, column 8: syntax error")
    assert project.tables == []
    assert project.ask("select to_regclass('schema_migrations')") == [None]
    assert (await project.run(version="1"))["applied"][0]["version"] == "1"


@pytest.mark.parametrize(
    ("sql", "word"),
    [("\\i other.sql", "psql"), ("copy a from stdin;", "STDIN"), ("commit;", "BEGIN and COMMIT"),
     ("alter system set work_mem = '1GB';", "ALTER SYSTEM"), ("create database x;", "CREATE DATABASE"),
     ("copy a to program 'id';", "PROGRAM"), ("vacuum a;", "transaction:false")],
)  # fmt: skip
async def test_what_leaves_the_transaction_or_the_database_is_refused(project: Project, sql: str, word: str) -> None:
    project.write("1_a", f"{A}\n{sql}")
    error = await project.run()
    assert error["code"] == "invalid_argument"
    assert error["reason"].startswith("db/migrations/1_a.sql:3: ")
    assert word in error["reason"]
    assert project.tables == []


async def test_a_procedure_cannot_commit_behind_our_back(project: Project) -> None:
    project.write("1_a", f"{A} do $$ begin insert into a values (1); commit; end $$;")
    error = await project.run()
    assert error["details"]["sqlstate"] == "2D000"
    assert project.tables == []


async def test_statements_outside_a_transaction_run_one_by_one(project: Project) -> None:
    project.write("1_a", A)
    project.write("2_i", "create index concurrently i on a(x);\ncreate index concurrently j on a(x, id);\n"
                         "vacuum a;\nbegin; create table b(); commit;", option=" transaction:false")  # fmt: skip
    result = await project.run()
    assert [m["version"] for m in result["applied"]] == ["1", "2"]
    assert project.ask("select indexrelid::regclass::text from pg_index where indrelid = 'a'::regclass order by 1") == [
        "a_pkey", "i", "j",
    ]  # fmt: skip
    assert project.tables == ["a", "b"]


async def test_what_a_failure_outside_a_transaction_leaves_is_said(project: Project) -> None:
    project.write("1_a", f"{A} insert into a values (1, 'same'), (2, 'same');")
    file = project.write("2_i", "create table b();\ncreate unique index concurrently if not exists i on a(x);",
                         option=" transaction:false")  # fmt: skip
    async with project.server() as client:
        error = await call(client)
        assert error["details"]["sqlstate"] == "23505"
        assert "2 is partly applied: everything before line 3 took effect and stays" in error["reason"]
        assert "repeat the call and it goes on there" in error["reason"]
        assert "public.i was dropped again" in error["reason"]
        assert project.ask("select count(*) from pg_index where not indisvalid") == [0]
        assert (project.applied, project.tables) == (["1"], ["a", "b"])

        assert project.half_way == {"version": "2", "direction": "up", "done": 1, "begun": False}
        text = file.read_text()
        file.write_text(text.replace("create table b();", "create table c();"))
        error = await call(client)
        assert error["code"] == "failed_precondition"
        assert "its first 1 statement(s) took effect and are not what the file says now" in error["reason"]
        file.write_text(text.replace("create unique", "delete from a where id = 2; create unique"))
        assert [m["version"] for m in (await call(client))["applied"]] == ["2"]
        assert project.ask("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [True]
    assert (project.applied, project.tables, project.half_way) == (["1", "2"], ["a", "b"], None)


async def test_an_invalid_index_that_if_not_exists_passes_over_is_named(project: Project) -> None:
    project.write("1_a", f"{A} insert into a values (1, 'same'), (2, 'same');")
    project.write("2_i", "create unique index concurrently if not exists i on a(x);", option=" transaction:false")
    async with project.server() as client:
        await call(client, version="1")
        with psycopg.connect(project.url, autocommit=True) as other, pytest.raises(psycopg.errors.UniqueViolation):
            other.execute("create unique index concurrently i on a(x)")
        error = await call(client)
        assert error["code"] == "failed_precondition"
        assert "public.i exists but is INVALID" in error["reason"]
        assert project.applied == ["1"]


async def test_an_own_transaction_that_stays_open_is_refused(project: Project) -> None:
    project.write("1_a", "create table a();\nbegin; create table b();", option=" transaction:false")
    error = await project.run()
    assert error["code"] == "invalid_argument"
    assert "begins a transaction and does not commit it" in error["reason"]
    assert "everything before line 3 took effect" in error["reason"]
    assert (project.applied, project.tables) == ([], ["a"])


async def test_a_migration_leaves_nothing_in_the_session_of_the_next(project: Project) -> None:
    project.write("1_a", "select set_config('search_path', '', false); set work_mem = '77MB'; prepare p as select 1;"
                         "create temp table t(); select pg_advisory_unlock_all();")  # fmt: skip
    project.write("2_b", "create table b(); prepare p as select 2; create temp table t();"
                         "select 1 / (current_setting('work_mem') <> '77MB')::int;")  # fmt: skip
    assert [m["version"] for m in (await project.run())["applied"]] == ["1", "2"]
    assert project.tables == ["b"]


async def test_the_history_row_is_written_by_the_role_that_connected(project: Project) -> None:
    role = f"role_{project.url.rpartition('_')[2]}"
    project.admin.execute(
        f"create role {role}; grant {role} to backend; grant create on schema public to {role}".encode()
    )
    try:
        project.write("1_a", f"set role {role}; create table a();")
        assert [m["version"] for m in (await project.run())["applied"]] == ["1"]
        assert project.ask("select tableowner from pg_tables where tablename = 'a'") == [role]
    finally:
        project.admin.execute(f"drop owned by {role}; drop role {role}".encode())


async def test_rows_that_a_migration_selects_are_thrown_away(project: Project) -> None:
    project.write("1_a", f"{A} select repeat('x', 1000) from generate_series(1, 20000); select 1 where false;")
    assert [m["version"] for m in (await project.run())["applied"]] == ["1"]
    project.write("2_b", "create table b();\nselect 1 / (g - 15000) from generate_series(1, 20000) g;")
    error = await project.run()
    assert (error["details"]["sqlstate"], error["details"]["line"]) == ("22012", 3)
    assert project.tables == ["a"]


async def test_two_sections_run_one_after_the_other(project: Project) -> None:
    path = project.write("1_e", "create type e as enum ('a');", "drop type e;")
    path.write_text(path.read_text() + "-- migrate:up\nalter type e add value 'b';\n-- migrate:down\nselect 1;\n"
                    "-- migrate:up\ncreate table t(e e default 'b');\n-- migrate:down\ndrop table t;\n")  # fmt: skip
    async with project.server() as client:
        await call(client)
        assert (project.applied, project.tables) == (["1"], ["t"])
        await call(client, direction="down")
        assert (project.applied, project.tables) == ([], [])


async def test_order_is_kept(project: Project) -> None:
    project.write("1_a", A)
    project.write("3_c", "create table c();")
    async with project.server() as client:
        await call(client)
        project.write("2_b", "create table b();")
        refused = await call(client)
        assert refused["code"] == "failed_precondition"
        assert "db/migrations/2_b.sql: pending, but db/migrations/3_c.sql is applied" in refused["reason"]
        assert [m["version"] for m in (await call(client, version="2"))["applied"]] == ["2"]
        missing = await call(client, version="7")
        assert (missing["code"], "pending: none" in missing["reason"]) == ("not_found", True)


async def test_a_statement_that_takes_too_long_is_rolled_back(project: Project) -> None:
    project.write("1_a", f"{A}\nselect pg_sleep(60);")
    error = await project.run(statement_timeout_seconds=1)
    assert error["code"] == "deadline_exceeded"
    assert error["reason"].startswith("db/migrations/1_a.sql:3: ")
    assert "1 was rolled back" in error["reason"]
    assert "greater statement_timeout_seconds" in error["reason"]
    assert project.tables == []


async def test_the_world_may_not_move_between_plan_and_run(project: Project) -> None:
    project.write("1_a", A)
    locked = psycopg.connect(project.url, autocommit=True)
    locked.execute("select pg_advisory_lock(%s)", (dbmate.LOCK,))
    async with project.server() as client:
        waiting = asyncio.create_task(call(client))
        await project.until(QUEUED)
        project.admin.execute(b"create table sneaked()")
        locked.close()
        error = await waiting
        assert (error["code"], error["retry"]) == ("aborted", "changed")
        assert "the schema changed since the plan was made" in error["reason"]
        assert project.tables == ["sneaked"]
        held = "from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()"
        await project.until(f"select (count(*) = 0)::int {held} where l.locktype = 'advisory' and l.granted")
        assert (await call(client))["waited_for_locks_ms"] == 0


async def test_a_server_that_waits_for_its_turn_keeps_no_index_from_being_built(project: Project) -> None:
    project.write("1_a", A)
    await project.run()
    project.write("2_i", "create index concurrently i on a(x);", option=" transaction:false")
    async with project.server() as one, project.server() as other:
        with psycopg.connect(project.url) as holder:
            holder.execute(b"insert into a values (1, 'x')")
            first = asyncio.create_task(call(one))
            await project.until(WAITING)
            second = asyncio.create_task(call(other))
            await project.until(QUEUED)
            holder.rollback()
        assert [m["version"] for m in (await first)["applied"]] == ["2"]
        assert (await second)["code"] == "aborted"


async def test_whoever_migrates_now_is_named_and_not_waited_for_without_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TURN_SECONDS", 0.05)
    project.write("1_a", A)
    with psycopg.connect(project.url, autocommit=True, application_name="somebody") as holder:
        holder.execute("select pg_advisory_lock(%s)", (dbmate.LOCK,))
        process = holder.info.backend_pid
        error = await project.run()
    assert error["code"] == "deadline_exceeded"
    assert f"process {process} (somebody, connected since" in error["reason"]
    assert "nothing was executed" in error["reason"]


async def test_a_long_history_is_applied_whole_and_told_in_part(project: Project) -> None:
    for number in range(101):
        project.write(f"{number:03}_n", "")
    (project.root / "db/schema.sql").write_text("-- what dbmate dumped last")
    result = await project.run()
    assert (len(result["applied"]), result["applied_total"], result["truncated"]) == (100, 101, True)
    assert (result["applied"][0]["version"], result["next"]) == ("001", "migrations://main")
    assert result["note"].startswith("schema.sql beside the migrations was not written anew")
    assert len(project.applied) == 101


async def test_two_servers_race_and_each_migration_is_applied_once(project: Project) -> None:
    project.write("00_count", "create table runs(version text);")
    async with project.server("auto") as one, project.server("legacy") as two:
        await call(one)
        for round_ in range(1, 21):
            version = f"{round_:02}"
            project.write(f"{version}_count", f"insert into runs values ('{version}');")
            results = await asyncio.gather(call(one), call(two))
            codes = sorted(r.get("code", f"applied {len(r.get('applied', []))}") for r in results)
            assert codes in (["aborted", "applied 1"], ["applied 0", "applied 1"]), codes
    expected = [f"{round_:02}" for round_ in range(1, 21)]
    assert project.ask("select version from runs order by 1") == expected
    assert project.applied == ["00", *expected]


async def test_a_file_in_another_tools_form_is_not_guessed_at(project: Project) -> None:
    missing = await project.run()
    assert missing["code"] == "not_found"
    assert "no migration folder db/migrations" in missing["reason"]
    (project.root / "db/migrations").mkdir(parents=True)
    (project.root / "db/migrations/a.sql").write_text("--liquibase formatted sql\ncreate table a();")
    refused = await project.run()
    assert refused["code"] == "failed_precondition"
    assert "form of Liquibase" in refused["reason"]
    assert "this release cannot apply" in refused["reason"]
    project.policy(migrations="other")
    assert "no migration folder other" in (await project.run())["reason"]
    assert project.tables == []


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [({"engine": "nope"}, "not_found", "main"), ({"engine": ""}, "invalid_argument", "engine"),
     ({"version": "x y"}, "not_found", "no migration x y"), ({"version": "1" * 1000}, "invalid_argument", "version"),
     ({"version": "x"}, "not_found", "no migration x"), ({"version": 5}, "not_found", "no migration 5"),
     ({"direction": "sideways"}, "invalid_argument", "direction"),
     ({"lock_timeout_ms": 60_000}, "invalid_argument", "lock_timeout_ms"),
     ({"statement_timeout_seconds": 0}, "invalid_argument", "statement_timeout_seconds"),
     ({"confirm": True}, "invalid_argument", "confirm"), ({"version": "1\0"}, "invalid_argument", "version")],
    ids=str,
)  # fmt: skip
async def test_bad_input_is_a_clear_error(project: Project, arguments: dict[str, object], code: str, word: str) -> None:
    project.write("1_a", A)
    error = await project.run(**arguments)
    assert error["code"] == code
    assert word in error["reason"]
    assert project.tables == []


async def test_the_resource_and_its_completion_say_what_is_pending(project: Project) -> None:
    project.write("1_a", A)
    project.write("3_c", "select 1;")
    async with project.server() as client:
        await call(client)
        project.write("2_b", "select 1;")
        project.admin.execute(b"insert into schema_migrations values ('9')")
        (content,) = (await client.read_resource("migrations://main")).contents
        assert isinstance(content, TextResourceContents)
        assert json.loads(content.text) == {
            "engine": "main", "environment": "development", "folder": "db/migrations", "tool": "dbmate",
            "applied": ["1_a", "3_c"], "pending": ["2_b"], "missing": ["9"], "out_of_order": ["2"],
        }  # fmt: skip
