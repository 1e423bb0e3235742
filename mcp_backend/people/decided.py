"""Which specification files people decided to change: the answered questions that name them. Standard library only: a
hook asks too."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mcp_backend.app import App
    from mcp_backend.tools.base import Plan

HOLDS = 7 * 86400.0
"""Seconds that a decision opens a file for. What is committed is approved by itself, so this only ends what was
forgotten."""
_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*\.\w+")


async def looked_up(app: "App", plan: "Plan") -> "Plan":
    """The plan with the decisions about the specification files it touches."""
    paths = [path for path, found in plan.facts.owners.items() if found.owner == "spec"]
    if not paths:
        return plan
    from dataclasses import replace

    from mcp_backend.escalations import COMPARED

    decided = about(await app.store.rows("escalations_all", limit=COMPARED), paths, app.now())
    return replace(plan, facts=replace(plan.facts, decided=decided)) if decided else plan


def about(rows: Iterable[Mapping[str, Any]], paths: list[str], now: float) -> dict[str, str]:
    """Of these specification files, those that an answered question among `rows` (newest first) names, with its id."""
    decided: dict[str, str] = {}
    for row in rows:
        if row["kind"] != "spec_clarification" or row["status"] not in ("answered", "approved"):
            continue
        if row["decided"] is None or now - row["decided"] > HOLDS:
            continue
        details: Any = json.loads(row["details"])
        reference: Any = cast("dict[str, Any]", details).get("spec_ref") if isinstance(details, dict) else None
        named = set(_PATH.findall(reference)) if isinstance(reference, str) else set[str]()
        for path in paths:
            if path in named:
                decided.setdefault(path, str(row["id"]))
    return decided
