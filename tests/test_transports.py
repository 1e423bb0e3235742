"""Real processes over stdio, SSE and streamable HTTP, in both protocol eras."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.sse import sse_client

from mcp_backend.app import open_app
from tests.conftest import ERAS, Era, long_proof
from tests.service import write
from tests.test_escalation import records_of

SERVE = ("-m", "mcp_backend", "serve")
QUESTION = {
    "kind": "unknown",
    "title": "retry budget",
    "question": "How often may a payment be retried?",
    "details": {"known": "nothing in the spec", "tried": "read docs/", "would_unblock": "a number"},
}


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "MCP_BACKEND_STATE")}


@asynccontextmanager
async def listening(workspace: Path, transport: str) -> AsyncGenerator[str]:
    """The address of a server process that ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--transport", transport, "--port", "0", "--workspace", str(workspace),
        stderr=PIPE, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        assert "serves http://127.0.0.1:" in line, line
        yield line.split()[-1]
    finally:
        process.terminate()
        await process.communicate()


async def ask_twice(client: Client) -> None:
    """One call that changes the store, one that reads it back."""
    asked = await client.call_tool("escalate", QUESTION)
    assert asked.is_error is False
    assert asked.structured_content is not None
    read = await client.call_tool("check_escalation", {"id": asked.structured_content["id"]})
    assert read.structured_content is not None
    assert read.structured_content["question"] == QUESTION["question"]
    assert json.loads(read.content[0].text) == read.structured_content  # type: ignore[union-attr]


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_calls_tools_over_stdio(repository: Path, era: Era) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=[*SERVE, "--workspace", str(repository)], env=environment()
    )
    async with Client(server, mode=era) as client:
        assert client.protocol_version == ("2026-07-28" if era == "auto" else "2025-11-25")
        await ask_twice(client)


async def test_hosts_call_tools_over_streamable_http_and_a_foreign_origin_is_turned_away(repository: Path) -> None:
    async with listening(repository, "http") as url:
        for era in ERAS:
            async with Client(url, mode=era) as client:
                await ask_twice(client)
        host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n"
            b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 421"))


async def test_hosts_call_tools_over_sse(repository: Path) -> None:
    async with listening(repository, "sse") as url:
        for era in ERAS:
            async with Client(sse_client(url), mode=era) as client:
                await ask_twice(client)


async def speak(process: Process, **message: Any) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    await process.stdin.drain()
    return json.loads(await process.stdout.readline()) if "id" in message else {}


@pytest.mark.parametrize("version", ["2025-06-18", pytest.param("2025-11-25", marks=long_proof)])
async def test_stdout_carries_only_the_protocol(repository: Path, version: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--workspace", str(repository), stdin=PIPE, stdout=PIPE, env=environment()
    )
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    answer = await speak(process, id=1, method="initialize", params=hello)
    assert answer["result"]["protocolVersion"] == version
    assert answer["result"]["serverInfo"]["name"] == "mcp-backend"
    assert len(answer["result"]["instructions"].encode()) <= 2048
    await speak(process, method="notifications/initialized")
    refused = await speak(process, id=2, method="tools/call", params={"name": "escalate", "arguments": {"kind": "?"}})
    assert refused["result"]["isError"] is True
    assert refused["result"]["structuredContent"]["error"]["code"] == "invalid_argument"
    unknown = await speak(process, id=3, method="tools/call", params={"name": "drop_everything"})
    assert unknown["error"]["code"] == -32602
    assert process.stdin is not None
    process.stdin.close()
    rest, _ = await process.communicate()
    assert rest == b""
    assert process.returncode == 0


async def test_a_server_over_stdio_that_is_told_to_end_takes_back_what_it_began(
    repository: Path, tmp_path: Path
) -> None:
    """As when its host closes standard input: hosts send SIGTERM when that took them too long."""
    write(repository, {"test_slow.py": "import time\n\n\ndef test():\n    time.sleep(600)\n"})
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--workspace", str(repository), stdin=PIPE, stdout=PIPE,
        env=environment() | {"TMPDIR": str(folder)},
    )  # fmt: skip
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    await speak(process, id=1, method="initialize", params=hello)
    await speak(process, method="notifications/initialized")
    call = asyncio.create_task(speak(process, id=2, method="tools/call", params={"name": "run_tests"}))
    async with asyncio.timeout(60):
        while not [*folder.glob("mb-*/report/*")]:
            await asyncio.sleep(0.02)
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM
    call.cancel()
    assert [*folder.iterdir()] == []
    async with open_app(repository) as app:
        assert [record["event"] for record in await records_of(app)] == ["started", "cancelled"]


async def test_the_server_listens_on_loopback_only(repository: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--transport", "http", "--host", "0.0.0.0", "--workspace", str(repository),
        stderr=PIPE, env=environment(),
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"--host" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("era", ERAS)
async def test_resources_templates_prompts_and_completions_are_served(repository: Path, era: Era, connect: Any) -> None:
    async with connect(repository, mode=era) as client:
        listed = {r.uri for r in (await client.list_resources()).resources}
        assert {"persona://backend-engineer", "policy://effective", "escalation://open", "audit://recent"} <= listed
        templates = {t.uri_template for t in (await client.list_resource_templates()).resource_templates}
        assert "escalation://{id}" in templates
        asked = await client.call_tool("escalate", QUESTION)
        identifier = asked.structured_content["id"]
        completion = await client.complete(
            ref={"type": "ref/resource", "uri": "escalation://{id}"}, argument={"name": "id", "value": "ESC"}
        )
        assert identifier in completion.completion.values
        one = await client.read_resource(f"escalation://{identifier}")
        assert json.loads(one.contents[0].text)["title"] == "retry budget"
        prompts = {p.name for p in (await client.list_prompts()).prompts}
        assert "backend_engineer" in prompts
        prompt = await client.get_prompt("backend_engineer", {"task": "add an endpoint"})
        assert "add an endpoint" in prompt.messages[0].content.text


async def test_a_policy_that_is_wrong_ends_a_server_over_stdio_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text('[engines.main]\nurl = "env:MAIN_URL"\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--workspace", str(tmp_path), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment()
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"mcp-backend: mcp-backend.toml: engines.main.kind: expected one of postgresql,")
    assert err.count(b"\n") == 1
