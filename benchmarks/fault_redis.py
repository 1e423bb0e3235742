"""Redis as benchmarks/faults.py harms it: one server, or a master with a replica and a sentinel."""

import asyncio
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.fault_systems import SUBJECT, fill, struck
from tests import redisd
from tests.daemon import free_port


class RedisSystem:
    """One server, or a master with a replica and a sentinel that makes it the master."""

    kind = "redis"

    def __init__(self, folder: Path, fault: str) -> None:
        self.fault = fault
        admin = "user admin on nopass ~* &* +@all"
        self.servers = [redisd.Redisd(folder / "n0", admin)]
        self.port = self.servers[0].port
        self._sentinel: subprocess.Popen[bytes] | None = None
        if fault == "leader lost":
            self.servers.append(redisd.Redisd(folder / "n1", admin, f"replicaof 127.0.0.1 {self.port}"))
            self._sentinel_port = free_port()
            lines = (
                f"port {self._sentinel_port}", f'dir "{folder}"', "bind 127.0.0.1",
                f"sentinel monitor faults 127.0.0.1 {self.port} 1", "sentinel down-after-milliseconds faults 800",
                "sentinel failover-timeout faults 4000",
            )  # fmt: skip
            (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        self._folder = folder

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self._sentinel_port}/faults" if self._leads() else self.servers[0].url

    def _leads(self) -> bool:
        return self.fault == "leader lost"

    def change(self) -> dict[str, Any]:
        """The stream, as configure_messaging makes it."""
        return {"kind": "stream", "name": SUBJECT}

    async def start(self) -> None:
        for server in self.servers:
            await asyncio.to_thread(server.start)
        if self._leads():
            log = (self._folder / "sentinel.log").open("wb")
            words = [redisd.program(), str(self._folder / "sentinel.conf"), "--sentinel"]
            self._sentinel = subprocess.Popen(words, stdout=log, stderr=log)
            await self._in_step()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        if self._sentinel:
            self._sentinel.terminate()
            self._sentinel.wait()

    def _client(self, port: int) -> Any:
        import redis.asyncio as redis_py

        url = f"redis://admin:x@127.0.0.1:{port}"
        return redis_py.Redis.from_url(url, decode_responses=True, socket_timeout=60)  # pyright: ignore[reportUnknownMemberType]

    async def _master(self) -> redisd.Redisd:
        """The server that the sentinel names and that says so itself."""
        while True:
            with suppress(Exception):  # while the sentinel is electing
                import redis.asyncio as redis_py

                asked: Any = redis_py.Redis(port=self._sentinel_port, socket_timeout=2)
                _, port = await asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "faults")
                await asked.aclose()
                one = self._client(int(port))
                role = (await one.execute_command("ROLE"))[0]
                await one.aclose()
                if role == "master":
                    return next(server for server in self.servers if server.port == int(port))
            await asyncio.sleep(0.2)

    async def _in_step(self) -> None:
        """Waits until the replica has all that the master has."""
        while True:
            client = self._client((await self._master()).port)
            told = await client.info("replication")
            await client.aclose()
            slave: dict[str, Any] = told.get("slave0") or {}
            if slave.get("state") == "online" and slave.get("offset") == told["master_repl_offset"]:
                return
            await asyncio.sleep(0.2)

    async def harm(self, during: "asyncio.Task[Any]") -> None:
        server = self.servers[0]
        if await struck(server, self.fault):
            return
        if self.fault == "leader lost":
            server = await self._master()
            await asyncio.to_thread(server.kill)
            while await self._master() is server:
                await asyncio.sleep(0.2)
            await asyncio.wait([during])
            await asyncio.to_thread(server.start)
            await self._in_step()
        elif self.fault == "disk full":
            fill(server.folder)
            await asyncio.wait([during])
            (server.folder / "filler").unlink()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        elif self.fault == "denied":
            client = self._client(server.port)
            await client.execute_command("ACL", "SETUSER", "default", "-xadd")
            await asyncio.wait([during])
            await client.execute_command("ACL", "SETUSER", "default", "+xadd")
            await client.aclose()

    async def stored(self) -> Counter[str]:
        """How often each id is in the stream."""
        port = (await self._master()).port if self._leads() else self.port
        client, found, first = self._client(port), Counter[str](), "-"
        try:
            while page := await client.xrange(SUBJECT, first, "+", count=500):
                found.update(fields["message_id"] for _, fields in page if "message_id" in fields)
                first = f"({page[-1][0]}"
        finally:
            await client.aclose()
        return found
