"""What publish_message says while a server is killed, frozen or cut off, against what is there afterwards.

`python -m benchmarks.faults [N]` publishes N messages (default 10,000) for each fault and system, and repeats what was
not said to be stored. A wrong "stored" or a wrong "not stored" must never be: the command fails then. `make bench` runs
a sample.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from mcp.client import Client

from mcp_backend.server import Options, build
from tests import natsd, redisd

BATCH = 250
SAMPLE = 1_000
FAULTS = ("kill -9", "freeze", "answers cut")
PATIENCE_SECONDS = 20.0
WHY = "messages of a measurement, read by the measurement alone"


class Server(Protocol):
    """What a fault needs of a server."""

    port: int

    @property
    def url(self) -> str: ...
    def start(self) -> Any: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@dataclass(slots=True)
class Tally:
    """What was said first, and what proved wrong."""

    said: Counter[str] = field(default_factory=Counter[str])
    wrong_stored: int = 0
    wrong_not_stored: int = 0
    duplicates: int = 0
    lost: int = 0


async def stored_nats(server: Server) -> Counter[str]:
    """How often each id is in the stream, read past the tool."""
    from nats.aio.client import Client as Nats
    from nats.js import JetStreamContext
    from nats.js.api import AckPolicy, ConsumerConfig

    client, found = Nats(), Counter[str]()
    await client.connect(server.url, allow_reconnect=False)
    try:
        stream = JetStreamContext(client)
        left = (await stream.stream_info("FAULTS")).state.messages
        reader = await stream.pull_subscribe(
            "faults.>", stream="FAULTS", config=ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=5)
        )
        while left > 0:
            some = await reader.fetch(min(left, 500), timeout=5)
            found.update((m.headers or {})["Nats-Msg-Id"] for m in some)
            left -= len(some)
    finally:
        await client.close()
    return found


async def stored_redis(server: Server) -> Counter[str]:
    """The same for a stream of Redis."""
    import redis.asyncio as redis_py

    client: Any = redis_py.Redis.from_url(server.url, decode_responses=True, socket_timeout=60)  # pyright: ignore[reportUnknownMemberType]
    found, first = Counter[str](), "-"
    try:
        while page := await client.xrange("faults.a", first, "+", count=500):
            found.update(fields["message_id"] for _, fields in page if "message_id" in fields)
            first = f"({page[-1][0]}"
    finally:
        await client.aclose()
    return found


async def _make(client: Client, kind: str) -> None:
    change = {"kind": "stream", "name": "FAULTS", "config": {"subjects": ["faults.>"]}}
    if kind == "redis":
        change = {"kind": "stream", "name": "faults.a"}
    made = (await client.call_tool("configure_messaging", {"changes": [change], "apply": True})).structured_content
    assert made, "a result"
    assert made["changes"][0]["verified"], made


async def _publish(client: Client, ids: list[str]) -> dict[str, str]:
    messages = [{"payload": {"id": identifier}, "message_id": identifier} for identifier in ids]
    arguments: dict[str, Any] = {"destination": "faults.a", "messages": messages, "justification": WHY}
    told: dict[str, Any] = (await client.call_tool("publish_message", arguments)).structured_content or {}
    error = cast("dict[str, Any]", told.get("error") or {})
    details = cast("dict[str, Any]", error.get("details") or {})
    results = cast("list[dict[str, Any]]", told.get("results") or details.get("results") or [])
    said = {str(result["message_id"]): str(result["stored"]) for result in results}
    # Of a large batch that failed as a whole only some are shown: the rest was told by the kind of error alone.
    unsaid = "no" if error and not results else "unknown"
    return {identifier: said.get(identifier, unsaid) for identifier in ids}


async def one(kind: str, fault: str, count: int) -> Tally:
    """One fault on one system, three times while the messages go out."""
    tally = Tally()
    stored: Callable[[Server], Any] = stored_nats if kind == "nats" else stored_redis
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        server: Server = natsd.Natsd(Path(name, "s")) if kind == "nats" else redisd.Redisd(Path(name, "s"))
        server.start()
        root = Path(name, "work")
        root.mkdir()
        scheme = "nats" if kind == "nats" else "redis"
        try:
            async with natsd.Proxy(server.port) as proxy:
                url = f"{scheme}://127.0.0.1:{proxy.port}" if fault == "answers cut" else server.url
                (root / "mcp-backend.toml").write_text(
                    f'[engines.{kind}]\nurl = "{url}"\nenvironment = "development"\n'
                )
                async with Client(build(Options(root))) as client:
                    await _make(client, kind)
                    batches = [[f"m{n}" for n in range(s, min(s + BATCH, count))] for s in range(0, count, BATCH)]
                    hit = {len(batches) * part // 4 for part in (1, 2, 3)}
                    for number, ids in enumerate(batches):
                        harm = asyncio.create_task(_harm(server, proxy, fault)) if number in hit else None
                        said = await _publish(client, ids)
                        if harm:
                            await harm
                        tally.said.update(said.values())
                        if set(said.values()) != {"yes"}:
                            there = await stored(server)
                            tally.wrong_stored += sum(s == "yes" and not there[i] for i, s in said.items())
                            tally.wrong_not_stored += sum(s == "no" and bool(there[i]) for i, s in said.items())
                            await _again(client, [i for i, s in said.items() if s != "yes"])
            there = await stored(server)
            tally.duplicates = sum(n - 1 for n in there.values() if n > 1)
            tally.lost = sum(not there[f"m{n}"] for n in range(count))
        finally:
            server.stop()
    return tally


async def _again(client: Client, ids: list[str]) -> None:
    """Repeats until everything is stored."""
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_SECONDS
    while ids and clock() < until:
        said = await _publish(client, ids)
        ids = [identifier for identifier, stored in said.items() if stored != "yes"]


async def _harm(server: Server, proxy: natsd.Proxy, fault: str) -> None:
    if fault == "kill -9":
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    elif fault == "freeze":
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(2.5)
        server.thaw()
    else:
        await asyncio.sleep(0.05)
        proxy.cutting = True
        await asyncio.sleep(0.5)
        proxy.cutting = False


async def measure(count: int = SAMPLE) -> list[str]:
    """One line for each system and fault; raises when a statement was wrong."""
    lines, wrong = [f"faults: {count:,} messages each, three faults during them"], 0
    for kind in ("nats", "redis"):
        for fault in FAULTS:
            tally = await one(kind, fault, count)
            wrong += tally.wrong_stored + tally.wrong_not_stored + tally.lost
            lines.append(
                f"  {kind:5} {fault:11}  said {json.dumps(dict(sorted(tally.said.items())))}  wrong stored "
                f"{tally.wrong_stored}, wrong not stored {tally.wrong_not_stored}, lost {tally.lost}, duplicates "
                f"{tally.duplicates}"
            )
    if wrong:
        raise SystemExit("\n".join([*lines, "a statement was wrong"]))
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))))
