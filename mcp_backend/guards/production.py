"""Changes to shared systems outside development are a person's decision."""

from mcp_backend.actions import Action, ConfigureMessaging, ExecuteSql
from mcp_backend.facts import Facts
from mcp_backend.policy import Constraint, Verdict


def approved(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Schema and messaging changes on staging and production wait for an approval of exactly these statements."""
    match action:
        case ExecuteSql(engine=engine, environment=environment, statements=statements):
            what = f"{len(statements)} statement(s) on {engine} ({environment})"
        case ConfigureMessaging(engine=engine, environment=environment, changes=changes):
            what = f"{len(changes)} change(s) of {engine} ({environment})"
        case _:
            return None
    if environment == "development":
        return None
    return Verdict(constraint.outcome, constraint.id, f"a person approves {what}")
