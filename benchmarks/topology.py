"""message_topology of 2,000 streams or topics: the time of a call and the bytes of its answer (limits: 2 s, 8,000).

`python -m benchmarks.topology [N]`. NATS and Valkey are servers of their own, Kafka is librdkafka's mock cluster. The
first call connects and reads everything; `again` is the median of five more, and `search` looks for one name.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp.client import Client

from mcp_backend.server import Options, build
from tests import natsd, redisd

COUNT = 2_000


async def _fill_nats(url: str, count: int) -> None:
    from nats.aio.client import Client as Nats

    client, room = Nats(), asyncio.Semaphore(50)
    await client.connect(url)

    async def make(number: int) -> None:
        async with room:
            config = {"name": f"S{number}", "subjects": [f"s{number}.>"], "storage": "memory", "num_replicas": 1}
            await client.request(f"$JS.API.STREAM.CREATE.S{number}", json.dumps(config).encode(), timeout=60)
            if number % 4 == 0:
                consumer = {"durable_name": "c", "ack_policy": "explicit"}
                body = json.dumps({"stream_name": f"S{number}", "config": consumer}).encode()
                await client.request(f"$JS.API.CONSUMER.DURABLE.CREATE.S{number}.c", body, timeout=60)

    await asyncio.gather(*(make(number) for number in range(count)))
    await client.close()


async def _fill_redis(url: str, count: int) -> None:
    import redis.asyncio as redis_py

    client: Any = redis_py.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.xadd(f"s{number}", {"payload": "{}"})
        if number % 4 == 0:
            pipe.xgroup_create(f"s{number}", "c", "0")
    await pipe.execute()
    await client.aclose()


async def _fill_kafka(root: Path, count: int) -> Any:
    from mcp_backend.engines import embedded
    from mcp_backend.engines.kafka import Kafka
    from mcp_backend.policy import EngineSettings
    from mcp_backend.settings import workspace

    place = workspace(root)
    lease = await embedded.lease("kafka", place)
    engine = Kafka(EngineSettings("kafka", "kafka", "embedded:kafka", "development"), place)
    await engine.topics()
    for number in range(count):
        await engine.make_stand_in_topic(f"s{number}", 1)
    await engine.close()
    return lease


async def _one(kind: str, count: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root = Path(name, "work")
        root.mkdir()
        server, lease, url = None, None, "embedded:kafka"
        if kind != "kafka":
            made = natsd.Natsd if kind == "nats" else redisd.Redisd
            server = made(Path(name, "s"))
            server.start()
            url = server.url
            await (_fill_nats if kind == "nats" else _fill_redis)(url, count)
        (root / "mcp-backend.toml").write_text(f'[engines.{kind}]\nurl = "{url}"\nenvironment = "development"\n')
        try:
            if kind == "kafka":
                lease = await _fill_kafka(root, count)
            async with Client(build(Options(root))) as client:
                took: list[tuple[float, float]] = []
                size = 0
                for asked in ({}, {}, {}, {}, {}, {}, {"search": f"s{count - 1}"}):
                    began, used = time.perf_counter(), time.process_time()
                    told = await client.call_tool("message_topology", asked)
                    took.append((time.perf_counter() - began, time.process_time() - used))
                    assert not told.is_error, told.structured_content
                    size = max(size, len(json.dumps(told.structured_content, separators=(",", ":")).encode()))
        finally:
            if server:
                server.stop()
            if lease:
                from mcp_backend.engines import embedded
                from mcp_backend.settings import workspace

                lease.close()
                await embedded.stop("kafka", workspace(root), force=True)
    again = [statistics.median(one[part] for one in took[1:6]) for part in (0, 1)]
    return (
        f"  {kind:5} first {took[0][0]:.2f} s (processor {took[0][1]:.2f})  again {again[0]:.2f} s ({again[1]:.2f})  "
        f"search {took[6][0]:.2f} s ({took[6][1]:.2f})  {size:,} bytes at most"
    )


async def measure(count: int = COUNT) -> list[str]:
    """One line for each system."""
    lines = [f"message_topology of {count:,} streams or topics"]
    return lines + [await _one(kind, count) for kind in ("nats", "redis", "kafka")]


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))))
