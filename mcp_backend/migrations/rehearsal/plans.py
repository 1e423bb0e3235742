"""Plans of the queries that the target is known to run, before and after a migration, by the target's statistics.

Known are the statements of pg_stat_statements, where the target has it, and its views. Both plans are made in a copy
of the shadow that has the target's row counts, distributions and file sizes, for parameters that are not known
(GENERIC_PLAN), as a prepared statement is planned. https://www.postgresql.org/docs/current/sql-explain.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from mcp_backend.engines.pg.parsing import raw_statements
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.migrations.rehearsal import proofs, statistics
from mcp_backend.migrations.rehearsal.catalog import Changes
from mcp_backend.migrations.rehearsal.effects import World
from mcp_backend.migrations.rehearsal.play import Unit
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.sample import touched
from mcp_backend.migrations.rehearsal.shadow import Shadow
from mcp_backend.migrations.rehearsal.words import hazard

MOST = 60
WORSE, WHOLE_WORSE = 4.0, 1.5
"""Times by which the cost of a plan grows before it is told: in general, and when a relation is read as a whole."""
LEAST_COST = 1000.0
"""Cost of a plan, in the planner's unit of one page read in order, below which nobody waits for it."""
_STATEMENTS = """
select s.query, s.calls from {} s join pg_catalog.pg_database d on d.oid = s.dbid
where d.datname = pg_catalog.current_database() and s.query ~* '^\\s*(select|with|insert|update|delete)\\M'
order by s.total_exec_time desc limit {}
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A query that is known: its text, how often it ran (0: not counted), and a name for people."""

    text: str
    calls: int
    name: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: its cost, and how each relation is read. `error` when there is none."""

    cost: float = 0
    reads: tuple[tuple[str, str], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The queries that a migration may concern, the statistics they are planned by, and what is not known."""

    queries: tuple[Known, ...] = ()
    relations: tuple[dict[str, Any], ...] = ()
    columns: tuple[dict[str, Any], ...] = ()
    unknown: tuple[str, ...] = ()


async def known(source: AsyncConnection[Any], world: World, changes: Changes) -> Asked:
    """What the target runs on relations whose plans the changes can alter. Only reads."""
    changed = {name for oid in _altering(changes) if (name := world.name(oid))}
    if not changed:
        return Asked()
    unknown: list[str] = []
    row = await (await source.execute(b"select pg_catalog.to_regclass('pg_stat_statements')::text")).fetchone()
    found: list[Known] = []
    if row and row[0]:
        try:
            async with source.transaction(), source.cursor(row_factory=tuple_row) as cursor:
                await cursor.execute(_STATEMENTS.format(row[0], MOST).encode())
                found = [Known(str(text), int(calls), "") for text, calls in await cursor.fetchall()]
        except psycopg.Error as error:
            unknown.append(f"plans of queries: pg_stat_statements cannot be read ({error.diag.message_primary})")
    else:
        unknown.append("plans of queries: the target has no pg_stat_statements that tells which there are")
    views = {view for view, base in world.target.views if base in changed}
    for view in sorted(views):
        schema, _, name = view.partition(".")
        found.append(Known(f'select * from "{schema}"."{name}"', 0, f"the view {view}"))
    queries = [query for query in found if _concerns(query.text, changed | views)]
    if not queries:
        return Asked(unknown=tuple(unknown))
    tables = touched(world.target, [query.text for query in queries])
    relations, columns = await statistics.read(source, tables)
    return Asked(tuple(queries), tuple(relations), tuple(columns), tuple(unknown))


async def judge(
    asked: Asked, place: Shadow, units: tuple[Unit, ...], rows: dict[str, int], number: int
) -> tuple[list[Hazard], list[str]]:
    """The queries whose plan becomes worse or which fail, and what was not checked."""
    if not asked.queries:
        return [], list(asked.unknown)
    before = await _planned(asked, place, (), rows)
    if isinstance(before, str):
        return [], [*asked.unknown, f"plans of queries: {before}"]
    after = await _planned(asked, place, units, rows)
    if isinstance(after, str):
        return [], [*asked.unknown, f"plans of queries: {after}"]
    found = [h for q, b, a in zip(asked.queries, before, after, strict=True) for h in _worse(q, b, a, number)]
    failed = sum(bool(plan.error) for plan in before)
    said = [f"plans of {failed} queries that cannot be planned on the shadow"] if failed else []
    return found, [*asked.unknown, *said]


