"""Changed code keeps the promises about code, or says beside the place why not."""

from mcp_backend.actions import Action, CreateCommit, WriteFile
from mcp_backend.facts import CodeFinding, Facts
from mcp_backend.promises import Constraint, Verdict

SHOWN = 5
MINIMUM_JUSTIFICATION = 20
"""Characters. Shorter reasons ("needed", "ok") explain nothing to the person who reads them."""
JUSTIFICATION = "justification"
"""The parameter that says what a comment must give: `words` (a reason), or `decision` (an escalation that a person
answered)."""


def changed_code(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A write is told what a commit will be judged by. A commit is refused for what a rule is sure of, unless a
    comment beside the place justifies it as the policy asks."""
    match action:
        case WriteFile(path=path):
            paths, outcome = (path,), "warn"
        case CreateCommit(paths=paths):
            outcome = constraint.outcome
        case _:
            return None
    by_decision = constraint.parameters.get(JUSTIFICATION, "words") != "words"
    mine = [f for f in facts.code if f.constraint == constraint.id and f.path in paths]
    open_ = [f for f in mine if not justified(f, by_decision=by_decision)]
    sure = [f for f in open_ if f.sure and not (by_decision and f.decision and f.decided is None)]
    if sure and outcome != "warn":
        return Verdict(outcome, constraint.id, _told(sure), _remedy(sure, by_decision=by_decision))
    if open_:
        return Verdict("warn", constraint.id, _told(open_, advise=True), _remedy(open_, by_decision=by_decision))
    if facts.code_unjudged and isinstance(action, CreateCommit):
        return Verdict("warn", constraint.id, f"changed code was not judged: {facts.code_unjudged}")
    return None


def justified(finding: CodeFinding, *, by_decision: bool) -> bool:
    """Whether what stands beside a place is enough."""
    if by_decision:
        return finding.decided is True
    return len(finding.justification) >= MINIMUM_JUSTIFICATION


def _told(findings: list[CodeFinding], *, advise: bool = False) -> str:
    some = [
        f"{f.path}:{f.line}: {f.problem}" + (f"; {f.instead}" if advise else "") + f" ({f.rule})"
        for f in findings[:SHOWN]
    ]
    return ". ".join(some) + (f". And {len(findings) - SHOWN} more" if len(findings) > SHOWN else "")


def _remedy(findings: list[CodeFinding], *, by_decision: bool) -> str:
    instead = "; ".join(dict.fromkeys(f.instead for f in findings[:SHOWN]))
    marker = "//" if findings[0].path.endswith(".go") else "#"
    if by_decision:
        way = f"escalate it (kind trade_off) and write `{marker} justified: ESC-… why` there once it is answered"
    else:
        way = f"say why in a comment there, `{marker} justified: …` ({MINIMUM_JUSTIFICATION} characters or more)"
    return f"{instead}. Where it has to be as it is: {way}; it is recorded, and people read it"
