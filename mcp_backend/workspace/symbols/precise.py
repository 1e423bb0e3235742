"""Which uses of a name mean one definition, as a language server tells: ty for Python, gopls for Go, where installed.

A server is started for one question and ended after it: it sees the files as they are, and nothing runs on. It reads;
what it could download or compile is switched off. https://microsoft.github.io/language-server-protocol/
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio

from mcp_backend.settings import Workspace
from mcp_backend.workspace import childenv
from mcp_backend.workspace.symbols import languages, parsing
from mcp_backend.workspace.symbols.finding import Place
from mcp_backend.workspace.symbols.sources import Sources
from mcp_backend.workspace.symbols.uses import Use

SECONDS = 20.0
MOST = 5
"""Definitions of one name that are asked about; a name with more means nothing in particular."""
LARGEST = 64_000_000
_SERVERS = {
    ".py": ("ty", ("server",), "python"),
    ".pyi": ("ty", ("server",), "python"),
    ".go": ("gopls", ("serve",), "go"),
}
_QUIET = {
    "GOPROXY": "off",
    "GOFLAGS": "-mod=readonly",
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
    "GOPACKAGESDRIVER": "off",
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a server said: its name and version, and where the definition is used: path, line from 1, column from 0, in
    bytes or else in units of UTF-16."""

    by: str
    spots: frozenset[tuple[str, int, int]]
    bytewise: bool

    def has(self, use: Use) -> bool:
        """Whether a use is one of the definition."""
        return (use.path, use.line, use.column if self.bytewise else use.units) in self.spots


def installed(root: Path) -> bool:
    """Whether there is a server for any language."""
    return any(_program(name, root) for name, _, _ in set(_SERVERS.values()))


async def resolved(workspace: Workspace, places: Sequence[Place]) -> Resolved | None:
    """The uses of these definitions, or `None` where no server is installed for their language, or it does not
    answer within 20 s."""
    kinds = {_SERVERS.get(Path(place.path).suffix) for place in places}
    server = kinds.pop() if len(kinds) == 1 and len(places) <= MOST else None
    program = _program(server[0], workspace.root) if server else None
    if server is None or program is None:
        return None
    spots = await asyncio.to_thread(_spots, workspace, places)
    # Without programs of the workspace: gopls starts `go`, and this is no fence.
    path = childenv.clean_path(os.environ.get("PATH", os.defpath), workspace.root)
    environment = childenv.for_commands(workspace.root, os.environ, ()) | _QUIET | {"PATH": path}
    process = await asyncio.create_subprocess_exec(
        program, *server[1], cwd=workspace.root, env=environment, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True, limit=LARGEST,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            return await _asked(_Talk(process), workspace.root, server[2], spots)
    except (TimeoutError, OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    finally:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _program(name: str, root: Path) -> str | None:
    """Beside this server, or on the `PATH`; never one that lies in the workspace."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK) and not beside.is_relative_to(root):
        return str(beside)
    return shutil.which(name, path=childenv.clean_path(os.environ.get("PATH", os.defpath), root))


@dataclass(frozen=True, slots=True)
class _Spot:
    path: str
    text: str
    line: int
    before: str
    """What stands on the line before the name."""


def _spots(workspace: Workspace, places: Sequence[Place]) -> list[_Spot]:
    found: list[_Spot] = []
    with Sources(workspace) as sources:
        for place in places:
            data, grammar = sources.read(place.path), languages.of(place.path)
            if data is None or grammar is None:
                continue
            root = parsing.tree(data, grammar).root_node
            for begin, symbol in parsing.defined(data, root, grammar):
                if (symbol.begin, symbol.qualified) == (place.symbol.begin, place.symbol.qualified):
                    start = data.rfind(b"\n", 0, begin) + 1
                    text, before = data.decode("utf-8", "replace"), data[start:begin].decode("utf-8", "replace")
                    found.append(_Spot(place.path, text, data.count(b"\n", 0, begin), before))
                    break
    return found


async def _asked(talk: "_Talk", root: Path, language: str, spots: Sequence[_Spot]) -> Resolved:
    uri = root.as_uri()
    about = await talk.ask("initialize", {
        "processId": os.getpid(), "rootUri": uri, "workspaceFolders": [{"uri": uri, "name": root.name}],
        "capabilities": {"general": {"positionEncodings": ["utf-8", "utf-16"]}},
    })  # fmt: skip
    bytewise = about["capabilities"].get("positionEncoding") == "utf-8"
    talk.tell("initialized", {})
    used: set[tuple[str, int, int]] = set()
    for spot in spots:
        document = {"uri": (root / spot.path).as_uri()}
        talk.tell("textDocument/didOpen", {
            "textDocument": {**document, "languageId": language, "version": 1, "text": spot.text}
        })  # fmt: skip
        column = len(spot.before.encode()) if bytewise else len(spot.before.encode("utf-16-le")) // 2
        answer: list[dict[str, Any]] | None = await talk.ask("textDocument/references", {
            "textDocument": document, "position": {"line": spot.line, "character": column},
            "context": {"includeDeclaration": True},
        })  # fmt: skip
        for found in answer or ():
            path = Path(unquote(urlsplit(str(found["uri"])).path))
            if path.is_relative_to(root):
                start = found["range"]["start"]
                used.add((path.relative_to(root).as_posix(), int(start["line"]) + 1, int(start["character"])))
    named: dict[str, Any] = about.get("serverInfo") or {}
    by = f"{named.get('name', language)} {_version(str(named.get('version', '')))}".strip()
    return Resolved(by, frozenset(used), bytewise)


def _version(text: str) -> str:
    """gopls describes its whole build."""
    return str(json.loads(text).get("Version", "")) if text.startswith("{") else text[:40]


class _Talk:
    """Messages to and from one server: JSON-RPC with a header for the length."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "piped"
        assert process.stdout is not None, "piped"
        self._in, self._out, self._last = process.stdin, process.stdout, 0

    def tell(self, method: str, about: Mapping[str, Any]) -> None:
        self._send({"method": method, "params": about})

    async def ask(self, method: str, about: Mapping[str, Any]) -> Any:
        """The result. Raises `ValueError` when the server refuses, `EOFError` when it ends."""
        self._last += 1
        self._send({"id": self._last, "method": method, "params": about})
        while True:
            message = await self._next()
            if "method" in message:
                if "id" in message:
                    # What it asks of an editor: there are no settings here.
                    self._send(
                        {"id": message["id"], "result": [None] if "configuration" in message["method"] else None}
                    )
            elif message.get("id") == self._last:
                if "error" in message:
                    raise ValueError(str(message["error"])[:200])
                return message["result"]

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._in.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def _next(self) -> dict[str, Any]:
        length = 0
        while line := (await self._out.readuntil(b"\n")).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if not 0 < length < LARGEST:
            raise ValueError("a message of no length, or too long")
        return json.loads(await self._out.readexactly(length))
