"""db_query: ask a database, and nothing but ask."""

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mcp_backend.actions import ReadRows
from mcp_backend.app import App
from mcp_backend.errors import BackendError, InvalidArgument, Json
from mcp_backend.facts import Facts, Statement
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.db_query_answer import shown

if TYPE_CHECKING:
    from mcp_backend.engines.pg.statement import Shape
    from mcp_backend.engines.postgresql import Postgresql

UNDEFINED_TABLE = "42P01"
NEAR_SECONDS = 5.0
TALKATIVE = frozenset(
    {"pg_settings", "pg_stat_activity", "pg_stat_statements", "pg_stat_replication", "current_setting"}
    | {"pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic", "pg_statistic_ext_data"}
)
"""What shows settings, statements and values of others, in which passwords turn up."""
VERIFIER = re.compile(r"SCRAM-SHA-256\$[^\s\"',}]+|\bmd5[0-9a-f]{32}\b")
"""How PostgreSQL stores passwords."""


@dataclass(frozen=True, slots=True)
class _Ready:
    engine: "Postgresql"
    shape: "Shape"


class DbQuery(Tool):
    """Ask a PostgreSQL or ClickHouse database one read-only question: SELECT rows or counts, SHOW, DESCRIBE, EXPLAIN
    why a statement is slow.

    Parameters are $1, $2 …, for ClickHouse {name:Type} in order of appearance. Numbers, booleans, json and arrays come
    as JSON; numeric, integers beyond 2^53, uuid and the like as exact text; bytes as {"base64"}; timestamps as ISO
    8601. explain="plan" shows how a statement would run (PostgreSQL: also a write); "analyze" runs a read and measures
    it. Findings say what to improve. Nothing is ever changed: that takes a migration, or the application.
    """

    name = "db_query"
    title = "Query a database"
    toolset = "database"
    read_only = True
    idempotent = True

    sql: str = Field(min_length=1, max_length=100_000)
    engine: str | None = None
    parameters: list[Any] = Field(default_factory=list, max_length=1000, json_schema_extra={"default": []})
    limit: int = Field(default=100, ge=1, le=5000, description="rows")
    timeout_seconds: float = Field(default=15, gt=0, le=300)
    explain: Literal["no", "plan", "analyze"] = "no"

    def seconds(self) -> float:
        return self.deadline + self.timeout_seconds

    async def plan(self, app: App) -> Plan:
        chosen = app.engines.choose(self.engine, ("postgresql", "clickhouse"))
        if chosen.kind == "clickhouse":
            from mcp_backend.tools import db_query_clickhouse

            return await db_query_clickhouse.plan(self, app, chosen.name, _vouched_for(app))
        from mcp_backend.engines.pg import analysis, explaining, statement

        engine = app.engines.postgresql(chosen.name)
        try:
            shape = statement.shape(self.sql)
        except InvalidArgument as error:
            raise await asyncio.to_thread(_in_postgresql, self.sql, error) from None
        if self.explain != "no":
            if shape.kind != "select":
                raise InvalidArgument(f'sql: expected the statement itself with explain="{self.explain}"')
            shape = statement.shape(explaining.wrapped(shape.text or self.sql, analyze=self.explain == "analyze"))
        why = await analysis.effect(shape, engine.look_up, _vouched_for(app))
        return Plan(
            actions=(ReadRows(engine.settings.name, engine.settings.environment, shape.text),),
            facts=Facts(statements=(Statement(shape.text, not why, why),)),
            prepared=_Ready(engine, shape),
        )

    async def run(self, app: App, plan: Plan) -> Result:
        if not isinstance(plan.prepared, _Ready):
            from mcp_backend.tools import db_query_clickhouse

            return await db_query_clickhouse.run(self, plan.prepared)
        from mcp_backend.engines.pg import explaining, reading

        engine, shape = plan.prepared.engine, plan.prepared.shape
        asked = reading.Question(
            shape.text, self.parameters, self.limit, self.timeout_seconds,
            direct=shape.kind != "select", plain=shape.kind == "select" and not shape.mentions,
            estimated=shape.kind == "select" and bool(shape.mentions.relations or shape.mentions.functions_as),
        )  # fmt: skip
        if self.explain != "no":
            explained = await engine.converse(
                lambda opened: explaining.explain(opened, asked, engine.path), self.timeout_seconds
            )
            return {
                "engine": engine.settings.name,
                "plan": explained.plan,
                "findings": explained.findings,
                "elapsed_ms": explained.elapsed_ms,
                "layers": await _layers(engine, shape),
            }
        try:
            answer = await engine.converse(lambda opened: reading.read(opened, asked), self.timeout_seconds)
        except InvalidArgument as error:
            raise await _with_names(engine, error) from None
        rows: list[Json] = [list(row) for row in answer.rows]
        kept = _redacted(rows) if _talkative(shape) else rows
        layers = await _layers(engine, shape)
        return shown(engine.settings.name, answer, kept, limit=self.limit, layers=layers)


def _in_postgresql(sql: str, error: InvalidArgument) -> InvalidArgument:
    """The error about the syntax, and how the statement is written here when it is in the SQL of another system."""
    from mcp_backend.engines import dialects
    from mcp_backend.engines.pg.parsing import SYNTAX_ERROR

    if (error.details or {}).get("sqlstate") != SYNTAX_ERROR:
        return error
    meant = next(filter(_reads, dialects.translations(sql, "postgres")), None)
    return error if meant is None else InvalidArgument(f"{error.reason}; in PostgreSQL: {meant}", details=error.details)


def _reads(sql: str) -> bool:
    from mcp_backend.engines.pg import statement

    try:
        return not statement.shape(sql).why
    except InvalidArgument:
        return False


async def _with_names(engine: "Postgresql", error: InvalidArgument) -> InvalidArgument:
    """The error, and when a table does not exist, what there is instead."""
    unknown = re.search(r'relation "([^"]+)" does not exist', error.reason)
    if unknown is None or not error.details or error.details.get("sqlstate") != UNDEFINED_TABLE:
        return error
    from mcp_backend.engines.pg import table

    async with engine.session(True, NEAR_SECONDS) as conn:
        there, near = await table.instead(conn, unknown[1].rpartition(".")[2])
    return InvalidArgument(f"{error.reason}; {there}", details={**error.details, "near": [*near]})


def _vouched_for(app: App) -> frozenset[str]:
    """Functions that the policy lets reads call: constraints.reads-stay-reads.parameters.functions."""
    named = (c.parameters.get("functions", ()) for c in app.policy.constraints if c.guard == "reads_stay_reads")
    return frozenset(str(function) for functions in named for function in functions)


async def _layers(engine: "Postgresql", shape: "Shape") -> Json:
    """What stood between the statement and the data."""
    try:
        role = (await engine.role()).brief
    except BackendError as error:
        role = f"unknown: {error.reason}"
    return {
        "statement": "analysed down to views and functions" if shape.mentions else "analysed",
        "transaction": "read only, rolled back",
        "role": role,
    }


def _talkative(shape: "Shape") -> bool:
    named = {name for _, name in shape.mentions.relations} | {name for _, name, _ in shape.mentions.functions}
    return shape.kind == "show" or bool(named & TALKATIVE)


def _redacted(value: Json) -> list[Json]:
    def hide(value: Json) -> Json:
        if isinstance(value, str):
            return VERIFIER.sub("***", hide_credentials(value))
        return [hide(item) for item in value] if isinstance(value, list) else value

    hidden = hide(value)
    assert isinstance(hidden, list)
    return hidden
