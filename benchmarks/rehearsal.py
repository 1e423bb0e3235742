"""Rehearsals: every case of the corpus through the real tool, beside squawk on the same files in the same run.

Prints what was named, what was missed and what was wrongly flagged, by name. squawk is given the sizes it cannot see:
a finding of it counts as naming when it has any on a case that is not safe, and as a false alarm on one that is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client

from mcp_backend.engines import embedded
from mcp_backend.server import Options, build
from mcp_backend.settings import Workspace
from tests.conftest import CORPORA
from tests.rehearsal_corpus import Tally, cases, judge, rehearse
from tests.rehearsal_fixtures import Case, database

FOLDER = Path(os.environ.get("BENCH_MIGRATIONS", CORPORA / "migrations_corpus"))


async def measure() -> list[str]:
    """A table, and the names behind it."""
    if not FOLDER.is_dir():
        return ["rehearsal: no corpus here (BENCH_MIGRATIONS names a folder)"]
    tally, times = Tally(), list[float]()
    squawk: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root = Path(name, "work")
        root.mkdir()
        target = await embedded.lease("postgresql", Workspace(root, Path(name, "target"), False))
        shadow = await embedded.lease("postgresql", Workspace(root, Path(name, "shadow"), False))
        assert shadow.superuser_url
        try:
            for about in cases(FOLDER, "postgresql"):
                squawk[about["id"]] = _squawk(about["migration_up"])
                with database(target, "corpus_case") as (url, admin):
                    place = Case(root, url, shadow.superuser_url, _connect, admin)
                    place.policy()
                    began = time.perf_counter()
                    judge(about, await rehearse(place, about), tally)
                    times.append(time.perf_counter() - began)
        finally:
            target.close()
            shadow.close()
    return _table(tally, squawk, sorted(times))


def _table(tally: Tally, squawk: dict[str, bool], times: list[float]) -> list[str]:
    dangerous, harmless = [*tally.named, *tally.missed], [*tally.safe, *tally.flagged]
    lines = [
        f"rehearsal: {len(dangerous)} dangerous and {len(harmless)} safe migrations",
        f"{'':24}{'rehearsal':>12}{'squawk':>12}",
        f"{'dangerous, named':24}{len(tally.named):>12}{_count(squawk, dangerous):>12}",
        f"{'safe, flagged':24}{len(tally.flagged):>12}{_count(squawk, harmless):>12}",
        f"seconds a case, set-up included: median {times[len(times) // 2]:.2f}, worst {times[-1]:.2f}",
        f"missed: {', '.join(tally.missed) or 'none'}",
        f"flagged though safe: {', '.join(tally.flagged) or 'none'}",
    ]
    return lines + [f"not as expected: {name}: {what}" for name, what in tally.other.items()]


def _count(found: dict[str, bool], names: list[str]) -> str:
    return str(sum(found[name] for name in names)) if _program() else "absent"


def _program() -> str | None:
    return shutil.which("squawk", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


def _squawk(sql: str) -> bool:
    """Whether squawk, told that the file runs in a transaction, finds anything."""
    program = _program()
    if program is None:
        return False
    done = subprocess.run(
        [program, "--assume-in-transaction", "--reporter", "json", "-"],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() not in ("", "[]")


@asynccontextmanager
async def _connect(workspace: Path, mode: Any = "auto", **options: Any) -> AsyncGenerator[Client]:
    async with Client(build(Options(workspace, **options)), mode=mode) as client:
        yield client
