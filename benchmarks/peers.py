"""What a host sees of this server and of others in one run: start, lists, memory, and the same questions to all.

`python -m benchmarks peers` installs the others first (`peer_install`); `peer_list` has their names and questions.
Everybody is asked over stdio in the handshake of 2025-06-18 by the same lines of code (`host`), in rounds in which all
take turns. Times, sizes and memory are all that is measured: what others refuse or let pass is theirs to publish.
"""

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.host import Host, Refused, spawned
from benchmarks.peer_install import install
from benchmarks.peer_list import LEFT_OUT, PEERS, PROGRAMS, QUESTIONS, Call, Peer
from benchmarks.results import Report
from benchmarks.schema import fill
from benchmarks.stage import stage

STARTS, CALLS, WARM, LEAST = 3, 50, 3, 10
SIZES = (20, 5000)
BUDGET = 20.0
"""Seconds for the answers of one server to one question: beyond, it is asked fewer than `CALLS` times."""
Ask = Callable[[], Awaitable[int]]


async def measure() -> Report:
    """All servers that could be installed, all questions."""
    versions, missing = await install()
    async with stage() as names:
        peers = [peer for peer in PEERS if peer.name in versions]
        fill(names["url"], 0, SIZES[0])
        servers = {peer.name: {"version": versions[peer.name], "note": peer.note} for peer in peers}
        for name, found in (await _starts(peers, names)).items():
            if isinstance(found, str):
                missing[name] = found
            else:
                servers[name] |= found
        async with AsyncExitStack() as stack:
            hosts = {
                peer: await stack.enter_async_context(_spawned(peer, names))
                for peer in peers if peer.name not in missing
            }  # fmt: skip
            for peer, host in [*hosts.items()]:
                try:
                    await host.begin()
                except (Refused, TimeoutError):
                    missing[peer.name] = "did not start a second time here"
                    del hosts[peer]
            plain = [name for name in QUESTIONS if name not in ("tables", "table")]
            questions = {name: await _asked(name, hosts, names) for name in plain}
            for before, size in zip((SIZES[0], *SIZES), SIZES, strict=False):
                fill(names["url"], before, size)
                for name in ("tables", "table"):
                    questions[f"{name} {size}"] = await _asked(name, hosts, names)
    data = {
        "servers": {name: about for name, about in servers.items() if name not in missing},
        "questions": {name: rows for name, rows in questions.items() if rows},
        "left_out": {**missing, **dict(LEFT_OUT)},
    }
    return Report(_lines(data), data)


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with every `{name}` in its strings replaced."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: filled(one, names) for key, one in value.items()}  # type: ignore[misc]
    if isinstance(value, list):
        return [filled(one, names) for one in value]  # type: ignore[misc]
    return tuple(filled(one, names) for one in value) if isinstance(value, tuple) else value  # type: ignore[misc]


def _spawned(peer: Peer, names: Mapping[str, str]) -> Any:
    return spawned(filled(peer.command, names), filled(peer.environment, names), names["work"])


async def _starts(peers: list[Peer], names: Mapping[str, str]) -> dict[str, dict[str, Any] | str]:
    """From spawn to the list of tools and to the first answer, the list's size, memory after that answer; or why not.
    The first round is not counted: it compiles and fills caches."""
    seen: dict[str, list[tuple[float, float, float]]] = {peer.name: [] for peer in peers}
    found: dict[str, dict[str, Any] | str] = {}
    for number in range(STARTS + 1):
        print(f"{time.strftime('%X')} start {number}", file=sys.stderr, flush=True)
        for peer in peers:
            if isinstance(found.get(peer.name), str):
                continue
            calls: tuple[Call, ...] = filled(next(iter(peer.asks.values())), names)
            try:
                began = time.perf_counter()
                async with _spawned(peer, names) as host:
                    tools, size = await host.begin()
                    listed = time.perf_counter() - began
                    await host.ask(calls)
                    first, memory = time.perf_counter() - began, host.memory()
            except (Refused, TimeoutError, OSError) as error:
                print(f"{peer.name}: {error}", file=sys.stderr)
                found[peer.name] = "did not start or answer here"
                continue
            found[peer.name] = {"tools": tools, "list_bytes": size}
            seen[peer.name] += [(listed, first, memory)] if number else []
    for name, about in found.items():
        if not isinstance(about, str):
            for key, values in zip(("start_s", "first_s", "memory_mb"), zip(*seen[name], strict=True), strict=True):
                about[key] = round(statistics.median(values), 3)
    return found


async def _asked(question: str, hosts: Mapping[Peer, Host], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The answers of all who can answer, in rounds: p50 and p95 in milliseconds, and the bytes of an answer."""
    print(f"{time.strftime('%X')} {question}", file=sys.stderr, flush=True)
    asks: dict[str, Ask] = {}
    for peer, host in hosts.items():
        if question in peer.asks:
            calls: tuple[Call, ...] = filled(peer.asks[question], names)
            asks[peer.name] = lambda host=host, calls=calls: host.ask(calls)
    if question in PROGRAMS:
        command = filled(PROGRAMS[question], names)
        asks[f"`{command[0].rpartition('/')[2]}` itself"] = lambda: _run(command, names["work"])
    return await _rounds(asks)


async def _run(command: tuple[str, ...], work: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=work, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    return len((await process.communicate())[0])


async def _rounds(asks: Mapping[str, Ask]) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in asks}
    sizes: dict[str, int] = {}
    lost: set[str] = set()
    for number in range(WARM + CALLS):
        for name, ask in asks.items():
            if name in lost or (len(times[name]) >= LEAST and sum(times[name]) > BUDGET * 1000):
                continue
            began = time.perf_counter()
            try:
                sizes[name] = await ask()
            except (Refused, TimeoutError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                lost.add(name)
                continue
            if number >= WARM:
                times[name].append((time.perf_counter() - began) * 1000)
    return {
        name: {"p50": round(statistics.median(taken), 2), "p95": round(sorted(taken)[int(len(taken) * 0.95)], 2),
               "bytes": sizes[name], "calls": len(taken)}
        for name, taken in times.items() if taken and name not in lost
    }  # fmt: skip


def _lines(data: Mapping[str, Any]) -> list[str]:
    lines = [f"{'server':32}{'start s':>9}{'first s':>9}{'tools':>7}{'list B':>9}{'MB':>6}"]
    lines += [
        f"{name:32}{one['start_s']:9.2f}{one['first_s']:9.2f}{one['tools']:7}{one['list_bytes']:9,}"
        f"{one['memory_mb']:6.0f}  {one['version']}"
        for name, one in data["servers"].items()
    ]
    for question, rows in data["questions"].items():
        name, _, size = question.partition(" ")
        lines.append(f"{QUESTIONS[name]}{f', of {size}' if size else ''}: p50, p95 ms, bytes")
        lines += [
            f"  {server:32}{row['p50']:9.2f}{row['p95']:9.2f}{row['bytes']:11,}"
            + (f"  ({row['calls']} calls)" if row["calls"] < CALLS else "")
            for server, row in rows.items()
        ]
    return [*lines, "not measured:", *(f"  {name}: {why}" for name, why in data["left_out"].items())]


if __name__ == "__main__":
    raise SystemExit("python -m benchmarks peers")
