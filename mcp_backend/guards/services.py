"""Only services that people named are called."""

from mcp_backend.actions import Action, CallApi
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict


def known(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A request to an address that is neither this machine's nor a service's of the policy is refused."""
    if not isinstance(action, CallApi) or facts.service is None or not facts.service.refused:
        return None
    return constraint.verdict(
        facts.service.refused,
        "call the service where it runs on this machine, or ask a person to name it in the policy as [services.NAME]",
    )
