"""rehearse_migration through a real client: what it sees, what it says, and that the target stays as it is."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mcp_types import TextResourceContents

from mcp_backend.actions import ExecuteSql, digest
from tests.conftest import ERAS, SOME_ERAS, Era
from tests.rehearsal_fixtures import Case

USERS = """
create table users (id bigint generated always as identity primary key, email text, name varchar(40), age int);
create table orders (id bigint generated always as identity primary key, user_id bigint, qty int not null default 1);
grant select, insert, update, delete on users, orders to app_rw; grant select on users, orders to app_ro;
insert into users (email, name, age) select 'u' || g || '@x.io', 'n' || g, 20 + g % 50 from generate_series(1, 1500) g;
insert into orders (user_id) select 1 + g % 1500 from generate_series(1, 1500) g;
"""
LARGE = {
    "public.users": {"rows": 12_000_000, "bytes": 6e9}, "public.orders": {"rows": 40_000_000, "bytes": 18e9},
}  # fmt: skip


@pytest.fixture
def shop(case: Case) -> Case:
    """Two tables that are large by their statistics."""
    case.owner(USERS)
    case.sizes(LARGE)
    return case


def ids(result: dict[str, Any]) -> set[str]:
    """The names of the hazards."""
    return {hazard["id"] for hazard in result["hazards"]}


async def test_a_scan_under_a_strong_lock_is_judged_by_the_size_of_the_target(shop: Case) -> None:
    sql = "alter table users alter column age set not null"
    large = await shop.rehearse(sql=sql)
    assert large["verdict"] == "reject"
    assert "full_scan_under_access_exclusive" in ids(large)
    (statement,) = large["statements"]
    lock = {"relation": "public.users", "mode": "AccessExclusiveLock", "blocks": "reads+writes"}
    assert lock in statement["locks"]
    (scan,) = statement["scans"]
    assert (scan["relation"], scan["rows_read"], scan["target_rows"]) == ("public.users", 1500, 12_000_000)
    (hold,) = large["timeline"]
    assert hold["estimate_ms"]["low"] < hold["estimate_ms"]["expected"] < hold["estimate_ms"]["high"]
    shop.policy(blocking_budget="10m")
    assert (await shop.rehearse(sql=sql))["verdict"] == "safe"
    shop.policy()
    shop.sizes({"public.users": {"rows": 1500, "bytes": 81920}})
    small = await shop.rehearse(sql=sql)
    assert (small["verdict"], small["hazards"]) == ("safe", [])
    shop.sizes(LARGE)
    shop.owner("alter table users add constraint filled check (age is not null)")
    assert (await shop.rehearse(sql=sql))["verdict"] == "safe"


async def test_a_rehearsal_leaves_the_target_as_it_is(shop: Case) -> None:
    before = shop.world()
    result = await shop.rehearse(
        sql="alter table users add column tier text; update users set tier = 'x'; create index on orders (qty)",
        down_sql="alter table users drop column tier",
    )
    assert result["verdict"] == "reject"
    assert {"backfill_in_ddl_transaction", "blocking_index_build", "down_not_inverse"} <= ids(result)
    assert result["reversible"] == {
        "up_down_equal": False, "difference": ["+ index public.orders_qty_idx: on public.orders USING btree (qty)"],
    }  # fmt: skip
    assert shop.world() == before


async def test_a_rehearsal_that_is_killed_leaves_the_target_as_it_is_and_the_next_one_is_right(shop: Case) -> None:
    before = shop.world()
    # In a transaction on the shadow itself, and outside of one in a copy of it.
    for sql in (
        "update users set age = 1; select pg_sleep(60)",
        "reindex index concurrently users_pkey; select pg_sleep(60)",
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.rehearsing", str(shop.root), sql, cwd=Path(__file__).parents[1]
        )
        asleep = b"select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        with psycopg.connect(shop.shadow, autocommit=True) as server:
            async with asyncio.timeout(90):
                while (server.execute(asleep).fetchone() or (0,))[0] == 0:
                    await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
        assert shop.world() == before
        again = await shop.rehearse(sql="create index concurrently i on users (age)", down_sql="drop index i")
        assert (again["verdict"], again["reversible"]["up_down_equal"]) == ("safe", True)
        locks = again["statements"][0]["locks"]
        assert {"relation": "public.users", "mode": "ShareUpdateExclusiveLock", "blocks": "ddl"} in locks


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_rehearsal_that_the_host_cancels_leaves_no_connection(shop: Case, era: Era) -> None:
    there = "select pid from pg_stat_activity where datname is not null and pid <> pg_backend_pid()"
    asleep = f"{there} and query like 'select pg_sleep%' and state = 'active'"
    with psycopg.connect(shop.shadow, autocommit=True) as server:
        before = set(server.execute(there.encode()))  # also those that are ending

        async def until(query: str, wanted: int) -> None:
            async with asyncio.timeout(60):
                while len({*server.execute(query.encode())} - before) != wanted:
                    await asyncio.sleep(0.02)

        async with shop.connect(shop.root, mode=era) as client:
            asked = {"sql": "update users set age = 1; select pg_sleep(60)"}
            call = asyncio.create_task(client.call_tool("rehearse_migration", asked))
            await until(asleep, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(there, 0)
            answer = await client.read_resource("audit://recent")
    (recorded,) = answer.contents
    assert isinstance(recorded, TextResourceContents)
    assert [record["event"] for record in json.loads(recorded.text)][:2] == ["cancelled", "started"]


async def test_rows_that_a_new_constraint_does_not_allow_are_found_and_named_as_data(shop: Case) -> None:
    shop.owner("insert into orders (user_id) values (999999)")
    result = await shop.rehearse(sql="alter table orders add foreign key (user_id) references users (id)")
    assert result["verdict"] == "reject"
    found = next(hazard for hazard in result["hazards"] if hazard["id"] == "fk_violation")
    assert found["evidence"]["untrusted"] == "(user_id)=(999999)"
    later = await shop.rehearse(sql="alter table orders add foreign key (user_id) references users (id) not valid")
    assert "validate_will_fail" in ids(later)


async def test_the_migrating_role_of_the_shadow_reaches_nothing_beyond_its_database(shop: Case) -> None:
    for sql in (
        "copy users (email) from program 'id'",
        "select pg_read_file('postgresql.conf')",
        "alter system set work_mem = '1GB'",
        "set session_replication_role = replica",
        "create function f() returns int language c as 'x', 'y'",
        "do $$ begin execute 'copy users (email) from program ''id'''; end $$",
    ):
        result = await shop.rehearse(sql=sql)
        assert result["verdict"] == "reject", sql
        assert result["statements"][0]["error"].split()[0] in ("42501", "0A000", "25001"), sql


async def test_pending_files_have_the_digest_of_what_run_migration_would_run(shop: Case) -> None:
    folder = shop.root / "db" / "migrations"
    folder.mkdir(parents=True)
    up = "alter table users add column note text"
    (folder / "20260101000000_note.sql").write_text(
        f"-- migrate:up\n{up};\n-- migrate:down\nalter table users drop column note;\n"
    )
    result = await shop.rehearse()
    assert result["hazards"] == []
    assert (result["verdict"], result["reversible"]["up_down_equal"]) == ("safe", True)
    assert result["statements"][0]["line"] == 2
    assert result["version_after"].endswith("@20260101000000")
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.migrations import planning
    from mcp_backend.policy import EngineSettings
    from mcp_backend.settings import workspace

    engine = Postgresql(EngineSettings("main", "postgresql", shop.url, "development"), workspace(shop.root))
    prepared = await planning.prepare(engine, shop.root, None, "up")
    await engine.close()
    action = planning.action(prepared, engine)
    assert isinstance(action, ExecuteSql)
    assert result["digest"] == digest("run_migration", (action,))
    assert result["at_version"] == prepared.version


async def test_what_leaves_a_half_done_migration_after_a_crash_is_told(shop: Case) -> None:
    result = await shop.rehearse(sql="alter table users add column k int; create index concurrently i on users (k)")
    assert (result["verdict"], ids(result) - {"no_down"}) == ("warn", {"not_atomic", "crash_resume_not_idempotent"})
    robust = await shop.rehearse(
        sql="alter table users add column if not exists k int; create index concurrently if not exists i on users (k)"
    )
    assert robust["verdict"] == "safe"
    twice = await shop.rehearse(
        sql="update users set age = age + 1; create index concurrently if not exists i on users (age)"
    )
    assert any("changes rows a second time" in hazard["reason"] for hazard in twice["hazards"])


async def test_a_trigger_that_breaks_every_insert_is_seen(shop: Case) -> None:
    result = await shop.rehearse(
        sql="create function log() returns trigger language plpgsql as $$ begin insert into nowhere values (new.id); "
        "return new; end $$; create trigger t after insert on users for each row execute function log()"
    )
    assert result["verdict"] == "reject"
    assert "breaks_writes" in ids(result)


@pytest.mark.parametrize("era", ERAS)
async def test_sql_that_does_not_parse_is_a_finding_and_wrong_arguments_are_errors(case: Case, era: Era) -> None:
    assert ids(await case.rehearse(era=era, sql="alter tabel users")) == {"syntax_error"}
    for arguments, field in (
        ({"sql": "select 1", "version": "1"}, "sql: "),
        ({"sql": "select 1", "direction": "down"}, "sql: "),
        ({"down_sql": "select 1"}, "down_sql: "),
        ({"sql": "-- nothing"}, "sql: "),
        ({"sql": "select 1", "down_sql": "selekt"}, "down_sql: "),
        ({"engine": "other", "sql": "select 1"}, "engine: "),
    ):
        error = await case.rehearse(era=era, **arguments)
        assert error["code"] in ("invalid_argument", "not_found"), arguments
        assert error["reason"].startswith(field), arguments


async def test_a_target_that_does_not_answer_is_unavailable(case: Case) -> None:
    case.policy(url="postgresql://nobody@127.0.0.1:1/none")
    error = await case.rehearse(sql="select 1")
    assert (error["code"], error["retry"]) == ("unavailable", "later")


async def test_of_a_large_table_a_sample_that_keeps_to_keys_is_copied_and_the_rest_is_asked_on_the_target(
    case: Case,
) -> None:
    case.owner(
        "create table people (id bigint primary key, pad text); create table visits (who bigint, pad text);"
        "insert into people select g, repeat('x', 200) from generate_series(1, 25000) g;"
        "insert into visits select g, repeat('y', 200) from generate_series(1, 25000) g"
    )
    case.sizes({})
    sql = "alter table visits add foreign key (who) references people; alter table visits alter column who set not null"
    good = await case.rehearse(sql=sql)
    assert not any("error" in statement for statement in good["statements"])
    assert 0 < good["shadow"]["rows_sampled"] < 30_000
    assert not ids(good) & {"fk_violation", "not_null_violation"}
    case.owner("insert into visits values (-1, 'orphan'), (null, 'nobody')")
    bad = await case.rehearse(sql=sql)
    assert (bad["verdict"], ids(bad) >= {"fk_violation", "fails_on_existing_data"}) == ("reject", True)