def _altering(changes: Changes) -> Iterator[int]:
    """The relations whose queries may be planned in another way, or fail."""
    for change in changes.items:
        doc = change.before or change.after or {}
        if change.kind == "idx":
            yield int(doc["rel"])
        elif change.kind in ("col", "rel") and change.before is not None:
            yield change.oid


def _concerns(text: str, names: set[str]) -> bool:
    """Whether it is one statement that names one of these relations."""
    short = {name.partition(".")[2] for name in names}
    if not any(name in text for name in short):
        return False
    try:
        return len(raw_statements(text)) == 1
    except InvalidArgument:
        return False


async def _planned(asked: Asked, place: Shadow, units: tuple[Unit, ...], rows: dict[str, int]) -> list[Planned] | str:
    """The plans in a copy on which the units ran, or why there are none."""
    async with place.copy() as copy:
        conn = await copy.connect()
        try:
            for unit in units:
                if failed := await proofs.run_plainly(conn, unit):
                    return f"the migration did not run in the copy: {failed.message}"
        finally:
            await conn.close()
        admin = await copy.connect(admin=True)
        try:
            if why := await statistics.carry(admin, list(asked.relations), list(asked.columns), rows):
                return why
        finally:
            await admin.close()
        conn = await copy.connect()
        try:
            return [await _plan(conn, query.text) for query in asked.queries]
        finally:
            await conn.close()


async def _plan(conn: AsyncConnection[Any], text: str) -> Planned:
    try:
        async with conn.transaction(force_rollback=True):
            cursor = await conn.execute(f"explain (generic_plan, format json) {text}".encode())
            row = await cursor.fetchone()
    except psycopg.Error as error:
        return Planned(error=f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate})")
    told: Any = row[0] if row else []
    plan = cast("dict[str, Any]", (json.loads(told) if isinstance(told, str) else told)[0]["Plan"])
    return Planned(float(plan["Total Cost"]), tuple(sorted(_reads(plan))))


def _reads(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if relation := node.get("Relation Name"):
        index = node.get("Index Name")
        yield str(relation), f"{node['Node Type']} using {index}" if index else str(node["Node Type"])
    for child in node.get("Plans", ()):
        yield from _reads(child)


def _worse(query: Known, before: Planned, after: Planned, number: int) -> Iterator[Hazard]:
    if before.error:
        return
    name = query.name or f"a query that ran {query.calls:,} times"
    evidence: dict[str, Json] = {"untrusted": query.text[:300], "calls": query.calls}
    if after.error:
        yield hazard(
            "breaks_old_readers", number, "needs_approval", f"{name} fails afterwards: {after.error[:200]}",
            evidence=evidence,
        )  # fmt: skip
        return
    whole = [relation for relation, how in after.reads if how == "Seq Scan" and (relation, how) not in before.reads]
    if after.cost < LEAST_COST or after.cost < before.cost * (WHOLE_WORSE if whole else WORSE):
        return
    what = f"reads all of {', '.join(whole)}" if whole else "is planned in another way"
    evidence |= {"cost_before": round(before.cost), "cost_after": round(after.cost)}
    evidence |= {"before": _shown(before), "after": _shown(after)}
    yield hazard(
        "plan_regression", number, "warn",
        f"{name} {what} from then on: {after.cost / max(before.cost, 0.01):,.1f} times the planner's cost, by the "
        "target's statistics",
        evidence=evidence,
    )  # fmt: skip


def _shown(plan: Planned) -> list[Json]:
    return [f"{relation}: {how}" for relation, how in plan.reads[:8]]
