"""A migration does only what its rehearsal showed, and what its rehearsal refuses does not run."""

from mcp_backend.actions import Action, ExecuteSql
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict

SHOWN = 3


def rehearsed(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Refuses what a rehearsal rejected; what it found to be a decision waits for a person, in every environment."""
    found = facts.rehearsal
    if not isinstance(action, ExecuteSql):
        return None
    if found is None or found.engine != action.engine:
        reason = f"nothing is known of a rehearsal on {action.engine}"
        return Verdict("deny", constraint.id, reason, "run it with run_migration, which rehearses it")
    why = "; ".join(found.reasons[:SHOWN])
    instead = "; ".join(found.remedies[:SHOWN])
    if found.verdict == "reject":
        return Verdict("deny", constraint.id, f"the rehearsal rejects it: {why}", instead or "change the migration")
    if found.verdict == "needs_approval":
        return constraint.verdict(f"a person decides: {why}", instead)
    return None
