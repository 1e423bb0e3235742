"""A call of publish_message with 1,000 messages against the client's own acknowledged publishing of the same, in turn.

`python -m benchmarks.publish_batch [ROUNDS]`. The client publishes as its makers show it for many messages: nats-py
with 256 publishes under way, each awaiting its acknowledgement; redis-py with XADD in one pipeline. `through tool` has
all of the call (validation, guards, audit, the result as JSON), `sending` the engine's part alone.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from mcp.client import Client

from mcp_backend.server import Options, build
from tests import natsd, redisd

COUNT = 1_000
ROUNDS = 7
IN_FLIGHT = 256
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["id", "text"],
    "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
}  # fmt: skip
WHY = "messages of a measurement, read by the measurement alone"
Publish = Callable[[int], Awaitable[None]]


def _payload(number: int) -> dict[str, Any]:
    return {"id": number, "text": "x" * 160}


async def _own_nats(url: str) -> tuple[Publish, Callable[[], Awaitable[None]]]:
    import nats

    client = await cast("Any", nats).connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="BATCH", subjects=["batch.>"])

    async def publish(round_: int) -> None:
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int) -> None:
            async with room:
                body = json.dumps(_payload(number)).encode()
                await stream.publish("batch.a", body, headers={"Nats-Msg-Id": f"own-{round_}-{number}"})

        await asyncio.gather(*(one(number) for number in range(COUNT)))

    return publish, client.close


async def _own_redis(url: str) -> tuple[Publish, Callable[[], Awaitable[None]]]:
    import redis.asyncio as redis_py

    client: Any = redis_py.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    await client.xadd("batch.a", {"payload": "{}"})

    async def publish(round_: int) -> None:
        pipe = client.pipeline(transaction=False)
        for number in range(COUNT):
            fields = {"payload": json.dumps(_payload(number)), "message_id": f"own-{round_}-{number}"}
            pipe.xadd("batch.a", fields)
        await pipe.execute()

    return publish, client.aclose


async def measure(rounds: int = ROUNDS) -> list[str]:
    """Messages a second of both sides and their ratio: the median of the rounds, and the best."""
    lines = [f"batch of {COUNT:,} messages (ratio to the client's own acknowledged publishing)"]
    for kind, contract in (("nats", False), ("nats", True), ("redis", False), ("redis", True)):
        with tempfile.TemporaryDirectory() as name:
            os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
            server = natsd.Natsd(Path(name, "s")) if kind == "nats" else redisd.Redisd(Path(name, "s"))
            server.start()
            root = Path(name, "work")
            (root / "schemas" / "batch").mkdir(parents=True)
            if contract:
                (root / "schemas" / "batch" / "a.schema.json").write_text(json.dumps(SCHEMA))
            where = f'[engines.{kind}]\nurl = "{server.url}"\nenvironment = "development"\n'
            (root / "mcp-backend.toml").write_text(where)
            try:
                sent = list[float]()
                with _listening(kind, sent):
                    lines.append(await _one(kind, server.url, root, rounds, contract, sent))
            finally:
                server.stop()
    return lines


async def _one(kind: str, url: str, root: Path, rounds: int, contract: bool, sent: list[float]) -> str:
    own, close = await (_own_nats(url) if kind == "nats" else _own_redis(url))
    took: tuple[list[float], list[float]] = ([], [])
    async with Client(build(Options(root))) as client:
        for number in range(-2, rounds):
            messages = [{"payload": _payload(n), "message_id": f"tool-{number}-{n}"} for n in range(COUNT)]
            began = time.perf_counter()
            await own(number)
            between = time.perf_counter()
            arguments: dict[str, Any] = {"destination": "batch.a", "messages": messages}
            told = await client.call_tool("publish_message", arguments | ({} if contract else {"justification": WHY}))
            ended = time.perf_counter()
            body: dict[str, Any] = told.structured_content or {}
            results: list[dict[str, Any]] = body.get("results", [])
            assert len(results) == COUNT, body
            assert all(r["stored"] == "yes" for r in results)
            if number >= 0:
                took[0].append(between - began)
                took[1].append(ended - between)
    await close()
    mine, theirs = statistics.median(took[1]), statistics.median(took[0])
    engine = statistics.median(sent[-rounds:])
    what = f"{kind:5} {'with' if contract else 'no'} contract"
    return (
        f"  {what:20} client {COUNT / theirs:7,.0f}/s  through tool {COUNT / mine:7,.0f}/s  ratio {theirs / mine:.2f} "
        f"(best {min(took[0]) / min(took[1]):.2f})  sending {COUNT / engine:7,.0f}/s  ratio {theirs / engine:.2f}"
    )


@contextmanager
def _listening(kind: str, sent: list[float]) -> Generator[None]:
    """Measures the part of the engine: from the first message to the last outcome."""
    if kind == "nats":
        from mcp_backend.engines.nats_publisher import NatsPublisher as Publisher
    else:
        from mcp_backend.engines.redis_publisher import RedisPublisher as Publisher
    of: Any = Publisher
    original = of.send

    async def send(self: Any, messages: Any) -> Any:
        began = time.perf_counter()
        outcomes = await original(self, messages)
        sent.append(time.perf_counter() - began)
        return outcomes

    of.send = send
    try:
        yield
    finally:
        of.send = original


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))))
