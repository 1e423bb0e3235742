"""Answers what a host asks first while the SDK is still being imported. Standard library only, and little of it.

Importing the SDK takes about a second; `initialize`, `server/discover` and the lists do not depend on anything that
takes it. A thread reads the host's lines from the start, answers those that an earlier run of this very code answered,
and hands every line on: the SDK sees the whole conversation, and what it says to a question that was answered already
is dropped. Nothing is generated beforehand: the answers are the SDK's own, kept as it wrote them, for the same files,
the same versions and the same options.

A host that gives up waiting for `server/discover` begins the older handshake on the same wire, which the SDK refuses
once it has read the question. Where nothing else was asked yet, what follows is a connection of its own for the SDK.
"""

import json
import os
import sys
import threading
from collections import deque
from zlib import crc32

from mcp_backend import ui
from mcp_backend.hosts import resident

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all of this.
    from typing import Any

LISTS = ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list")
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ABOUT = {VERSION, "io.modelcontextprotocol/clientInfo", CAPABILITIES, "progressToken"}
"""What a question may carry; of the capabilities only whether views are shown changes its answer."""
ANSWER, RESULT = '{"jsonrpc":"2.0","id":', '"result":'
OPTIONS = {"--workspace": 1, "--toolsets": 1, "--read-only": 0, "--transport": 1}
"""Options of `serve` that this understands, with the number of their values. With any other the long way is taken."""


def main(arguments: list[str]) -> int:
    """`mcp-backend serve`. Over stdio the process ends here: nothing waits for the interpreter to take itself apart."""
    options = understood(arguments)
    if options is None:
        from mcp_backend import cli

        return cli.main(["serve", *arguments])
    resident.start()
    wire = Wire(*kept(options))
    import gc

    gc.disable()  # Nothing that an import makes is garbage; `transports` enables it again.
    from mcp_backend import cli

    code = cli.main(["serve", *arguments], wire)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def understood(arguments: list[str]) -> list[str] | None:
    """The options that answers depend on, `None` when this is not stdio or has an option that is not known here."""
    options: list[str] = []
    left = iter(arguments)
    for word in left:
        name, equals, value = word.partition("=")
        if name not in OPTIONS or (equals and not OPTIONS[name]):
            return None
        if OPTIONS[name] and not equals:
            value = next(left, "")
            if not value or value.startswith("-"):
                return None
        if name == "--transport" and value != "stdio":
            return None
        if name not in ("--workspace", "--transport"):
            options.append(f"{name}={value}")
    return options


def kept(options: list[str]) -> tuple[str, str, dict[str, str]]:
    """The file of the kept answers, the stamp it must carry, and the answers if it does."""
    path = os.path.join(resident.state(), f"answers-{crc32(' '.join(options).encode()):08x}.json")
    expected = stamp(options)
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        answers: dict[str, str] = dict(found["answers"]) if found["stamp"] == expected else {}
    except (OSError, ValueError, KeyError, TypeError):
        answers = {}
    return path, expected, answers


def stamp(options: list[str]) -> str:
    """Everything the answers depend on: these files, the SDK's, the interpreter, the options."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parts = [sys.version, here, *options]
    for folder in (here, f"{here}/policy", f"{here}/serving", f"{here}/tools", f"{here}/resources", *persona(here)):
        try:
            with os.scandir(folder) as entries:
                seen = [(e.name, e.stat()) for e in entries if e.name.endswith((".py", ".md", ".toml"))]
        except OSError:
            continue
        parts += sorted(f"{name} {status.st_mtime_ns} {status.st_size}" for name, status in seen)
    for package in ("mcp", "mcp_types", "pydantic"):
        for place in sys.path:
            try:
                status = os.stat(os.path.join(place, package, "__init__.py"))
            except OSError:
                continue
            parts.append(f"{package} {place} {status.st_mtime_ns} {status.st_size}")
            break
    return "\n".join(parts)


def persona(here: str) -> list[str]:
    """The folders of the persona, in the wheel or in a checkout."""
    for base in (f"{here}/_persona", f"{os.path.dirname(here)}/persona"):
        if os.path.isdir(base):
            return [base, f"{base}/prompts"]
    return []


class Talk:
    """What is owed on one connection: questions that were answered already, and those whose answers will be kept."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.asked: dict[str, str] = {}


