"""`python -m benchmarks.hook [ROUNDS] [--rehearsing]`: what a host waits for at each call of its own tools.

In each round one after the other: `python -c pass`; a hook without a server, which judges by itself; a hook beside a
server, which the process beside it answers. With `--rehearsing` that server rehearses one migration after the other
meanwhile, on a PostgreSQL of its own. Milliseconds from the start of the process to its end; processor time is that of
the hook alone, and of the process that answers in the last column.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from mcp import StdioServerParameters
from mcp.client import Client

from mcp_backend.hosts import resident
from mcp_backend.hosts.connecting import launcher
from tests.conftest import git

FILES = {
    "pyproject.toml": '[project]\nname = "shop"\n',
    "orders/api.py": "x = 1\n",
    "web/package.json": '{"dependencies": {"react": "18"}}',
    "db/migrations/20260101000000_orders.sql": "-- migrate:up\ncreate table orders (id bigint primary key);\n"
    "-- migrate:down\ndrop table orders;\n",
    "mcp-backend.toml": '[engines.main]\nkind = "postgresql"\nurl = "embedded:postgresql"\n'
    'migrations = "db/migrations"\n',
}
EVENTS = {
    "Bash": {"command": "pytest -q 2>&1 | tee out.log"},
    "Write": {"file_path": "web/New.tsx", "content": "export {}"},
    "Read": {"file_path": "orders/api.py"},
}


def spent(command: list[str], environment: Mapping[str, str], event: Path) -> tuple[float, float]:
    """Milliseconds that a program took, and those of processor time."""
    files = [(os.POSIX_SPAWN_OPEN, 0, str(event), os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment, file_actions=files)
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return took * 1000, (used.ru_utime + used.ru_stime) * 1000


def answered(folder: Path) -> tuple[int, float]:
    """The process that answers hooks, and the milliseconds of its judgements so far (cutime and cstime of proc(5))."""
    [number] = [int(name) for name in os.listdir(folder / "hook") if name.isdecimal()]
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return number, (int(fields[13]) + int(fields[14])) * 1000 / os.sysconf("SC_CLK_TCK")


async def measure(rounds: int = 60, *, rehearsing: bool = False) -> list[str]:
    """The lines of the report."""
    with tempfile.TemporaryDirectory() as name:
        root, alone, beside = Path(name, "shop"), Path(name, "alone"), Path(name, "beside")
        for path, text in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        git(root, "init", "--quiet")
        git(root, "add", ".")
        git(root, "commit", "--quiet", "-m", "shop")
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        places = [{**clean, "MCP_BACKEND_STATE": str(folder)} for folder in (alone, beside)]
        program = launcher()[0]
        server = StdioServerParameters(command=program, args=["serve", "--workspace", str(root)], env=places[1])
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(server))
            busy = asyncio.create_task(rehearse(client)) if rehearsing else None
            hook = [str(Path(program).with_name("mcp-backend-hook")), "claude-code"]
            lines = await asyncio.to_thread(rows, rounds, root, hook, places)
            if busy is not None:
                busy.cancel()
                (count,) = await asyncio.gather(busy)
                lines.append(f"rehearsals of the server meanwhile: {count}")
        return lines


async def rehearse(client: Client) -> int:
    """Rehearses until it is cancelled; how often."""
    count = 0
    try:
        while True:
            done = await client.call_tool("rehearse_migration", {"engine": "main"})
            if done.is_error:
                raise SystemExit(str(done.structured_content))
            count += 1
    except asyncio.CancelledError:
        return count


def rows(rounds: int, root: Path, hook: list[str], places: list[dict[str, str]]) -> list[str]:
    """One line for each program and event."""
    events = {tool: root.parent / f"{tool}.json" for tool in EVENTS}
    for tool, given in EVENTS.items():
        events[tool].write_text(json.dumps({"tool_name": tool, "tool_input": given, "cwd": str(root)}))
    cases = {"python -c pass": ([sys.executable, "-c", "pass"], places[0], events["Read"])}
    for tool, event in events.items():
        cases |= {f"{tool}, alone": (hook, places[0], event), f"{tool}, beside a server": (hook, places[1], event)}
    seen: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    judged: dict[str, float] = dict.fromkeys(cases, 0.0)
    folder = Path(places[1]["MCP_BACKEND_STATE"])
    for number in range(-3, rounds):  # The first three read the judges, and git.
        for case, (command, environment, event) in cases.items():
            before = answered(folder)[1]
            took = spent(command, environment, event)
            if number >= 0:
                seen[case].append(took)
                judged[case] += answered(folder)[1] - before
    memory = Path(f"/proc/{answered(folder)[0]}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in memory.splitlines() if line.startswith("Private"))
    base = percentiles(seen["python -c pass"])
    lines = [f"hook, {rounds} rounds (limit {resident.SECONDS} s): p50, p95 ms; times `python -c pass`; processor ms"]
    for case, took in seen.items():
        p50, p95 = percentiles(took)
        lines.append(
            f"  {case}: p50 {p50:.0f}, p95 {p95:.0f} ms ({p50 / base[0]:.2f}, {p95 / base[1]:.2f} times); processor "
            f"{median(used for _, used in took):.0f} + {judged[case] / rounds:.0f} ms"
        )
    return [*lines, f"  the process that answers: {private / 1024:.1f} MB of its own"]


def percentiles(took: list[tuple[float, float]]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    walls = sorted(wall for wall, _ in took)
    return median(walls), walls[min(len(walls) - 1, round(len(walls) * 0.95))]


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    print("\n".join(asyncio.run(measure(*numbers[:1] or [60], rehearsing="--rehearsing" in sys.argv))))
