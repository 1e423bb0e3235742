"""A migration outside a transaction that is interrupted goes on where it stopped, or says exactly how it can."""

import asyncio

import psycopg
import pytest

from mcp_backend.migrations import run
from tests.migration_fixtures import MIGRATING, WAITING, Project, call
from tests.test_run_migration_crash import GATE, held

NOTHING_RUNS = f"select (count(*) = 0)::int {MIGRATING}"


@pytest.fixture
def stopped(project: Project) -> Project:
    """A gate to wait at, and a table that counts what ran."""
    project.write("1_gate", f"{GATE} create table runs(n int);", "drop table gate, runs;")
    return project


async def interrupted(project: Project, *, mode: str = "access exclusive") -> dict[str, object]:
    """The error of a call whose PostgreSQL process ended while it waited for the gate."""
    async with project.server() as client:
        await call(client, version="1")
        async with held(project, mode):
            calling = asyncio.create_task(call(client))
            await project.until(f"select count(*) {MIGRATING} and wait_event_type = 'Lock' and state = 'active'")
            project.admin.execute(f"select pg_terminate_backend(pid) {MIGRATING}".encode())
            await project.until(NOTHING_RUNS)
            return await asyncio.wait_for(calling, 60)


@pytest.mark.parametrize("at", [0, 1, 2, 3])
async def test_it_goes_on_after_the_last_statement_that_took_effect(stopped: Project, at: int) -> None:
    lines = [f"insert into runs values ({n});" for n in range(3)]
    lines.insert(at, "alter table gate add column n int;")
    stopped.write("2_m", "\n".join(lines), option=" transaction:false")
    error = await interrupted(stopped)
    assert error["code"] == "unavailable"
    assert stopped.applied == ["1"]
    assert stopped.ask("select n from runs order by n") == list(range(at))
    if at:
        assert stopped.half_way == {"version": "2", "direction": "up", "done": at, "begun": False}
        assert f"{at} of its statements took effect" in str(error["reason"])
    result = await stopped.run()
    assert [m["version"] for m in result["applied"]] == ["2"]
    assert stopped.ask("select n from runs order by n") == [0, 1, 2]
    assert (stopped.applied, stopped.half_way) == (["1", "2"], None)


async def test_an_index_that_was_being_built_is_dropped_and_built_again(stopped: Project) -> None:
    stopped.write("2_m", "insert into runs values (0);\ncreate index concurrently i on gate(id);\n"
                         "insert into runs values (1);", option=" transaction:false")  # fmt: skip
    await interrupted(stopped, mode="row exclusive")
    assert stopped.half_way == {"version": "2", "direction": "up", "done": 1, "begun": True}
    assert stopped.ask("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [False]
    assert [m["version"] for m in (await stopped.run())["applied"]] == ["2"]
    assert stopped.ask("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [True]
    assert stopped.ask("select n from runs order by n") == [0, 1]


async def test_what_nobody_can_know_is_asked_with_the_statement_to_run(stopped: Project) -> None:
    block = "do $$ begin lock table gate; insert into runs values (1); end $$;"
    stopped.write("2_m", f"insert into runs values (0);\n{block}", option=" transaction:false")
    await interrupted(stopped)
    refused = await stopped.run()
    assert refused["code"] == "failed_precondition"
    assert "db/migrations/2_m.sql:3: it was begun and PostgreSQL does not keep whether it ended" in refused["reason"]
    _, _, way = refused["reason"].partition("if not: ")
    statement, _, _ = way.partition("; then repeat")
    with psycopg.connect(stopped.url, autocommit=True) as person:
        person.execute(statement.encode())
    assert [m["version"] for m in (await stopped.run())["applied"]] == ["2"]
    assert stopped.ask("select n from runs order by n") == [0, 1]


async def test_another_migration_waits_until_the_one_half_way_has_ended(stopped: Project) -> None:
    stopped.write("2_m", "insert into runs values (0);\nalter table gate add n int;", option=" transaction:false")
    await interrupted(stopped)
    async with stopped.server() as client:
        status = (await client.call_tool("db_schema", {})).structured_content
        assert status is not None
        assert status["migrations"]["half_way"] == {"version": "2", "direction": "up", "statements_done": 1}
        refused = await call(client, direction="down")
        assert "2 (up) is half-way: 1 of its statements took effect" in refused["reason"]


async def test_a_long_transaction_is_named_before_anything_waits_behind_it(
    stopped: Project, shadow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped.shadow = shadow_url
    stopped.policy(unrehearsed_because="")
    stopped.write("2_m", "alter table gate add column n int;", "alter table gate drop column n;")
    async with stopped.server() as client:
        await call(client, version="1")
        monkeypatch.setattr(run, "LONG_SECONDS", 0.0)
        async with held(stopped, "access share") as reader:
            error = await call(client)
            process = reader.info.backend_pid
            assert stopped.ask(WAITING) == [0]
        assert (error["code"], error["retry"]) == ("deadline_exceeded", "later")
        assert f"a long transaction is in the way: process {process} (reader), idle in transaction" in error["reason"]
        assert "holds AccessShareLock on public.gate" in error["reason"]
        assert "4711" not in str(error)
        assert [m["version"] for m in (await call(client))["applied"]] == ["2"]
