"""What the demo's session plays on: a repository, two databases, a message stream. People own all of it."""

import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace, user, workspace

HERE = Path(__file__).parent
STREAM = "ORDERS"


@dataclass(frozen=True, slots=True)
class Setting:
    """The repository, and how to look at its engines from outside the server."""

    workspace: Workspace
    database_url: str
    staging_url: str
    nats_url: str
    versions: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The root of the repository."""
        return self.workspace.root


@asynccontextmanager
async def built(folder: Path) -> AsyncGenerator[Setting]:
    """A repository with one commit in `folder`, its local engines running, and a second cluster for staging."""
    root = folder / "orders"
    shutil.copytree(HERE / "orders", root, ignore=shutil.ignore_patterns("__pycache__"))
    policy = root / "mcp-backend.toml"
    text = policy.read_text("utf-8").replace("{python}", sys.executable)
    policy.write_text(text.replace("{user}", user()), "utf-8")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "orders: create and read orders")
    place = workspace(root)
    elsewhere = Workspace(folder / "staging", folder / "staging-state", repository=False)
    leases = [
        await embedded.lease("postgresql", place),
        await embedded.lease("postgresql", elsewhere),
        await embedded.lease("nats", place),
    ]
    try:
        await _stream(leases[2].url)
        versions = tuple(f"{lease.kind} {lease.version}" for lease in leases)
        yield Setting(place, leases[0].url, leases[1].url, leases[2].url, versions)
    finally:
        for lease in leases:
            lease.close()
        for kind, where in (("postgresql", place), ("postgresql", elsewhere), ("nats", place)):
            await embedded.stop(kind, where, force=True)


def change(root: Path) -> None:
    """What the host writes with its own edit tool: a migration, code, a test, and a frontend file it should not."""
    shutil.copytree(HERE / "change", root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def git(root: Path, *arguments: str) -> str:
    """What git printed."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def _stream(url: str) -> None:
    import nats

    client = await cast("Any", nats).connect(url)
    await client.jetstream().add_stream(name=STREAM, subjects=["orders.>"], max_bytes=64 << 20)
    await client.close()
