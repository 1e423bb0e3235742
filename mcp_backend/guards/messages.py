"""Messages keep to the declared contract; a custom format needs a justification."""

from mcp_backend.actions import Action, ConfigureMessaging, PublishMessage
from mcp_backend.facts import Facts
from mcp_backend.guards.code import MINIMUM_JUSTIFICATION
from mcp_backend.promises import Constraint, Verdict


def contract(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A payload that does not fit its contract is refused; one without a contract needs a justification."""
    if not isinstance(action, PublishMessage):
        return None
    for fit in facts.messages:
        if fit.destination != action.destination:
            continue
        if fit.unsafe_format:
            return Verdict(
                "deny",
                constraint.id,
                f"{fit.unsafe_format} executes code when it is read and cannot be justified",
                "publish JSON, Avro or protobuf",
            )
        if fit.contract and not fit.fits:
            return constraint.verdict(
                f"payload does not fit {fit.contract}: {'; '.join(fit.problems[:5])}",
                "send what the contract says, or ask the architect (kind spec_clarification)",
            )
        if not fit.contract and fit.expired:
            return constraint.verdict(
                fit.expired,
                "declare the contract (AsyncAPI, JSON Schema, Avro or protobuf), or justify anew what changed",
            )
        if not fit.contract and len((fit.justification or "").strip()) < MINIMUM_JUSTIFICATION:
            missing = "; ".join(fit.problems[:5]) or f"no contract is declared for {fit.destination}"
            return constraint.verdict(
                f"{missing}: a message format of one's own needs `justification` "
                f"({MINIMUM_JUSTIFICATION} characters or more: why no declared contract fits, who reads it)",
                "declare the contract (AsyncAPI, JSON Schema, Avro or protobuf), or say why in `justification`: the "
                "reason, the alternatives and when it expires are recorded and travel with the message",
            )
    return None


def destroyed(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """What deletes messages or moves a reader waits for a person, and goes alone, so that nothing hides beside it."""
    if not isinstance(action, ConfigureMessaging):
        return None
    lost = [change for change in facts.changes if change.destroys]
    if not lost:
        return None
    if len(facts.changes) > 1:
        return Verdict(
            "deny",
            constraint.id,
            f"{lost[0].target} destroys {lost[0].destroys}, beside {len(facts.changes) - 1} other change(s)",
            "make the changes that destroy something in calls of their own, one each",
        )
    return constraint.verdict(f"{lost[0].target} destroys {lost[0].destroys}")
