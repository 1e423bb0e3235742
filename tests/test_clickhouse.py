"""The local ClickHouse: shut in by the kernel, one statement a request, kept over every end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from mcp_backend.engines import binaries, embedded
from mcp_backend.errors import Unavailable
from mcp_backend.settings import Workspace
from tests.clickhouse_fixtures import Refused, Sql, speaking
from tests.engines_fixtures import wait_for
from tests.lease_fixtures import has_ended, keeper_of

ROOT = Path(__file__).parent.parent
AUTHENTICATION_FAILED, SYNTAX_ERROR, READONLY = 516, 62, 164


@pytest.fixture
def trap() -> Generator[socket.socket]:
    """A port that notices every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_files_and_the_network_are_out_of_reach_even_for_who_may_write(
    clickhouse: Sql, tmp_path: Path, trap: socket.socket
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("OUT OF REACH")
    port = trap.getsockname()[1]
    for statement in (
        f"SELECT * FROM file('{secret}', 'LineAsString')", f"SELECT 1 INTO OUTFILE '{tmp_path}/out'",
        f"INSERT INTO FUNCTION file('{tmp_path}/out', 'CSV', 'x UInt8') SELECT 1",
        "SELECT * FROM file('/proc/self/environ', 'LineAsString')",
        f"SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString')",
        f"SELECT * FROM remote('127.0.0.1:{port}', system.one)",
        f"SELECT hasColumnInTable('127.0.0.1:{port}', 'u', 'p', 'd', 't', 'c')",
    ):  # fmt: skip
        with pytest.raises(Refused, match="fenced in: no network"):
            clickhouse(statement)
    with pytest.raises(BlockingIOError):
        trap.accept()
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]


async def test_the_status_says_which_fence_holds(
    clickhouse_lease: embedded.Lease, session_workspace: Workspace
) -> None:
    status = await embedded.status("clickhouse", session_workspace)
    assert status is not None
    assert status["fence"].startswith("files: Landlock ")
    assert "network: seccomp" in status["fence"]


def test_without_landlock_it_does_not_start(tmp_path: Path, clickhouse_lease: embedded.Lease) -> None:
    (tmp_path / "secrets.json").write_text('{"backend": "x"}')
    (tmp_path / "data").mkdir()
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from mcp_backend.keeper.chdb import fence, server\n"
        "fence.CREATE_RULESET = 100_000  # a system call that no kernel has\n"
        f"server.main({str(binaries.find('clickhouse'))!r}, '0')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path / "data", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "does not start without its fence: Landlock version 2" in done.stderr
    assert list((tmp_path / "data").iterdir()) == []


