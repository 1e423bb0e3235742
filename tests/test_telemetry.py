"""What traces and logs say of a call, and that they hold no value of it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client

from mcp_backend import telemetry
from tests.test_transports import QUESTION, SERVE, environment

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VALUE = "s3cret-value-of-an-argument"


async def test_a_trace_names_the_steps_and_no_values(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = StdioServerParameters(
        command=sys.executable, args=[*SERVE, "--workspace", str(repository)],
        env=environment() | {"OTEL_TRACES_EXPORTER": "console", "MCP_BACKEND_LOG": "json"},
    )  # fmt: skip
    with log.open("w") as errors:
        async with Client(stdio_client(server, errlog=errors)) as client:
            await client.call_tool("escalate", {**QUESTION, "title": VALUE}, meta={"traceparent": PARENT})
            await client.call_tool("read_file", {"path": f"{VALUE}.txt"})
            await client.call_tool("read_file", {"path": 7, VALUE: VALUE})
    text = log.read_text()
    assert VALUE not in text
    spans = _objects(text)
    steps = [span for span in spans if "trace_id" in span.get("context", {})]
    asked = [span for span in steps if span["context"]["trace_id"] == f"0x{PARENT.split('-')[1]}"]
    assert [span["name"] for span in asked] == ["plan", "judge", "agree", "run", "tools/call escalate"]
    assert asked[1]["attributes"]["mcp_backend.verdict"] == "allow"
    refused = [span for span in steps if span["attributes"].get("error.type") == "not_found"]
    assert refused
    assert all(span["status"] == {"status_code": "ERROR"} for span in refused)
    calls = [line for line in spans if line.get("message") == "call"]
    assert [(line["tool"], line["event"], line["code"]) for line in calls] == [
        ("escalate", "done", ""), ("read_file", "failed", "not_found"), ("read_file", "refused", "invalid_argument"),
    ]  # fmt: skip


def _objects(text: str) -> list[dict[str, Any]]:
    decoder, found, place = json.JSONDecoder(), list[dict[str, Any]](), 0
    while (place := text.find("{", place)) >= 0:
        value, place = decoder.raw_decode(text, place)
        found.append(value)
    return found


@pytest.mark.parametrize(
    ("given", "exporter"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, ""),
    ],
)
def test_the_standard_variables_say_whether_to_measure(given: dict[str, str], exporter: str) -> None:
    assert telemetry.wanted(given) == exporter


async def test_without_the_sdk_the_server_says_so_and_serves() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; from mcp_backend import telemetry; telemetry.logs(); "
        "telemetry.start(); print(telemetry.span('x') is telemetry.span('y'))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, stderr=PIPE, env=environment() | {"OTEL_TRACES_EXPORTER": "otlp"}
    )
    said, told = await process.communicate()
    assert said == b"True\n"
    assert b"mcp-backend[telemetry]" in told
