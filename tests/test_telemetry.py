"""When traces are on; what they say is in test_telemetry_export.py."""

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest

from mcp_backend import telemetry
from tests.test_transports import environment


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
        "import sys; sys.modules['opentelemetry.sdk'] = None; from mcp_backend import telemetry; "
        "from mcp_backend.serving import log_lines; log_lines.write(); telemetry.start(); "
        "print(telemetry.span('x') is telemetry.span('y'))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, stderr=PIPE, env=environment() | {"OTEL_TRACES_EXPORTER": "otlp"}
    )
    said, told = await process.communicate()
    assert said == b"True\n"
    assert b"mcp-backend[telemetry]" in told
