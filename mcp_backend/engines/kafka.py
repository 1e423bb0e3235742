"""Kafka through librdkafka, in a process of its own that is started on first use and again after it ended.

librdkafka can abort its process; then whoever waited is told that the outcome is unknown, and nothing else is lost.
"""

import asyncio
import itertools
import json
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from mcp_backend import installing
from mcp_backend.engines.away import away
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, resolve

if TYPE_CHECKING:
    from mcp_backend.engines.embedded import Lease

WORKER = Path(__file__).with_name("kafka_worker")
ANSWER_SECONDS = 12.0
LINE_BYTES = 64 * 1024 * 1024
STAND_IN = (
    "this is librdkafka's mock cluster, a stand-in and no real Kafka: it keeps nothing over a restart, has no "
    "settings of topics and tells of no groups"
)
EXPECTED = "expected kafka://[user:password@]host:port[,host:port…][?security.protocol=…], kafka+ssl:// for TLS"
_PARAMETERS = ("security.protocol", "sasl.mechanism", "sasl.mechanisms", "client.id")


class Ended(Exception):
    """The process with the client ended, or is silent: what was under way may or may not have happened."""


class Failed(Exception):
    """The client gives an error. `name` is librdkafka's name of it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        super().__init__(f"{text} ({name})")


class Kafka:
    """One Kafka engine of the policy."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self.settings = settings
        self._workspace = workspace
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._opening = asyncio.Lock()
        self._lease: Lease | None = None
        self._down_since: datetime | None = None
        self.servers = ""
        self.unsettled: dict[tuple[str, str], dict[str, int]] = {}
        """Messages that may be stored or not, by topic and id, and where their topic ended before they were sent."""

    @property
    def stand_in(self) -> bool:
        """Whether this is the local mock cluster."""
        return self.settings.url.startswith("embedded:")

    @property
    def pid(self) -> int | None:
        """The process of the client, if it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def ask(self, do: str, *, seconds: float = ANSWER_SECONDS, **fields: Any) -> dict[str, Any]:
        """One operation of the worker. Raises `Failed`, `Ended` (it may have happened), `Unavailable`."""
        process = await self._running()
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        line = json.dumps({"id": number, "do": do, "seconds": seconds, **fields}).encode() + b"\n"
        try:
            assert process.stdin
            async with asyncio.timeout(seconds + 3.0):
                process.stdin.write(line)
                await process.stdin.drain()
                told = await future
        except TimeoutError:
            await self._stop()
            raise Ended(f"the Kafka client is silent for {seconds + 3.0:.0f} s and was ended") from None
        except (ConnectionError, BrokenPipeError) as error:
            raise Ended(self._why()) from error
        finally:
            self._waiting.pop(number, None)
        if "failed" in told:
            trouble = f"; {told['trouble']}" if told.get("trouble") else ""
            raise Failed(str(told["failed"]), f"{told['text']}{trouble}")
        self._down_since = None
        return told

    async def read(self, do: str, **fields: Any) -> dict[str, Any]:
        """`ask` for what only reads: every failure is `Unavailable`, a client that died is started once more."""
        for again in (False, True):
            try:
                return await self.ask(do, **fields)
            except Ended as error:
                if again:
                    raise self.unavailable(str(error), "client") from error
            except Failed as error:
                # The name of a broker begins with how it is spoken to: sasl_plaintext://host:9092/bootstrap.
                text = re.sub(r"SASL_(PLAINTEXT|SSL)(://)?|SSL://", "", f"{error.name} {error}".upper())
                cause = "credentials" if "AUTHENTICAT" in text or "SASL" in text else "unreachable"
                # librdkafka tells either its own code, or that of the transport with OpenSSL's words.
                cause = "tls" if "_SSL" in text or "SSL ROUTINES" in text else cause
                raise self.unavailable(f"{self.servers}: {error}", cause) from error
        raise AssertionError("the second time either answers or raises")

    async def topics(self) -> dict[str, list[list[int]]]:
        """Partitions of every topic: number, leader (-1: none), replicas, replicas in sync. Raises `Unavailable`."""
        return cast("dict[str, list[list[int]]]", (await self.read("metadata", seconds=4.0))["topics"])

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process and self._process.returncode is None and not (self._lease and self._lease.lost):
            return self._process
        async with self._opening:
            if self._process and self._process.returncode is None and not (self._lease and self._lease.lost):
                return self._process
            if find_spec("confluent_kafka") is None:
                raise self.unavailable(f"confluent-kafka is not installed: {installing.command('kafka')}", "missing")
            await self._stop()
            settings = await self._client_settings()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", str(WORKER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, limit=LINE_BYTES, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
            assert process.stdin
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            self._process = process
            self._reading = asyncio.create_task(self._read(process))
            return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while line := await process.stdout.readline():
            told = json.loads(line)
            future = self._waiting.get(told.pop("id"))
            if future and not future.done():
                future.set_result(told)
        await process.wait()
        if self._process is process:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Ended(self._why()))
                    future.exception()

    def _why(self) -> str:
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return f"the process with the Kafka client was ended by {name}; it is started again on the next call"
        return f"the process with the Kafka client ended (exit code {code})"

    async def _client_settings(self) -> dict[str, Any]:
        field = f"engines.{self.settings.name}.url"
        if not self.stand_in:
            settings = client_settings(resolve(self.settings.url, field=field), field=field)
            settings = with_access(settings, self.settings, self._workspace.root)
        else:
            from mcp_backend.engines.embedded import lease

            if self._lease and self._lease.lost:
                self._lease.close()
                self._lease = None
            if self._lease is None:
                self._lease = await lease("kafka", self._workspace)
            settings = client_settings(self._lease.url, field=field)
        self.servers = str(settings["bootstrap.servers"])
        return settings

    async def make_stand_in_topic(self, name: str, partitions: int) -> None:
        """Makes a topic of the local mock cluster, which has no request for it."""
        assert self._lease
        assert self._lease.superuser_url
        place = urlsplit(self._lease.superuser_url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(
                json.dumps({"secret": place.password, "topic": name, "partitions": partitions}).encode() + b"\n"
            )
            async with asyncio.timeout(3):
                await reader.readline()
        finally:
            writer.close()

    def unavailable(self, problem: str, cause: str) -> Unavailable:
        """The error for an engine that does not answer."""
        self._down_since = self._down_since or datetime.now(UTC)
        return away(self.settings.name, "kafka", problem, self._down_since, cause)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reading:
            await self._reading
            self._reading = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Ended("the process with the Kafka client was ended"))
                future.exception()

    async def close(self) -> None:
        """Ends the process of the client and the lease on a local cluster."""
        await self._stop()
        if self._lease:
            self._lease.close()
            self._lease = None


def client_settings(url: str, *, field: str) -> dict[str, Any]:
    """librdkafka's settings for a URL, or for a bare list of `host:port`. Raises `InvalidArgument` without the URL."""
    try:
        scheme, separator, rest = url.partition("://")
        parsed = urlsplit(f"kafka://{rest if separator else url}")
        credentials, _, hosts = parsed.netloc.rpartition("@")
        query = dict(parse_qsl(parsed.query))
        for host in hosts.split(","):
            if not urlsplit(f"//{host}").hostname or not urlsplit(f"//{host}").port:
                raise ValueError(host)
    except ValueError as error:
        raise InvalidArgument(f"{field}: {EXPECTED}") from error
    if separator and scheme not in ("kafka", "kafka+ssl"):
        raise InvalidArgument(f"{field}: {EXPECTED}")
    unknown = [name for name in query if name not in _PARAMETERS and not name.startswith("ssl.")]
    if unknown:
        raise InvalidArgument(f"{field}: unknown parameter {unknown[0]!r}; known: {', '.join(_PARAMETERS)}, ssl.…")
    user, _, password = credentials.partition(":")
    tls = scheme == "kafka+ssl"
    settings: dict[str, Any] = {"bootstrap.servers": hosts}
    if credentials:
        protocol = "SASL_SSL" if tls else "SASL_PLAINTEXT"
        settings |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
        settings |= {"sasl.mechanism": "PLAIN", "security.protocol": protocol}
    elif tls:
        settings["security.protocol"] = "SSL"
    return settings | query


def with_access(client: Mapping[str, Any], settings: EngineSettings, root: Path) -> dict[str, Any]:
    """librdkafka's settings with what the policy says beside the URL; it goes before credentials in the URL. Raises
    `InvalidArgument` naming the key, never what the reference stands for."""
    access, name = settings.access, settings.name
    found = dict(client)
    user, password = access.text("username", name), access.text("password", name)
    protocol = str(found.get("security.protocol", "PLAINTEXT"))
    if user:
        found |= {"sasl.username": user, "sasl.password": password}
        found["sasl.mechanism"] = access.sasl_mechanism or found.get("sasl.mechanism") or "PLAIN"
        protocol = protocol if protocol.startswith("SASL") else "SASL_SSL" if protocol == "SSL" else "SASL_PLAINTEXT"
    elif access.sasl_mechanism:
        found["sasl.mechanism"] = access.sasl_mechanism
    names = {"tls_ca": "ssl.ca.location", "tls_cert": "ssl.certificate.location", "tls_key": "ssl.key.location"}
    files = {option: path for key, option in names.items() if (path := access.file(key, name, root))}
    if files:
        found |= files
        protocol = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
    return found | ({"security.protocol": protocol} if protocol != "PLAINTEXT" else {})
