"""`python -m benchmarks.soak SECONDS [postgresql|clickhouse]`: calls without end while the database restarts.

Every 20 seconds the local server is ended and started again on its port. Every answer is compared with what it has to
be; an error may only say that the server was away. At the end come the wrong answers, the connections that are left in
the server, and the memory and descriptors of this process, in which the tools run.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp.client import Client

from benchmarks.local import restarted
from mcp_backend.engines import embedded
from mcp_backend.server import Options, build
from mcp_backend.settings import Workspace, workspace

RESTART_SECONDS = 20.0
WORKERS = 4
AWAY = ("unavailable", "deadline_exceeded")
SLOW = {
    "postgresql": "select count(*) from generate_series(1, 3000) a, generate_series(1, 3000) b",
    "clickhouse": "select count() from numbers(400000000) where sipHash64(number) = 1",
}
ECHO = {
    "postgresql": "select $1::bigint + g, $2::text from generate_series(1, 50) g",
    "clickhouse": "select {a:Int64} + number + 1, {b:String} from numbers(50)",
}
HELD = {
    "postgresql": "select count(*) from pg_stat_activity where application_name = 'mcp-backend'",
    "clickhouse": "select count() from system.processes",
}


@dataclass(slots=True)
class Seen:
    """What happened."""

    right: int = 0
    away: int = 0
    cancelled: int = 0
    restarts: int = 0
    back: list[float] = field(default_factory=list[float])
    """Seconds from the start of the server to the next right answer."""
    wrong: list[str] = field(default_factory=list[str])
    memory: list[int] = field(default_factory=list[int])
    descriptors: list[int] = field(default_factory=list[int])
    started_at: float = 0.0


async def soak(kind: str, seconds: float) -> list[str]:
    """The lines of the report."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root, server = Path(name, "work"), Path(name, "server")
        root.mkdir()
        server.mkdir()
        place = workspace(server)
        lease = await embedded.lease(kind, place)
        (root / "mcp-backend.toml").write_text(
            f'[engines.main]\nkind = "{kind}"\nurl = "{lease.url}"\nenvironment = "development"\n'
        )
        seen = Seen(started_at=time.monotonic())
        try:
            async with Client(build(Options(root))) as client, asyncio.TaskGroup() as group:
                ends = time.monotonic() + seconds
                for number in range(WORKERS):
                    group.create_task(_work(client, kind, random.Random(number), seen, ends))
                while time.monotonic() < ends:
                    await asyncio.sleep(min(RESTART_SECONDS, max(0.0, ends - time.monotonic())))
                    seen.memory.append(_resident())
                    seen.descriptors.append(len(os.listdir("/proc/self/fd")))
                    if time.monotonic() < ends - 5:
                        lease = await _restarted(kind, place, lease, seen)
            left = await _held(kind, root)
        finally:
            lease.close()
            await embedded.stop(kind, place, force=True)
    return _report(kind, seconds, seen, left)


async def _restarted(kind: str, place: Workspace, lease: embedded.Lease, seen: Seen) -> embedded.Lease:
    fresh = await restarted(kind, place, lease)
    seen.restarts += 1
    seen.started_at = time.monotonic()
    return fresh


async def _work(client: Client, kind: str, dice: random.Random, seen: Seen, ends: float) -> None:
    kinds: tuple[Callable[[], Awaitable[str]], ...] = (
        lambda: _echo(client, kind, dice), lambda: _echo(client, kind, dice), lambda: _schema(client),
        lambda: _cancelled(client, kind, dice, seen),
    )  # fmt: skip
    while time.monotonic() < ends:
        began = time.monotonic()
        said = await dice.choice(kinds)()
        if said in AWAY:
            seen.away += 1
            await asyncio.sleep(0.1)
        elif said:
            seen.wrong.append(said)
        else:
            seen.right += 1
            if len(seen.back) < seen.restarts and began >= seen.started_at:
                seen.back.append(time.monotonic() - seen.started_at)


async def _called(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """What the server said when it was away or wrong, and the answer."""
    answer = await client.call_tool(tool, arguments)
    body = cast("dict[str, Any]", answer.structured_content)
    if not answer.is_error:
        return "", body
    code = str(body["error"]["code"])
    return (code if code in AWAY else f"{tool} {arguments}: {body['error']}"), {}


async def _echo(client: Client, kind: str, dice: random.Random) -> str:
    number, word = dice.randrange(10**9), "".join(dice.choices("abcäöü'\"\\ ", k=12))
    said, body = await _called(client, "db_query", sql=ECHO[kind], parameters=[number, word])
    if said or body["rows"] == [[number + n, word] for n in range(1, 51)]:
        return said
    return f"{number} {word!r}: {body['rows'][:2]}"


async def _schema(client: Client) -> str:
    said, body = await _called(client, "db_schema")
    return said or ("" if body["tables"] == [] else f"tables out of nowhere: {body['tables'][:2]}")


async def _cancelled(client: Client, kind: str, dice: random.Random, seen: Seen) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(dice.random() / 5):
            await client.call_tool("db_query", {"sql": SLOW[kind], "timeout_seconds": 5})
    seen.cancelled += 1
    return await _echo(client, kind, dice)


async def _held(kind: str, root: Path) -> int:
    """How many connections, or statements, the server has besides the one that asks."""
    left = -1
    async with Client(build(Options(root))) as client:
        for _ in range(100):
            said, body = await _called(client, "db_query", sql=HELD[kind])
            left = -1 if said else cast("int", body["rows"][0][0]) - 1
            if left == 0:
                break
            await asyncio.sleep(0.1)
    return left


def _resident() -> int:
    """Memory of this process in kB."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0])


def _report(kind: str, seconds: float, seen: Seen, left: int) -> list[str]:
    settled = seen.memory[len(seen.memory) // 5 :] or [0]
    back = f"{max(seen.back):.1f} s at most" if seen.back else "never seen"
    return [
        f"soak of {kind}: {seconds:.0f} s, {seen.restarts} restarts",
        f"  right {seen.right:,}, away {seen.away:,}, cancelled {seen.cancelled:,}, wrong {len(seen.wrong)}",
        f"  first right answer after a restart: {back}",
        f"  connections left: {left}",
        f"  memory MB: {' '.join(f'{kb / 1024:.0f}' for kb in settled)}; descriptors: {seen.descriptors}",
        *(f"  WRONG {text[:300]}" for text in seen.wrong[:10]),
    ]


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    which = sys.argv[2] if len(sys.argv) > 2 else "postgresql"
    print("\n".join(asyncio.run(soak(which, length))))
