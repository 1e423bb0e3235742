"""db_query on ClickHouse."""

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_backend.actions import ReadRows
from mcp_backend.app import App
from mcp_backend.errors import BackendError, InvalidArgument, Json
from mcp_backend.facts import Facts, Statement
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result
from mcp_backend.tools.db_query_answer import shown

if TYPE_CHECKING:
    from mcp_backend.engines.ch.statement import Outline, Shape
    from mcp_backend.engines.ch.values import Parameters
    from mcp_backend.engines.clickhouse import Clickhouse
    from mcp_backend.tools.db_query import DbQuery

TALKATIVE = frozenset({"query_log", "query_thread_log", "processes", "text_log", "asynchronous_inserts", "settings"})
"""Tables of `system` that show settings and statements of others, in which passwords turn up."""
UNKNOWN_TABLE, SYNTAX_ERROR = 60, 62


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement that was judged, and what it is to be asked of."""

    engine: "Clickhouse"
    outline: "Outline"
    shape: "Shape | None"
    parameters: "Parameters"


async def plan(request: "DbQuery", app: App, engine_name: str, approved: frozenset[str]) -> Plan:
    """As `DbQuery.plan`."""
    from mcp_backend.engines.ch import statement

    engine = app.engines.clickhouse(engine_name)
    outline = statement.outline(request.sql)
    parameters = _bound(outline, request.parameters)
    functions = frozenset(name.lower() for name in approved)
    try:
        verdict = await engine.judge(outline, parameters, functions)
    except InvalidArgument as error:
        raise await _in_clickhouse(engine, request.sql, error, functions) from None
    if request.explain != "no" and verdict.shape is not None and verdict.shape.kind != "select":
        raise InvalidArgument(f'sql: expected the SELECT itself with explain="{request.explain}"')
    return Plan(
        actions=(ReadRows(engine.settings.name, engine.settings.environment, outline.text),),
        facts=Facts(statements=(Statement(outline.text, not verdict.why, verdict.why),)),
        prepared=Ready(engine, outline, verdict.shape, parameters),
    )


async def run(request: "DbQuery", ready: Ready) -> Result:
    """As `DbQuery.run`."""
    from mcp_backend.engines.ch.reading import Question

    assert ready.shape is not None, "what was not parsed was refused"
    engine, shape = ready.engine, ready.shape
    question = Question(
        ready.outline.text, ready.parameters, request.limit, request.timeout_seconds,
        settings=ready.outline.settings, rows=shape.kind == "select", totals=ready.outline.totals,
    )  # fmt: skip
    layers: Json = {
        "statement": "analysed down to views and functions",
        "server": (await engine.standing()).layers(),
    }
    if request.explain != "no":
        explained = await engine.explain(question, ready.outline.words, analyze=request.explain == "analyze")
        return {
            "engine": engine.settings.name,
            "plan": explained.plan,
            "findings": explained.findings,
            "elapsed_ms": explained.elapsed_ms,
            "layers": layers,
        }
    try:
        answer = await engine.read(question)
    except InvalidArgument as error:
        raise await _with_names(engine, error) from None
    rows: list[Json] = [list(row) for row in answer.rows]
    talkative = any(table in TALKATIVE for database, table in shape.tables if database.lower() == "system")
    kept = [_hidden(row) for row in rows] if talkative or shape.kind == "show" else rows
    result = shown(engine.settings.name, answer, kept, limit=request.limit, layers=layers)
    if answer.totals is not None:
        result["totals"] = [*answer.totals]
    return result


async def _in_clickhouse(
    engine: "Clickhouse", sql: str, error: InvalidArgument, approved: frozenset[str]
) -> InvalidArgument:
    """The error about the syntax, and how the statement is written here when it is in the SQL of another system."""
    from mcp_backend.engines import dialects
    from mcp_backend.engines.ch import statement

    if (error.details or {}).get("code") != SYNTAX_ERROR:
        return error
    for meant in await asyncio.to_thread(lambda: [*dialects.translations(sql, "clickhouse")]):
        try:
            verdict = await engine.judge(statement.outline(meant), {}, approved)
        except BackendError:
            continue
        if not verdict.why:
            return InvalidArgument(f"{error.reason}; in ClickHouse: {meant}", details=error.details)
    return error


async def _with_names(engine: "Clickhouse", error: InvalidArgument) -> InvalidArgument:
    """The error about a table that does not exist, with the names of those that somebody may have meant."""
    from mcp_backend.engines.ch import table
    from mcp_backend.engines.ch.errors import ServerError

    said = re.search(r"[`']([\w.]+)[`']|Table (\S+) does not exist", error.reason)
    if said is None or (error.details or {}).get("code") != UNKNOWN_TABLE:
        return error
    try:
        there, _ = await table.instead(engine, (said[1] or said[2]).rpartition(".")[2])
    except (ServerError, BackendError):
        return error
    return InvalidArgument(f"{error.reason}; {there}", details=error.details)


def _bound(outline: "Outline", given: list[Any]) -> "Parameters":
    """The values of `{name:Type}`, which are given in the order of their first appearance."""
    from mcp_backend.engines.ch import values

    names = outline.parameters
    if len(given) != len(names):
        uses = f"uses {', '.join(names)}, in this order" if names else "uses no parameter; write {name:Type}"
        raise InvalidArgument(f"parameters: the statement {uses}; {len(given)} given")
    return {name: values.parameter(value, names[name]) for name, value in zip(names, given, strict=True)}


def _hidden(value: Json) -> Json:
    """Without the passwords of URLs and the like."""
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, dict):
        return {name: _hidden(item) for name, item in value.items()}
    return [_hidden(item) for item in value] if isinstance(value, list) else value
