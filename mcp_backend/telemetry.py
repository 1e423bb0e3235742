"""Traces by OpenTelemetry, and logs a program can read. Neither holds the value of an argument, a row or a secret.

The standard variables rule (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): nothing
is measured unless `OTEL_TRACES_EXPORTER` or an OTLP endpoint is set. The extra `telemetry` brings the SDK.
`MCP_BACKEND_LOG=json` writes each log record as one line of JSON, and one for each call.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mcp_backend import __version__
from mcp_backend.errors import BackendError
from mcp_backend.settings import hide_credentials

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext, HandlerResult

    from mcp_backend.actions import Action

log = logging.getLogger("mcp_backend")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_tracer: Any = None


class Span:
    """A step of a call, while nothing is measured."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, **attributes: str) -> None:
        """Names, kinds and ids; never values."""


class _Measured(Span):
    def __init__(self, name: str) -> None:
        self._manager = _tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)
        self._span: Any = None

    def __enter__(self) -> Span:
        self._span = self._manager.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            from opentelemetry.trace import StatusCode

            what = error.code if isinstance(error, BackendError) else type(error).__name__
            self._span.set_attribute("error.type", what)  # Its words may hold what was given.
            self._span.set_status(StatusCode.ERROR)
        self._manager.__exit__(kind, error, trace)

    def say(self, **attributes: str) -> None:
        for name, value in attributes.items():
            if value:
                self._span.set_attribute(f"mcp_backend.{name}", value)


_OFF = Span()


def span(name: str) -> Span:
    """A step of the call that runs."""
    return _OFF if _tracer is None else _Measured(name)


def reached(planned: "Iterable[Action]") -> str:
    """The engines that actions reach, with their environments."""
    if _tracer is None:
        return ""
    pairs = {(getattr(each, "engine", ""), getattr(each, "environment", "")) for each in planned}
    return ", ".join(f"{engine} ({environment})" for engine, environment in sorted(pairs) if engine)


async def traced(ctx: "ServerRequestContext[Any, Any]", call_next: "CallNext") -> "HandlerResult":
    """One span for each message, a child of the caller's (`traceparent` in its `_meta`). In place of the SDK's, which
    also tells what an error said."""
    if _tracer is None:
        return await call_next(ctx)
    from mcp.shared._otel import extract_trace_context
    from mcp.shared.exceptions import MCPError
    from opentelemetry.trace import SpanKind, StatusCode

    name = str((ctx.params or {}).get("name", "")) if ctx.method in ("tools/call", "prompts/get") else ""
    attributes = {"mcp.method.name": ctx.method, "mcp.protocol.version": ctx.protocol_version}
    if name := name if name.isidentifier() and len(name) <= 64 else "":
        attributes["gen_ai.tool.name" if ctx.method == "tools/call" else "gen_ai.prompt.name"] = name
    with _tracer.start_as_current_span(
        f"{ctx.method} {name}".strip(), kind=SpanKind.SERVER, attributes=attributes,
        context=extract_trace_context(ctx.meta), record_exception=False, set_status_on_exception=False,
    ) as current:  # fmt: skip
        try:
            result = await call_next(ctx)
        except Exception as error:
            what = str(error.error.code) if isinstance(error, MCPError) else type(error).__name__
            current.set_attribute("error.type", what)
            current.set_status(StatusCode.ERROR)
            raise
        if getattr(result, "is_error", False):
            current.set_attribute("error.type", "tool_error")
            current.set_status(StatusCode.ERROR)
        return result


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """The exporter that the environment asks for: `otlp`, `console`, or empty for none."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    default = "otlp" if any(environment.get(name) for name in ENDPOINTS) else ""
    named = environment.get("OTEL_TRACES_EXPORTER", default).strip()
    return "" if named == "none" else named


def start() -> None:
    """Measures from now on, if the environment says so. What cannot be measured is told in the log, once."""
    global _tracer
    if not (exporter := wanted()):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
    except ImportError:
        log.warning("traces are asked for, but the SDK is not installed: pip install 'mcp-backend[telemetry]'")
        return
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "mcp-backend"}
    provider = TracerProvider(resource=Resource.create({**named, "service.version": __version__}))
    if exporter == "console":
        provider.add_span_processor(
            SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
        )  # stdout is the protocol's.
    elif exporter == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    else:
        log.warning("OTEL_TRACES_EXPORTER: %s is not known; expected otlp, console or none", exporter)
        return
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("mcp_backend", __version__)


class Lines(logging.Formatter):
    """One line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message, and what the record says of a call."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = hide_credentials(record.getMessage())
        found = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": message}
        if record.exc_info:
            found["trace"] = hide_credentials(self.formatException(record.exc_info))
        return json.dumps({**found, **getattr(record, "call", {})}, ensure_ascii=False)


def logs() -> None:
    """Logs go to stderr, never to stdout."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if os.environ.get("MCP_BACKEND_LOG") == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(Lines())
        log.setLevel(logging.INFO)
