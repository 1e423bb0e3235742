"""The first answers of a start come from the start before: the SDK's own, byte for byte, and never an outdated one."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from mcp_backend import ui
from mcp_backend.cli import main, ready
from mcp_backend.people import seat
from mcp_backend.serving import front
from tests.conftest import ERAS, Era
from tests.test_transports import SERVE, ask_twice, environment

INITIALIZE: dict[str, Any] = {
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ABOUT: dict[str, Any] = {"_meta": {front.VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
INITIALIZED: dict[str, Any] = {"method": "notifications/initialized"}
LEGACY: list[dict[str, Any]] = [INITIALIZE, INITIALIZED, *({"method": name} for name in front.LISTS[1:])]
VIEWS: dict[str, Any] = {"extensions": {ui.EXTENSION: {"mimeTypes": [ui.MIME]}}}
WITH_VIEWS: dict[str, Any] = {"_meta": {**ABOUT["_meta"], front.CAPABILITIES: VIEWS}}
MODERN: list[dict[str, Any]] = [
    *({"method": name, "params": ABOUT} for name in front.LISTS), {"method": "tools/list", "params": WITH_VIEWS}
]  # fmt: skip
GIVEN_UP: dict[str, Any] = {"method": "notifications/cancelled", "params": {"requestId": 0}}
WITHOUT_FRONT = ("-c", "import sys; from mcp_backend.cli import main; sys.exit(main(sys.argv[1:]))", "serve")


@dataclass(frozen=True)
class Served:
    """A state folder with kept answers, and the bodies of those answers by era."""

    state: Path
    handshake: list[str]
    modern: list[str]


class Host:
    """A program at the other end of the pipes of a server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._next = 0

    def send(self, messages: Sequence[dict[str, Any]]) -> int:
        """Sends them with ids of their own; how many want an answer."""
        assert self._process.stdin is not None
        wanted = 0
        for message in messages:
            numbered = {} if message["method"].startswith("notifications/") else {"id": self._next}
            self._next += len(numbered)
            wanted += len(numbered)
            self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **numbered, **message}) + "\n")
        self._process.stdin.flush()
        return wanted

    def throw(self, line: str) -> None:
        """Sends what is no message."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")

    def answers(self, messages: Sequence[dict[str, Any]]) -> list[str]:
        """The lines that answer these, by id."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(self.send(messages))]
        assert all(lines), "the server ended"
        return sorted(lines, key=lambda line: json.loads(line)["id"])

    def end(self) -> tuple[int, str]:
        """Closes the wire; the exit code and what was still said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        rest = self._process.stdout.read()
        return self._process.wait(60), rest


@contextmanager
def server(workspace: Path, *options: str, start: Sequence[str] = SERVE) -> Generator[Host]:
    """A server over stdio that ends with the block."""
    command = [sys.executable, *start, "--workspace", str(workspace), *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield Host(process)
        finally:
            process.kill()


def bodies(lines: Sequence[str]) -> list[str]:
    """What answers say, without their ids."""
    return [line.partition(f"{json.loads(line)['id']},")[2] for line in lines]


def call(**about: Any) -> dict[str, Any]:
    """A call that any connection answers."""
    return {"method": "tools/call", "params": {"name": "check_escalation", "arguments": {}, **about}}


def works(host: Host, **about: Any) -> None:
    """A call is answered, and the server ends well."""
    [called] = host.answers([call(**about)])
    assert json.loads(called)["result"]["structuredContent"]["open"] == []
    assert host.end() == (0, "")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """What the SDK says by itself in both eras, and a state folder where all of it is kept."""
    folder, state = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCP_BACKEND_STATE", str(state))
        with server(folder, start=WITHOUT_FRONT) as host:
            handshake = bodies(host.answers(LEGACY))
            works(host)
        with server(folder, start=WITHOUT_FRONT) as host:
            modern = bodies(host.answers(MODERN))
            [refused] = bodies(host.answers([INITIALIZE]))
        assert not list(state.glob("answers-*"))
        # The first start: a host asks, gets its answer or none in time, and goes back to the handshake.
        with server(folder) as host:
            assert bodies(host.answers(MODERN[:1])) == modern[:1]
            assert bodies(host.answers([GIVEN_UP, *LEGACY])) == handshake
            works(host)
        with server(folder) as host:
            assert bodies(host.answers(MODERN)) == modern
            assert bodies(host.answers([INITIALIZE])) == [refused], "more than server/discover was asked"
            works(host, **ABOUT)
        yield Served(state, handshake, modern)


def test_the_kept_answers_are_those_of_the_sdk(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_BACKEND_STATE", str(served.state))
    [kept] = served.state.glob("answers-*.json")
    answers = json.loads(kept.read_text())["answers"].values()
    assert sorted(f'"result":{answer}}}\n' for answer in answers) == sorted({*served.handshake, *served.modern})
    with server(tmp_path) as host:
        asked = [MODERN[0], GIVEN_UP, *LEGACY]
        assert bodies(host.answers(asked)) == [served.modern[0], *served.handshake]
        works(host)


def test_what_is_kept_is_said_before_anything_is_imported(tmp_path: Path, state: Path) -> None:
    path, stamp, _ = front.kept([])
    kept = {
        "initialize 2025-11-25": '{"said":"kept"}', "tools/list 2025-11-25": '{"tools":[]}',
        "tools/list 2025-11-25 views": '{"tools":["with views"]}',
    }  # fmt: skip
    Path(path).write_text(json.dumps({"stamp": stamp, "answers": kept}))
    blocked = "import sys; sys.modules['mcp'] = None; from mcp_backend.__main__ import main; main()"
    with server(tmp_path, start=("-c", blocked, "serve")) as host:
        host.throw("[" * 3000)  # Too deep for a parser: the lines after it are read all the same.
        first, second = host.answers([INITIALIZE, INITIALIZED, {"method": "tools/list"}])
    assert (json.loads(first)["result"], json.loads(second)["result"]) == ({"said": "kept"}, {"tools": []})
    shows = {**INITIALIZE, "params": {**INITIALIZE["params"], "capabilities": VIEWS}}
    with server(tmp_path, start=("-c", blocked, "serve")) as host:
        tools = host.answers([shows, INITIALIZED, {"method": "tools/list"}])[1]
    assert json.loads(tools)["result"] == {"tools": ["with views"]}


def test_what_other_files_or_options_answered_is_not_said(tmp_path: Path, state: Path) -> None:
    path, stamp, _ = front.kept(["--read-only="])
    wrong = {"initialize 2025-11-25": '{"said":"long ago"}'}
    Path(path).write_text(json.dumps({"stamp": f"{stamp} of an older version", "answers": wrong}))
    assert front.kept(["--read-only="])[2] == {}
    assert front.kept([])[0] != path
    with server(tmp_path, "--read-only") as host:
        initialized, tools = host.answers(LEGACY)[:2]
        assert json.loads(initialized)["result"]["serverInfo"]["name"] == "mcp-backend"
        names = {tool["name"] for tool in json.loads(tools)["result"]["tools"]}
        assert "db_query" in names
        assert "run_migration" not in names
    for broken in ("", "{", "[]", '{"stamp": 1}', '{"answers": 3}'):
        Path(path).write_text(broken)
        assert front.kept(["--read-only="])[2] == {}


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_works_as_ever_with_kept_answers(
    served: Served, repository: Path, monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    monkeypatch.setenv("MCP_BACKEND_STATE", str(served.state))
    parameters = StdioServerParameters(
        command=sys.executable, args=[*SERVE, "--workspace", str(repository)], env=environment()
    )
    async with Client(parameters, mode=era) as client:
        assert "escalate" in {tool.name for tool in (await client.list_tools()).tools}
        await ask_twice(client)


def test_init_has_the_server_keep_what_every_host_asks_first(
    served: Served, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCP_BACKEND_STATE", str(served.state))
    wanted = {f"{name} 2025-06-18" for name in ("initialize", *front.LISTS[1:])}
    main(["init", "--print", "--workspace", str(repository)])
    assert main(["init", "--workspace", str(repository)]) == 0
    assert not wanted & front.kept([])[2].keys(), "in a pipeline no host waits"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["init", "--force", "--workspace", str(repository)]) == 0
    assert wanted <= front.kept([])[2].keys()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert main(["init", "--force", "--workspace", str(repository)]) == 0, "all is kept: nothing is started"
    assert "quick start" not in capsys.readouterr().out


def test_a_server_that_does_not_start_is_told_with_its_last_words(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--toolsets: unknown nonsense" in ready.prepare(tmp_path, ("--toolsets", "nonsense"))
    assert ready.prepare(tmp_path, ("--transport", "http")) == "", "no front answers there"
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert ready.prepare(tmp_path) == "/nowhere/python cannot be started: No such file or directory"
    monkeypatch.setattr(seat, "agent", lambda: "")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["render", "qwen", "--write", "--workspace", str(tmp_path)]) == 0
    assert "/nowhere/python cannot be started" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], []),
        (["--workspace", "x"], []),
        (["--workspace=x", "--read-only"], ["--read-only="]),
        (["--toolsets", "git", "--read-only"], ["--toolsets=git", "--read-only="]),
        (["--toolsets=git"], ["--toolsets=git"]),
        (["--toolsets"], None),
        (["--toolsets", "--read-only"], None),
        (["--transport", "http"], None),
        (["--transport", "stdio"], []),
        (["--read-only=yes"], None),
        (["--help"], None),
        (["else"], None),
    ],
)
def test_only_options_that_are_understood_take_the_short_way(arguments: list[str], options: list[str] | None) -> None:
    assert front.understood(arguments) == options


def test_the_front_imports_next_to_nothing() -> None:
    script = "import sys; old = set(sys.modules); import mcp_backend.serving.front; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    brought = {name.partition(".")[0] for name in done.stdout.split()}
    assert not brought & {"typing", "asyncio", "argparse", "dataclasses", "pathlib", "mcp", "pydantic", "hashlib"}
