"""`GUARDS` keep the promises; `judge` asks them. Pure functions of actions and facts, standard library only."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from mcp_backend.actions import Action
from mcp_backend.facts import Facts
from mcp_backend.guards import (
    branches,
    code,
    commits,
    messages,
    paths,
    production,
    reads,
    rehearsals,
    secrets,
    services,
)
from mcp_backend.promises import STRICTNESS, Constraint, Promises, Verdict

if TYPE_CHECKING:
    from mcp_backend.policy import Policy

Guard: TypeAlias = Callable[[Action, Constraint, Facts], Verdict | None]

GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        "frontend_paths": paths.frontend,
        "spec_files": paths.spec,
        "protected_files": paths.protected,
        "reads_stay_reads": reads.reads_only,
        "known_services": services.known,
        "tested_tree": commits.tested_tree,
        "carries_tests": commits.carries_tests,
        "secrets": secrets.no_secrets,
        "message_contracts": messages.contract,
        "destroyed_messages": messages.destroyed,
        "production_changes": production.approved,
        "rehearsed_migrations": rehearsals.rehearsed,
        "protected_branches": branches.protected,
        "changed_code": code.changed_code,
    }
)

ALLOW = Verdict("allow", "", "")


def judge(
    actions: Iterable[Action], policy: "Policy | Promises", facts: Facts,
    told: Callable[[Constraint, Verdict], None] | None = None,
) -> tuple[Verdict, tuple[Verdict, ...]]:  # fmt: skip
    """The strictest verdict over all actions and constraints (deny > approve > warn > allow), and all warnings.

    Among equally strict verdicts the first wins, in the order of the persona's constraints.
    `told` hears the strictest verdict of each guard that was asked.
    """
    strictest = ALLOW
    warnings: dict[tuple[str, str], Verdict] = {}
    todo = tuple(actions)
    for constraint in policy.constraints:
        guard = GUARDS.get(constraint.guard)
        if guard is None or constraint.outcome == "allow":
            continue
        own = ALLOW
        for action in todo:
            environment = getattr(action, "environment", None)
            if constraint.environments and environment is not None and environment not in constraint.environments:
                continue
            verdict = guard(action, constraint, facts)
            if verdict is None:
                continue
            if verdict.outcome == "warn":
                warnings.setdefault((verdict.constraint, verdict.reason), verdict)
            if STRICTNESS[verdict.outcome] > STRICTNESS[own.outcome]:
                own = verdict
        if STRICTNESS[own.outcome] > STRICTNESS[strictest.outcome]:
            strictest = own
        if told is not None and todo:
            told(constraint, own)
    return strictest, tuple(warnings.values())
