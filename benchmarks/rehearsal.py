"""Rehearsals: every case of a corpus through the real tool, beside squawk on the same files in the same run.

`python -m benchmarks.rehearsal [folder …]` (or `BENCH_MIGRATIONS`, folders parted by a colon) prints one table for
PostgreSQL and one for ClickHouse, and by name what was missed and what was wrongly flagged. Three columns: the
rehearsal; squawk with its default rules; squawk without those that are about taste (`second_opinion.NOISE`). squawk is
told the version of the server, and whether the file runs in one transaction. A dangerous case counts as named when a
finding is one of the hazards that it expects; squawk's rule counts when it is an anchor of one of them.
"""

import asyncio
import importlib.metadata
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mcp.client import Client

from benchmarks.squawk import installed, rules
from mcp_backend.engines import embedded
from mcp_backend.migrations.rehearsal.words import ABOUT
from mcp_backend.migrations.second_opinion import NOISE
from mcp_backend.server import Options, build
from mcp_backend.settings import Workspace
from tests.conftest import CORPORA
from tests.rehearsal_corpus import Tally, cases, judge, rehearse, rehearse_clickhouse
from tests.rehearsal_fixtures import Case, database

_FOLDERS = os.environ.get("BENCH_MIGRATIONS") or str(CORPORA / "migrations_corpus")
_ONLY = os.environ.get("BENCH_MIGRATIONS_ONLY", "*")


@dataclass
class Measured:
    """One engine's cases: the tally, seconds a case, what each case expects, and squawk's rules by case."""

    tally: Tally = field(default_factory=Tally)
    times: list[float] = field(default_factory=list[float])
    expected: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    squawk: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


async def measure(folders: Iterable[str] = ()) -> list[str]:
    """The tables, and the names behind them."""
    listed = [Path(f) for f in (*folders,) or _FOLDERS.split(os.pathsep)]
    if missing := [str(folder) for folder in listed if not folder.is_dir()]:
        return [f"rehearsal: no corpus here: {', '.join(missing)} (BENCH_MIGRATIONS names folders)"]
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root = Path(name, "work")
        root.mkdir()
        for engine, run in (("postgresql", _postgresql), ("clickhouse", _clickhouse)):
            found = [c for folder in listed for c in cases(folder, engine) if fnmatch(c["id"], _ONLY)]
            if found:
                lines += _table(engine, await run(root, found))
    return lines


async def _postgresql(root: Path, found: list[dict[str, Any]]) -> Measured:
    measured = Measured()
    places = [Workspace(root, root.parent / which, False) for which in ("target", "shadow")]
    target, shadow = [await embedded.lease("postgresql", place) for place in places]
    assert shadow.superuser_url
    try:
        for about in found:
            measured.squawk[about["id"]] = await rules(about["migration_up"])
            with database(target, "corpus_case") as (url, admin):
                place = Case(root, url, shadow.superuser_url, _connect, admin)
                place.policy()
                await _timed(measured, about, lambda place=place, about=about: rehearse(place, about))
    finally:
        target.close()
        shadow.close()
    return measured


async def _clickhouse(root: Path, found: list[dict[str, Any]]) -> Measured:
    measured = Measured()
    target = await embedded.lease("clickhouse", Workspace(root, root.parent / "clickhouse", False))
    try:
        for about in found:
            await _timed(measured, about, lambda about=about: rehearse_clickhouse(target.url, root, about))
    finally:
        target.close()
    return measured


async def _timed(measured: Measured, about: dict[str, Any], run: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    began = time.perf_counter()
    measured.expected[about["id"]] = set(about["expect"]["hazards"])
    judge(about, await run(), measured.tally)
    measured.times.append(time.perf_counter() - began)


def _table(engine: str, measured: Measured) -> list[str]:
    tally, times = measured.tally, sorted(measured.times)
    dangerous, harmless = [*tally.named, *tally.missed], [*tally.safe, *tally.flagged]
    beside = measured.squawk if installed() else {}
    quiet = {name: found - NOISE for name, found in beside.items()}
    columns = (beside, quiet) if beside else ()
    right = len([n for n in dangerous if _anchors(measured.expected[n]) & beside.get(n, set())])
    lines = [
        f"rehearsal of {engine}: {len(dangerous)} dangerous and {len(harmless)} safe migrations",
        _line("", "rehearsal", *(("squawk", "less taste") if beside else ())),
        _line("dangerous, named", len(tally.named), *((right, right) if beside else ())),
        _line("dangerous, any finding", len(dangerous) - len(tally.silent), *(_said(c, dangerous) for c in columns)),
        _line("safe, flagged", len(tally.flagged), *(_said(c, harmless) for c in columns)),
        f"seconds a case, set-up included: median {times[len(times) // 2]:.2f}, worst {times[-1]:.2f}",
        f"missed: {', '.join(tally.missed) or 'none'}",
        f"flagged though safe: {', '.join(tally.flagged) or 'none'}",
    ]
    if beside:
        version = importlib.metadata.version("squawk-cli")
        flagged = [n for n in harmless if quiet.get(n)]
        lines += [f"squawk {version}, default rules, flags though safe: {', '.join(flagged) or 'none'}"]
    return lines + [f"not as expected: {name}: {what}" for name, what in tally.other.items()]


def _said(found: Mapping[str, set[str]], names: list[str]) -> int:
    return len([name for name in names if found.get(name)])


def _line(what: str, *cells: object) -> str:
    return f"{what:24}" + "".join(f"{cell:>12}" for cell in cells)


def _anchors(hazards: set[str]) -> set[str]:
    """squawk's rules for these hazards."""
    found = [anchor for hazard in hazards & ABOUT.keys() for anchor in ABOUT[hazard][0]]
    return {anchor.removeprefix("squawk/") for anchor in found if anchor.startswith("squawk/")}


@asynccontextmanager
async def _connect(workspace: Path, mode: Any = "auto", **options: Any) -> AsyncGenerator[Client]:
    async with Client(build(Options(workspace, **options)), mode=mode) as client:
        yield client


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure(sys.argv[1:]))))
