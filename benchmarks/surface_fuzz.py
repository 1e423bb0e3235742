"""`python -m benchmarks.surface_fuzz [CALLS] [SEED] [WIRE ...] [--state FILE]`: what nobody would send, to all tools.

The calls are shared by servers started as a host starts them: stdio and HTTP, in both eras; `WIRE` is one of them
(`stdio-2025-11-25`) or both of a transport (`http`). The workspace has a database, a broker, specifications, tests and
frontend files. Of ten messages three are malformed JSON-RPC, one is a resource, prompt or completion, six are tools
called with arguments drawn from their own schemas by hypothesis; eight are under way at once. Every question must be
answered, malformed ones too where their id can be read; every result must fit the output schema of its tool; no answer
and no line of standard error may hold a traceback, and no answer may be `internal`. After each round, with nothing
under way, the server's memory, descriptors, threads, children, files in its temporary folder and database connections
are counted.

Each round is a line of FILE: a run that was ended goes on where it was when it is started again with the same file, and
`python -m benchmarks.surface_fuzz --sum FILE ...` reports what several runs did together. The exit code is 1 when
something is wrong.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import psycopg

from benchmarks.surface_inputs import calls, crossed, drawn, malformed, other
from benchmarks.surface_report import Row, add, faults, read, report
from benchmarks.surface_wires import ABOUT, HttpWire, StdioWire, Wire
from mcp_backend.engines import embedded
from mcp_backend.settings import workspace
from mcp_backend.tools import TOOLS

ROUND = 500
AT_ONCE = 8
WIRES = ("stdio-2025-11-25", "stdio-2026-07-28", "http-2025-11-25", "http-2026-07-28")
RARE: Mapping[str, int] = {"run_tests": 1, "rehearse_migration": 2, "run_migration": 2, "run_command": 3, "git_push": 3,
                           "git_rebase": 3, "check_contract": 3, "call_api": 4, "git_commit": 4}  # fmt: skip
"""Tools that start programs or databases are drawn less often than the others (60)."""
TREE = {
    "conftest.py": "",
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
    "orders/app.py": "def total(lines):\n    return sum(lines)\n",
    "tests/test_app.py": "from orders.app import total\n\n\ndef test_total():\n    assert total([1]) == 1\n",
    "web/src/App.tsx": "export const App = () => null\n",
    "web/package.json": '{"dependencies": {"react": "18"}}\n',
    "api/openapi.yaml": "openapi: 3.1.0\ninfo: {title: o, version: '1'}\npaths:\n  /orders:\n    get:\n"
    "      operationId: listOrders\n      responses: {'200': {description: ok}}\n",
    "db/migrations/20260101000000_lines.sql": "-- migrate:up\ncreate table lines (id bigint primary key);\n"
    "-- migrate:down\ndrop table lines;\n",
}


@dataclass(slots=True)
class Seen:
    """What came of one round."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])


