"""The systems that benchmarks/faults.py harms: servers of their own, each with what is stored in it read past the tool.

The harm of a fault lasts as long as a batch is published (`during`); when it returns, the system serves again.
"""

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from tests import natsd, redisd
from tests.daemon import free_port

SUBJECT = "faults.a"
ROOM_MB = 24
FROZEN_SECONDS = 2.5
DENIED = """
accounts {{ A {{ jetstream: enabled, users: [
  {{ user: reader, password: r }}
  {{ user: writer, password: w{permissions} }}
] }} }}
"""
_NOT_ALLOWED = ', permissions: { publish: { deny: "faults.>" } }'


class NatsSystem:
    """One nats-server, or three with the stream on all of them. Its files are on a small disk of their own where the
    fault is a full disk."""

    kind = "nats"

    def __init__(self, folder: Path, fault: str) -> None:
        self.fault, self._folder = fault, folder
        self._nodes = 3 if fault == "leader lost" else 1
        ports, routes = [free_port() for _ in range(self._nodes)], [free_port() for _ in range(self._nodes)]
        others = ", ".join(f"nats-route://127.0.0.1:{port}" for port in routes)
        self.servers: list[natsd.Natsd] = []
        for number, port in enumerate(ports):
            extra = ""
            if self._nodes > 1:
                extra = f"server_name: n{number}\n"
                extra += f"cluster {{ name: C, listen: 127.0.0.1:{routes[number]}, routes: [{others}] }}\n"
            if fault == "denied":
                extra = DENIED.format(permissions="")
            self.servers.append(natsd.Natsd(folder / f"n{number}", extra, port=port))
        self.port = ports[0]

    @property
    def url(self) -> str:
        who = "writer:w@" if self.fault == "denied" else ""
        return "nats://" + ",".join(f"{who}127.0.0.1:{server.port}" for server in self.servers)

    def change(self) -> dict[str, Any]:
        """The stream, as configure_messaging makes it."""
        config: dict[str, Any] = {"subjects": ["faults.>"]}
        return {"kind": "stream", "name": "FAULTS", "config": config | ({"num_replicas": 3} if self._nodes > 1 else {})}

    async def start(self) -> None:
        for server in self.servers:
            await asyncio.to_thread(server.start)
        if self._nodes > 1:
            await self._leader()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    async def _client(self) -> Any:
        from nats.aio.client import Client as Nats

        who = "reader:r@" if self.fault == "denied" else ""
        left = 20
        while True:
            client: Any = Nats()
            try:
                await client.connect([f"nats://{who}127.0.0.1:{s.port}" for s in self.servers], allow_reconnect=False)
                return client
            except OSError:
                left -= 1
                if not left:
                    raise
                await asyncio.sleep(0.2)

    async def _leader(self) -> natsd.Natsd:
        """The server that leads the stream, or the cluster while there is no stream yet."""
        while True:
            with suppress(Exception):  # while the cluster is electing
                client = await self._client()
                try:
                    told: dict[str, Any] = json.loads(
                        (await client.request("$JS.API.STREAM.INFO.FAULTS", b"", timeout=1)).data
                    )
                    cluster: dict[str, Any] = told.get("cluster") or {}
                    name = str(cluster.get("leader") or "")
                    if "error" in told:
                        await client.request("$JS.API.INFO", b"", timeout=1)
                        name = "n0" if told["error"]["code"] == 404 else ""
                finally:
                    await client.close()
                if name:
                    return self.servers[int(name[1:])]
            await asyncio.sleep(0.2)

    async def harm(self, during: "asyncio.Task[Any]") -> None:
        server = self.servers[0]
        if await struck(server, self.fault):
            return
        if self.fault == "leader lost":
            server = await self._leader()
            await asyncio.to_thread(server.kill)
            await asyncio.wait([during])
        elif self.fault == "disk full":
            fill(server.folder)
            await asyncio.wait([during])
            (server.folder / "filler").unlink()
            await asyncio.to_thread(server.stop)
        elif self.fault == "denied":
            self._allow(server, allowed=False)
            await asyncio.wait([during])
            self._allow(server, allowed=True)
        if not server.pid:
            await asyncio.to_thread(server.start)
        if self._nodes > 1:
            await self._leader()

    def _allow(self, server: natsd.Natsd, *, allowed: bool) -> None:
        text = server.configuration.read_text().split("accounts")[0]
        server.configuration.write_text(text + DENIED.format(permissions="" if allowed else _NOT_ALLOWED).lstrip())
        os.kill(server.pid, signal.SIGHUP)

    async def stored(self) -> Counter[str]:
        """How often each id is in the stream."""
        from nats.js import JetStreamContext
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import ServiceUnavailableError

        client, found, left = await self._client(), Counter[str](), 0
        try:
            stream = JetStreamContext(client, timeout=30)
            config, reader = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=60), None
            while reader is None:
                with suppress(ServiceUnavailableError, TimeoutError):  # while the cluster is electing
                    left = (await stream.stream_info("FAULTS")).state.messages
                    reader = await stream.pull_subscribe("faults.>", stream="FAULTS", config=config)
            while left > 0:
                some = await reader.fetch(min(left, 500), timeout=30)
                found.update((m.headers or {})["Nats-Msg-Id"] for m in some)
                left -= len(some)
        finally:
            await client.close()
        return found


