"""All judges over one outcome, each hazard once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcp_backend.migrations.rehearsal import (
    judge_failure,
    judge_rights,
    judge_row_security,
    judge_rows,
    judge_schema,
    judge_statement,
    judge_time,
    proofs,
)
from mcp_backend.migrations.rehearsal.catalog import Catalog
from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.kinds import Parsed
from mcp_backend.migrations.rehearsal.net import net as net_of
from mcp_backend.migrations.rehearsal.play import Played
from mcp_backend.migrations.rehearsal.report import Hazard, Hold
from mcp_backend.migrations.rehearsal.subject import Subject
from mcp_backend.migrations.rehearsal.words import hazard
from mcp_backend.settings import hide_credentials

_RANK = {"reject": 0, "needs_approval": 1, "warn": 2, "info": 3}
NEAR_LIMIT = 0.7
_LIMITS = {"integer": 2**31 - 1, "smallint": 2**15 - 1}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was seen."""

    subject: Subject
    world: World
    effects: tuple[Effect, ...]
    played: Played
    end: Catalog
    budget: float
    writes: proofs.Writes
    writes_before: proofs.Writes
    proved: tuple[Hazard, ...]
    undone: proofs.Undone | None
    version_before: str
    difference: tuple[str, ...]


def judged(outcome: Outcome) -> tuple[tuple[Hazard, ...], tuple[Hold, ...]]:
    """The hazards, strictest first, and the timeline."""
    times = judge_time.Times(outcome.world, outcome.effects, outcome.budget)
    statements = [s for unit in outcome.subject.units for s in unit.statements]
    found = list(judge_failure.judge(outcome.played, outcome.world.target.extensions))
    ran = {e.seen.number for e in outcome.effects if not e.seen.failed}
    found += judge_statement.judge(statements, outcome.world, ran)
    found += judge_rows.judge(outcome.world, outcome.effects)
    found += judge_time.judge(times)
    if not outcome.played.failed:
        net = net_of(outcome.world, outcome.end, outcome.effects)
        found += judge_schema.judge(net)
        found += judge_rights.judge(net)
        found += judge_row_security.judge(net)
        last = outcome.effects[-1].seen.number if outcome.effects else 0
        found += proofs.judge_writes(outcome.writes, outcome.writes_before, last, outcome.end, outcome.world)
        found += _reversible(outcome)
    found += outcome.proved
    found += _transactions(outcome, statements)
    found += _sequences(outcome, statements)
    return tuple(_once(found)), judge_time.holds(times)


def _once(found: Iterable[Hazard]) -> list[Hazard]:
    kept: dict[tuple[str, int, str], Hazard] = {}
    for each in found:
        key = (each.id, each.statement, "" if each.id not in _PLURAL else each.reason)
        if key not in kept or _RANK[each.severity] < _RANK[kept[key].severity]:
            kept[key] = each
    return sorted(kept.values(), key=lambda h: (_RANK[h.severity], h.statement))


_PLURAL = (
    "cascade_victim", "destructive_drop", "function_body_breakage", "breaks_writes", "grant_widening",
    "sequence_exhaustion",
)  # fmt: skip


def _reversible(outcome: Outcome) -> Iterator[Hazard]:
    undone = outcome.undone
    if undone is not None and undone.failed:
        said = hide_credentials(undone.failed.message)[:300]
        yield hazard("down_fails", 0, "warn", f"down fails after up: {said} (SQLSTATE {undone.failed.sqlstate})")
    elif undone is not None and undone.version != outcome.version_before:
        more = "; ".join(outcome.difference[:5]) or "a property that is not shown here"
        yield hazard("down_not_inverse", 0, "warn", f"after up and down the schema is another one: {more}")
    if outcome.subject.no_down and outcome.subject.direction == "up" and _makes(outcome):
        why = f": {outcome.subject.stuck[:300]}" if outcome.subject.stuck else ""
        yield hazard("no_down", 0, "info", f"nothing takes it back{why}", source="statement")


def _makes(outcome: Outcome) -> bool:
    changes = [c for e in outcome.effects for c in e.seen.changes.items]
    made = [c for c in changes if c.before is None and c.kind in ("rel", "col", "proc", "typ")]
    return any(c.kind != "rel" or (c.after or {}).get("kind") not in ("i", "I") for c in made)


def _transactions(outcome: Outcome, statements: list[Parsed]) -> Iterator[Hazard]:
    opened = any(s.control == "begin" for s in statements)
    if opened and any(s.control in ("commit", "rollback") for s in statements):
        yield hazard(
            "transaction_nesting", 0, "warn",
            "it opens and ends its own transaction, so its history row is not part of it", source="statement",
        )  # fmt: skip
    if outcome.subject.refused and not outcome.played.failed:
        yield hazard("fails_in_rehearsal", 0, "reject", f"run_migration refuses it: {outcome.subject.refused}")


def _sequences(outcome: Outcome, statements: list[Parsed]) -> Iterator[Hazard]:
    named = {n for s in statements for n in s.relations}
    for about in outcome.world.target.sequences:
        table = str(about["table"] or "")
        if table not in named and table.partition(".")[2] not in named:
            continue
        limit = min(int(about["max"]), _LIMITS.get(str(about["column_type"]), int(about["max"])))
        part = int(about["last"]) / limit
        if part >= NEAR_LIMIT and not about["cycle"]:
            yield hazard(
                "sequence_exhaustion", 0, "warn",
                f"{about['name']} of {table} has used {part:.0%} of the {about['column_type']} it fills "
                f"({int(about['last']):,} of {limit:,})",
                source="target_data",
            )  # fmt: skip
