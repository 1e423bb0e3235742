"""`python -m benchmarks.soak_day [CALLS] [SEED] [WIRE ...] [--state FILE] [--only STEP ...]`: a busy agent's whole day.

One call every three seconds for eight hours are 9,600: they go to one server over stdio and to one over HTTP, in the
proportions of a session. Files are read in bundles, searched, edited and committed; schemas, queries, messages and
specifications are looked at; tests, commands and rehearsals run; questions are asked and answered by a person; some
calls are refused, some cancelled; clients subscribe, come and go (the half of them without a word); each engine is
restarted four times. Every call must come out as it has to. Each fiftieth of the day, with nothing under way, what the
server holds is counted, and the same reads are timed at the start and at the end. `600 1 stdio` takes a minute.
`3000 1 stdio --only reading looking` repeats these steps alone, with no restarts: which of them makes the server grow,
and where, is seen in minutes.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import psycopg

from benchmarks.local import restarted
from benchmarks.soak_steps import STEPS, Day
from benchmarks.surface_fuzz import WIRES, plant
from benchmarks.surface_report import Row, add, faults, read, report
from benchmarks.surface_wires import VERSION, HttpWire, StdioWire
from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace, workspace

CALLS, PARTS, RESTARTS = 9_600, 50, 4
AWAY = 5
"""Calls after a restart of an engine of which each may find it away."""
TIMED: Mapping[str, Mapping[str, Any]] = {
    "read_file": {"path": "orders/app.py"}, "search_code": {"query": "total"}, "git_status": {},
    "db_query": {"engine": "main", "sql": "select 1"}, "db_schema": {"engine": "main"},
}  # fmt: skip


async def timed(day: Day) -> dict[str, str]:
    """Milliseconds of calls that change nothing: the median of 30, and what one took of the processor in the server and
    its children, which a loaded machine changes less."""
    found: dict[str, str] = {}
    for tool, arguments in TIMED.items():
        spent: list[float] = []
        before = _processor(day.wire.process.pid)
        for _ in range(30):
            began = time.perf_counter()
            await day.call(tool, **arguments)
            spent.append((time.perf_counter() - began) * 1000)
        used = (_processor(day.wire.process.pid) - before) / 30
        found[tool] = f"{statistics.median(spent):.1f} ({used:.1f})"
    return found


def _processor(pid: int) -> float:
    """Milliseconds that a process and its ended children had of the processor (proc_pid_stat(5), fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * 1000 / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Counter[str]:
    """kB that a process has to itself, by where: the heap of the C library, further heaps that glibc gives to threads
    (each begins at a multiple of 64 MB), other memory (Python's small objects), parts of files that it wrote to."""
    found = Counter[str](heap=0, **{"heaps of threads": 0})
    place = ""
    for line in Path(f"/proc/{pid}/smaps").read_text("utf-8", "replace").splitlines():
        name, *rest = line.split()
        if name == "Private_Dirty:":
            found[place] += int(rest[0])
        elif not name.endswith(":"):
            file = "".join(rest[4:])
            if file:
                place = {"[": "other", "/": "files"}[file[0]] if file != "[heap]" else "heap"
            else:
                place = "other" if int(name.partition("-")[0], 16) % (64 << 20) else "heaps of threads"
    return found


async def soak(count: int, number: int, wires: tuple[str, ...], state: Path, only: Collection[str] = ()) -> list[str]:
    """The lines about latency, memory and what is left on the disk; the rest is in `state`."""
    lines: list[str] = []
    for name in wires:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MCP_BACKEND_STATE"] = f"{folder}/state"
            os.environ["TMPDIR"] = f"{folder}/tmp"
            root, servers = Path(folder, "work"), Path(folder, "servers")
            for new in (servers, Path(folder, "tmp")):
                new.mkdir()
            place = workspace(servers)
            leases = {kind: await embedded.lease(kind, place) for kind in ("postgresql", "nats")}
            try:
                plant(root, leases["postgresql"].url, leases["nats"].url)
                lines += await _day(name, root, count, number, place, leases, state, only)
            finally:
                for kind, lease in leases.items():
                    lease.close()
                    await embedded.stop(kind, place, force=True)
    return lines


async def _day(
    name: str,
    root: Path,
    count: int,
    number: int,
    place: Workspace,
    leases: dict[str, embedded.Lease],
    state: Path,
    only: Collection[str],
) -> list[str]:
    transport, _, era = name.partition("-")
    database = leases["postgresql"].url
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table if not exists orders (id bigint primary key, placed timestamptz)")
    await _stream(leases["nats"].url)
    wire = await (StdioWire if transport == "stdio" else HttpWire).open(root, era, os.environ)
    day, began = Day(wire, root, era == VERSION, random.Random(number)), time.monotonic()
    steps, weights = zip(*((step, often) for step, often in STEPS if not only or step.__name__ in only), strict=True)
    lines: list[str] = []
    try:
        for step in steps:
            await step(day)
        first, size, warm = await timed(day), _size(root), day.calls
        written = [memory(wire.process.pid)]
        part = max(count // PARTS, 1)
        for index in range(1, PARTS + 1):
            before = day.calls
            while day.calls < warm + index * part and not wire.ended():
                await day.dice.choices(steps, weights)[0](day)
            held = [*wire.held(), _files(Path(os.environ["TMPDIR"])), _connections(database)]
            took, began = round(time.monotonic() - began, 1), time.monotonic()
            add(state, Row(name, str(number), day.calls - before, took, dict(day.kinds), day.wrong, held))
            print(f"{name} {day.calls:,}: {took} s, {held}; wrong {day.wrong}", file=sys.stderr, flush=True)
            day.kinds, day.wrong = Counter(), []
            written.append(memory(wire.process.pid))
            if not only and index % (PARTS // (RESTARTS + 1)) == 0 and index < PARTS:
                kind = "postgresql" if index // (PARTS // (RESTARTS + 1)) % 2 else "nats"
                leases[kind] = await restarted(kind, place, leases[kind])
                day.away = AWAY
        last, left = await timed(day), _size(root)
        points = {where: ", ".join(f"{each[where]:,}" for each in written[:: PARTS // 4]) for where in written[0]}
        lines.append(f"{name}: kB of its own at the start and each quarter: {points}")
        lines.append(f"{name}: ms of the same read (of the processor) at the start and the end: "
                     + ", ".join(f"{tool} {first[tool]} and {last[tool]}" for tool in TIMED))  # fmt: skip
        grown = {part: f"{left[part] - size[part]:,}" for part in left}
        lines.append(
            f"{name}: bytes in the state folder {sum(left.values()):,}; grown in {day.calls - warm:,} calls {grown}"
        )
    finally:
        said = await wire.close()
        wrong = [*day.wrong, *(f"standard error: {line}" for line in said.splitlines() if "Traceback" in line)]
        if wrong or wire.process.returncode not in (0, -15, 143):
            add(state, Row(name, str(number), 0, 0, {}, [*wrong, f"ended with {wire.process.returncode}"], []))
            Path(f"{state}.stderr").write_text(said)
    return lines


async def _stream(url: str) -> None:
    import nats

    client = await cast("Any", nats).connect(url)
    await client.jetstream().add_stream(name="orders", subjects=["orders.>"])
    await client.close()


def _connections(database: str) -> int:
    with suppress(psycopg.OperationalError), psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name like 'mcp-backend%'"
        ).fetchone()
        return row[0] if row else -1
    return -1


def _files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _size(root: Path) -> Counter[str]:
    """Bytes by the first part of the name in the state folder of the workspace, without local engines."""
    sizes: Counter[str] = Counter()
    folder = workspace(root).state
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
    return sizes


def main() -> int:
    """1 when something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", nargs="?", type=int, default=CALLS)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("wires", nargs="*", default=[], metavar="WIRE")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--only", nargs="+", default=[], choices=[step.__name__ for step, _ in STEPS], metavar="STEP")
    given = parser.parse_args()
    asked = given.wires or ["stdio-2025-11-25", "http-2026-07-28"]
    with tempfile.TemporaryDirectory() as name:
        state = given.state or Path(name, "state")
        wires = tuple(wire for wire in WIRES if wire in asked or wire[:-11] in asked)
        lines = asyncio.run(soak(given.calls, given.seed, wires, state, given.only))
        rows = read([state])
    print("\n".join([*report(rows), *lines]))
    return 1 if faults(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
