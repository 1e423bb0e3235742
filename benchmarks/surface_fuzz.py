"""`python -m benchmarks.surface_fuzz [CALLS] [SEED] [stdio|http]`: what nobody would send, to all there is.

A quarter of the calls goes to each of four servers, started as a host starts them: stdio and HTTP, in both eras. The
workspace has a database, a broker, specifications, tests and frontend files. Of ten messages three are malformed
JSON-RPC, one is a resource, prompt or completion, six are tools called with arguments drawn from their own schemas by
hypothesis. Every question must be answered; no answer and no line of standard error may hold a traceback, and no answer
may be `internal`. After each round, with nothing under way, the server's memory, descriptors, threads, children, files
in its temporary folder and database connections are counted.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg

from benchmarks.surface_inputs import calls, crossed, drawn, malformed, other
from benchmarks.surface_wires import ABOUT, HttpWire, StdioWire, Wire
from mcp_backend.engines import embedded
from mcp_backend.settings import workspace
from mcp_backend.tools import TOOLS

ROUND = 500
RARE: Mapping[str, int] = {"run_tests": 1, "rehearse_migration": 2, "run_migration": 2, "run_command": 3, "git_push": 3,
                           "git_rebase": 3, "check_contract": 3, "call_api": 4, "git_commit": 4}  # fmt: skip
"""Tools that start programs or databases are drawn less often than the others (60)."""
TREE = {
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
    """What came of one server."""

    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    samples: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    seconds: float = 0.0


async def fuzz(count: int, number: int = 1, wires: tuple[str, ...] = ("stdio", "http")) -> list[str]:
    """The lines of the report; those of what is wrong begin with WRONG."""
    lines: list[str] = []
    pools = {tool.name: drawn(calls(tool.input_schema()), min(40, 1 + count // 100), number) for tool in TOOLS}
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(Path(name))
        leases = [await embedded.lease(kind, place) for kind in ("postgresql", "nats")]
        try:
            for wire in wires:
                for era in ("2025-11-25", "2026-07-28"):
                    root = Path(name, f"{wire}-{era}")
                    plant(root, leases[0].url, leases[1].url)
                    seen = await _served(wire, era, root, count // (2 * len(wires)), number, leases[0].url, pools)
                    lines += report(f"{wire} {era}", seen)
                    print("\n".join(report(f"{wire} {era}", seen)), file=sys.stderr, flush=True)
        finally:
            for lease, kind in zip(leases, ("postgresql", "nats"), strict=True):
                lease.close()
                await embedded.stop(kind, place, force=True)
    return lines


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


async def _served(
    kind: str, era: str, root: Path, count: int, number: int, database: str, pools: Mapping[str, list[Any]]
) -> Seen:
    seen, dice = Seen(), random.Random(number)
    temporary = root.parent / f"tmp-{root.name}"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONFAULTHANDLER": "1"}
    wire: Wire = await (StdioWire if kind == "stdio" else HttpWire).open(root, era, environment)
    began = time.monotonic()
    try:
        while seen.sent < count and not wire.ended():
            await _round(wire, era, min(ROUND, count - seen.sent), dice, pools, seen)
            _git(root, "rebase", "--abort")
            _git(root, "clean", "-fdq")
            _git(root, "checkout", "-q", "-f", "main")
            with psycopg.connect(database, autocommit=True) as connection:
                row = connection.execute(
                    "select count(*) from pg_stat_activity where application_name like 'mcp-backend%'"
                ).fetchone()
            seen.samples.append((*wire.held(), sum(len(f) for _, _, f in os.walk(temporary)), row[0] if row else -1))
            print(f"{root.name} {seen.sent:,}: {seen.samples[-1]}; faults {seen.faults}", file=sys.stderr, flush=True)
        if wire.ended():
            seen.faults.append(f"the server ended after {seen.sent}")
    finally:
        said = await wire.close()
        left = [line for line in said.splitlines() if "Traceback" in line or "Fatal" in line or 'File "/' in line]
        seen.faults += [f"standard error: {line}" for line in left[:20]]
        if left:
            Path(os.environ.get("FUZZ_LOG", os.devnull)).write_text(said)
    seen.seconds = time.monotonic() - began
    return seen


async def _round(
    wire: Wire, era: str, count: int, dice: random.Random, pools: Mapping[str, list[Any]], seen: Seen
) -> None:
    about: Mapping[str, Any] = ABOUT if era == "2026-07-28" else {}
    names = [tool.name for tool in TOOLS]
    weights = [RARE.get(name, 60) for name in names]
    asked: list[asyncio.Task[None]] = []
    for _ in range(count):
        seen.sent += 1
        kind = dice.randrange(10)
        if kind < 3:
            seen.kinds["malformed"] += 1
            await wire.throw(malformed(dice, 10**9 + seen.sent, about))
            continue
        if kind == 3:
            method, params = other(dice)
        else:
            method, name = "tools/call", dice.choices(names, weights)[0]
            params = {"name": name, "arguments": crossed(dice, pools[name])}
        cancel = dice.random() < 0.02
        asked.append(asyncio.create_task(_ask(wire, method, {**params, **about}, cancel, seen)))
        if len(asked) >= 8:
            await asyncio.gather(*asked)
            asked.clear()
    await asyncio.gather(*asked)


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
    if code in ("internal", "-32603") or "Traceback (most" in text or "Error executing tool" in text:
        seen.faults.append(f"{what}: {text[:300]} for {json.dumps(params)[:600]}")


def report(name: str, seen: Seen) -> list[str]:
    """What was sent and what came back; the counts at a quarter, a half and the end of the way."""
    lines = [f"{name}: {seen.sent:,} in {seen.seconds:.0f} s: {dict(seen.kinds.most_common())}"]
    titles = ("memory kB", "descriptors", "threads", "children", "temporary files", "database connections")
    rows = seen.samples
    for index, title in enumerate(titles):
        values = [row[index] for row in rows]
        if values:
            quarters = [values[min(len(values) * part // 4, len(values) - 1)] for part in (1, 2, 3, 4)]
            lines.append(f"  {title}: first {values[0]}, then {', '.join(map(str, quarters))}; most {max(values)}")
    distinct = Counter(fault[:160] for fault in seen.faults)
    shown = {fault[:160]: fault for fault in seen.faults}
    return [*lines, *(f"  WRONG ({times}x) {shown[fault]}" for fault, times in distinct.most_common(40))]


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print("\n".join(asyncio.run(fuzz(total, chosen, tuple(sys.argv[3:]) or ("stdio", "http")))))