class KafkaSystem:
    """librdkafka's mock cluster, a stand-in. It keeps nothing over a death: it is frozen, or its client dies."""

    kind = "kafka"

    def __init__(self, folder: Path, fault: str) -> None:
        self.fault, self.port = fault, 0
        self.root = folder.parent / "work"
        self.url = "embedded:kafka"
        self._lease: Any = None

    def change(self) -> dict[str, Any]:
        """The topic, as configure_messaging makes it."""
        return {"kind": "topic", "name": SUBJECT, "config": {"partitions": 1}}

    async def start(self) -> None:
        from mcp_backend.engines import embedded
        from mcp_backend.settings import workspace

        self.root.mkdir(exist_ok=True)
        self._lease = await embedded.lease("kafka", workspace(self.root))

    def stop(self) -> None:
        self._lease.close()
        with suppress(ProcessLookupError):
            os.kill(self._lease.pid, signal.SIGKILL)

    async def harm(self, during: "asyncio.Task[Any]") -> None:
        if self.fault == "freeze":
            os.kill(self._lease.pid, signal.SIGSTOP)
            await asyncio.sleep(FROZEN_SECONDS)
            os.kill(self._lease.pid, signal.SIGCONT)
        else:
            for child in Path("/proc/self/task").glob("*/children"):
                for pid in child.read_text().split():
                    if b"kafka_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGABRT)

    async def stored(self) -> Counter[str]:
        """How often each id is in the topic."""
        return await asyncio.to_thread(self._stored)

    def _stored(self) -> Counter[str]:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        servers = str(self._lease.url).removeprefix("kafka://")
        reader: Any = Consumer({"bootstrap.servers": servers, "group.id": "faults", "enable.auto.commit": False})
        found = Counter[str]()
        try:
            last = -1
            while last < 0:
                with suppress(KafkaException):  # while it connects again
                    last = int(reader.get_watermark_offsets(TopicPartition(SUBJECT, 0), timeout=10)[1])
            reader.assign([TopicPartition(SUBJECT, 0, 0)])
            at = 0
            while at < last:
                for message in cast("list[Any]", reader.consume(500, 5)):
                    at = message.offset() + 1
                    found[dict(message.headers())["message_id"].decode()] += 1
        finally:
            reader.close()
        return found


async def struck(server: natsd.Natsd | redisd.Redisd, fault: str) -> bool:
    """Kills a server or freezes it for a while; `False`, and nothing is done, where the fault is another."""
    if fault == "kill -9":
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    elif fault == "freeze":
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(FROZEN_SECONDS)
        server.thaw()
    else:
        return False
    return True


def fill(folder: Path) -> None:
    """Fills the disk of a folder to the last byte."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)
    with suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")


def small_disk(folder: Path) -> bool:
    """Puts a small file system at a folder; `False` where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
