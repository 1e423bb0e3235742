"""`python -m benchmarks.first_answer [ROUNDS]`: a started server's first answer, ours beside a bare one of the SDK.

Both answer `db_query("select 1")` over stdio from the same database; the bare one is the SDK and psycopg's pool and
nothing else. Rounds take turns, and one before them is not counted. Seconds are those from the start of the process.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.host import resident
from mcp_backend.engines import embedded
from mcp_backend.settings import workspace

BARE = Path(__file__).with_name("bare.py")
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "first", "version": "1"}}
ASK = {"name": "db_query", "arguments": {"sql": "select 1"}}


def answered(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds until the tools are listed, seconds until the first answer, and MB resident after 21 answers."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(number: int, method: str, params: dict[str, Any]) -> None:
            said = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            stdin.write(json.dumps(said).encode() + b"\n")
            stdin.flush()
            for line in stdout:
                answer = json.loads(line)
                if answer.get("id") == number:
                    if "error" in answer or answer["result"].get("isError"):
                        raise SystemExit(f"{method}: {line[:500]!r}")
                    return
            raise SystemExit(f"{method}: the server ended")

        ask(1, "initialize", HELLO)
        stdin.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        ask(2, "tools/list", {})
        listed = time.perf_counter() - began
        ask(3, "tools/call", ASK)
        first = time.perf_counter() - began
        for number in range(4, 24):
            ask(number, "tools/call", ASK)
        memory = resident(process.pid)
        stdin.close()
        process.wait(30)
    return listed, first, memory


async def measure(rounds: int = 5) -> list[str]:
    """The lines of the report."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place, root = workspace(Path(name)), Path(name, "repository")
        root.mkdir()
        lease = await embedded.lease("postgresql", place)
        try:
            (root / "mcp-backend.toml").write_text(
                f'[engines.main]\nkind = "postgresql"\nurl = "{lease.url}"\nenvironment = "development"\n'
            )
            environment = {**os.environ, "DSN": lease.url}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            commands = {
                "bare": [sys.executable, "-I", str(BARE)],
                "ours": [sys.executable, "-m", "mcp_backend", "serve", "--workspace", str(root)],
            }
            seen: dict[str, list[tuple[float, float, float]]] = {"bare": [], "ours": []}
            for number in range(rounds + 1):
                for who, command in commands.items():
                    found = await asyncio.to_thread(answered, command, environment)
                    if number:
                        seen[who].append(found)
        finally:
            lease.close()
            await embedded.stop("postgresql", place, force=True)
    lines = [
        f"{who}: tools listed after {median(r[0] for r in rows):.2f} s (least {min(r[0] for r in rows):.2f}), first "
        f"answer after {median(r[1] for r in rows):.2f} s (least {min(r[1] for r in rows):.2f}), "
        f"{median(r[2] for r in rows):.0f} MB resident after 21 answers"
        for who, rows in seen.items()
    ]
    pairs = [ours[1] / bare[1] for ours, bare in zip(seen["ours"], seen["bare"], strict=True)]
    return [*lines, f"ours over bare, first answer: {median(pairs):.2f} (of {rounds} pairs: least {min(pairs):.2f}, "
            f"most {max(pairs):.2f})"]  # fmt: skip


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5))))
