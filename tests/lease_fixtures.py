"""Workspaces with local engines of a test's own, and other processes that hold leases on them."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace
from tests.engines_fixtures import wait_for

TESTS = Path(__file__).parent
KINDS = ("postgresql", "nats")


def has_ended(process: int, seconds: float = 60) -> bool:
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
def local_place(tmp_path: Path) -> Generator[Workspace]:
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


@pytest.fixture(scope="session")
def made_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped cluster in which the table `kept` holds one committed row."""
    root = tmp_path_factory.mktemp("made")
    origin = Workspace(root, root, False)
    lease = wait_for(embedded.lease("postgresql", origin))
    with psycopg.connect(lease.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'a committed row' AS what")
    lease.close()
    wait_for(embedded.stop("postgresql", origin, force=True))
    return root / "engines"


def copy(engines: Path, place: Workspace) -> None:
    """Gives a workspace stopped engines that were made elsewhere."""
    place.state.mkdir(parents=True, mode=0o700)
    subprocess.run(["cp", "-a", "--reflink=auto", engines, place.state / "engines"], check=True)


@pytest.fixture
def local_cluster(local_place: Workspace, made_cluster: Path) -> Workspace:
    """A workspace with a stopped cluster of its own, a copy of `made_cluster`."""
    copy(made_cluster, local_place)
    return local_place


def kept(url: str) -> list[tuple[str]]:
    """The rows of the table of `made_cluster`."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT what FROM kept").fetchall()


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