async def test_what_is_not_installed_is_named(local_place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        """No package is installed."""

    monkeypatch.setattr(binaries, "find_spec", nothing)
    with pytest.raises(Unavailable, match=r"mcp-backend\[embedded-clickhouse\]"):
        await embedded.lease("clickhouse", local_place)


def test_each_request_has_settings_of_its_own(clickhouse: Sql) -> None:
    asks = "SELECT getSetting('max_threads'), getSetting('readonly')"
    before = clickhouse(asks)
    assert clickhouse(asks, max_threads=3, readonly=1) == "3\t1\n"
    assert clickhouse(asks) == before
    with pytest.raises(Refused) as refused:
        clickhouse("CREATE TABLE t (x Int8) ENGINE = Memory", readonly=1)
    assert refused.value.code == READONLY
    with pytest.raises(Refused, match="readonly"):
        clickhouse("SELECT 1 SETTINGS readonly = 0", readonly=1)


def test_a_request_is_one_statement(clickhouse: Sql) -> None:
    clickhouse("CREATE TABLE t (x Int32, s String) ENGINE = MergeTree ORDER BY x")
    for text in (
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "DROP TABLE t; SELECT 1",
        "SELECT $$;$$; DROP TABLE t",
    ):
        with pytest.raises(Refused) as refused:
            clickhouse(text)
        assert refused.value.code == SYNTAX_ERROR
    clickhouse("INSERT INTO t VALUES (1, 'a;b'), (2, concat('x', ';'));")
    clickhouse(b'INSERT INTO t (s, x) FORMAT CSV\n"q; DROP TABLE t;",5\nz,6\n')
    clickhouse("INSERT INTO t SETTINGS async_insert = 0 VALUES (7, 's')")
    clickhouse("INSERT INTO t SELECT 8, ';'")
    assert clickhouse("SELECT x, s FROM t ORDER BY x; -- ; the end") == (
        "1\ta;b\n2\tx;\n5\tq; DROP TABLE t;\n6\tz\n7\ts\n8\t;\n"
    )


def test_who_does_not_know_the_password_is_not_served(clickhouse_url: str) -> None:
    for url in (clickhouse_url.replace("//backend:", "//backend:x"), clickhouse_url.replace("//backend:", "//other:")):
        with pytest.raises(Refused) as refused:
            speaking(url)("SELECT 1")
        assert refused.value.code == AUTHENTICATION_FAILED


def test_a_statement_ends_when_its_client_goes_away(clickhouse_url: str, clickhouse: Sql) -> None:
    at = urlsplit(clickhouse_url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    endless = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
    headers = {"X-ClickHouse-User": at.username or "", "X-ClickHouse-Key": at.password or ""}
    connection.request("POST", f"/?{urlencode({'query_id': 'gone'})}", body=endless, headers=headers)
    count = (
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'"
    )
    while clickhouse(count) != "1\n":
        pass
    connection.close()
    while clickhouse(count) != "0\n":
        pass


def test_a_statement_is_killed_by_the_id_its_client_gave(clickhouse_url: str, clickhouse: Sql) -> None:
    at = urlsplit(clickhouse_url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    endless = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
    headers = {"X-ClickHouse-User": at.username or "", "X-ClickHouse-Key": at.password or ""}
    connection.request("POST", f"/?{urlencode({'query_id': 'mine'})}", body=endless, headers=headers)
    while not clickhouse("KILL QUERY WHERE query_id = 'mine' SYNC"):
        pass
    answer = connection.getresponse()
    assert answer.status == 499
    said = answer.read()
    connection.close()
    assert b"QUERY_WAS_CANCELLED" in said


def test_the_ordinary_driver_works_with_it(clickhouse_url: str) -> None:
    driver = pytest.importorskip("clickhouse_connect")
    at = urlsplit(clickhouse_url)
    client = driver.get_client(
        host=at.hostname, port=at.port, username=at.username, password=at.password, database=at.path.strip("/")
    )
    client.command("CREATE TABLE t (id UInt64, name String, tags Array(String)) ENGINE = MergeTree ORDER BY id")
    client.insert("t", [[1, "a", ["x"]], [2, "é", []]], column_names=["id", "name", "tags"])  # packed with lz4
    found = client.query("SELECT * FROM t WHERE id >= {least:UInt64} ORDER BY id", parameters={"least": 1})
    assert found.result_rows == [(1, "a", ["x"]), (2, "é", [])]
    assert client.command("SELECT count() FROM t") == 2
    with pytest.raises(driver.driver.exceptions.DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT * FROM nope")
    client.close()


async def test_data_are_kept_when_the_engine_and_when_its_keeper_are_killed(local_place: Workspace) -> None:
    if binaries_missing():
        pytest.skip("chdb is not installed")
    lease = await embedded.lease("clickhouse", local_place)
    sql = speaking(lease.url)
    sql("CREATE TABLE kept (x Int32) ENGINE = MergeTree ORDER BY x")
    sql("INSERT INTO kept VALUES (1)")
    sql("CREATE TABLE dropped (x Int32) ENGINE = MergeTree ORDER BY x")
    sql("INSERT INTO dropped SELECT number FROM numbers(100000)")
    sql("DROP TABLE dropped SYNC")
    data = local_place.state / "engines" / "clickhouse" / "data"
    assert list((data / "metadata_dropped").iterdir())
    keeper = keeper_of(local_place, "clickhouse")
    os.kill(keeper, signal.SIGKILL)
    assert has_ended(keeper)
    assert has_ended(lease.pid)
    lease.close()
    lease = await embedded.lease("clickhouse", local_place)
    sql = speaking(lease.url)
    assert sql("SELECT x FROM kept") == "1\n"
    assert list((data / "metadata_dropped").iterdir()) == []
    sql("INSERT INTO kept VALUES (2)")
    os.kill(lease.pid, signal.SIGKILL)
    assert has_ended(lease.pid)
    lease.close()
    lease = await embedded.lease("clickhouse", local_place)
    assert speaking(lease.url)("SELECT x FROM kept ORDER BY x") == "1\n2\n"
    lease.close()
    assert has_ended(lease.pid)


async def test_an_engine_in_which_nothing_was_made_starts_again(tmp_path: Path) -> None:
    if binaries_missing():
        pytest.skip("chdb is not installed")
    place = Workspace(tmp_path, tmp_path / "state", False)
    first, second = ("", "CREATE DATABASE empty"), ("SHOW TABLES FROM empty", "CREATE TABLE t (x Int8) ENGINE = Log")
    for before, after in (first, second):
        lease = await embedded.lease("clickhouse", place)
        sql = speaking(lease.url)
        for statement in filter(None, (before, after)):
            sql(statement)
        assert sql("SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic\n"
        lease.close()
        await embedded.stop("clickhouse", place, force=True)
    lease = await embedded.lease("clickhouse", place)
    assert speaking(lease.url)("SELECT count() FROM t") == "0\n"
    lease.close()
    await embedded.stop("clickhouse", place, force=True)


def binaries_missing() -> bool:
    try:
        binaries.find("clickhouse")
    except Unavailable:
        return True
    return False


def test_the_program_is_told_no_password_on_its_command_line(clickhouse_lease: embedded.Lease) -> None:
    password = urlsplit(clickhouse_lease.url).password or ""
    seen = (
        Path(f"/proc/{clickhouse_lease.pid}/cmdline").read_bytes()
        + Path(f"/proc/{clickhouse_lease.pid}/environ").read_bytes()
    )
    assert password.encode() not in seen
    assert json.dumps(password) not in repr(clickhouse_lease)


def test_a_second_lease_is_on_the_same_server(clickhouse_lease: embedded.Lease, session_workspace: Workspace) -> None:
    again = wait_for(embedded.lease("clickhouse", session_workspace))
    assert (again.pid, again.url) == (clickhouse_lease.pid, clickhouse_lease.url)
    again.close()
