"""Protected branches change through review; what was pushed is not rewritten without a person."""

from mcp_backend.actions import Action, MoveBranch, PushCommits
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Outcome, Verdict

HEADS = "refs/heads/"
SHOWN = 3


def protected(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A push to a protected branch, its deletion and its rewriting are refused; a forced push waits for a person."""
    if not isinstance(action, (MoveBranch, PushCommits)):
        return None
    if facts.refs is None:
        return constraint.verdict("it was not looked up which branches are protected")
    kept = facts.refs.protected
    match action:
        case PushCommits(ref=ref) if ref in kept:
            return constraint.verdict(
                f"{ref.removeprefix(HEADS)} is protected on {action.remote}",
                "push a branch of your own (git_branch creates one) and ask for a review of it",
            )
        case PushCommits(force=True):
            outcome: Outcome = "approve" if constraint.outcome == "deny" else constraint.outcome
            what = f"{action.ref.removeprefix(HEADS)} on {action.remote} would lose commits that are there"
            return Verdict(outcome, constraint.id, f"a person approves a forced push: {what}")
        case MoveBranch(branch=branch, after=None) if HEADS + branch in kept:
            return constraint.verdict(f"{branch} is protected", "leave it where it is")
        case MoveBranch() if facts.refs.rewritten:
            some = ", ".join(commit[:12] for commit in facts.refs.rewritten[:SHOWN])
            return constraint.verdict(
                f"{len(facts.refs.rewritten)} commit(s) of a protected branch would be made anew: {some}",
                "rebase onto that branch instead, so that its commits stay",
            )
        case _:
            return None