class Wire:
    """The host's end of standard input and output, which `wire_ends` gives to the SDK's stdio transport.

    From here on file descriptor 0 is empty and 1 is standard error, so that no print and no child can reach the wire.
    """

    def __init__(self, path: str, expected: str, answers: dict[str, str]) -> None:
        self._path, self._stamp, self._answers = path, expected, answers
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="replace", newline="\n")
        self._out = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._heard = self._served = Talk()
        self._begun = self._probed = False
        self._era = ""
        self._views = False
        self._serving = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._in:
            identifier, question = self._question(line)
            if question:
                answer = self._answers.get(question)
                if answer is not None and not self._serving:
                    self._heard.answered.add(identifier)
                    self._send(f"{ANSWER}{identifier},{RESULT}{answer}}}\n")
                elif answer is None:
                    self._heard.asked[identifier] = question
            self._put(line)
        self._put("")

    def _put(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify()

    def _question(self, line: str) -> tuple[str, str]:
        """The id of a request as JSON, and the key of its answer, empty when it is none that is kept."""
        try:
            message: dict[str, Any] = json.loads(line)
            method, identifier = message["method"], message["id"]
            params: dict[str, Any] = message.get("params") or {}
            about: dict[str, Any] = params.get("_meta") or {}
            self._begins(method, VERSION in about)
            if method == "initialize":
                self._era = str(params["protocolVersion"])
                able: dict[str, Any] = params.get("capabilities") or {}
                self._views = ui.wanted(able.get("extensions"))
                key = f"initialize {self._era}"
            elif method in LISTS and set(params) <= {"_meta"} and set(about) <= ABOUT:
                able = about.get(CAPABILITIES) or {}
                views = ui.wanted(able.get("extensions")) if VERSION in about else self._views
                views = views and method == "tools/list"
                key = f"{method} {about.get(VERSION, self._era)}{' views' if views else ''}"
            else:
                return "", ""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "", ""
        plain = isinstance(identifier, int) or (isinstance(identifier, str) and identifier.isidentifier())
        return (json.dumps(identifier), key) if plain else ("", "")

    def _begins(self, method: str, modern: bool) -> None:
        """Ends the SDK's connection before a handshake that comes after nothing but `server/discover`."""
        if method == "initialize" and self._probed:
            self._heard = Talk()
            self._put("")
        self._probed = method == "server/discover" and modern and (self._probed or not self._begun)
        self._begun = True

    def anew(self) -> bool:
        """Whether another connection follows the one whose lines ended."""
        ended, self._served = self._served, self._heard
        return ended is not self._served

    def readline(self) -> str:
        """The next line of the host that the SDK can read, waiting for it; empty at the end."""
        from mcp_backend.serving import unread

        self._serving = True
        while True:
            with self._changed:
                while not self._lines:
                    self._changed.wait()
                line = self._lines.popleft()
            refused = unread.answer(line) if line else ""
            if not refused:
                return line
            self._send(refused)

    def write(self, data: str) -> int:
        """Sends a line of the SDK, unless it answers what was answered; keeps the answers of the first questions."""
        talk = self._served
        if (talk.answered or talk.asked) and data.startswith(ANSWER):
            identifier, _, rest = data[len(ANSWER) :].partition(",")
            if identifier in talk.answered:
                talk.answered.discard(identifier)
                return len(data)
            question = talk.asked.pop(identifier, "")
            if question and rest.startswith(RESULT):
                self._answers[question] = rest[len(RESULT) :].rstrip("\n")[:-1]
                self._keep()
        self._send(data)
        return len(data)

    def fileno(self) -> int:
        """The descriptor that is written to."""
        return self._out

    def _send(self, data: str) -> None:
        left = memoryview(data.encode())
        with self._writing:
            try:
                while left:
                    left = left[os.write(self._out, left) :]
            except BrokenPipeError:
                return  # The host is gone: the end of its lines ends the server.

    def _keep(self) -> None:
        """Writes the answers for the next start; without a folder to write to, the next start is as this one."""
        part = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(part, "w", encoding="utf-8") as file:
                json.dump({"stamp": self._stamp, "answers": self._answers}, file)
            os.replace(part, self._path)
        except OSError:
            return
