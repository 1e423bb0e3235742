"""Drives the corpus of migrations through the real tool: one target and one shadow server for all cases."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rehearsal_fixtures import Case


@dataclass
class Tally:
    """What was named, missed and wrongly flagged, by the names of the cases."""

    named: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    flagged: list[str] = field(default_factory=list[str])
    safe: list[str] = field(default_factory=list[str])
    other: dict[str, str] = field(default_factory=dict[str, str])
    """Anything else that is not as expected: verdict, locks, rewrites, or an error of the tool."""
    seconds: float = 0


def cases(folder: Path, engine: str) -> list[dict[str, Any]]:
    """The cases of an engine, by name."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [case for case in found if case["engine"] == engine]


async def rehearse(place: Case, about: dict[str, Any]) -> dict[str, Any]:
    """Sets the target up as the case says, and rehearses its migration."""
    for part in ("setup_sql", "seed_sql"):
        place.owner(about.get(part) or "")
    place.sizes(about.get("target_stats") or {})
    down = {"down_sql": about["migration_down"]} if about.get("migration_down") else {}
    return await place.rehearse(sql=about["migration_up"], **down)


def judge(about: dict[str, Any], result: dict[str, Any], tally: Tally) -> None:
    """Compares a result with what the case expects."""
    name, expected = about["id"], about["expect"]
    if "verdict" not in result:
        tally.missed.append(name)
        tally.other[name] = str(result)
        return
    found = {hazard["id"] for hazard in result["hazards"]}
    accepted = {expected["verdict"], *expected.get("accept", ())}
    if expected["verdict"] == "safe":
        (tally.safe if result["verdict"] in accepted else tally.flagged).append(name)
    else:
        (tally.named if found & set(expected["hazards"]) else tally.missed).append(name)
    wrong = [] if result["verdict"] in accepted else [f"verdict {result['verdict']}, expected {expected['verdict']}"]
    locks = {f"{k['relation']}:{k['mode']}" for s in result["statements"] for k in s["locks"]}
    ran = not any("error" in s for s in result["statements"])
    if ran:
        wrong += _differing("locks", set(expected.get("observed_locks", ())) - locks)
        wrong += _differing("rewrites", _rewrites(expected, result))
    wrong += _differing("forbidden locks", set(expected.get("forbidden_locks", ())) & locks)
    if wrong:
        tally.other[name] = "; ".join(wrong)


def _rewrites(expected: dict[str, Any], result: dict[str, Any]) -> set[str]:
    if "rewrites" not in expected:
        return set()
    return set(expected["rewrites"]) ^ {r["relation"] for s in result["statements"] for r in s["rewrites"]}


def _differing(what: str, which: Iterable[str]) -> list[str]:
    return [f"{what}: {', '.join(sorted(which))}"] if which else []
