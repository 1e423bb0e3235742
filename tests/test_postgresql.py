"""The PostgreSQL engine: connections that open late, recover by themselves, leak nothing and say what is wrong."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from mcp_backend.engines.pg import address
from mcp_backend.engines.pg.address import Address
from mcp_backend.engines.postgresql import MOST_CONNECTIONS, Postgresql
from mcp_backend.errors import InvalidArgument, NotFound, OutcomeUnknown, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace
from tests.asking import error, names_database, result
from tests.conftest import Connect
from tests.relay_fixtures import Relay

OURS = "from pg_stat_activity where application_name = 'mcp-backend' and datname = current_database()"


@asynccontextmanager
async def opened(url: str, tmp_path: Path) -> AsyncGenerator[Postgresql]:
    engine = Postgresql(EngineSettings("main", "postgresql", url), Workspace(tmp_path, tmp_path / "state", False))
    try:
        yield engine
    finally:
        await engine.close()


def at(url: str, port: int, **replaced: str) -> str:
    """The URL with another port, and user, password or host replaced."""
    parts = urlsplit(url)
    user, password = replaced.get("user", parts.username), replaced.get("password", parts.password)
    host = replaced.get("host", parts.hostname)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}:{port}"))


@pytest.fixture
def admin(postgres_admin_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_admin_url, autocommit=True) as connection:
        yield connection


async def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    async with opened("postgresql://nobody:secret@127.0.0.1:1/x", tmp_path) as engine:
        assert engine.settings.name == "main"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong-secret"}, "password authentication failed"),
        ({"user": "nobody"}, "password authentication failed"),
        ({"host": "no-such-host.invalid"}, "no-such-host.invalid"),
    ],
)
async def test_what_keeps_us_out_is_said_without_the_secret(
    changes: dict[str, str], said: str, tmp_path: Path, postgres_url: str
) -> None:
    port = urlsplit(postgres_url).port or 5432
    async with opened(at(postgres_url, port, **changes), tmp_path) as engine:
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable) as caught:
                async with engine.session(True, 5):
                    pytest.fail("there is no session")
    assert said in caught.value.reason
    assert "engine main (postgresql) is not usable since 2" in caught.value.reason
    assert str(port) in caught.value.reason
    for secret in ("wrong-secret", str(urlsplit(postgres_url).password)):
        assert secret not in str(caught.value.as_json())


async def test_a_missing_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_URL", raising=False)
    async with opened("env:NO_SUCH_URL", tmp_path) as engine:
        with pytest.raises(InvalidArgument, match=r"engines\.main\.url.*NO_SUCH_URL"):
            async with engine.session(True, 5):
                pass


async def test_the_time_of_the_first_failure_is_kept_until_the_server_answers(
    relay: Relay, tmp_path: Path, postgres_url: str
) -> None:
    async with opened(at(postgres_url, relay.port), tmp_path) as engine:
        assert (await engine.look_up([]), await engine.role()) is not None
        await relay.shut()
        failures: list[Unavailable] = []
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await engine.look_up([])
            failures.append(caught.value)
        assert failures[0].details == failures[1].details
        assert failures[0].details is not None
        assert failures[0].details["engine"] == "main"
        await relay.open()
        assert await engine.look_up([]) == []
        await relay.shut()
        with pytest.raises(Unavailable):
            await engine.look_up([])
        await relay.open()


async def test_with_the_database_down_a_tool_says_so_and_recovers(
    repository: Path, connect: Connect, relay: Relay, postgres_url: str
) -> None:
    names_database(repository, at(postgres_url, relay.port))
    await relay.shut()
    async with connect(repository) as client:
        assert len((await client.list_tools()).tools) > 3
        for tool, arguments in (("db_query", {"sql": "select count(*) from pg_class"}), ("db_schema", {})):
            down = await error(client, tool, **arguments)
            assert (down["code"], down["retry"]) == ("unavailable", "later")
            assert down["details"]["engine"] == "main"
            assert down["details"]["since"]
        await relay.open()
        assert (await result(client, "db_query", sql="select 1"))["rows"] == [[1]]


async def test_the_first_call_after_all_connections_were_killed_succeeds(
    repository: Path, connect: Connect, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        await asyncio.gather(*(result(client, "db_query", sql=f"select {n}") for n in range(6)))
        for tool, arguments in (("db_query", {"sql": "select 1"}), ("db_schema", {})):
            admin.execute(f"select pg_terminate_backend(pid, 2000) {OURS}".encode())
            await result(client, tool, **arguments)


async def test_many_calls_at_once_share_few_connections_and_leak_none(
    repository: Path, connect: Connect, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        sql = "select count(*) from generate_series(1, 20000)"
        answers = await asyncio.gather(*(result(client, "db_query", sql=sql) for _ in range(40)))
        assert all(answer["rows"] == [[20000]] for answer in answers)
        (count,) = admin.execute(f"select count(*) {OURS}".encode()).fetchone() or (0,)
        assert 0 < count <= MOST_CONNECTIONS
    await gone(admin)


async def gone(admin: psycopg.Connection[Any]) -> None:
    async with asyncio.timeout(60):
        while admin.execute(f"select count(*) {OURS}".encode()).fetchone() != (0,):
            await asyncio.sleep(0.02)


async def test_a_session_is_clean_for_the_next_who_uses_it(tmp_path: Path, postgres_url: str) -> None:
    async with opened(postgres_url, tmp_path) as engine:
        async with engine.session(False, 5) as conn:
            pid = conn.info.backend_pid
            await conn.execute(
                b"set work_mem = '9MB'; create temp table t (); listen x; prepare p as select 1; "
                b"select pg_advisory_lock(1), set_config('search_path', 'pg_catalog', false)"
            )
        async with engine.session(False, 5) as conn:
            assert conn.info.backend_pid == pid
            cursor = await conn.execute(
                b"select current_setting('work_mem') = '9MB' or to_regclass('t') is not null "
                b"or exists (select from pg_listening_channels()) or exists (select from pg_prepared_statements) "
                b"or exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) "
                b"or current_setting('search_path') = 'pg_catalog'"
            )
            assert await cursor.fetchone() == (False,)


async def test_a_read_only_session_cannot_write_and_sees_one_moment(
    tmp_path: Path, postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(b"create table t (a int)")
    async with opened(postgres_url, tmp_path) as engine:
        async with engine.session(True, 5) as conn:
            before = await (await conn.execute(b"select count(*) from pg_class")).fetchone()
            admin.execute(b"create table u (a int)")
            assert await (await conn.execute(b"select count(*) from pg_class")).fetchone() == before
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with engine.session(True, 5) as conn:
                await conn.execute(b"create table v (a int)")


async def test_a_connection_that_is_lost_while_writing_leaves_the_outcome_unknown(
    tmp_path: Path, postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    async with opened(postgres_url, tmp_path) as engine:

        async def cut_off(block: AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]) -> None:
            async with block as conn:
                admin.execute("select pg_terminate_backend(%s, 2000)", [conn.info.backend_pid])
                await conn.execute(b"select 1")

        with pytest.raises(OutcomeUnknown, match="may or may not"):
            await cut_off(engine.dedicated())
        with pytest.raises(Unavailable, match="lost"):
            await cut_off(engine.session(True, 5))


async def test_an_error_in_a_session_costs_no_connection(tmp_path: Path, postgres_url: str) -> None:
    async with opened(postgres_url, tmp_path) as engine:
        async with engine.session(True, 5) as conn:
            pid = conn.info.backend_pid
        with pytest.raises(NotFound):
            async with engine.session(True, 5):
                raise NotFound("nothing here")
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with engine.session(True, 5) as conn:
                await conn.execute(b"select 1/0")
        async with engine.session(True, 5) as conn:
            assert conn.info.backend_pid == pid


@pytest.mark.parametrize("kind", ["session", "dedicated"])
async def test_a_cancelled_block_is_cancelled_in_the_server(
    kind: str, tmp_path: Path, postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    running = asyncio.Event()

    async def work(engine: Postgresql) -> None:
        async with engine.session(True, 60) if kind == "session" else engine.dedicated() as conn:
            running.set()
            await conn.execute(b"select pg_sleep(60)")

    async with opened(postgres_url, tmp_path) as engine:
        task = asyncio.create_task(work(engine))
        await running.wait()
        async with asyncio.timeout(60):
            while not admin.execute(f"select 1 {OURS} and state = 'active'".encode()).fetchone():
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while admin.execute(f"select 1 {OURS} and state = 'active'".encode()).fetchone():
                await asyncio.sleep(0.02)


async def test_the_query_of_a_killed_process_ends(
    tmp_path: Path, postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from mcp_backend.engines.pg.reading import Question, read
        from mcp_backend.engines.postgresql import Postgresql
        from mcp_backend.policy import EngineSettings
        from mcp_backend.settings import Workspace
        async def main():
            place = Path({str(tmp_path)!r})
            engine = Postgresql(EngineSettings("main", "postgresql", {postgres_url!r}), Workspace(place, place, False))
            sql = "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t"
            await engine.converse(lambda opened: read(opened, Question(sql, (), 1, 60)), 60)
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", program]) as child:
        async with asyncio.timeout(60):
            while not admin.execute(f"select 1 {OURS} and query like 'fetch%'".encode()).fetchone():
                await asyncio.sleep(0.05)
            child.kill()
    await gone(admin)


def parsed(url: str) -> Address:
    return address.parse(url, where="engines.main.url")


@pytest.mark.parametrize(
    ("url", "place", "has"),
    [
        ("postgresql://a:b@db.example/shop", "db.example:5432", {"dbname": "shop", "user": "a"}),
        ("postgresql+asyncpg://a:b@[::1]:6543/shop?ssl=require", "[::1]:6543", {"sslmode": "require"}),
        ("postgres://a@/shop?host=/run/postgresql&pgbouncer=true&schema=public", "/run/postgresql:5432", {"user": "a"}),
        ("host=one,two port=1,2 dbname=shop target_session_attrs=read-write", "one:1, two:2", {"dbname": "shop"}),
        ("postgresql://a:b@h/shop?sslmode=verify-full&sslrootcert=/ca.pem", "h:5432", {"sslrootcert": "/ca.pem"}),
        ("postgresql://a:b@h/shop?connect_timeout=9", "h:5432", {"connect_timeout": "9"}),
    ],
)
def test_the_forms_in_which_repositories_write_an_address(url: str, place: str, has: dict[str, str]) -> None:
    found = parsed(url)
    assert found.place == place
    assert has.items() <= dict(found.parameters).items()
    assert found.parameters["application_name"] == "mcp-backend"


@pytest.mark.parametrize("url", ["mysql://a:hunter2@h/x", "postgresql://a:hunter2@h:port/x", "a hunter2 b", "http://x"])
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"engines\.main\.url: expected a PostgreSQL URL") as caught:
        parsed(url)
    assert "hunter2" not in str(caught.value)
