"""Local engines: started on the first lease, shared, kept, and gone with the last one, however that ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from mcp_backend.engines import embedded
from mcp_backend.errors import Unavailable
from mcp_backend.settings import Workspace
from tests.lease_fixtures import KINDS, TESTS, Hold, has_ended, keeper_of, kept, publish


async def test_each_test_has_an_empty_database_owned_by_an_ordinary_role(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        await connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY)")
        found = await connection.execute(
            "SELECT rolsuper, rolcreatedb, (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') "
            "FROM pg_roles WHERE rolname = current_user"
        )
        assert await found.fetchone() == (False, False, 1)


async def test_the_owner_may_create_the_extensions_that_postgresql_trusts(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        await connection.execute("CREATE EXTENSION pg_trgm")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("CREATE EXTENSION postgres_fdw")


def test_nobody_gets_in_without_the_password(postgres_url: str) -> None:
    user, _, address = postgres_url.rpartition("@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{user}x@{address}")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"postgresql://postgres@{address}")


async def test_a_second_process_shares_the_engine_of_the_first(local_place: Workspace, hold: Hold) -> None:
    lease = await embedded.lease("nats", local_place)
    other = hold("nats", local_place.state)
    assert other.said["url"] == lease.url
    status = await embedded.status("nats", local_place)
    assert status is not None
    assert (status["leases"], status["pid"]) == (2, lease.pid)
    lease.close()
    other.leave()


def test_eight_first_leases_at_once_start_one_engine(local_place: Workspace, hold: Hold) -> None:
    # What a first start leaves that was killed half-way.
    rest = local_place.state / "engines" / "postgresql" / "new"
    rest.mkdir(parents=True)
    (rest / "PG_VERSION").write_text("18\n")
    holders = [hold("postgresql", local_place.state) for _ in range(8)]
    assert len({(said["url"], said["engine"]) for said in [holder.said for holder in holders]}) == 1
    assert not rest.exists()


async def test_data_stay_when_the_engine_stops_and_starts(local_cluster: Workspace) -> None:
    for row in ("a second row", "a third row"):
        lease = await embedded.lease("postgresql", local_cluster)
        with psycopg.connect(lease.url) as connection:
            connection.execute("INSERT INTO kept VALUES (%s)", [row])
        lease.close()
        await embedded.stop("postgresql", local_cluster)
        assert has_ended(lease.pid, 0)
    lease = await embedded.lease("postgresql", local_cluster)
    assert len(kept(lease.url)) == 3
    lease.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, None])
def test_an_engine_ends_soon_after_its_last_holder(
    local_cluster: Workspace, hold: Hold, number: signal.Signals | None
) -> None:
    holders = [hold(kind, local_cluster.state) for kind in KINDS]
    processes = [holder.said["engine"] for holder in holders] + [keeper_of(local_cluster, kind) for kind in KINDS]
    for holder in holders:
        if number:
            holder.process.send_signal(number)
        else:
            holder.leave()
    assert all(has_ended(process) for process in processes)


async def test_a_killed_keeper_takes_the_engine_along_and_no_committed_row(local_cluster: Workspace) -> None:
    first = await embedded.lease("postgresql", local_cluster)
    with psycopg.connect(first.url) as connection:
        connection.execute("INSERT INTO kept VALUES ('another committed row')")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES ('a row that was not committed')")
        os.kill(keeper_of(local_cluster, "postgresql"), signal.SIGKILL)
        assert has_ended(first.pid)
        with suppress(psycopg.OperationalError):
            connection.rollback()
    assert first.lost
    first.close()
    second = await embedded.lease("postgresql", local_cluster)
    assert not second.lost
    assert second.url == first.url, "the engine keeps its port"
    assert kept(second.url) == [("a committed row",), ("another committed row",)]
    second.close()


async def test_a_killed_keeper_takes_nats_along_and_no_stored_message(local_place: Workspace) -> None:
    first = await embedded.lease("nats", local_place)
    await publish(first.url, "first")
    os.kill(keeper_of(local_place, "nats"), signal.SIGKILL)
    assert has_ended(first.pid)
    first.close()
    second = await embedded.lease("nats", local_place)
    assert await publish(second.url, "second") == 2
    second.close()


async def test_an_engine_that_is_killed_comes_back_for_those_who_hold_a_lease(local_cluster: Workspace) -> None:
    lease = await embedded.lease("postgresql", local_cluster)
    # An engine that dies within its first second is not tried again: it would die for ever.
    with psycopg.connect(lease.url) as connection:
        connection.execute("SELECT pg_sleep(1.1)")
    os.kill(lease.pid, signal.SIGKILL)
    assert has_ended(lease.pid)
    again = await embedded.lease("postgresql", local_cluster)
    assert again.pid != lease.pid
    assert again.url == lease.url
    assert not lease.lost
    assert kept(lease.url) == [("a committed row",)]
    again.close()
    lease.close()


def test_a_local_clickhouse_that_crashed_inside_ends_so_that_its_keeper_starts_another() -> None:
    program = """
