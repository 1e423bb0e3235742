"""The tap between a program and PostgreSQL: what it hears, what it lets through, what it never tells."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from mcp_backend.engines.embedded import Lease
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.wiretap import tap
from mcp_backend.migrations.wiretap.judges import Enforcer, Judge, Recorder
from mcp_backend.migrations.wiretap.same import canonical, ordered, same, savepoint
from mcp_backend.migrations.wiretap.sent import Kind, Sent, Sorting
from mcp_backend.migrations.wiretap.tap import USER, Tap
from mcp_backend.migrations.wiretap.upstream import Place
from mcp_backend.migrations.wiretap.values import inlined
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace


class Bench:
    """A database, and programs that reach it through taps."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.engine = Postgresql(EngineSettings("main", "postgresql", url), Workspace(root, root, repository=False))
        found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        self.place = Place(found["host"], int(found["port"]), found["user"], found["dbname"], found["password"])

    @asynccontextmanager
    async def tap(self, judge: Judge) -> AsyncGenerator[Tap]:
        async with tap.opened(self.place, judge, Sorting(self.engine.look_up)) as opened:
            yield opened

    @asynccontextmanager
    async def program(self, through: Tap) -> AsyncGenerator[AsyncConnection]:
        conn = await AsyncConnection.connect(
            f"host=127.0.0.1 port={through.port} user={USER} password={through.password} dbname=x sslmode=disable"
        )
        try:
            yield conn
        finally:
            with suppress(psycopg.Error):
                await conn.close()

    async def rehearsed(self, *statements: str) -> Recorder:
        """What a program was heard to do, which is then undone."""
        recorder = Recorder()
        async with self.tap(recorder) as opened, self.program(opened) as conn:
            for statement in statements:
                await conn.execute(statement.encode())
            await conn.commit()
        return recorder

    async def ask(self, sql: str) -> object:
        async with self.engine.session(True, 10) as conn:
            row = await (await conn.execute(sql.encode())).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
async def bench(postgres_lease: Lease, tmp_path: Path) -> AsyncGenerator[Bench]:
    made = Bench(postgres_lease.url, tmp_path)
    yield made
    async with await AsyncConnection.connect(postgres_lease.url, autocommit=True) as conn:
        await conn.execute("drop table if exists tapped")
    await made.engine.close()


MAKE = "create table tapped (id int generated always as identity, note text)"


