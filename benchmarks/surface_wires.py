"""The two ends of `benchmarks.surface_fuzz`: a server process over stdio and one over HTTP, with what it holds."""

import asyncio
import http.client
import json
import os
import secrets
import sys
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

from tests.daemon import free_port

VERSION = "2026-07-28"
ABOUT: Mapping[str, Any] = {"_meta": {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}}  # fmt: skip
HELLO: Mapping[str, Any] = {
    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"},
}  # fmt: skip
SECONDS = 120.0
"""Until a request counts as unanswered."""
KEPT_SECONDS = 60.0
"""How long a connection without a request is used again: the server ends one after 75 s."""


class Wire(ABC):
    """One server."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.numbers = count(1)
        self.said: list[bytes] = []
        self._listening = asyncio.create_task(self._listen())

    @abstractmethod
    async def ask(self, method: str, params: Mapping[str, Any], *, cancel: bool) -> dict[str, Any] | None:
        """The answer, `None` when the request was cancelled and nothing came. Raises `TimeoutError`."""

    @abstractmethod
    async def throw(self, line: bytes) -> None:
        """Sends something without expecting anything."""

    async def unanswered(self) -> list[str]:
        """Lines thrown since the last time that ask something under a readable id and got no answer, however long."""
        return []

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.returncode is not None

    def held(self) -> tuple[int, int, int, int]:
        """Memory in kB, descriptors, threads, and processes below the server."""
        place = Path(f"/proc/{self.process.pid}")
        with suppress(OSError, IndexError):
            status = (place / "status").read_text("ascii", "replace")
            memory, threads = (int(status.split(f"{name}:")[1].split()[0]) for name in ("VmRSS", "Threads"))
            return memory, len(os.listdir(place / "fd")), threads, below(self.process.pid)
        return -1, -1, -1, -1

    async def close(self) -> str:
        """Ends the server; what it wrote on standard error."""
        if not self.ended():
            self.process.terminate()
            try:
                async with asyncio.timeout(20):
                    await self.process.wait()
            except TimeoutError:
                self.said.append(b"Fatal: did not end when asked to\n")
                self.process.kill()
                await self.process.wait()
        await self._listening
        return b"".join(self.said).decode("utf-8", "replace")

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self.said.append(chunk)


def below(parent: int) -> int:
    """Processes under a process."""
    found = 0
    with suppress(OSError):
        for task in os.listdir(f"/proc/{parent}/task"):
            for child in Path(f"/proc/{parent}/task/{task}/children").read_text("ascii").split():
                found += 1 + below(int(child))
    return found


def asked(line: bytes) -> str:
    """The id of a line of malformed JSON-RPC that asks something, when it is a large number as only the fuzzer gives;
    empty where no answer could name it."""
    try:
        message: Any = json.loads(line.decode("utf-8", "replace"))
        identifier = message["id"]
        return str(identifier) if "method" in message and type(identifier) is int and identifier >= 10**9 else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


class StdioWire(Wire):
    """Lines to and from one process; the first request decides the era."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.thrown: dict[str, bytes] = {}
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, root: Path, era: str, environment: Mapping[str, str]) -> "StdioWire":
        """Starts it and shakes hands."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcp_backend", "serve", "--workspace", str(root),
            stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(environment), limit=64 << 20,
        )  # fmt: skip
        self = cls(process)
        if era == VERSION:
            await self.ask("server/discover", ABOUT, cancel=False)
        else:
            await self.ask("initialize", HELLO, cancel=False)
            await self.throw(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            message: dict[str, Any] | list[Any] = json.loads(
                line
            )  # The wire carries nothing but JSON: anything else ends the run.
            if b"Traceback (most" in line:
                self.said.append(b"Traceback in an answer: " + line[:500] + b"\n")
            future = self.waiting.pop(str(message.get("id")), None) if isinstance(message, dict) else None
            if future is not None and not future.done():
                future.set_result(cast("dict[str, Any]", message))

    async def ask(self, method: str, params: Mapping[str, Any], *, cancel: bool) -> dict[str, Any] | None:
        number = f"q{next(self.numbers)}"
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self._send(json.dumps(message).encode())
        if cancel:
            await asyncio.sleep(0.01)
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
            await self._send(json.dumps(note).encode())
        try:
            async with asyncio.timeout(2 if cancel else SECONDS):
                return await future
        except TimeoutError:
            self.waiting.pop(number, None)
            if cancel:
                return None
            raise

    async def throw(self, line: bytes) -> None:
        if identifier := asked(line):
            self.thrown[identifier] = line
            self.waiting[identifier] = asyncio.get_running_loop().create_future()
        await self._send(line)

    async def unanswered(self) -> list[str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(*(self.waiting[i] for i in self.thrown if i in self.waiting))
        lost = [repr(line[:300]) for identifier, line in self.thrown.items() if identifier in self.waiting]
        for identifier in self.thrown:
            self.waiting.pop(identifier, None)
        self.thrown.clear()
        return [] if self.ended() else lost

    async def _send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(line + b"\n")
            await self.process.stdin.drain()


class HttpWire(Wire):
    """Requests over connections that are kept, as many as are asked at once."""

    def __init__(self, process: Process, port: int, token: str, modern: bool) -> None:
        super().__init__(process)
        self.port, self.token, self.modern, self.session = port, token, modern, ""
        self.idle: list[tuple[float, http.client.HTTPConnection]] = []

    @classmethod
    async def open(cls, root: Path, era: str, environment: Mapping[str, str]) -> "HttpWire":
        """Starts it and shakes hands."""
        port, token = free_port(), secrets.token_urlsafe(32)
        with (root / "mcp-backend.toml").open("a") as policy:
            policy.write(f'url = "http://127.0.0.1:{port}/mcp"\ntokens.ci = "env:FUZZ"\n')
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcp_backend", "serve", "--transport", "http", "--port", str(port),
            "--workspace", str(root), stdin=DEVNULL, stderr=PIPE, env={**environment, "FUZZ": token},
        )  # fmt: skip
        assert process.stderr is not None
        while b"serves" not in await process.stderr.readline():
            assert not process.stderr.at_eof(), "the server did not start"
        self = cls(process, port, token, era == VERSION)
        if not self.modern:
            await self.ask("initialize", HELLO, cancel=False)
            await self.throw(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return self

    def _headers(self, method: str, name: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}  # fmt: skip
        if self.modern:
            headers |= {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
            return headers | ({"Mcp-Name": name} if name.isascii() and name.isprintable() and name else {})
        return headers | ({"Mcp-Session-Id": self.session} if self.session else {})

    def _post(self, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
        since, connection = self.idle.pop() if self.idle else (0.0, http.client.HTTPConnection("127.0.0.1", self.port))
        if time.monotonic() - since > KEPT_SECONDS:
            connection.close()  # It connects again by itself.
        try:
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request("POST", "/mcp", body, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
            self.session = answer.headers.get("mcp-session-id") or self.session if not self.session else self.session
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise TimeoutError(f"{type(error).__name__}: {error}") from error
        if answer.will_close:
            connection.close()
        self.idle.append((time.monotonic(), connection))
        return answer.status, text

    async def ask(self, method: str, params: Mapping[str, Any], *, cancel: bool) -> dict[str, Any] | None:
        message = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": params}
        headers = self._headers(method, str(params.get("name", params.get("uri", ""))))
        body = json.dumps(message).encode()
        try:
            # The server sends something every 15 s while it works, so that the time of the socket is not the whole.
            async with asyncio.timeout(SECONDS + 5):
                status, text = await asyncio.to_thread(self._post, body, headers, 0.05 if cancel else SECONDS)
        except TimeoutError:
            if cancel:
                return None
            raise
        if text.lstrip().startswith((b"event:", b"data:", b"id:", b":", b"retry:")):
            text = next((line[5:] for line in reversed(text.split(b"\n")) if line.startswith(b"data:")), b"")
        if status >= 500 or (not text and status != 202):
            return {"error": {"code": -32603, "message": f"HTTP {status} {text[:200]!r}"}}
        return json.loads(text) if text.startswith((b"{", b" {")) else {"error": {"code": f"HTTP {status}"}}

    async def throw(self, line: bytes) -> None:
        method = "tools/list"
        with suppress(ValueError, LookupError, AttributeError, TypeError, RecursionError):
            method = str(json.loads(line)["method"])
        headers = self._headers(method if method.isascii() and method.isprintable() else "x", "")
        with suppress(TimeoutError):
            status, text = await asyncio.to_thread(self._post, line, headers, 5.0)
            if status >= 500 or b"Traceback (most" in text:
                self.said.append(b"Fatal: HTTP %d %s for %s\n" % (status, text[:200], line[:300]))

    async def leave(self, *, said: bool) -> None:
        """This client goes: with a word that ends its session, or as one that was killed."""
        if said and self.session:
            await asyncio.to_thread(self._delete)
        for _, connection in self.idle:
            connection.close()

    def _delete(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("DELETE", "/mcp", headers=self._headers("", ""))
        connection.getresponse().read()
        connection.close()
