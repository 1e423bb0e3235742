"""Clients of `benchmarks.replicas`: what they call, what has to come back, and how often they had to repeat it."""

import asyncio
import json
import random
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
PATIENCE = 120.0
"""Seconds after which an answer that did not come by repeating its call is lost."""
AWAY = ("unavailable", "deadline_exceeded", "aborted")
WORDS = ("ledger", "parcel", "basket", "invoice", "tenant", "cursor", "socket", "quota", "lease", "digest", "shard",
         "voucher", "planner", "gateway", "ticket", "refund")  # fmt: skip


class Broken(Exception):
    """The connection or the proxy gave no answer of a server."""


@dataclass(slots=True)
class Seen:
    """What all clients saw."""

    right: Counter[str] = field(default_factory=Counter[str])
    repeated: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    slowest: float = 0.0
    """Seconds from the first attempt to the right answer, at most."""
    took: list[float] = field(default_factory=list[float])
    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Principal and tool."""
    asked: set[str] = field(default_factory=set[str])
    decided: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """What a file may hold: what was written last, and what was attempted since."""


class Http:
    """One connection that is kept, as a host keeps it."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._streams: tuple[StreamReader, StreamWriter] | None = None

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON-RPC answer. Raises `Broken`."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                   "params": {"name": tool, "arguments": arguments, "_meta": META}}  # fmt: skip
        body = json.dumps(message).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: {VERSION}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(head.encode() + body)
            status, _, said = await answer(reader)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            raise Broken(type(error).__name__) from None
        if status >= 500:
            raise Broken(f"HTTP {status}")
        return json.loads(said)

    def close(self) -> None:
        """Lets go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def answer(reader: StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer (RFC 9112); of an event stream the last event's data."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers["content-length"]))
    if headers.get("content-type", "").startswith("text/event-stream"):
        body = next(line[5:] for line in reversed(body.split(b"\n")) if line.startswith(b"data:"))
    return int(lines[0].split()[1]), headers, body


class Someone:
    """One client with a name, a file and a question of its own."""

    def __init__(self, number: int, http: Http, seen: Seen) -> None:
        self.name = f"c{number:03}"
        self._http, self._seen, self._dice = http, seen, random.Random(number)
        self._question = ""
        self._wrote = False

    async def work(self, ends: float) -> None:
        """Calls until the time is over."""
        await asyncio.sleep(self._dice.random())
        while time.monotonic() < ends:
            if not self._question and self._dice.random() < 0.05:
                await self._ask()
            else:
                await self._dice.choice((self._echo, self._echo, self._echo, self._read, self._write, self._look))()
        self._http.close()

    async def _said(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer of a call that is repeated until it came; `None` when it is lost or wrong."""
        began = time.monotonic()
        while True:
            tried = time.monotonic()
            try:
                answer = await self._http.call(tool, arguments)
            except Broken as broken:
                why = str(broken)
            else:
                body = answer.get("result", {}).get("structuredContent")
                if body is not None and "error" not in body:
                    self._seen.took.append(time.monotonic() - tried)
                    self._seen.slowest = max(self._seen.slowest, time.monotonic() - began)
                    self._seen.acknowledged[self.name, tool] += 1
                    return body
                why = body["error"]["code"] if body else str(answer)[:300]
                if why not in AWAY:
                    self._seen.wrong.append(f"{tool} {arguments}: {str(body)[:300] if body else why}")
                    return None
            self._seen.repeated[why] += 1
            if time.monotonic() - began > PATIENCE:
                self._seen.lost.append(f"{tool}: {why}")
                return None
            await asyncio.sleep(0.05 + self._dice.random() / 5)

    def _check(self, tool: str, body: dict[str, Any] | None, *, right: bool) -> None:
        if body is not None and right:
            self._seen.right[tool] += 1
        elif body is not None:
            self._seen.wrong.append(f"{self.name} {tool}: {str(body)[:300]}")

    async def _echo(self) -> None:
        number, word = self._dice.randrange(10**9), f"{self.name} ä'\""
        body = await self._said("db_query", sql="select $1::bigint + 1, $2::text", parameters=[number, word])
        self._check("db_query", body, right=bool(body) and body["rows"] == [[number + 1, word]])

    async def _write(self) -> None:
        path, text = f"work/{self.name}.txt", f"{self.name} {self._dice.random()}\n"
        may = self._seen.files.setdefault(path, [])
        may.append(text)
        body = await self._said("write_file", path=path, content=text)
        if body is not None:
            may[:] = [text]
            self._wrote = True
        self._check("write_file", body, right=bool(body))

    async def _read(self) -> None:
        if not self._wrote:
            return await self._write()
        path = f"work/{self.name}.txt"
        body = await self._said("read_file", path=path)
        self._check("read_file", body, right=bool(body) and body["content"] in self._seen.files[path])
        return None

    async def _ask(self) -> None:
        one, two, three = self._dice.sample(WORDS, 3)
        details = {"known": f"nothing of {one}", "tried": "the specification", "would_unblock": "a number"}
        title, question = f"{one} {two} {self.name}", f"How many {one} does {self.name} keep for a {two} of {three}?"
        body = await self._said("escalate", kind="unknown", title=title, question=question, details=details)
        if body is not None:
            self._question = str(body.get("duplicate_of") or body["id"])
            self._seen.asked.add(self._question)
        self._check("escalate", body, right=bool(body))

    async def _look(self) -> None:
        if not self._question:
            return
        decided = self._seen.decided.get(self._question)  # Before the look: whoever saw it decided must see it now.
        body = await self._said("check_escalation", id=self._question)
        right = bool(body) and (body["status"] == "open" if decided is None else body["answer"] == decided)
        if body and decided is None and body["status"] == "answered":
            right = body["answer"] == f"for {self._question}"
        self._check("check_escalation", body, right=right)
