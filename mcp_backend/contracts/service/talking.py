"""Requests to an application: one that runs in a fenced child without a network, or one at a URL."""

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mcp_backend.errors import FailedPrecondition
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.threads import patiently
from mcp_backend.workspace import childenv, environments, process
from mcp_backend.workspace.fence.around import around

CHILD = Path(__file__).with_name("child.py")
CALLS = Path(__file__).with_name("mcp_backend_calls.py")
MARK = b"\x1emb:"
SECONDS = 90.0
"""Of one check: an application has them from its start, a running service from the first request."""
ANSWER_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case; `status` 0 when nothing did."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media(self) -> str:
        """The media type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class Talk(Protocol):
    """Sends requests. `writes` tells whether it may change what the application holds; `ended`, once nothing more is
    answered, why."""

    writes: bool
    ended: str

    async def send(self, ask: Ask) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the child said of the application."""

    kind: str
    routes: tuple[Mapping[str, Any], ...]
    openapi: Mapping[str, Any] | None
    sdl: str
    problem: str
    sandbox: str


class _Child:
    """The application in the child. Nothing it changes outlives it, as the fence and the environment of tests allow."""

    writes = True

    def __init__(self, pipe: int) -> None:
        self.said: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pipe = pipe
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self.ended = ""

    def line(self, line: bytes) -> None:
        if not line.startswith(MARK):
            return
        try:
            message = json.loads(line[len(MARK) :])
        except ValueError:
            return
        if "number" in message:
            waiting = self._waiting.pop(message["number"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif not self.said.done():
            self.said.set_result(message)

    def end(self, running: "asyncio.Task[process.Finished]") -> None:
        known = not running.cancelled() and running.exception() is None
        if known and running.result().timed_out:
            self.ended = f"the application was stopped after {SECONDS:g} s, the limit of one check"
        else:
            code = f" with {running.result().exit_code}" if known else ""
            self.ended = f"the process of the application ended{code}"
        for waiting in (self.said, *self._waiting.values()):
            if not waiting.done():
                waiting.set_result({"failed": self.ended})

    async def send(self, ask: Ask) -> Answer:
        if self.ended:
            return Answer(0, {}, b"")
        self._count += 1
        number = self._count
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {
            "number": number, "method": ask.method, "path": ask.path, "query": list(ask.query),
            "headers": dict(ask.headers), "body": base64.b64encode(ask.body).decode(),
        }  # fmt: skip
        await patiently(os.write, self._pipe, json.dumps(message).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await waiting
        except TimeoutError:
            return Answer(0, {}, b"")
        if "failed" in answer:
            return Answer(0, {}, b"")
        headers = {str(k).lower(): str(v) for k, v in answer["headers"]}
        return Answer(int(answer["status"]), headers, base64.b64decode(answer["body"]))


@asynccontextmanager
async def in_child(workspace: Workspace, policy: Policy, target: str) -> AsyncGenerator[tuple[Loaded, Talk]]:
    """The application `target` (`module:object`, or `path/to/file.py:object`) in a fenced child.

    Raises `FailedPrecondition` when it cannot be loaded.
    """
    root = workspace.root
    with tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        asked = folder / "asked"
        os.mkfifo(asked, 0o600)
        # Opened both ways, so that neither side waits for the other: https://man7.org/linux/man-pages/man7/fifo.7.html
        pipe = os.open(asked, os.O_RDWR | os.O_CLOEXEC)
        child = _Child(pipe)
        environment = childenv.for_tests(root, os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [interpreter(root), str(_copy(folder)), target, str(asked)]
        try:
            async with around(workspace, policy, cwd=root, shared=(folder,)) as inside:
                environment |= inside.environment
                running = asyncio.create_task(
                    process.run(
                        command,
                        cwd=root,
                        environment=environment,
                        seconds=SECONDS,
                        log=folder / "log",
                        lines=child.line,
                        fence=inside,
                    )
                )
                running.add_done_callback(child.end)
                try:
                    said = await child.said
                    if said.get("failed"):
                        tail = "" if not running.done() else running.result().tail[-600:]
                        raise FailedPrecondition(
                            f"implementation: {target} cannot be loaded: {said['failed']} {tail}".strip()
                            + "; expected module:object of an application, with its packages installed"
                        )
                    yield _loaded(said, inside.sandbox), child
                finally:
                    if not running.done():
                        os.write(pipe, b'{"end": true}\n')
                        try:
                            async with asyncio.timeout(2):
                                await asyncio.shield(running)
                        except TimeoutError:
                            running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
        finally:
            os.close(pipe)


def _copy(folder: Path) -> Path:
    """The program where the fence lets it be read, whatever the place this package is installed in."""
    target = folder / "mcp_backend_child.py"
    target.write_bytes(CHILD.read_bytes())
    (folder / CALLS.name).write_bytes(CALLS.read_bytes())
    return target


def _loaded(said: Mapping[str, Any], sandbox: str) -> Loaded:
    return Loaded(
        str(said.get("kind") or ""), tuple(said.get("routes") or ()), said.get("openapi"), str(said.get("sdl") or ""),
        str(said.get("problem") or ""), sandbox,
    )  # fmt: skip


def interpreter(root: Path) -> str:
    """The interpreter of the repository's own environment, else the one that runs this server."""
    own = environments.python(root, root)
    return str(own) if own else sys.executable


class AtUrl:
    """A running development service. Only requests that change nothing are sent; redirects are not followed."""

    writes = False

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        self._until = time.monotonic() + SECONDS
        self.ended = ""

    async def send(self, ask: Ask) -> Answer:
        left = self._until - time.monotonic()
        answer = await patiently(self._send, ask, min(left, ANSWER_SECONDS)) if left > 0 else Answer(0, {}, b"")
        if time.monotonic() >= self._until:
            self.ended = f"the {SECONDS:g} s of one check are over"
        return answer

    def _send(self, ask: Ask, seconds: float) -> Answer:
        import http.client
        from urllib.parse import urlencode, urlsplit

        parts = urlsplit(self._base)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        path = parts.path + ask.path + (f"?{urlencode(list(ask.query))}" if ask.query else "")
        try:
            connection.request(ask.method, path, ask.body or None, dict(ask.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read(300_000))
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"")
        finally:
            connection.close()
