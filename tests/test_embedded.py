"""Local engines: started on the first lease, shared, kept, and gone with the last one, however that ends."""

import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeAlias

import psycopg
import pytest

from mcp_backend.engines import binaries, embedded
from mcp_backend.errors import Unavailable
from mcp_backend.keeper.serve import GRACE_SECONDS
from mcp_backend.settings import Workspace, workspace
from tests.engines_fixtures import wait_for

TESTS = Path(__file__).parent
KINDS = ("postgresql", "nats")
NOBODY = 65534
AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root may do")


def has_ended(process: int, seconds: float = 15) -> bool:
    """Whether the process ends in time; waits on the kernel's word."""
    try:
        watch = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], seconds)[0])
    finally:
        os.close(watch)


def keeper_of(place: Workspace, kind: str) -> int:
    """The keeper's process id, as its lock file says."""
    return int((place.state / "engines" / kind / "lock").read_text())


def uid_of(process: int) -> int:
    """The user a process runs as."""
    return Path(f"/proc/{process}").stat().st_uid


class Holder:
    """Another process with a lease, or with the reason why it got none."""

    def __init__(self, kind: str, state: Path, *before: str, python: str = sys.executable, **options: Any) -> None:
        command = [*before, python, str(TESTS / "lease_holder.py"), kind, str(state)]
        environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), **options.pop("env", {})}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, **options
        )

    @property
    def said(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line and self.process.wait() == 77:
            pytest.skip("this machine cannot make a place without user namespaces")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def leave(self) -> None:
        self.process.communicate()


Hold: TypeAlias = Callable[..., Holder]


@pytest.fixture
def place(tmp_path: Path) -> Generator[Workspace]:
    """A workspace whose state lies in a path with all that needs quoting, longer than the name of a socket may be."""
    state = tmp_path / 'the "state" of a $HOME \\ é\'s %h {x}' / ("with a long name " * 6).strip()
    found = Workspace(tmp_path, state, False)
    yield found
    for kind in KINDS:
        wait_for(embedded.stop(kind, found, force=True))


@pytest.fixture
def hold() -> Generator[Hold]:
    """`hold(kind, state)` starts a process with a lease; those still there are killed at the end."""
    with ExitStack() as stack:

        def start(kind: str, state: Path, *before: str, **options: Any) -> Holder:
            holder = Holder(kind, state, *before, **options)
            stack.callback(end, holder.process)
            return holder

        def end(process: "subprocess.Popen[str]") -> None:
            process.kill()
            process.communicate()

        yield start


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped cluster in which the table `kept` holds one committed row."""
    root = tmp_path_factory.mktemp("made")
    origin = Workspace(root, root, False)
    lease = wait_for(embedded.lease("postgresql", origin))
    with psycopg.connect(lease.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'a committed row' AS what")
    lease.close()
    wait_for(embedded.stop("postgresql", origin, force=True))
    return root / "engines"


def copy(made: Path, place: Workspace) -> None:
    place.state.mkdir(parents=True, mode=0o700)
    subprocess.run(["cp", "-a", "--reflink=auto", made, place.state / "engines"], check=True)


@pytest.fixture
def cluster(place: Workspace, made: Path) -> Workspace:
    """A workspace with a stopped cluster of its own, a copy of `made`."""
    copy(made, place)
    return place


def kept(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT what FROM kept").fetchall()


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


async def test_a_second_process_shares_the_engine_of_the_first(place: Workspace, hold: Hold) -> None:
    lease = await embedded.lease("nats", place)
    other = hold("nats", place.state)
    assert other.said["url"] == lease.url
    status = await embedded.status("nats", place)
    assert status is not None
    assert (status["leases"], status["pid"]) == (2, lease.pid)
    lease.close()
    other.leave()


def test_eight_first_leases_at_once_start_one_engine(place: Workspace, hold: Hold) -> None:
    # What a first start leaves that was killed half-way.
    rest = place.state / "engines" / "postgresql" / "new"
    rest.mkdir(parents=True)
    (rest / "PG_VERSION").write_text("18\n")
    holders = [hold("postgresql", place.state) for _ in range(8)]
    assert len({(said["url"], said["engine"]) for said in [holder.said for holder in holders]}) == 1
    assert not rest.exists()


async def test_data_stay_when_the_engine_stops_and_starts(cluster: Workspace) -> None:
    for row in ("a second row", "a third row"):
        lease = await embedded.lease("postgresql", cluster)
        with psycopg.connect(lease.url) as connection:
            connection.execute("INSERT INTO kept VALUES (%s)", [row])
        lease.close()
        await embedded.stop("postgresql", cluster)
        assert has_ended(lease.pid, 0)
    lease = await embedded.lease("postgresql", cluster)
    assert len(kept(lease.url)) == 3
    lease.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, None])
def test_an_engine_ends_soon_after_its_last_holder(
    cluster: Workspace, hold: Hold, number: signal.Signals | None
) -> None:
    holders = [hold(kind, cluster.state) for kind in KINDS]
    processes = [holder.said["engine"] for holder in holders] + [keeper_of(cluster, kind) for kind in KINDS]
    for holder in holders:
        if number:
            holder.process.send_signal(number)
        else:
            holder.leave()
    assert all(has_ended(process) for process in processes)


async def test_a_killed_keeper_takes_the_engine_along_and_no_committed_row(cluster: Workspace) -> None:
    first = await embedded.lease("postgresql", cluster)
    with psycopg.connect(first.url) as connection:
        connection.execute("INSERT INTO kept VALUES ('another committed row')")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES ('a row that was not committed')")
        os.kill(keeper_of(cluster, "postgresql"), signal.SIGKILL)
        assert has_ended(first.pid)
        with suppress(psycopg.OperationalError):
            connection.rollback()
    assert first.lost
    first.close()
    second = await embedded.lease("postgresql", cluster)
    assert not second.lost
    assert second.url == first.url, "the engine keeps its port"
    assert kept(second.url) == [("a committed row",), ("another committed row",)]
    second.close()


async def test_a_killed_keeper_takes_nats_along_and_no_stored_message(place: Workspace) -> None:
    first = await embedded.lease("nats", place)
    await publish(first.url, "first")
    os.kill(keeper_of(place, "nats"), signal.SIGKILL)
    assert has_ended(first.pid)
    first.close()
    second = await embedded.lease("nats", place)
    assert await publish(second.url, "second") == 2
    second.close()


async def publish(url: str, text: str) -> int:
    """Stores a message, and returns how many there are."""
    import nats

    client: Any = await nats.connect(url)  # pyright: ignore[reportUnknownMemberType]
    stream = client.jetstream()
    await stream.add_stream(name="orders", subjects=["orders.>"])
    await stream.publish("orders.created", text.encode())
    count: int = (await stream.stream_info("orders")).state.messages
    await client.close()
    return count


async def test_an_engine_that_is_killed_comes_back_for_those_who_hold_a_lease(cluster: Workspace) -> None:
    lease = await embedded.lease("postgresql", cluster)
    # An engine that dies within its first second is not tried again: it would die for ever.
    with psycopg.connect(lease.url) as connection:
        connection.execute("SELECT pg_sleep(1.1)")
    os.kill(lease.pid, signal.SIGKILL)
    assert has_ended(lease.pid)
    again = await embedded.lease("postgresql", cluster)
    assert again.pid != lease.pid
    assert again.url == lease.url
    assert not lease.lost
    assert kept(lease.url) == [("a committed row",)]
    again.close()
    lease.close()


async def test_an_orphan_that_does_not_end_is_killed_before_the_next_engine_starts(place: Workspace) -> None:
    first = await embedded.lease("nats", place)
    os.kill(first.pid, signal.SIGSTOP)
    os.kill(keeper_of(place, "nats"), signal.SIGKILL)
    first.close()
    second = await embedded.lease("nats", place)
    assert has_ended(first.pid, 0)
    assert second.pid != first.pid
    second.close()


async def test_a_process_id_that_was_given_to_another_program_stops_nothing(cluster: Workspace) -> None:
    data = cluster.state / "engines" / "postgresql" / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1700000000\n5432\n\n127.0.0.1\n")
    lease = await embedded.lease("postgresql", cluster)
    assert kept(lease.url) == [("a committed row",)]
    lease.close()


async def test_a_taken_port_is_replaced(place: Workspace) -> None:
    import socket

    (place.state / "engines" / "nats").mkdir(parents=True, mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (place.state / "engines" / "nats" / "port").write_text(str(number))
        lease = await embedded.lease("nats", place)
    assert not lease.url.endswith(f":{number}")
    lease.close()


async def test_files_with_passwords_are_the_users_alone(cluster: Workspace) -> None:
    for kind in KINDS:
        lease = await embedded.lease(kind, cluster)
        folder = cluster.state / "engines" / kind
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


async def test_the_engine_gets_no_secret_of_the_server(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCTION_DATABASE_URL", "postgresql://who:secret@where/")
    lease = await embedded.lease("nats", place)
    for process in (lease.pid, keeper_of(place, "nats")):
        assert "PRODUCTION" not in Path(f"/proc/{process}/environ").read_text()
    lease.close()


async def test_a_wrong_setting_for_the_binaries_names_the_variable(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MCP_BACKEND_POSTGRESQL_BIN", str(tmp_path))
    with pytest.raises(Unavailable, match=r"MCP_BACKEND_POSTGRESQL_BIN is .* a folder with postgres and initdb"):
        await embedded.lease("postgresql", place)


def test_a_missing_program_says_what_to_install(place: Workspace) -> None:
    # Without site-packages, and without the virtual environment that holds the wheel's program.
    code = "import sys; sys.path[:0] = sys.argv[3:]; from tests.lease_holder import main; main(*sys.argv[1:3])"
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-I", "-S", "-c", code, "nats", str(place.state), str(TESTS.parent)],
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


async def test_an_engine_that_does_not_start_shows_its_own_last_words(cluster: Workspace) -> None:
    with (cluster.state / "engines" / "postgresql" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match='unrecognized configuration parameter "no_such_setting"'):
        await embedded.lease("postgresql", cluster)


async def test_a_cluster_of_another_major_version_is_refused_with_a_way_out(cluster: Workspace) -> None:
    (cluster.state / "engines" / "postgresql" / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Unavailable, match=r"made by PostgreSQL 13.*Set MCP_BACKEND_POSTGRESQL_BIN"):
        await embedded.lease("postgresql", cluster)


def modes(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode and owners of the paths and of all folders above them."""
    found = {above: above.stat() for path in paths for above in (path, *path.parents)}
    return {path: (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) for path, info in found.items()}


@pytest.fixture
def untouched(tmp_path: Path) -> Generator[None]:
    """Proves that users and permissions of the machine are what they were."""
    watched = (tmp_path, binaries.find("postgresql"), Path(sys.executable).resolve(), Path("/root"))
    before, users = modes(*watched), Path("/etc/passwd").read_bytes()
    yield
    assert modes(*watched) == before
    assert Path("/etc/passwd").read_bytes() == users


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_runs_postgresql_without_a_change_to_the_machine(place: Workspace, hold: Hold) -> None:
    said = hold("postgresql", place.state).said
    with psycopg.connect(said["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_without_user_namespaces_runs_postgresql_as_nobody(cluster: Workspace, hold: Hold) -> None:
    # The folders above the data are closed to `nobody`, and the cluster belongs to root at first.
    holder = hold("postgresql", cluster.state, sys.executable, str(TESTS / "without_namespaces.py"))
    said = holder.said
    assert "error" not in said
    assert uid_of(said["engine"]) == NOBODY
    assert kept(said["url"]) == [("a committed row",)]
    os.kill(keeper_of(cluster, "postgresql"), signal.SIGKILL)
    assert has_ended(said["engine"])
    holder.leave()
    back = hold("postgresql", cluster.state).said
    assert kept(back["url"]) == [("a committed row",)], "and back, where namespaces are allowed"


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_without_user_namespaces_makes_a_cluster_as_nobody(place: Workspace, hold: Hold) -> None:
    said = hold("postgresql", place.state, sys.executable, str(TESTS / "without_namespaces.py")).said
    with psycopg.connect(said["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@as_root
def test_root_with_neither_namespaces_nor_a_reachable_program_is_told_what_to_do(
    place: Workspace, hold: Hold, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("postgres", "initdb"):
        (closed / name).write_text("#!/bin/sh\n")
        (closed / name).chmod(0o755)
    wall = (sys.executable, str(TESTS / "without_namespaces.py"))
    said = hold("postgresql", place.state, *wall, env={"MCP_BACKEND_POSTGRESQL_BIN": str(closed)}).said
    assert "user namespaces are blocked" in said["error"]
    assert "Run the server as an ordinary user" in said["error"]


@pytest.fixture
def home_of_nobody() -> Generator[Path]:
    """A folder of the user `nobody`, in a path with a space that everybody may walk."""
    folder = Path(mkdtemp(prefix="a home of nobody "))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def python_for_everybody() -> str:
    """A Python that the user `nobody` can run too."""
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError, subprocess.CalledProcessError):
            check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            subprocess.run(check, check=True, **AS_NOBODY)
            return python
    pytest.skip("no Python here that the user nobody can run")


@as_root
@pytest.mark.usefixtures("untouched")
def test_a_plain_user_needs_nothing_special(home_of_nobody: Path, hold: Hold) -> None:
    place = Workspace(home_of_nobody, home_of_nobody / "the state", False)
    python = python_for_everybody()
    environment = {
        "MCP_BACKEND_POSTGRESQL_BIN": str(binaries.find("postgresql").parent),
        "MCP_BACKEND_NATS_SERVER": str(binaries.find("nats")),
    }
    holders = [hold(kind, place.state, python=python, env=environment, **AS_NOBODY) for kind in KINDS]
    said = [holder.said for holder in holders]
    with psycopg.connect(said[0]["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert {uid_of(answer["engine"]) for answer in said} == {NOBODY}
    for holder in holders:
        holder.process.kill()
    assert all(has_ended(answer["engine"]) for answer in said)
    assert all(has_ended(keeper_of(place, kind)) for kind in KINDS)


@as_root
def test_a_folder_that_a_plain_user_may_not_write_is_named(home_of_nobody: Path, hold: Hold) -> None:
    home_of_nobody.chmod(0o500)
    said = hold(
        "nats",
        home_of_nobody / "state",
        python=python_for_everybody(),
        **AS_NOBODY,
        env={"MCP_BACKEND_NATS_SERVER": str(binaries.find("nats"))},
    ).said
    assert f"{home_of_nobody}/state/engines/nats cannot be made: Permission denied" in said["error"]


def engines(folder: Path, *arguments: str, code: int = 0) -> str:
    """What `mcp-backend engines …` prints, on stdout or, when it says no, on stderr."""
    program = Path(sysconfig.get_path("scripts")) / "mcp-backend"
    done = subprocess.run([program, "engines", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


async def test_a_pinned_engine_serves_other_programs_until_it_is_stopped(repository: Path) -> None:
    started = json.loads(engines(repository, "start", "nats", "--json"))
    assert started["pinned"]
    assert await publish(started["url"], "from another program") == 1
    [status] = json.loads(engines(repository, "status", "--json"))
    assert (status["pid"], status["running"], status["leases"]) == (started["pid"], True, 0)
    assert status["url"] == f"nats://backend@127.0.0.1:{started['url'].rpartition(':')[2]}", "and no password"
    [shown] = json.loads(engines(repository, "status", "--json", "--show-url"))
    assert shown["url"] == started["url"]
    engines(repository, "stop", "nats")
    assert has_ended(started["pid"], 0)
    [after] = json.loads(engines(repository, "--json"))
    assert (after["running"], after["url"], after["pid"]) == (False, None, None)
    assert "was not running" in engines(repository, "stop", "nats")


def test_a_pinned_engine_outlives_its_leases(repository: Path, made: Path, hold: Hold) -> None:
    copy(made, workspace(repository))
    started = json.loads(engines(repository, "start", "postgresql", "--json"))
    with psycopg.connect(started["url"]) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("backend", "backend")
    holder = hold("postgresql", Path(started["data_dir"]).parents[2])
    assert holder.said["engine"] == started["pid"]
    holder.leave()
    assert not has_ended(started["pid"], GRACE_SECONDS + 0.5)
    engines(repository, "stop", "postgresql")
    assert has_ended(started["pid"], 0)


def test_stopping_an_engine_in_use_is_refused_unless_forced(repository: Path, hold: Hold) -> None:
    started = json.loads(engines(repository, "start", "nats", "--json"))
    holder = hold("nats", Path(started["data_dir"]).parents[2])
    assert holder.said["engine"] == started["pid"]
    assert "1 server(s) of this workspace use it" in engines(repository, "stop", "nats", code=1)
    [status] = json.loads(engines(repository, "status", "--json"))
    assert (status["running"], status["pinned"]) == (True, False)
    engines(repository, "stop", "nats", "--force")
    assert has_ended(started["pid"], 0)


def test_the_engines_of_the_policy_go_by_their_names(repository: Path) -> None:
    (repository / "mcp-backend.toml").write_text(
        '[engines.events]\nkind = "nats"\nurl = "embedded:nats"\n[engines.main]\nkind = "postgresql"\n'
        'url = "env:DATABASE_URL"\n'
    )
    [before] = json.loads(engines(repository, "status", "--json"))
    assert (before["name"], before["kind"], before["running"]) == ("events", "nats", False)
    started = json.loads(engines(repository, "start", "events", "--json", "--workspace", str(repository)))
    assert (started["name"], started["kind"]) == ("events", "nats")
    engines(repository, "stop", "events")
    assert "is not embedded" in engines(repository, "start", "main", code=1)
    assert "no such local engine; known: events, postgresql, nats" in engines(repository, "start", "x", code=1)
