"""What publish_message says while a system is harmed, against what is there afterwards.

`python -m benchmarks.faults [N] [SYSTEM …]` publishes N messages (default 10,000) for each fault and system, and
repeats what was not said to be stored. A wrong "stored" or a wrong "not stored" must never be: the command fails then.
`make bench` runs a sample. `lost` are messages that were said to be stored, truly so, and that the system lost
afterwards: a replica of Redis follows its master a moment later, and becomes the master without what it has not got.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp.client import Client

from benchmarks.fault_redis import RedisSystem
from benchmarks.fault_systems import SUBJECT, KafkaSystem, NatsSystem, small_disk
from mcp_backend.server import Options, build
from tests import natsd

BATCH = 250
SAMPLE = 1_000
HARMS = 6
"""How often the system is harmed while the messages go out."""
FAULTS = {
    "nats": ("kill -9", "freeze", "answers cut", "disk full", "denied", "leader lost"),
    "redis": ("kill -9", "freeze", "answers cut", "disk full", "denied", "leader lost"),
    "kafka": ("freeze", "client aborts"),
}
SYSTEMS = {"nats": NatsSystem, "redis": RedisSystem, "kafka": KafkaSystem}
PATIENCE_SECONDS = 60.0
WHY = "messages of a measurement, read by the measurement alone"
System = NatsSystem | RedisSystem | KafkaSystem


@dataclass(slots=True)
class Tally:
    """What was said first, and what proved wrong."""

    said: Counter[str] = field(default_factory=Counter[str])
    harms: int = 0
    wrong_stored: int = 0
    wrong_not_stored: int = 0
    duplicates: int = 0
    lost: int = 0


async def _make(client: Client, system: System) -> None:
    arguments: dict[str, Any] = {"changes": [system.change()], "apply": True}
    made = (await client.call_tool("configure_messaging", arguments)).structured_content
    assert made, "a result"
    assert "changes" in made, made
    assert made["changes"][0]["verified"], made


async def _publish(client: Client, ids: list[str]) -> dict[str, str]:
    messages = [{"payload": {"id": identifier}, "message_id": identifier} for identifier in ids]
    arguments: dict[str, Any] = {"destination": SUBJECT, "messages": messages, "justification": WHY}
    told: dict[str, Any] = (await client.call_tool("publish_message", arguments)).structured_content or {}
    error = cast("dict[str, Any]", told.get("error") or {})
    details = cast("dict[str, Any]", error.get("details") or {})
    results = cast("list[dict[str, Any]]", told.get("results") or details.get("results") or [])
    said = {str(result["message_id"]): str(result["stored"]) for result in results}
    # Of a large batch that failed as a whole only some are shown: the rest was told by the counts, or by the error.
    counts = cast("dict[str, Any]", details.get("counts") or {})
    unsaid = "no" if set(counts) == {"no"} or (error and not results) else "unknown"
    return {identifier: said.get(identifier, unsaid) for identifier in ids}


async def one(kind: str, fault: str, count: int) -> Tally | None:
    """One fault on one system, `HARMS` times while the messages go out; `None` where it cannot be made here."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root, disk = Path(name, "work"), Path(name, "s")
        root.mkdir()
        if fault == "disk full" and not small_disk(disk):
            return None
        disk.mkdir(exist_ok=True)
        system: System = SYSTEMS[kind](disk, fault)
        try:
            await system.start()
            async with natsd.Proxy(system.port) as proxy:
                url = f"{kind}://127.0.0.1:{proxy.port}" if fault == "answers cut" else system.url
                policy = f'[engines.{kind}]\nurl = "{url}"\nenvironment = "development"\n'
                (root / "mcp-backend.toml").write_text(policy)
                async with Client(build(Options(root))) as client:
                    await _make(client, system)
                    return await _through(client, system, proxy if fault == "answers cut" else None, count)
        finally:
            system.stop()
            if fault == "disk full":
                subprocess.run(["umount", "-l", str(disk)], check=False)


async def _through(client: Client, system: System, proxy: natsd.Proxy | None, count: int) -> Tally:
    tally, batches = Tally(), [[f"m{n}" for n in range(s, min(s + BATCH, count))] for s in range(0, count, BATCH)]
    hit = {len(batches) * part // (HARMS + 1) for part in range(1, HARMS + 1)}
    promised = set[str]()
    for number, ids in enumerate(batches):
        work = asyncio.create_task(_publish(client, ids))
        if number in hit:
            tally.harms += 1
            await asyncio.sleep(0.02 * (number % 9))
            await (_cut(proxy, work) if proxy else system.harm(work))
        said = await work
        tally.said.update(said.values())
        if set(said.values()) != {"yes"} or number in hit:
            there = await system.stored()
            kept = system.fault != "leader lost" or system.kind != "redis"
            tally.wrong_stored += sum(s == "yes" and not there[i] for i, s in said.items()) if kept else 0
            tally.wrong_not_stored += sum(s == "no" and bool(there[i]) for i, s in said.items())
            said |= await _again(client, [i for i, s in said.items() if s != "yes"])
        promised |= {i for i, s in said.items() if s == "yes"}
    there = await system.stored()
    tally.duplicates = sum(n - 1 for n in there.values() if n > 1)
    tally.lost = sum(not there[identifier] for identifier in promised)
    return tally


async def _again(client: Client, ids: list[str]) -> dict[str, str]:
    """Repeats until everything is stored."""
    clock = asyncio.get_running_loop().time
    until, said = clock() + PATIENCE_SECONDS, dict[str, str]()
    while ids and clock() < until:
        said |= await _publish(client, ids)
        ids = [identifier for identifier, stored in said.items() if stored != "yes"]
    return said


async def _cut(proxy: natsd.Proxy, during: "asyncio.Task[Any]") -> None:
    proxy.cutting = True
    await asyncio.wait([during], timeout=0.5)
    proxy.cutting = False


async def measure(count: int = SAMPLE, kinds: Sequence[str] = ("nats", "redis", "kafka")) -> list[str]:
    """One line for each system and fault; raises when a statement was wrong."""
    lines, wrong = [f"faults: {count:,} messages each, {HARMS} times harmed meanwhile"], 0
    for kind in kinds:
        for fault in FAULTS[kind]:
            began = time.monotonic()
            tally = await one(kind, fault, count)
            if tally is None:
                lines.append(f"  {kind:5} {fault:13}  not made: no file system may be mounted here")
                continue
            replica = kind == "redis" and fault == "leader lost"
            wrong += tally.wrong_stored + tally.wrong_not_stored + (0 if replica else tally.lost)
            lines.append(
                f"  {kind:5} {fault:13}  said {json.dumps(dict(sorted(tally.said.items())))}  wrong stored "
                f"{tally.wrong_stored}, wrong not stored {tally.wrong_not_stored}, lost {tally.lost}, duplicates "
                f"{tally.duplicates}; {tally.harms} harms, {time.monotonic() - began:.0f} s"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    if wrong:
        raise SystemExit("\n".join([*lines, "a statement was wrong"]))
    return lines


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print("\n".join(asyncio.run(measure(number, sys.argv[2:] or tuple(FAULTS)))))