async def test_effects_are_heard_with_their_values_and_transactions_and_reads_are_not(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.tap(recorder) as opened, bench.program(opened) as conn:
        await conn.execute(MAKE)
        await conn.execute("insert into tapped (note) values (%s), (%s)", ("it's", None), prepare=True)
        row = await (await conn.execute("select count(*), %s::int from tapped", (5,))).fetchone()
        await conn.commit()
        await conn.execute("select 1")
        await conn.commit()
    assert row == (2, 5)
    assert [(one.kind, one.sql, one.transaction) for one in recorder.sent] == [
        ("effect", MAKE, 1),
        ("effect", "insert into tapped (note) values ('it''s'), (NULL)", 1),
        ("commit", "COMMIT", 1),
    ]
    assert await bench.ask("select count(*) from tapped where note = 'it''s' or note is null") == 2


async def test_only_what_was_rehearsed_passes_and_the_first_other_statement_rolls_all_back(bench: Bench) -> None:
    recorder = await bench.rehearsed(MAKE, "insert into tapped (note) values ('rehearsed')")
    async with await AsyncConnection.connect(bench.url, autocommit=True) as conn:
        await conn.execute("drop table tapped")
    enforcer = Enforcer(recorder.sent, recorder.given)
    async with bench.tap(enforcer) as opened, bench.program(opened) as conn:
        await conn.execute(MAKE)
        assert not enforcer.whole
        await conn.execute("select count(*) from tapped")
        with pytest.raises(psycopg.OperationalError, match="statement 2 is not the one that was rehearsed"):
            await conn.execute("insert into tapped (note) values ('another')")
    async with bench.tap(enforcer) as opened, bench.program(opened) as conn:
        with pytest.raises(psycopg.OperationalError, match="not the one that was rehearsed"):
            await conn.execute("insert into tapped (note) values ('rehearsed')")
    assert await bench.ask("select to_regclass('tapped') is null") is True
    again = Enforcer(recorder.sent, recorder.given)
    async with bench.tap(again) as opened, bench.program(opened) as conn:
        await conn.execute(MAKE)
        await conn.execute("insert into tapped (note) values ('rehearsed')")
        await conn.commit()
    assert again.whole
    assert await bench.ask("select note from tapped") == "rehearsed"


async def test_indexes_of_one_new_table_may_come_in_another_order_and_nothing_else_may(bench: Bench) -> None:
    by_note, by_id = "create index tapped_note on tapped (note)", "create unique index tapped_id on tapped (id)"
    comment = "comment on table tapped is 'x'"
    recorder = await bench.rehearsed(MAKE, by_id, by_note, comment)
    other = await bench.rehearsed("drop table tapped", MAKE, by_note, by_id, comment)
    assert [one.sql for one in ordered(recorder.sent)] == [one.sql for one in ordered(other.sent)[1:]]
    async with await AsyncConnection.connect(bench.url, autocommit=True) as conn:
        await conn.execute("drop table tapped")
    early = Enforcer(ordered(recorder.sent), recorder.given)
    async with bench.tap(early) as opened, bench.program(opened) as conn:
        await conn.execute(MAKE)
        with pytest.raises(psycopg.OperationalError, match="statement 2 is not the one that was rehearsed"):
            await conn.execute(comment.encode())
    enforcer = Enforcer(ordered(recorder.sent), recorder.given)
    async with bench.tap(enforcer) as opened, bench.program(opened) as conn:
        for statement in (MAKE, by_id, by_note, comment):
            await conn.execute(statement.encode())
        assert not enforcer.stopped
        with pytest.raises(psycopg.OperationalError, match="not the one that was rehearsed"):
            await conn.execute(by_id.encode())
    enforcer.stopped = ""
    enforcer.again()
    async with bench.tap(enforcer) as opened, bench.program(opened) as conn:
        for statement in (MAKE, by_note, by_id, comment):
            await conn.execute(statement.encode())
        await conn.commit()
    assert enforcer.whole
    assert await bench.ask("select count(*) from pg_index where indrelid = 'tapped'::regclass") == 2


@pytest.mark.parametrize(
    "sneaky",
    [
        "insert into tapped (note) values ('rehearsed'); drop table tapped",
        "select setval('tapped_id_seq', 9)",
        "with x as (delete from tapped returning 1) select * from x",
        "select 1 into other",
        "prepare p as delete from tapped",
        "do $$ begin delete from tapped; end $$",
        "commit",
        "set role postgres",
        "copy tapped from stdin",
        "select pg_terminate_backend(1)",
        "set standard_conforming_strings = off",
        "select set_config('client_encoding', 'GBK', false)",
    ],
)
async def test_nothing_with_an_effect_passes_for_a_read(bench: Bench, sneaky: str) -> None:
    recorder = await bench.rehearsed(MAKE, "insert into tapped (note) values ('rehearsed')")
    enforcer = Enforcer([one for one in recorder.sent if one.sql != MAKE], recorder.given)
    async with bench.tap(enforcer) as opened, bench.program(opened) as conn:
        await conn.execute("select count(*) from tapped")
        if sneaky == "commit":
            await conn.execute("insert into tapped (note) values ('rehearsed')")
            enforcer.expected = enforcer.expected[:1]
        with pytest.raises(psycopg.OperationalError, match="not the one that was rehearsed"):
            await conn.execute(sneaky.encode())
    assert await bench.ask("select count(*) from tapped") == 1


@pytest.mark.parametrize("setting", ["standard_conforming_strings = off", "client_encoding = 'LATIN1'"])
async def test_settings_that_change_how_statements_are_read_end_the_session(bench: Bench, setting: str) -> None:
    async with bench.tap(Recorder()) as opened, bench.program(opened) as conn:
        with pytest.raises(psycopg.Error, match="cannot be judged"):
            await conn.execute(f"set {setting}".encode())
        assert "cannot be judged" in opened.trouble
    assert await bench.ask("select to_regclass('tapped') is null") is True


async def test_whoever_does_not_know_the_password_of_the_run_is_not_let_in(bench: Bench) -> None:
    async with bench.tap(Recorder()) as opened:
        wrong = f"host=127.0.0.1 port={opened.port} user={bench.place.user} password={bench.place.password} dbname=x"
        with pytest.raises(psycopg.OperationalError, match="serves another program"):
            await AsyncConnection.connect(wrong)
        assert not opened.sessions
        assert bench.place.password not in repr(opened)
        assert opened.password not in repr(opened)


async def test_what_still_runs_when_the_tap_ends_is_cancelled_in_the_server(bench: Bench) -> None:
    async with bench.tap(Recorder()) as opened, bench.program(opened) as conn:
        pid = await (await conn.execute("select pg_backend_pid()")).fetchone()
        assert pid is not None
        sleeping = asyncio.create_task(conn.execute("select pg_sleep(600)"))
        async with asyncio.timeout(60):
            while not opened.busy:
                await asyncio.sleep(0.01)
        await opened.end()
        with pytest.raises(psycopg.OperationalError):
            await sleeping
        async with asyncio.timeout(60):
            while await bench.ask(f"select count(*) from pg_stat_activity where pid = {pid[0]}"):
                await asyncio.sleep(0.01)


async def test_a_statement_that_is_in_nobodys_way_waits_for_its_lock_and_no_other_does(bench: Bench) -> None:
    await bench.rehearsed(MAKE)
    place = replace(bench.place, settings={"lock_timeout": "50ms"})
    async with tap.opened(place, Recorder(), Sorting(bench.engine.look_up)) as opened, bench.program(opened) as conn:
        await conn.set_autocommit(True)
        async with await AsyncConnection.connect(bench.url) as other:
            await other.execute("insert into tapped (note) values ('x')")
            waiting = asyncio.create_task(conn.execute("create index concurrently tapped_note on tapped (note)"))
            async with asyncio.timeout(60):
                while not await bench.ask("select count(*) from pg_locks where not granted"):
                    await asyncio.sleep(0.01)
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            assert not done
            await other.commit()
        await waiting
        async with await AsyncConnection.connect(bench.url) as other:
            await other.execute("select * from tapped")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await conn.execute("alter table tapped add x int")
    assert await bench.ask("select indisvalid from pg_index where indexrelid = 'tapped_note'::regclass") is True


def test_a_run_that_rolled_back_begins_again_where_it_last_committed() -> None:
    def sent(sql: str, kind: Kind = "effect", transaction: int = 1) -> Sent:
        return Sent(sql, kind, inside=True, transaction=transaction)

    steps = [sent("create table a ()"), sent("commit", "commit"), sent("create table b ()"), sent("commit", "commit")]
    enforcer = Enforcer(steps, Recorder().given)
    assert [enforcer.judge(one) for one in steps[:3]] == ["", "", ""]
    assert enforcer.judge(Sent("rollback", "rollback", inside=True)) == ""
    enforcer.again()
    assert [enforcer.judge(one) for one in steps[2:]] == ["", ""]
    assert enforcer.whole
    assert "not the one that was rehearsed" in enforcer.judge(sent("create table c ()"))


def test_values_of_the_run_may_differ_and_no_others() -> None:
    now = datetime.now(UTC).isoformat(" ")
    insert = "insert into t (a, b) values ({}, {})"
    assert same(insert.format("'2026-01-01 10:00:00+00'", 1), insert.format("'2026-01-01 10:00:00+00'", 1), (), ())
    assert not same(insert.format("'2020-01-01 10:00:00+00'", 1), insert.format(f"'{now}'", 1), (), ())
    assert same(
        insert.format(f"'{now}'::timestamptz", 1), insert.format(f"'{datetime.now(UTC)}'::timestamptz", 1), (), ()
    )
    one, other = insert.format(f"'{uuid.uuid4()}'", 1), insert.format(f"'{uuid.uuid4()}'", 1)
    assert same(one, other, (), ())
    assert not same(insert.format(1, 1), insert.format(1, 2), ("1",), ())
    assert same(insert.format(1, 1), insert.format(1, 2), ("1",), ("2",))
    assert not same("drop table a", "drop table b", (), ())
    assert not same("select 1", "select 1, 1", (), ())
    assert savepoint('SAVEPOINT "s1_x1"') == savepoint('savepoint "s2_x9"') != savepoint('RELEASE SAVEPOINT "s1_x1"')
    assert canonical(f"insert into t values ('{now}')", "") == "insert into t values ('(the time of the run)')"
    fixed = str(uuid.uuid4())
    assert canonical(f"insert into t values ('{fixed}')", f"id = '{fixed}'") == f"insert into t values ('{fixed}')"


def test_values_in_binary_form_are_read_or_refused() -> None:
    number = (7).to_bytes(4, "big")
    assert inlined("select $1, '$2', $2", [number, b"a'b"], [23, 25], [1, 0]) == "select '7'::int4, '$2', 'a''b'::text"
    with pytest.raises(InvalidArgument, match="in binary form"):
        inlined("select $1", [b"\0\1"], [1700], [1])
