"""Reads stay reads."""

from mcp_backend.actions import SAFE_METHODS, Action, CallApi, ReadRows
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict


def reads_only(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A read whose statement is not wholly understood as a read is refused; what was not parsed is not a read. A
    running service is only asked with safe methods, unless the tool is there to write (`facts.service`)."""
    if isinstance(action, CallApi) and facts.service is None and action.method not in SAFE_METHODS:
        return constraint.verdict(
            f"{action.method} may change something at {action.url}",
            "check a running service by requests that only read, or its implementation where it can be started",
        )
    if not isinstance(action, ReadRows):
        return None
    statement = next((s for s in facts.statements if s.sql == action.sql), None)
    if statement is not None and statement.reads_only:
        return None
    why = statement.why if statement else "the statement was not analysed"
    return constraint.verdict(
        f"db_query only reads: {why}",
        "schema changes go through run_migration, data changes through the application's own code path",
    )
