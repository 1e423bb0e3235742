"""Fixtures: a private state folder, a git repository, and a real MCP client in both protocol eras."""

import gc
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Literal, TypeAlias

import hypothesis
import pytest
from mcp.client import Client

from mcp_backend.server import Options, build
from mcp_backend.store import sqlite

pytest_plugins = [
    "tests.engines_fixtures",
    "tests.broker_fixtures",
    "tests.lease_fixtures",
    "tests.migration_fixtures",
    "tests.rehearsal_fixtures",
    "tests.canary_fixtures",
    "tests.relay_fixtures",
    "tests.shop_fixtures",
    "tests.clickhouse_fixtures",
    "tests.store_fixtures",
]

hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("same")

Era: TypeAlias = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
"""`auto` negotiates 2026-07-28, `legacy` the handshake of 2025-11-25."""
ALL = os.environ.get("MCP_BACKEND_TESTS") == "all"
"""Whether the long proofs run, too: those of which the suite has another, shorter one."""
SOME_ERAS = ERAS if ALL else ERAS[:1]
"""For tests that take long and whose tool is driven in both eras by others."""
long_proof = pytest.mark.skipif(not ALL, reason="long, MCP_BACKEND_TESTS=all runs it")
CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
ENGINE_VARIABLES = ("DATABASE_URL", "POSTGRES_URL", "POSTGRESQL_URL", "PGHOST", "PGHOSTADDR", "PGSERVICE", "NATS_URL",
                    "REDIS_URL", "VALKEY_URL", "KAFKA_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS")  # fmt: skip
GIT_OPTIONS = tuple(
    part
    for option in ("user.name=A Person", "user.email=person@example.org", "commit.gpgsign=false", "core.fsync=none",
                   "maintenance.auto=false")
    for part in ("-c", option)
)  # fmt: skip
Committed: TypeAlias = Callable[[Path, Mapping[str, str]], Path]
Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


def memory() -> str | None:
    """Where files need no disk, if there is room: hundreds of databases are made and dropped."""
    place = Path("/dev/shm")
    roomy = place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 << 30
    return str(place) if roomy else None


def pytest_collection_finish() -> None:
    """What the modules of all tests hold stays until the end: no collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def quick_folder() -> Generator[Path]:
    """A folder that ends with the session."""
    with TemporaryDirectory(prefix="mcp-backend-tests-", dir=memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders. `mktemp` looks through all that there are for a number that is free, which takes milliseconds."""
    place = tmp_path_factory.mktemp("states", numbered=False)
    return (place / str(number) for number in count())


@pytest.fixture(autouse=True)
def state(states: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and an environment without the settings of whoever runs the tests. The stores
    that servers in this process open there do not wait for the disk: no test cuts the power."""
    folder = next(states)
    folder.mkdir(0o700)
    monkeypatch.setattr(sqlite, "SYNCHRONOUS", {True: "off", False: "off"})
    monkeypatch.setenv("MCP_BACKEND_STATE", str(folder))
    # A client that gives up on a slow start goes back to the older handshake: on a loaded machine that is no failure.
    monkeypatch.setattr("mcp.client.session.DISCOVER_TIMEOUT_SECONDS", 120.0)
    for name in (*ENGINE_VARIABLES, "CODING_AGENT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder with a fixed identity, and returns what it printed. Nothing waits for the disk."""
    return subprocess.run(
        ["git", *GIT_OPTIONS, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="session")
def committed(quick_folder: Path) -> Committed:
    """`committed(root, files)` makes a repository with one commit by copying one that was made before: that takes less
    time than git does."""
    made: dict[tuple[tuple[str, str], ...], Path] = {}

    def copied(root: Path, files: Mapping[str, str]) -> Path:
        key = tuple(files.items())
        if key not in made:
            folder = Path(mkdtemp(prefix="repository-", dir=quick_folder))
            for path, text in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
            for name in ("hooks", "info"):  # without the samples, which each copy would copy
                (folder / ".git" / name).mkdir()
            git(folder, "add", ".")
            git(folder, "commit", "--quiet", "-m", "first")
            folder.chmod(0o755)
            made[key] = folder
        shutil.copytree(made[key], root, symlinks=True)
        git(root, "update-index", "-q", "--refresh")  # the index knows the copies as unchanged
        return root

    return copied


@pytest.fixture
def repository(tmp_path: Path, committed: Committed) -> Path:
    """A git repository with one commit, in a path with a space."""
    return committed(tmp_path / "orders service", {"README.md": "# orders\n"})


@pytest.fixture
def connect() -> Connect:
    """`async with connect(workspace, mode="legacy") as client:` talks to a server of that workspace in memory."""

    @asynccontextmanager
    async def connected(workspace: Path, mode: Era = "auto", **options: Any) -> AsyncGenerator[Client]:
        async with Client(build(Options(workspace, **options)), mode=mode) as client:
            yield client

    return connected
