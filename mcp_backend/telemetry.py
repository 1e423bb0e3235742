"""Traces by OpenTelemetry. They hold no statement, row, header or body, no words of an error, and no secret.

The standard variables rule (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): nothing
is measured unless `OTEL_TRACES_EXPORTER` or an OTLP endpoint is set. The extra `telemetry` brings the SDK.
"""

import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from mcp_backend import __version__, installing
from mcp_backend.errors import BackendError
from mcp_backend.settings import hide_credentials, resolve

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext, HandlerResult

    from mcp_backend.actions import Action
    from mcp_backend.policy import EngineSettings
    from mcp_backend.promises import Constraint, Verdict

log = logging.getLogger("mcp_backend")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
STOP_SECONDS = 1.5
"""How long the end of a server waits for its last spans to be taken. Hosts give a server 2 seconds to end."""
COMPLAINT_SECONDS = 60.0
"""Between two lines of the log about spans that cannot be exported."""
DATABASES = ("postgresql", "clickhouse")
OPERATIONS = {
    "ReadRows": "query",
    "ExecuteSql": "execute",
    "PublishMessage": "publish",
    "ConfigureMessaging": "configure",
}
"""What an action does to an engine, by its name."""
_tracer: Any = None
_provider: Any = None


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
    def __init__(self, name: str, **more: Any) -> None:
        self._manager = _tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False, **more
        )
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


def guarding() -> "Callable[[Constraint, Verdict], None] | None":
    """What hears of each guard that `judge` asked: its span begins with the last one's end. `None` when all is off."""
    if _tracer is None:
        return None
    began = time.time_ns()

    def tell(constraint: "Constraint", verdict: "Verdict") -> None:
        nonlocal began
        said = {
            "mcp_backend.constraint": constraint.id,
            "mcp_backend.guard": constraint.guard,
            "mcp_backend.verdict": verdict.outcome,
        }
        asked, began = began, time.time_ns()
        _tracer.start_span(f"guard {constraint.guard}", start_time=asked, attributes=said).end(began)

    return tell


def engines(planned: "Iterable[Action]", known: "Mapping[str, EngineSettings]") -> Span:
    """The step in which agreed actions reach an engine: the first that they name, which is the only one of nearly
    every call. Attributes by the conventions of OpenTelemetry for databases and for messaging
    (https://opentelemetry.io/docs/specs/semconv/); statements, keys and headers are not among them."""
    if _tracer is None:
        return _OFF
    action = next((each for each in planned if type(each).__name__ in OPERATIONS), None)
    settings = known.get(getattr(action, "engine", ""))
    if settings is None:
        return _OFF
    from opentelemetry.trace import SpanKind

    operation = OPERATIONS[type(action).__name__]
    said = {"mcp_backend.engine": settings.name, "mcp_backend.environment": settings.environment}
    if settings.kind in DATABASES:
        said |= {"db.system.name": settings.kind, "db.operation.name": operation}
        if namespace := database(settings.url):
            said["db.namespace"] = namespace
    else:
        said |= {"messaging.system": settings.kind, "messaging.operation.name": operation}
        if destination := hide_credentials(getattr(action, "destination", ""))[:255]:
            said |= {"messaging.destination.name": destination, "messaging.operation.type": "send"}
    kind = SpanKind.PRODUCER if operation == "publish" else SpanKind.CLIENT
    return _Measured(f"{operation} {settings.name}", kind=kind, attributes=said)


@cache
def database(reference: str) -> str:
    """The database that a URL names, empty where it is written in another way."""
    try:
        found = re.fullmatch(r"[\w+]+://[^/?#]*/([\w.-]{1,63})(?:[?#].*)?", resolve(reference, field="url"), re.DOTALL)
    except BackendError:
        return ""
    return found[1] if found else ""


async def traced(ctx: "ServerRequestContext[Any, Any]", call_next: "CallNext") -> "HandlerResult":
    """One span for each message, a child of the caller's: of `traceparent` in its `_meta` (SEP-414), or else of that
    header of the HTTP request (https://www.w3.org/TR/trace-context/). In place of the SDK's, which also tells what an
    error said."""
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
        context=extract_trace_context(ctx.meta) or extract_trace_context(getattr(ctx.request, "headers", None)),
        record_exception=False, set_status_on_exception=False,
    ) as current:  # fmt: skip
        try:
            result = await call_next(ctx)
        except Exception as error:
            what = str(error.error.code) if isinstance(error, MCPError) else type(error).__name__
            current.set_attribute("error.type", what)
            current.set_status(StatusCode.ERROR)
            raise
        if result.get("isError") if isinstance(result, dict) else getattr(result, "is_error", False):
            current.set_attribute("error.type", "tool_error")
            current.set_status(StatusCode.ERROR)
        return result


def ids() -> dict[str, str]:
    """The ids that join a line with its trace, as OpenTelemetry writes them in logs that are JSON."""
    if _tracer is None:
        return {}
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

    now = get_current_span().get_span_context()
    return {"trace_id": format_trace_id(now.trace_id), "span_id": format_span_id(now.span_id)} if now.is_valid else {}


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """The exporter that the environment asks for: `otlp`, `console`, or empty for none."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    default = "otlp" if any(environment.get(name) for name in ENDPOINTS) else ""
    named = environment.get("OTEL_TRACES_EXPORTER", default).strip()
    return "" if named == "none" else named


def start() -> None:
    """Measures from now on, if the environment says so. What cannot be measured is told in the log, once."""
    global _tracer, _provider
    if not (exporter := wanted()):
        return
    if exporter not in ("otlp", "console"):
        log.warning("OTEL_TRACES_EXPORTER: %s is not known; expected otlp, console or none", exporter)
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
    except ImportError:
        log.warning("traces are asked for, but the SDK is not installed: %s", installing.command("telemetry"))
        return
    told = logging.getLogger("opentelemetry")
    told.handlers, told.propagate = [Complaints()], False
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "mcp-backend"}
    try:
        processor = (
            BatchSpanProcessor(OTLPSpanExporter())
            if exporter == "otlp"
            else SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))  # stdout is the protocol's.
        )
        resource = Resource.create({**named, "service.version": __version__})
        _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    except (ValueError, OSError) as error:
        log.warning("nothing is traced: %s in one of the variables OTEL_*", type(error).__name__)
        return
    _provider.add_span_processor(processor)
    # Not for the process: spans of the libraries in it would say what their errors say.
    _tracer = _provider.get_tracer("mcp_backend", __version__)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def stop() -> None:
    """Sends what is left, for as long as `STOP_SECONDS`. From now on nothing is measured."""
    global _tracer, _provider
    provider, _tracer, _provider = _provider, None, None
    if provider is not None:
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(STOP_SECONDS)


def _terminated(number: int, _: FrameType | None) -> None:
    """Ends the process by the signal, as without this."""
    stop()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


class Complaints(logging.Handler):
    """That spans are lost, now and then, in words of our own: an exporter's name the address, whose path may be a
    token, and come with each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Says so unless that was done a moment ago, with the HTTP status where the collector answered with one."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + COMPLAINT_SECONDS
        given = record.args if isinstance(record.args, tuple) else ()
        status = next((f" (HTTP {each})" for each in given if isinstance(each, int) and 300 <= each < 600), "")
        log.warning("the collector of traces does not take them%s; calls go on, spans may be lost", status)
