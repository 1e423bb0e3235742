"""Credentials do not enter the repository or a message."""

from mcp_backend.actions import Action, CallApi, CreateCommit, PublishMessage, PushCommits, WriteFile
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict

SHOWN = 5


def no_secrets(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Names the place and the kind of each credential, never its value."""
    match action:
        case CreateCommit(paths=paths) | PushCommits(paths=paths):
            found = [s for s in facts.secrets if s.path in paths]
        case WriteFile(path=path):
            found = [s for s in facts.secrets if s.path == path]
        case CallApi(url=url):
            found = [s for s in facts.secrets if s.path == url]
        case PublishMessage(destination=destination):
            found = [s for s in facts.secrets if s.path == destination]
        case _:
            return None
    if not found:
        return None
    places = ", ".join(f"{s.kind} at {s.path}:{s.line}" for s in found[:SHOWN])
    return constraint.verdict(
        f"would publish a credential: {places}",
        "read it from the environment or a secret store; a real key that was already shared must be revoked",
    )