async def fuzz(count: int, number: int, wires: tuple[str, ...], state: Path) -> None:
    """Sends what is left of `count` calls according to `state`, and writes each round there."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(Path(name))
        leases = [await embedded.lease(kind, place) for kind in ("postgresql", "nats")]
        try:
            for wire in wires:
                done = sum(row.calls for row in read([state]) if row.wire == wire)
                if done < count // len(wires):
                    root = Path(name, wire)
                    plant(root, leases[0].url, leases[1].url)
                    await _served(wire, root, (done, count // len(wires)), number, leases[0].url, state)
        finally:
            for lease, kind in zip(leases, ("postgresql", "nats"), strict=True):
                lease.close()
                await embedded.stop(kind, place, force=True)


def plant(root: Path, database: str, broker: str) -> None:
    """A small repository with something of everything."""
    for path, text in TREE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "mcp-backend.toml").write_text(
        f'[engines.main]\nkind = "postgresql"\nurl = "{database}"\nenvironment = "development"\n'
        f'[engines.broker]\nkind = "nats"\nurl = "{broker}"\nenvironment = "development"\n'
        "[http]\nmax_sessions = 50\ncalls_per_minute = 1000000\n"
    )
    (root / "link").symlink_to("/etc")
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "first")


def _git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *identity, *arguments), cwd=root, check=False, capture_output=True)


async def _served(name: str, root: Path, ways: tuple[int, int], number: int, database: str, state: Path) -> None:
    """One server, from the call it stopped at before to the last one."""
    done, count = ways
    transport, _, era = name.partition("-")
    dice, life = random.Random(f"{name} {number} {done}"), f"{number}/{done}"
    pools = {
        tool.name: drawn(calls(tool.input_schema()), min(60, 1 + count // 50), dice.randrange(2**32)) for tool in TOOLS
    }
    temporary = root.parent / f"tmp-{root.name}"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONFAULTHANDLER": "1"}
    wire: Wire = await (StdioWire if transport == "stdio" else HttpWire).open(root, era, environment)
    last = Seen()
    try:
        while done < count and not wire.ended():
            began, seen, size = time.monotonic(), Seen(), min(ROUND, count - done)
            await _round(wire, era, size, dice, pools, seen)
            done += size
            _git(root, "rebase", "--abort")
            _git(root, "clean", "-fdq")
            _git(root, "checkout", "-q", "-f", "main")
            with psycopg.connect(database, autocommit=True) as connection:
                row = connection.execute(
                    "select count(*) from pg_stat_activity where application_name like 'mcp-backend%'"
                ).fetchone()
            held = [*wire.held(), sum(len(f) for _, _, f in os.walk(temporary)), row[0] if row else -1]
            took = round(time.monotonic() - began, 1)
            add(state, Row(name, life, size, took, dict(seen.kinds), seen.faults, held))
            print(f"{name} {done:,} of {count:,}: {took} s, {held}; faults {seen.faults}", file=sys.stderr, flush=True)
        if wire.ended():
            last.faults.append(f"the server ended after {done}")
    finally:
        said = await wire.close()
        left = [line for line in said.splitlines() if "Traceback" in line or "Fatal" in line or 'File "/' in line]
        last.faults += [f"standard error: {line}" for line in left[:20]]
        if left:
            Path(os.environ.get("FUZZ_LOG", os.devnull)).write_text(said)
        if last.faults:
            add(state, Row(name, life, 0, 0, {}, last.faults, []))


async def _round(
    wire: Wire, era: str, count: int, dice: random.Random, pools: Mapping[str, list[Any]], seen: Seen
) -> None:
    """So many messages, of which a few are always under way. At its end nothing is."""
    about: Mapping[str, Any] = ABOUT if era == "2026-07-28" else {}
    names = [tool.name for tool in TOOLS]
    weights = [RARE.get(name, 60) for name in names]
    free = asyncio.Semaphore(AT_ONCE)

    async def one(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            await free.acquire()
            kind = dice.randrange(10)
            if kind < 3:
                seen.kinds["malformed"] += 1
                group.create_task(one(wire.throw(malformed(dice, dice.randrange(10**9, 2**53), about))))
                continue
            if kind == 3:
                method, params = other(dice)
            else:
                method, name = "tools/call", dice.choices(names, weights)[0]
                params = {"name": name, "arguments": crossed(dice, pools[name])}
            group.create_task(one(_ask(wire, method, {**params, **about}, dice.random() < 0.02, seen)))
    seen.faults += [f"no answer to {line}" for line in await wire.unanswered()]


async def _ask(wire: Wire, method: str, params: Mapping[str, Any], cancel: bool, seen: Seen) -> None:
    what = f"{method} {json.dumps(params.get('name', params.get('uri', '')))}"
    try:
        answer = await wire.ask(method, params, cancel=cancel)
    except TimeoutError:
        if not wire.ended():
            seen.faults.append(f"{what}: no answer; {json.dumps(params)[:600]}")
        return
    if answer is None:
        seen.kinds["cancelled"] += 1
        return
    text = json.dumps(answer)
    error = cast("dict[str, Any]", answer.get("error") or {})
    result = cast("dict[str, Any]", answer.get("result") or {})
    body = cast("dict[str, Any]", result.get("structuredContent") or {})
    error = cast("dict[str, Any]", body.get("error") or error) if result.get("isError") else error
    code = str(error.get("code", ""))
    seen.kinds[code or "answered"] += 1
    wrong = "" if method != "tools/call" or not result else _unfitting(str(params["name"]), result)
    if code in ("internal", "-32603") or "Traceback (most" in text or "Error executing tool" in text or wrong:
        seen.faults.append(f"{what}: {wrong} {text[:300]} for {json.dumps(params)[:600]}")


def _unfitting(name: str, result: Mapping[str, Any]) -> str:
    """What a client that checks results would say of this one."""
    if result.get("resultType") == "input_required":
        return ""
    error = next(_validator(name).iter_errors(result.get("structuredContent")), None)
    return "" if error is None else f"does not fit its schema: {error.message[:200]}"


@cache
def _validator(name: str) -> Any:
    schema = next(tool.output_schema() or {} for tool in TOOLS if tool.name == name)
    return jsonschema.Draft202012Validator(schema)


def main() -> int:
    """1 when something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", nargs="?", type=int, default=100_000)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("wires", nargs="*", default=[], metavar="WIRE")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--sum", nargs="+", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        state = given.state or Path(name, "state")
        if not given.sum:
            wires = tuple(wire for wire in WIRES if not given.wires or wire in given.wires or wire[:-11] in given.wires)
            asyncio.run(fuzz(given.calls, given.seed, wires, state))
        rows = read(given.sum or [state])
    print("\n".join(report(rows)))
    return 1 if faults(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
