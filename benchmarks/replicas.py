"""`python -m benchmarks.replicas [SECONDS] [REPLICAS…]`: several servers behind a proxy while one after the other dies.

200 clients, each with a token of its own, call through nginx without a pause: queries, files read and written,
questions asked and looked at, which a person answers meanwhile. Every ten seconds one replica is killed and started
again; in the middle the primary of the store dies and its synchronous standby takes over. Every answer is compared with
what it has to be; a call that got none is repeated. At the end each acknowledged call must be in the audit, which must
be whole, each question and answer in the store, each file as it was written last. Needs nginx.
"""

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.pg_pair import Pair
from benchmarks.replicas_load import Http, Seen, Someone
from mcp_backend import audit, escalations
from mcp_backend.engines import embedded
from mcp_backend.errors import BackendError, FailedPrecondition
from mcp_backend.policy.store import Shared
from mcp_backend.settings import workspace
from mcp_backend.store import Store, open_store
from tests.daemon import free_port

CLIENTS = 200
KILL_SECONDS = 10.0
STORE = Shared("env:BENCH_STORE", "replicas")
POLICY = """store = {{url = "env:BENCH_STORE", workspace = "replicas"}}
[engines.main]
kind = "postgresql"
url = "{engine}"
environment = "development"
[http]
url = "http://127.0.0.1:{port}/mcp"
calls_per_minute = 1000000
{tokens}
"""
NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 2000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream replicas {{ {servers} keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_buffering off; proxy_read_timeout 60s; proxy_connect_timeout 2s;
    }}
  }}
}}
"""


class Replicas:
    """Servers on ports of their own."""

    def __init__(self, root: Path, count: int, environment: dict[str, str]) -> None:
        self._root, self._environment = root, environment
        self.ports = [free_port() for _ in range(count)]
        self.processes: list[Process] = []
        self.killed = 0
        self._drains: list[asyncio.Task[bytes]] = []

    async def start(self) -> None:
        """All of them, until each serves."""
        self.processes = [await self._one(port) for port in self.ports]

    async def kill_one(self) -> None:
        """One dies at once, and is started again."""
        number = self.killed % len(self.ports)
        self.processes[number].kill()
        await self.processes[number].wait()
        self.killed += 1
        self.processes[number] = await self._one(self.ports[number])

    async def stop(self) -> None:
        """Ends them, with their calls answered."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(process.wait() for process in self.processes))

    async def _one(self, port: int) -> Process:
        command = (sys.executable, "-m", "mcp_backend", "serve", "--transport", "http", "--port", str(port),
                   "--workspace", str(self._root))  # fmt: skip
        process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, env=self._environment)
        assert process.stderr is not None
        line = await process.stderr.readline()
        assert b"serves" in line, line
        self._drains.append(asyncio.create_task(process.stderr.read()))
        return process


@asynccontextmanager
async def proxy(folder: Path, port: int, ports: list[int]) -> AsyncGenerator[None]:
    """nginx in front of the replicas, as it comes: a call that a server has taken is never sent to another one."""
    program = shutil.which("nginx") or sys.exit("needs nginx: apt-get install nginx-light")
    servers = " ".join(f"server 127.0.0.1:{each} max_fails=1 fail_timeout=1s;" for each in ports)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers, port=port))
    command = (program, "-c", str(folder / "nginx.conf"), "-e", "/dev/null")
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def answering(store: Store, seen: Seen, ends: float) -> None:
    """The person: each question gets an answer of its own; a store that was away is asked again."""
    while time.monotonic() < ends:
        for identifier in seen.asked - seen.decided.keys():
            with suppress(BackendError):
                answer = f"for {identifier}"
                with suppress(FailedPrecondition):  # Decided by the attempt before, whose end was not heard.
                    await escalations.decide(
                        store, identifier, status="answered", answer=answer, by="ana", channel="web", now=time.time()
                    )
                seen.decided[identifier] = answer
        await asyncio.sleep(0.5)


async def failing(pair: Pair, replicas: Replicas, seconds: float) -> None:
    """A death every ten seconds; the store's primary dies between two of them."""
    began, failed_over = time.monotonic(), False
    while True:
        await asyncio.sleep(KILL_SECONDS / 2)
        if not failed_over and time.monotonic() - began > seconds / 2 - KILL_SECONDS / 2:
            failed_over = True
            await pair.fail_over()
        await asyncio.sleep(KILL_SECONDS / 2)
        if time.monotonic() - began > seconds - KILL_SECONDS / 2:
            return
        await replicas.kill_one()


