"""Spans reach a collector over OTLP/HTTP: whose they are, what they say, and what no byte of them says."""

import asyncio
import json
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import StdioServerParameters
from mcp.client import Client, stdio
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import RequestParamsMeta
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mcp_backend import telemetry
from mcp_backend.actions import PublishMessage
from mcp_backend.policy import EngineSettings
from tests.daemon import free_port
from tests.test_transports import QUESTION, environment

SECRET = "hunter2-of-the-arguments"
TOKEN = "t0ken-of-the-collector"
BY_HEADER, BY_META = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
CALLER = "00f067aa0ba902b7"
PATIENT = (
    "from mcp_backend import telemetry; from mcp_backend.serving import front, log_lines; telemetry.STOP_SECONDS = 60\n"
)
"""However loaded the machine is, the collector has the time to take the last spans."""
SERVE = ("-c", f"{PATIENT}import sys; sys.exit(front.main(sys.argv[1:]))")


class Collector:
    """What a receiver of OTLP/HTTP was sent. It answers once it may."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.came, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                outer.came.set()
                outer.may_answer.wait(60)
                outer.bodies.append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def variables(self) -> dict[str, str]:
        """What a server is started with, as docs/serving.md says."""
        return environment() | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {TOKEN}",
        }

    def spans(self) -> list[dict[str, Any]]:
        """Every span, with its attributes as a mapping."""
        found: list[dict[str, Any]] = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                said = {a.key: a.value.string_value for a in resource.resource.attributes}
                assert said["service.name"] == "mcp-backend"
                found += [
                    {
                        "name": span.name, "trace": span.trace_id.hex(), "id": span.span_id.hex(), "kind": span.kind,
                        "parent": span.parent_span_id.hex(), "events": len(span.events), "error": span.status.code == 2,
                        **{a.key: a.value.string_value for a in span.attributes},
                    }
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]  # fmt: skip
        return found


@contextmanager
def collecting() -> Generator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()


def below(spans: list[dict[str, Any]], parent: str) -> dict[str, dict[str, Any]]:
    return {span["name"]: span for span in spans if span["parent"] == parent}


async def test_an_allowed_and_a_refused_call_reach_the_collector_without_a_secret(
    shop: Path, postgres_database: str
) -> None:
    with collecting() as collector:
        server = await asyncio.create_subprocess_exec(
            sys.executable, *SERVE, "--transport", "http", "--port", "0", "--workspace", str(shop),
            stderr=PIPE, env=collector.variables | {"MCP_BACKEND_LOG": "json"},
        )  # fmt: skip
        assert server.stderr is not None
        url = (await server.stderr.readline()).decode().split()[-1]
        async with (
            httpx2.AsyncClient(headers={"traceparent": f"00-{BY_HEADER}-{CALLER}-01"}, timeout=60) as requests,
            Client(streamable_http_client(url, http_client=requests)) as client,
        ):
            sql = {"sql": f"select '{SECRET}' as password, $1::text", "parameters": [SECRET]}
            allowed = await client.call_tool("db_query", sql)
            meta: RequestParamsMeta = {"traceparent": f"00-{BY_META}-{CALLER}-01"}
            path = f"/?token={SECRET}"
            for target in (f"http://ada:{SECRET}@10.1.2.3:8000", "http://10.1.2.3:8000"):
                refused = await client.call_tool("call_api", {"target": target, "path": path}, meta=meta)
                assert refused.is_error
        server.terminate()
        _, told = await server.communicate()
    assert (allowed.is_error, server.returncode) == (False, 0), allowed
    assert told.count(b'"message": "call"') == 3
    assert BY_HEADER.encode() in told, "a line of the log names its trace"
    for text in (told, *collector.bodies):
        for secret in (SECRET, TOKEN, "ada"):
            assert secret.encode() not in text
    spans = collector.spans()
    assert not any(span["events"] for span in spans), "an event holds the words of an error"

    (query,) = (s for s in spans if s["trace"] == BY_HEADER and s["name"] == "tools/call db_query")
    assert (query["parent"], query["gen_ai.tool.name"], query["error"]) == (CALLER, "db_query", False)
    steps = below(spans, query["id"])
    assert {*steps} == {"plan", "judge", "agree", "run"}
    assert steps["plan"]["mcp_backend.tool"] == "db_query"
    assert steps["judge"]["mcp_backend.verdict"] == "allow"
    guards = below(spans, steps["judge"]["id"])
    assert guards["guard reads_stay_reads"]["mcp_backend.constraint"] == "reads-stay-reads"
    assert {guard["mcp_backend.verdict"] for guard in guards.values()} == {"allow"}
    engine = below(spans, steps["run"]["id"])["query main"]
    assert {key: value for key, value in engine.items() if "." in key} == {
        "db.system.name": "postgresql", "db.operation.name": "query", "db.namespace": postgres_database,
        "mcp_backend.engine": "main", "mcp_backend.environment": engine["mcp_backend.environment"],
    }  # fmt: skip
    assert engine["kind"] == 3, "CLIENT"

    calls = [s for s in spans if s["trace"] == BY_META and s["name"] == "tools/call call_api"]
    assert [(s["parent"], s["error.type"], s["error"]) for s in calls] == [(CALLER, "tool_error", True)] * 2
    steps = below(spans, calls[-1]["id"])
    assert {*steps} == {"plan", "judge", "agree"}, "it did not run"
    judged = steps["judge"]
    assert (judged["mcp_backend.verdict"], judged["mcp_backend.constraint"]) == ("deny", "known-services")
    assert below(spans, judged["id"])["guard known_services"]["mcp_backend.verdict"] == "deny"
    assert steps["agree"]["error.type"] == "permission_denied"


async def test_a_collector_that_does_not_answer_delays_no_call_and_the_last_spans_are_sent(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "PROCESS_TERMINATION_TIMEOUT", 60)
    with collecting() as collector, (tmp_path / "log").open("w") as log:
        collector.may_answer.clear()
        server = StdioServerParameters(
            command=sys.executable, args=[*SERVE, "--workspace", str(repository)],
            env=collector.variables | {"OTEL_BSP_SCHEDULE_DELAY": "1", "MCP_BACKEND_LOG": "json"}
            | {"OTEL_EXPORTER_OTLP_TIMEOUT": "100"},
        )  # fmt: skip
        meta: RequestParamsMeta = {"traceparent": f"00-{BY_META}-{CALLER}-01"}
        async with Client(stdio_client(server, errlog=log)) as client:
            await client.call_tool("escalate", {**QUESTION, "title": SECRET}, meta=meta)
            assert await asyncio.to_thread(collector.came.wait, 60), "a batch is under way, and is not answered"
            await client.call_tool("read_file", {"path": f"{SECRET}.txt"})
            await client.call_tool("read_file", {"path": 7, SECRET: SECRET})
            assert collector.bodies == []
            collector.may_answer.set()
    told, spans = (tmp_path / "log").read_text(), collector.spans()
    assert SECRET not in told
    assert SECRET.encode() not in b"".join(collector.bodies)
    asked = [span["name"] for span in spans if span["trace"] == BY_META]
    assert asked == ["plan", "judge", "agree", "run", "tools/call escalate"], "no action, and so no guard nor engine"
    failed = [(span["name"], span["error.type"]) for span in spans if span["error"]]
    assert failed == [("run", "not_found"), *[("tools/call read_file", "tool_error")] * 2]
    lines = [json.loads(line) for line in told.splitlines()]
    assert [(line["tool"], line["event"], line["code"]) for line in lines] == [
        ("escalate", "done", ""), ("read_file", "failed", "not_found"), ("read_file", "refused", "invalid_argument"),
    ]  # fmt: skip
    assert (lines[0]["trace_id"], lines[0]["message"]) == (BY_META, "call")


STEP = f"{PATIENT}log_lines.write(); telemetry.start()\nwith telemetry.span('step'): pass\n"


async def run(code: str, variables: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STEP + code, stderr=PIPE, env=variables)
    _, told = await process.communicate()
    return process.returncode, told.decode()


async def test_a_signal_ends_the_process_once_its_spans_are_sent() -> None:
    with collecting() as collector:
        assert await run("import signal; signal.raise_signal(signal.SIGTERM)", collector.variables) == (-15, "")
    assert [s["name"] for s in collector.spans()] == ["step"]


async def test_a_collector_that_is_not_there_is_told_in_one_line_and_no_end_waits_for_it() -> None:
    address = f"http://ada:{SECRET}@127.0.0.1:{free_port()}/{TOKEN}"
    code = "telemetry._provider.force_flush(); telemetry.STOP_SECONDS = 0.1; telemetry.stop(); print('ended')"
    variables = environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
    returned, told = await run(code, variables)
    assert (returned, told) == (
        0, "WARNING mcp_backend: the collector of traces does not take them; calls go on, spans may be lost\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "database"),
    [
        ("postgresql://ada:pw@db.example:5432/orders?sslmode=require", "orders"),
        ("https://ada:p%40w@ch.example:8443/", ""),
        ("host=db.example dbname=orders password=pw", ""),
        ("embedded:postgresql", ""),
        ("env:NOT_SET_ANYWHERE", ""),
    ],
)
def test_of_the_url_of_an_engine_only_the_database_is_told(written: str, database: str) -> None:
    assert telemetry.database(written) == database


def test_a_message_is_a_span_of_its_broker_without_what_it_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    known = {"events": EngineSettings("events", "nats", f"nats://ada:{SECRET}@127.0.0.1:4222", "staging")}
    action = PublishMessage("events", "staging", "orders.created", SECRET, (("x-key", SECRET),), SECRET, SECRET)
    with telemetry.engines((action,), known):
        pass
    (span,) = kept.get_finished_spans()
    assert (span.name, span.kind.name) == ("publish events", "PRODUCER")
    assert dict(span.attributes or {}) == {
        "messaging.system": "nats", "messaging.destination.name": "orders.created", "messaging.operation.type": "send",
        "messaging.operation.name": "publish", "mcp_backend.engine": "events", "mcp_backend.environment": "staging",
    }  # fmt: skip
