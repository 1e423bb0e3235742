"""Findings as people, forges and programs read them: plain lines, SARIF 2.1.0, JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from mcp_backend import __version__
from mcp_backend.policy import Outcome, Policy

if TYPE_CHECKING:
    from mcp_backend.workspace.diff_check import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Mapping[Outcome, str] = {"deny": "error", "approve": "error", "warn": "warning", "allow": "note"}


def violates(findings: "Iterable[Finding]") -> bool:
    """Whether something in them is more than a warning."""
    return any(LEVELS[finding.outcome] == "error" for finding in findings)


def plain(findings: "Iterable[Finding]") -> list[str]:
    """`path:line: constraint: reason`, one line each; what to do instead behind a dash."""
    return [
        f"{f.path}:{f.line}: {f.constraint}{' (warning)' if f.outcome == 'warn' else ''}: {f.reason}"
        + (f" - {f.remedy}" if f.remedy else "")
        for f in findings
    ]


def as_json(findings: "Iterable[Finding]") -> str:
    """A JSON object with every finding."""
    rows = [
        {"path": f.path, "line": f.line, "constraint": f.constraint, "level": LEVELS[f.outcome], "reason": f.reason,
         "remedy": f.remedy or None}
        for f in findings
    ]  # fmt: skip
    return json.dumps({"findings": rows})


def sarif(findings: "Iterable[Finding]", policy: Policy) -> str:
    """A SARIF log. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""
    found = list(findings)
    named = {f.constraint for f in found}
    rules = [
        {"id": c.id, "shortDescription": {"text": c.statement}, "fullDescription": {"text": c.statement}}
        for c in policy.constraints if c.id in named
    ]  # fmt: skip
    results = [
        {
            "ruleId": f.constraint,
            "level": LEVELS[f.outcome],
            "message": {"text": f"{f.reason}. {f.remedy}" if f.remedy else f.reason},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": quote(f.path), "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": f.line},
            }}],
        }
        for f in found
    ]  # fmt: skip
    driver = {"name": "mcp-backend", "version": __version__, "rules": rules}
    return json.dumps(
        {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    )