async def audited(store: Store, seen: Seen) -> list[str]:
    """What is wrong with the audit and the store after all."""
    count, breaks = await audit.verify(store)
    problems = [f"audit: {found.problem}" for found in breaks]
    done, last = Counter[tuple[str, str]](), 0
    while rows := await store.rows("audit_after", seq=last, limit=1000):
        last = rows[-1]["seq"]
        for row in rows:
            record = json.loads(row["record"])
            if record["event"] == "done":
                done[record["principal"], record["tool"]] += 1
    problems += [f"not in the audit: {key}" for key, calls in seen.acknowledged.items() if done[key] < calls]
    for identifier in seen.asked:
        row = await store.row("escalation_get", id=identifier)
        if row is None or row["answer"] != seen.decided.get(identifier):
            problems.append(f"{identifier}: {row['answer'] if row else 'gone'}, not {seen.decided.get(identifier)}")
    return [f"{count:,} audit records, {len(seen.asked)} questions", *problems]


async def run(count: int, seconds: float) -> list[str]:
    """One measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        root, port = folder / "work", free_port()
        (root / "work").mkdir(parents=True)
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(root)
        lease, pair = await embedded.lease("postgresql", place), Pair(folder / "store")
        tokens = {f"c{number:03}": secrets.token_urlsafe(24) for number in range(CLIENTS)}
        lines = "\n".join(f'tokens.{who} = "env:TOKEN_{who}"' for who in tokens)
        (root / "mcp-backend.toml").write_text(POLICY.format(engine="env:BENCH_ENGINE", port=port, tokens=lines))
        os.environ["BENCH_STORE"] = pair.url
        own = {f"TOKEN_{who}": token for who, token in tokens.items()}
        replicas = Replicas(root, count, {**os.environ, **own, "BENCH_ENGINE": lease.url})
        seen = Seen()
        try:
            await pair.start()
            await replicas.start()
            store = open_store(folder, STORE)
            async with proxy(folder, port, replicas.ports):
                ends = time.monotonic() + seconds
                someone = [Someone(n, Http(port, token), seen) for n, token in enumerate(tokens.values())]
                troubles = asyncio.create_task(failing(pair, replicas, seconds))
                person = asyncio.create_task(answering(store, seen, ends + 20))
                await asyncio.gather(*(each.work(ends) for each in someone))
                elapsed = time.monotonic() - (ends - seconds)
                await troubles
                while seen.asked - seen.decided.keys():
                    await asyncio.sleep(0.1)
                person.cancel()
            await replicas.stop()
            found = await audited(store, seen)
            store.close()
        finally:
            await replicas.stop()
            await pair.stop()
            lease.close()
            await embedded.stop("postgresql", place, force=True)
        for path, may in seen.files.items():
            held = (root / path).read_text() if (root / path).exists() else ""
            if held not in may:
                found.append(f"{path} holds {held!r}, not {may}")
    return _report(count, elapsed, replicas.killed, seen, found)


def _report(count: int, seconds: float, killed: int, seen: Seen, found: list[str]) -> list[str]:
    right, took = seen.right.total(), sorted(seen.took)
    half, most = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99)) if took else (0, 0)
    return [
        f"{count} replicas, {CLIENTS} clients, {seconds:.0f} s, {killed} kills, 1 failover: "
        f"{right:,} right ({right / seconds:.0f}/s; an answered call {half:.0f} ms, p99 {most:.0f} ms), "
        f"wrong {len(seen.wrong)}, lost {len(seen.lost)}",
        f"  {dict(seen.right)}",
        f"  repeated {dict(seen.repeated)}; longest until right {seen.slowest:.1f} s",
        *(f"  {line}" for line in found),
        *(f"  WRONG {text}" for text in seen.wrong[:10]),
        *(f"  LOST {text}" for text in seen.lost[:10]),
    ]


async def main() -> None:
    """Prints each measurement."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    for count in [int(word) for word in sys.argv[2:]] or [1, 2, 4]:
        print("\n".join(await run(count, seconds)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
