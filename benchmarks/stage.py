"""What the servers are asked about: one PostgreSQL, ClickHouse, Redis and git repository, the same for all of them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.local import engine
from benchmarks.peer_install import PEER_HOME
from benchmarks.search import repository
from mcp_backend.settings import workspace
from mcp_backend.workspace import ripgrep

FILES, COMMITS, LETTERS = 1_000, 20, 10
POLICY = """
[engines.main]
kind = "postgresql"
url = "env:BENCH_URL"
environment = "development"
[engines.columns]
kind = "clickhouse"
url = "env:BENCH_COLUMNS"
environment = "development"
[engines.keys]
kind = "redis"
url = "env:BENCH_KEYS"
environment = "development"
"""


@asynccontextmanager
async def stage() -> AsyncGenerator[dict[str, str]]:
    """The engines run inside; what commands, environments and arguments call them by."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        work = Path(name, "work")
        repository(work, FILES)
        place = workspace(work)
        kinds = ("postgresql", "clickhouse", "redis")
        urls = [await stack.enter_async_context(engine(kind, place)) for kind in kinds]
        names = _names(Path(name), work, *urls)
        (work / "mcp-backend.toml").write_text(POLICY)
        _git(work)
        await _letters(names["redis_url"])
        yield names


def _names(state: Path, work: Path, url: str, columns: str, keys: str) -> dict[str, str]:
    rows, ch = urlsplit(url), urlsplit(columns)
    return {
        "python": sys.executable, "bare": str(Path(__file__).with_name("bare.py")), "home": str(PEER_HOME),
        "work": str(work),
        "state": str(state), "path": os.environ["PATH"], "ripgrep": str(Path(ripgrep.program(work)).parent),
        "url": url, "alchemy_url": url.replace("postgresql:", "postgresql+psycopg2:", 1), "host": str(rows.hostname),
        "pg_port": str(rows.port), "user": str(rows.username), "password": str(rows.password),
        "database": rows.path.strip("/"),
        "columns": columns, "ch_port": str(ch.port), "ch_user": str(ch.username), "ch_password": str(ch.password),
        "redis_url": keys,
    }  # fmt: skip


def _git(work: Path) -> None:
    """A history of twenty commits, three changed files and an untracked one."""
    (work / "README.md").write_text("# Orders\n\n" + "What a reader of this service has to know, line by line.\n" * 70)
    who = ["-c", "user.name=B", "-c", "user.email=b@example.org", "-c", "commit.gpgsign=false"]
    for number in range(COMMITS):
        (work / f"note{number}.txt").write_text(f"{number}\n")
        for words in (["add", "--all"], ["commit", "--quiet", "-m", f"Add note {number}"]):
            subprocess.run(["git", *who, *words], cwd=work, check=True, capture_output=True)
    for number in range(3):
        (work / f"note{number}.txt").write_text("changed\n")
    (work / "draft.txt").write_text("not yet\n")


async def _letters(url: str) -> None:
    import redis.asyncio as redis_py

    client: Any = redis_py.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    for number in range(LETTERS):
        await client.xadd("letters", {"payload": f'{{"n": {number}}}'})
    await client.xadd("entries", {"payload": "{}"})
    await client.aclose()