from mcp_backend.keeper.chdb.process import DEAD, told
def query():
    raise RuntimeError(f"Code: 236. DB::Exception: {DEAD}. (ABORTED)")
told(query)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "has crashed" in ended.stdout


async def test_an_orphan_that_does_not_end_is_killed_before_the_next_engine_starts(local_place: Workspace) -> None:
    first = await embedded.lease("nats", local_place)
    os.kill(first.pid, signal.SIGSTOP)
    os.kill(keeper_of(local_place, "nats"), signal.SIGKILL)
    first.close()
    second = await embedded.lease("nats", local_place)
    assert has_ended(first.pid, 0)
    assert second.pid != first.pid
    second.close()


async def test_a_process_id_that_was_given_to_another_program_stops_nothing(local_cluster: Workspace) -> None:
    data = local_cluster.state / "engines" / "postgresql" / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1700000000\n5432\n\n127.0.0.1\n")
    lease = await embedded.lease("postgresql", local_cluster)
    assert kept(lease.url) == [("a committed row",)]
    lease.close()


async def test_a_taken_port_is_replaced(local_place: Workspace) -> None:
    (local_place.state / "engines" / "nats").mkdir(parents=True, mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (local_place.state / "engines" / "nats" / "port").write_text(str(number))
        lease = await embedded.lease("nats", local_place)
    assert not lease.url.endswith(f":{number}")
    lease.close()


async def test_files_with_passwords_are_the_users_alone(local_cluster: Workspace) -> None:
    for kind in KINDS:
        lease = await embedded.lease(kind, local_cluster)
        folder = local_cluster.state / "engines" / kind
        open_to_others = [
            path for path in (folder, *folder.glob("*")) if path.name != "keeper.sock" and path.stat().st_mode & 0o077
        ]
        assert not open_to_others
        password = lease.url.split(":")[2].split("@")[0]
        assert password not in (folder / "log").read_text()
        assert password not in repr(lease)
        command = Path(f"/proc/{lease.pid}/cmdline").read_text() + Path(f"/proc/{lease.pid}/environ").read_text()
        assert password not in command
        lease.close()


async def test_the_engine_gets_no_secret_of_the_server(local_place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCTION_DATABASE_URL", "postgresql://who:secret@where/")
    lease = await embedded.lease("nats", local_place)
    for process in (lease.pid, keeper_of(local_place, "nats")):
        assert "PRODUCTION" not in Path(f"/proc/{process}/environ").read_text()
    lease.close()


async def test_a_wrong_setting_for_the_binaries_names_the_variable(
    local_place: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MCP_BACKEND_POSTGRESQL_BIN", str(tmp_path))
    with pytest.raises(Unavailable, match=r"MCP_BACKEND_POSTGRESQL_BIN is .* a folder with postgres and initdb"):
        await embedded.lease("postgresql", local_place)


def test_a_missing_program_says_what_to_install(local_place: Workspace) -> None:
    # Without site-packages, and without the virtual environment that holds the wheel's program.
    code = "import sys; sys.path[:0] = sys.argv[3:]; from tests.lease_holder import main; main(*sys.argv[1:3])"
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-I", "-S", "-c", code, "nats", str(local_place.state), str(TESTS.parent)],
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'mcp-backend[embedded]'" in json.loads(done.stdout)["error"]


async def test_a_state_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"cannot be made.*MCP_BACKEND_STATE"):
        await embedded.lease("nats", Workspace(tmp_path, tmp_path / "file" / "state", False))


async def test_an_engine_that_does_not_start_shows_its_own_last_words(local_cluster: Workspace) -> None:
    with (local_cluster.state / "engines" / "postgresql" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match='unrecognized configuration parameter "no_such_setting"'):
        await embedded.lease("postgresql", local_cluster)


async def test_a_cluster_of_another_major_version_is_refused_with_a_way_out(local_cluster: Workspace) -> None:
    (local_cluster.state / "engines" / "postgresql" / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Unavailable, match=r"made by PostgreSQL 13.*Set MCP_BACKEND_POSTGRESQL_BIN"):
        await embedded.lease("postgresql", local_cluster)
