"""A project's whole history from empty to head: `python -m benchmarks.migration_history FOLDER [TOOL [rehearse]]`.

Prints the time of each slow migration and of all, beside a bare run that sends each file as one query and nothing else,
as the tools themselves do. With `rehearse` the whole history is rehearsed before, and compared afterwards.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from mcp_backend.engines import embedded
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.migrating import Migrating
from mcp_backend.migrations import apply, planning
from mcp_backend.migrations.run import Limits, Outcome, Prepared
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace


async def _silent(done: float, total: float | None, words: str) -> None:
    """Progress that nobody asked for."""


async def _ours(url: str, root: Path, tool: str, *, rehearse: bool) -> tuple[Prepared, Outcome, float, float, str]:
    workspace = Workspace(root, root / "state", False)
    settings = EngineSettings("main", "postgresql", url, "development", "migrations", migrating=Migrating(tool))
    engine = Postgresql(settings, workspace)
    try:
        began = time.monotonic()
        prepared = await planning.prepare(engine, root, None, "up")
        planned = time.monotonic() - began
        said, took = "", 0.0
        if rehearse:
            from mcp_backend.migrations import rehearsed

            began = time.monotonic()
            found, _ = await rehearsed.rehearsed(engine, workspace, prepared, None, "up")
            took = time.monotonic() - began
            said = f"{found.verdict}, ends with {found.version_after}; " + "; ".join(found.reasons[:3])
        outcome = await apply.apply(engine, prepared, Limits(), _silent)
        return prepared, outcome, planned, took, said
    finally:
        await engine.close()


def _bare(url: str, prepared: Prepared) -> float:
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as conn:
        for step in prepared.steps:
            conn.execute(step.file.path.read_bytes())
    return time.monotonic() - began


def main(folder: str, tool: str, *, rehearse: bool) -> None:
    """Prints the times."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shutil.copytree(folder, root / "migrations")
        workspace = Workspace(root, root / "state", False)
        lease = asyncio.run(embedded.lease("postgresql", workspace))
        assert lease.superuser_url
        try:
            with psycopg.connect(lease.superuser_url, autocommit=True) as conn:
                conn.execute(b"create database bare owner backend")
            prepared, outcome, planned, took, said = asyncio.run(_ours(lease.url, root, tool, rehearse=rehearse))
            times = sorted(((done.elapsed_ms, done.version) for done in outcome.done), reverse=True)
            whole = sum(ms for ms, _ in times) / 1000
            bare = _bare(lease.url.rsplit("/", 1)[0] + "/bare", prepared)
        finally:
            lease.close()
            asyncio.run(embedded.stop("postgresql", workspace, force=True))
    statements = sum(len(part.statements) for step in prepared.steps for part in step.parts)
    print(f"{len(times)} migrations, {statements} statements, {prepared.tool.name}: planned in {planned:.2f} s, "
          f"applied in {whole:.2f} s, bare run {bare:.2f} s")  # fmt: skip
    print(f"per migration: median {statistics.median(ms for ms, _ in times):.1f} ms, longest "
          + ", ".join(f"{version} {ms:.0f} ms" for ms, version in times[:3]))  # fmt: skip
    print(f"at {outcome.version_after}")
    if rehearse:
        print(f"rehearsed in {took:.1f} s: {said}")


if __name__ == "__main__":
    main(sys.argv[1], (sys.argv[2:3] or [""])[0], rehearse="rehearse" in sys.argv)
