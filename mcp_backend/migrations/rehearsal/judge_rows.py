"""Hazards of rows that are gone afterwards, in whatever way a statement, a function or a cascade deleted them."""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard


def judge(world: World, effects: tuple[Effect, ...]) -> Iterator[Hazard]:
    """Tables that were emptied, and rows that were deleted from what the target has now."""
    for effect in effects:
        if effect.seen.failed:
            continue
        number = effect.seen.number
        if effect.emptied:
            rows = sum(world.size(name).rows for name in effect.emptied)
            reason = f"deletes all of about {rows:,} rows of {', '.join(effect.emptied)}"
            yield hazard("destructive_data", number, "needs_approval", reason, evidence={"target_rows": rows})
            continue
        deleted = {
            name: world.scaled(name, rows[4]) for oid, rows in effect.seen.rows.items()
            if rows[4] and (name := world.name(oid))
        }  # fmt: skip
        moved = effect.seen.parsed.node == "UpdateStmt" and all(world.target.relations[n]["parent"] for n in deleted)
        if deleted and not moved:  # an UPDATE of a partition key deletes here and inserts there
            told = ", ".join(f"about {rows:,} rows of {name}" for name, rows in deleted.items())
            evidence = {"target_rows": sum(deleted.values())}
            yield hazard("destructive_data", number, "needs_approval", f"deletes {told}", evidence=evidence)
        elif effect.seen.parsed.node == "DeleteStmt" and (name := _unseen(effect, world)):
            reason = f"deletes rows of {name}: none of the sample, and the others were not asked"
            yield hazard("destructive_data", number, "needs_approval", reason, source="statement")


def _unseen(effect: Effect, world: World) -> str:
    """A table that the statement names and whose rows are not all on the shadow."""
    named = effect.seen.parsed.relations
    there = [n for n in world.target.relations if n in named or n.partition(".")[2] in named]
    partly = [n for n in there if world.size(n).rows and n not in world.sample.whole]
    return next((n for n in partly if world.target.relations[n]["kind"] in ("r", "f")), "")
