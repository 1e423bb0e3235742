"""Drives the corpus of migrations through the real tool: one target and one shadow server for all cases."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.migrations.clickhouse.language import statements
from mcp_backend.migrations.clickhouse.rehearsal import Text
from mcp_backend.migrations.clickhouse.rehearsal import rehearse as rehearse_text
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import workspace
from tests.clickhouse_fixtures import speaking
from tests.rehearsal_fixtures import Case


@dataclass
class Tally:
    """What was named, missed and wrongly flagged, by the names of the cases."""

    named: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    flagged: list[str] = field(default_factory=list[str])
    safe: list[str] = field(default_factory=list[str])
    silent: list[str] = field(default_factory=list[str])
    """Dangerous ones that were called safe."""
    other: dict[str, str] = field(default_factory=dict[str, str])
    """Anything else that is not as expected: verdict, locks, rewrites, or an error of the tool."""


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


async def rehearse_clickhouse(url: str, root: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The same on ClickHouse, whose sizes cannot be set: the rehearsal is told the ones that the case gives."""
    sql = speaking(url)
    place = workspace(root)
    engine = Clickhouse(EngineSettings("main", "clickhouse", url, "development"), place)
    given = cast("dict[str, dict[str, int]]", about.get("target_stats") or {})
    sizes = {tuple(name.split(".")): (size["rows"], size["bytes"]) for name, size in given.items()}
    try:
        for statement in statements(f"{about['setup_sql']};{about.get('seed_sql') or ''}", "corpus"):
            sql(statement.sql)
        found = await rehearse_text(
            engine, place, [Text(about["migration_up"], back=about.get("migration_down"))],
            digest="d" * 64, at_version="x@empty", sizes=cast("Any", sizes),
        )  # fmt: skip
        return found.as_result()
    finally:
        await engine.close()
        sql("drop database if exists app")


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
        tally.silent += [name] if result["verdict"] == "safe" else []
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
