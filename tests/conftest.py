"""Fixtures: a private state folder, a git repository, and a real MCP client in both protocol eras."""

import os
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import hypothesis
import pytest
from mcp.client import Client

from mcp_backend.server import Options, build

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
Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and an environment without the settings of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("MCP_BACKEND_STATE", str(folder))
    for name in (*ENGINE_VARIABLES, "CODING_AGENT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder with a fixed identity, and returns what it printed."""
    identity = ["-c", "user.name=A Person", "-c", "user.email=person@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit, in a path with a space."""
    root = tmp_path / "orders service"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "README.md").write_text("# orders\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


@pytest.fixture
def connect() -> Connect:
    """`async with connect(workspace, mode="legacy") as client:` talks to a server of that workspace in memory."""

    @asynccontextmanager
    async def connected(workspace: Path, mode: Era = "auto", **options: Any) -> AsyncGenerator[Client]:
        async with Client(build(Options(workspace, **options)), mode=mode) as client:
            yield client

    return connected
