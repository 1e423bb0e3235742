"""Gaps of a specification that people accepted, by the key that stays theirs, with the reason they gave.

Two ways lead here: `[accepted_gaps]` of the policy, and the answer to an escalation whose details name the gap
(`gap`: its key). Both are decisions of people; an accepted gap is told, and stops nobody.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from mcp_backend.contracts.contract import Contract
from mcp_backend.contracts.words import SEVERITIES, Gap
from mcp_backend.store import Row

FIELD = "gap"
"""Where the details of a question name the gap it is about."""
SHOWN = 300
"""Characters of an answer that are shown with the gap."""


def known(policy: Mapping[str, str], answered: Iterable[Row]) -> dict[str, str]:
    """Reasons by key. What the policy says goes before an answer."""
    found: dict[str, str] = {}
    for row in answered:
        details: Any = json.loads(row["details"])
        key: Any = cast("dict[str, Any]", details).get(FIELD) if isinstance(details, dict) else None
        if isinstance(key, str) and row["kind"] == "spec_clarification" and row["status"] in ("answered", "approved"):
            found.setdefault(key, f"{row['answer'] or 'approved'} ({row['id']})"[:SHOWN])
    return found | dict(policy)


def settled(contract: Contract, reasons: Mapping[str, str]) -> Contract:
    """The contract with accepted gaps as notes that carry their reason."""
    if not reasons:
        return contract
    gaps = [_settled(gap, reasons.get(gap.key(contract.path), "")) for gap in contract.gaps]
    return replace(contract, gaps=tuple(sorted(gaps, key=lambda gap: SEVERITIES.index(gap.severity))))


def _settled(gap: Gap, reason: str) -> Gap:
    return replace(gap, severity="note", accepted=reason) if reason else gap
