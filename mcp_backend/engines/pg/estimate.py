"""What the planner expects a query to cost, so that one that cannot end in time is not begun."""

from collections.abc import Mapping
from typing import Any

from mcp_backend.errors import InvalidArgument

COST_A_SECOND = 1_000_000
"""Cost units that no server works off in a second: about 200,000 are usual.
https://www.postgresql.org/docs/current/runtime-config-query.html#RUNTIME-CONFIG-QUERY-CONSTANTS"""


def refuse_hopeless(plan: Mapping[str, Any], rows_wanted: int, timeout_seconds: float) -> None:
    """Raises `InvalidArgument` when the first `rows_wanted` rows of the plan cost far more than the time allows."""
    startup, total, rows = float(plan["Startup Cost"]), float(plan["Total Cost"]), max(1.0, float(plan["Plan Rows"]))
    cost = startup + (total - startup) * min(1.0, rows_wanted / rows)
    if cost <= COST_A_SECOND * timeout_seconds:
        return
    largest = _largest(plan)
    on = f" on {largest['Relation Name']}" if "Relation Name" in largest else ""
    raise InvalidArgument(
        f"sql: the planner expects {float(largest['Plan Rows']):,.0f} rows from a {largest['Node Type']}{on}, a cost "
        f"of {cost:,.0f}, which cannot end within {timeout_seconds:g} s; nothing was run. Add the missing join "
        'condition, filter or LIMIT (explain="plan" shows the plan), or raise timeout_seconds',
        details={"expected_cost": round(cost), "node": str(largest["Node Type"])},
    )


def _largest(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = [plan, *(_largest(child) for child in plan.get("Plans", []))]
    return max(candidates, key=lambda node: float(node["Plan Rows"]))
