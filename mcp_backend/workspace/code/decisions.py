"""Justifications that name an escalation: whether a person answered it, and what the audit keeps of them."""

from collections.abc import Iterable
from dataclasses import replace

from mcp_backend.facts import CodeFinding
from mcp_backend.store import Store

DECIDED = ("answered", "approved")


async def looked_up(store: Store, findings: Iterable[CodeFinding]) -> tuple[CodeFinding, ...]:
    """The findings, each knowing whether the escalation it names was answered or approved here."""
    found: list[CodeFinding] = []
    for finding in findings:
        if finding.decision:
            row = await store.row("escalation_get", id=finding.decision)
            decided = row is not None and row["kind"] != "approval" and row["status"] in DECIDED
            found.append(replace(finding, decided=decided))
        else:
            found.append(replace(finding, decided=False))
    return tuple(found)


def recorded(findings: Iterable[CodeFinding]) -> dict[str, str]:
    """The justifications for the audit record of a commit."""
    words = [f"{f.path}:{f.line} {f.rule}: {f.justification}" for f in findings if f.justification]
    return {"justified": "; ".join(words)} if words else {}
