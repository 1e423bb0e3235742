"""Changes to shared systems outside development are a person's decision."""

from mcp_backend.actions import Action, CallApi, ConfigureMessaging, ExecuteSql, PublishMessage, counted, where
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict


def approved(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Schema and messaging changes, messages and requests that may write wait for an approval of exactly these on
    staging and production."""
    match action:
        case ExecuteSql(engine=engine, environment=environment, statements=statements):
            what = f"{counted(len(statements), 'statement')} on {where(engine, environment)}"
        case ConfigureMessaging(engine=engine, environment=environment, changes=changes):
            what = f"{counted(len(changes), 'change')} of {where(engine, environment)}"
        case PublishMessage(engine=engine, environment=environment, destination=destination):
            what = f"publishing to {destination} on {where(engine, environment)}"
        case CallApi(method=method, url=url, environment=environment):
            if facts.service is None or facts.service.reads:
                return None
            what = f"{method} {url} ({environment}): {facts.service.why}"
        case _:
            return None
    if environment == "development":
        return None
    return constraint.verdict(f"a person approves {what}")
