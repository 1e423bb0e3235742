"""A project's whole history from empty to head: `python -m benchmarks.migration_history FOLDER [TOOL [each]]`.

Without `each`, one call of run_migration's own code applies everything. With it, every migration goes the whole way one
after the other, as a host would: `rehearse_migration`, `run_migration`, a person's approval where it asks for one.
Beside it a bare run sends the same statements in the same transactions and nothing else, as the tools themselves do;
for dbmate its own program is timed, too, where it is installed. Prints a line for each slow or unusual migration.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from mcp.client import Client

from mcp_backend import escalations
from mcp_backend.app import open_app
from mcp_backend.engines import embedded
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.migrations import apply, planning
from mcp_backend.migrations.model import Step
from mcp_backend.migrations.run import Limits, Prepared
from mcp_backend.policy import EngineSettings
from mcp_backend.policy.migrating import Migrating
from mcp_backend.server import Options, build
from mcp_backend.settings import Workspace

EXTENSIONS = os.environ.get("EXTENSIONS", "").split()
"""What only a superuser may install, and has for this project."""


@dataclass(frozen=True, slots=True)
class Went:
    """How one migration went. Times in milliseconds; `call` is all of run_migration, `applied` what it says of it."""

    version: str
    verdict: str
    hazards: tuple[str, ...]
    rehearsed: float
    call: float
    applied: float
    as_rehearsed: object
    asked: bool
    refused: str = ""


async def _silent(done: float, total: float | None, words: str) -> None:
    """Progress that nobody asked for."""


def _engine(url: str, root: Path, tool: str) -> Postgresql:
    settings = EngineSettings("main", "postgresql", url, "development", "migrations", migrating=Migrating(tool))
    return Postgresql(settings, Workspace(root, root / "state", False))


async def _prepared(url: str, root: Path, tool: str) -> tuple[Prepared, float]:
    engine = _engine(url, root, tool)
    try:
        began = time.monotonic()
        return await planning.prepare(engine, root, None, "up"), time.monotonic() - began
    finally:
        await engine.close()


async def _at_once(url: str, root: Path, tool: str, prepared: Prepared) -> dict[str, float]:
    engine = _engine(url, root, tool)
    try:
        outcome = await apply.apply(engine, prepared, Limits(), _silent)
        print(f"at {outcome.version_after}")
        return {done.version: done.elapsed_ms for done in outcome.done}
    finally:
        await engine.close()


async def _each(root: Path, prepared: Prepared) -> list[Went]:
    """Every migration through the tools, until one does not run."""
    found: list[Went] = []
    async with Client(build(Options(root))) as client:
        for step in prepared.steps:
            went = await _one(client, root, step.file.version)
            found.append(went)
            if went.refused or went.as_rehearsed is not True:
                print(f"{went.version}: {went.verdict} {went.hazards} {went.as_rehearsed} {went.refused}", flush=True)
            if went.refused:
                break
    return found


async def _one(client: Client, root: Path, version: str) -> Went:
    began = time.monotonic()
    report = await _call(client, "rehearse_migration", version)
    rehearsed, asked = time.monotonic() - began, False
    hazards = tuple(f"{h['id']}:{h['severity']}" for h in report.get("hazards", []))
    while True:
        began = time.monotonic()
        result = await _call(client, "run_migration", version)
        took = time.monotonic() - began
        if (waits := result.get("error", {}).get("escalation")) is None or asked:
            break
        asked = True
        await _approve(root, waits)
    reason = str(result["error"]["reason"]) if "error" in result else ""
    done = sum(m["elapsed_ms"] for m in result.get("applied", []))
    verdict = str(report.get("verdict") or report["error"]["reason"])
    return Went(version, verdict, hazards, rehearsed * 1000, took * 1000, done,
                result.get("rehearsal", {}).get("schema_as_rehearsed"), asked, reason)  # fmt: skip


async def _call(client: Client, tool: str, version: str) -> dict[str, Any]:
    answer = await client.call_tool(tool, {"version": version}, read_timeout_seconds=600)
    return cast("dict[str, Any]", answer.structured_content)


async def _approve(root: Path, escalation: str) -> None:
    """What a person does who says yes."""
    async with open_app(root) as app:
        await escalations.decide(
            app.store, escalation, status="approved", answer="", by="ana", channel="terminal", now=app.now(),
            constraint=app.policy.constraint("data-consistency"),
        )  # fmt: skip


def _bare(url: str, prepared: Prepared) -> dict[str, float]:
    """Milliseconds of each step, sent as its tool sends it."""
    times: dict[str, float] = {}
    with psycopg.connect(url, autocommit=True) as conn:
        for sql in prepared.history.create:
            conn.execute(sql.encode())
        for step in prepared.steps:
            began = time.monotonic()
            for text in _texts(step):
                conn.execute(text.encode())
            conn.execute(b"reset all; reset role")
            times[step.file.version] = (time.monotonic() - began) * 1000
    return times


def _texts(step: Step) -> list[str]:
    texts = [step.before] if step.before else []
    for index, part in enumerate(step.parts):
        record = [step.record] if index == len(step.parts) - 1 else []
        statements = [s.sql.rstrip().removesuffix(";") for s in part.statements]
        if part.transaction:
            texts.append("\n;\n".join(["begin", *statements, *record, "commit"]))
        else:
            texts += statements + record
    return texts


def _dbmate(url: str, folder: Path) -> float | None:
    """Seconds of the program's own `up`."""
    program = shutil.which("dbmate", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        return None
    began = time.monotonic()
    plain = f"{url}{'&' if '?' in url else '?'}sslmode=disable"
    subprocess.run(
        [program, "--no-dump-schema", "--url", plain, "-d", str(folder), "up"],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    return time.monotonic() - began


def _told(times: dict[str, float], bare: dict[str, float]) -> list[str]:
    over = [times[version] - bare[version] for version in times if version in bare]
    return [
        f"applied in {sum(times.values()) / 1000:.2f} s, bare run {sum(bare[v] for v in times) / 1000:.2f} s; of one: "
        f"median {statistics.median(times.values()):.1f} ms, bare {statistics.median(bare[v] for v in times):.1f} ms, "
        f"more by {statistics.median(over):.1f} ms (worst {max(over):.0f} ms)",
        "longest " + ", ".join(f"{v} {times[v]:.0f} ms (bare {bare[v]:.0f})"
                               for v in sorted(times, key=lambda v: -times[v])[:3]),
    ]  # fmt: skip


def _table(went: list[Went]) -> list[str]:
    def line(name: str, values: list[float]) -> str:
        values = sorted(values)
        worst = values[-1]
        return (f"{name}: median {statistics.median(values):.0f} ms, 95th of 100 {values[int(0.95 * len(values))]:.0f} "
                f"ms, worst {worst:.0f} ms, all {sum(values) / 1000:.1f} s")  # fmt: skip

    hazards = Counter(h for one in went for h in one.hazards)
    return [
        line("rehearse_migration", [one.rehearsed for one in went]),
        line("run_migration, whole call", [one.call for one in went]),
        f"verdicts {dict(Counter(one.verdict for one in went))}, asked a person {sum(one.asked for one in went)} times",
        f"as rehearsed {dict(Counter(str(one.as_rehearsed) for one in went))}",
        f"hazards {dict(hazards.most_common())}",
    ]


def main(folder: str, tool: str, *, each: bool) -> None:
    """Prints the times; exit code 1 when a migration did not run."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        shutil.copytree(folder, root / "migrations")
        workspace = Workspace(root, root / "engine", False)
        lease = asyncio.run(embedded.lease("postgresql", workspace))
        assert lease.superuser_url
        named = f'migration_tool = "{tool}"\n' if tool else ""
        (root / "mcp-backend.toml").write_text(
            f'[engines.main]\nkind = "postgresql"\nurl = "{lease.url}"\nenvironment = "development"\n'
            f'migrations = "migrations"\n{named}'
        )
        there = lease.url.rsplit("/", 1)[0]
        went: list[Went] = []
        try:
            with psycopg.connect(lease.superuser_url, autocommit=True) as conn:
                conn.execute(b"alter role backend createrole")  # projects' own roles may
                conn.execute(b"create database bare owner backend")
                conn.execute(b"create database program owner backend")
            for database in ("bare", "program", lease.url.rsplit("/", 1)[1].partition("?")[0]):
                with psycopg.connect(f"{lease.superuser_url.rsplit('/', 1)[0]}/{database}", autocommit=True) as conn:
                    for extension in EXTENSIONS:
                        conn.execute(f'create extension "{extension}"'.encode())
            prepared, planned = asyncio.run(_prepared(lease.url, root, tool))
            statements = sum(len(part.statements) for step in prepared.steps for part in step.parts)
            print(f"{len(prepared.steps)} migrations, {statements} statements, {prepared.tool.name}: planned in "
                  f"{planned:.2f} s", flush=True)  # fmt: skip
            bare = _bare(f"{there}/bare", prepared)
            own = _dbmate(f"{there}/program", root / "migrations") if prepared.tool.name == "dbmate" else None
            if each:
                went = asyncio.run(_each(root, prepared))
                times = {one.version: one.applied for one in went if not one.refused}
            else:
                times = asyncio.run(_at_once(lease.url, root, tool, prepared))
        finally:
            lease.close()
            asyncio.run(embedded.stop("postgresql", workspace, force=True))
            asyncio.run(embedded.stop("postgresql", Workspace(root, root / "state" / "shadow", False), force=True))
    print("\n".join([*_told(times, bare), *(_table(went) if went else [])]))
    if own is not None:
        print(f"dbmate up: {own:.2f} s")
    sys.exit(0 if len(times) == len(prepared.steps) else 1)


if __name__ == "__main__":
    main(sys.argv[1], (sys.argv[2:3] or [""])[0], each="each" in sys.argv)
