"""How the server would run a statement, or ran it, as a tree of lines and findings in words.

https://www.postgresql.org/docs/current/using-explain.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from mcp_backend.engines.pg import advice, values
from mcp_backend.engines.pg.connections import Open
from mcp_backend.engines.pg.reading import Question, look_up, read, together
from mcp_backend.engines.pg.wire import Step
from mcp_backend.errors import Json

MOST_PLAN_CHARACTERS = 4_000_000
LONGEST_DETAIL = 160
MOST_LINES = 120


@dataclass(frozen=True, slots=True)
class Explained:
    """`plan` is one line a node, indented; `findings` say what stands out and what to do about it."""

    plan: list[Json]
    findings: list[Json]
    elapsed_ms: float


def wrapped(sql: str, *, analyze: bool) -> str:
    """The statement under EXPLAIN."""
    options = "ANALYZE, BUFFERS, FORMAT JSON" if analyze else "FORMAT JSON"
    return f"EXPLAIN ({options}) {sql}"


async def explain(opened: Open, question: Question, path: str) -> Explained:
    """Runs the EXPLAIN that `question` is and reads its plan. Raises `BackendError` with what the server refused."""
    answer = await read(opened, replace(question, most_characters=MOST_PLAN_CHARACTERS))
    root = cast("dict[str, Any]", answer.rows[0][0][0])  # type: ignore[index]
    nodes = list(walk(root["Plan"]))
    replies, _ = await look_up(opened, advice.lookups(nodes), question.timeout_seconds, path)
    known = advice.read_lookups(replies)
    findings: list[Json] = []
    for finding in advice.findings(nodes, known):
        shown: dict[str, Json] = {"finding": finding.says, "node": finding.node, "advice": finding.advice}
        if finding.index and known.hypopg:
            gain = await _tried(opened, question, known.hypopg, *finding.index)
            shown |= {"gain": gain} if gain else {}
        findings.append(shown)
    lines = [line for depth, node in nodes for line in _line(depth, node)]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"… {len(lines) - MOST_LINES} more lines"]
    lines += _totals(root)
    return Explained([*lines], findings, answer.elapsed_ms)


async def _tried(opened: Open, question: Question, hypopg: str, table: str, columns: tuple[str, ...]) -> str:
    """What the planner expects with an index that does not exist; empty when it cannot be tried."""
    statement = re.sub(r"^EXPLAIN \([^)]*\) ", "", question.sql)
    plan = Step(f"explain (format json) {statement}", [values.parameter(v, 0) for v in question.parameters])
    quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    target = table if "." in table else f"public.{table}"
    create = Step(f"select {hypopg}.hypopg_create_index($1)", [f"create index on {target} ({quoted})"])
    steps = [plan, create, plan, Step(f"select {hypopg}.hypopg_reset()")]
    replies = await together(opened, steps, question.timeout_seconds)
    if any(reply.error is not None for reply in replies):
        return ""
    before, after = (json.loads(replies[at].rows[0][0] or "[]")[0]["Plan"]["Total Cost"] for at in (0, 2))
    return f"with this index the planner expects a cost of {after:,.0f} instead of {before:,.0f}"


def walk(plan: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every node of a plan with its depth, from the top."""
    yield depth, plan
    for child in plan.get("Plans", []):
        yield from walk(child, depth + 1)


def _line(depth: int, node: Mapping[str, Any]) -> Iterator[str]:
    name = str(node["Node Type"])
    if node.get("Join Type", "Inner") != "Inner":
        name += f" ({str(node['Join Type']).lower()} join)"
    if node.get("Operation"):
        name = str(node["Operation"])
    on = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    if "Alias" in node and node.get("Alias") != node.get("Relation Name"):
        on += f" {node['Alias']}"
    using = f" using {node['Index Name']}" if "Index Name" in node else ""
    numbers = f"rows≈{node['Plan Rows']} cost={node['Startup Cost']:g}..{node['Total Cost']:g}"
    if "Actual Rows" in node:
        loops = node["Actual Loops"]
        took = f"{node['Actual Total Time'] * loops:g} ms" if "Actual Total Time" in node else "not timed"
        ran = f"rows={node['Actual Rows']:g}" + (f" ×{loops:g}" if loops != 1 else "")
        numbers += f" | {ran} in {took}" if loops else " | never executed"
    subplan = f"{node['Subplan Name']}: " if "Subplan Name" in node else ""
    yield f"{'  ' * depth}{subplan}{name}{using}{on}  {numbers}"
    for key in (
        "Index Cond",
        "Recheck Cond",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
        "Filter",
        "Sort Key",
        "Group Key",
    ):
        if key in node:
            value = node[key]
            text = ", ".join(value) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType]
            text = re.sub(r"\s+", " ", text)
            removed = node.get(f"Rows Removed by {key}")
            more = f" (removed {removed:g})" if removed else ""
            yield f"{'  ' * depth}  {key}: {text[:LONGEST_DETAIL]}{'…' if len(text) > LONGEST_DETAIL else ''}{more}"


def _totals(root: Mapping[str, Any]) -> list[str]:
    if "Execution Time" not in root:
        return []
    return [f"planning {root.get('Planning Time', 0):g} ms, execution {root['Execution Time']:g} ms"]
