"""Hazards of time: who is blocked for how long, by what a statement does while it holds which lock.

Nothing here goes by the name of a statement alone: what ends within the budget on this target is no hazard.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.effects import TABLES, Effect, World
from mcp_backend.migrations.rehearsal.observe import BLOCKS
from mcp_backend.migrations.rehearsal.report import Band, Hazard, Hold
from mcp_backend.migrations.rehearsal.words import hazard, milliseconds

LONG_MS = 60_000
LARGE_ROWS = 100_000
LARGE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Times:
    """The effects of all statements, on which world, and how long blocking may last (milliseconds)."""

    world: World
    effects: tuple[Effect, ...]
    budget: float

    def large(self, relation: str) -> bool:
        """Whether work on the whole of the relation takes long."""
        size = self.world.size(relation)
        return size.rows >= LARGE_ROWS or size.bytes >= LARGE_BYTES


def judge(times: Times) -> Iterator[Hazard]:
    """What blocks longer than the budget, and what takes needlessly strong locks on large tables."""
    for effect in times.effects:
        if effect.seen.failed:
            continue
        yield from _own(times, effect)
        yield from _while_held(times, effect)
        yield from _rows(times, effect)
        yield from _momentary(times, effect)
    yield from _several(times)


def holds(times: Times) -> tuple[Hold, ...]:
    """The timeline: each blocking lock from its statement to the end of the transaction."""
    found: list[Hold] = []
    for index, effect in enumerate(times.effects):
        for relation, mode in effect.locks.items():
            if BLOCKS[mode] not in ("writes", "reads+writes"):
                continue
            during = [effect]
            if effect.seen.transaction:
                during += [e for e in times.effects[index + 1 :] if e.seen.transaction == effect.seen.transaction]
            expected = sum(e.milliseconds for e in during)
            found.append(
                Hold(
                    relation, mode, BLOCKS[mode], effect.seen.number, during[-1].seen.number,
                    sum(e.seen.elapsed_ms for e in during), Band(expected * 0.4, expected, expected * 3),
                )
            )  # fmt: skip
    return tuple(found)


def _blocking(times: Times, effect: Effect) -> dict[str, str]:
    there = times.world.target.relations
    found = {
        name: mode for name, mode in effect.locks.items()
        if BLOCKS[mode] in ("writes", "reads+writes") and there.get(name, {}).get("kind") in TABLES
    }  # fmt: skip
    if effect.seen.parsed.node == "AlterTableStmt" and not effect.seen.parsed.has("AT_ValidateConstraint"):
        found |= {  # taken by an earlier statement: this one would take it itself, so ending the transaction is no cure
            name: mode for name, (mode, _) in effect.held.items()
            if mode == "AccessExclusiveLock" and name not in found and effect.spent(name)
        }  # fmt: skip
    if not found and effect.rewrites and not effect.seen.transaction:  # VACUUM FULL, CLUSTER: outside a transaction
        found = dict.fromkeys(effect.rewrites, "AccessExclusiveLock")
    if effect.seen.parsed.node == "ReindexStmt" and not effect.seen.transaction:
        # Of a schema or database: a transaction for each table, and only some of their locks are seen.
        found = {work.relation: "ShareLock" for work in effect.work} | found
    return found


def _own(times: Times, effect: Effect) -> Iterator[Hazard]:
    locks = _blocking(times, effect)
    if not locks or not effect.work or effect.seen.parsed.concurrent:
        return
    spent = sum(work.milliseconds for work in effect.work)
    if spent <= times.budget:
        return
    main = max(locks, key=effect.spent)
    number = effect.seen.number
    said = _said(effect, main, locks[main], spent)
    evidence: dict[str, Json] = {"relation": main, "lock": locks[main], "estimate_ms": effect.estimate.as_json()}
    evidence |= {"target_rows": times.world.size(main).rows}
    ids = list(_causes(effect, main))
    severity = "warn" if "refresh_matview_blocking" in ids else "reject"
    for identifier in ids:
        yield hazard(identifier, number, severity, said, evidence=evidence)


def _said(effect: Effect, main: str, mode: str, spent: float) -> str:
    what = {
        "rewrite": "writes the table anew", "index": "builds an index", "scan": "reads the whole table",
        "reference": "compares all rows with the table they refer to", "write": "changes many rows",
    }  # fmt: skip
    kinds = dict.fromkeys(work.kind for work in sorted(effect.work, key=lambda w: -w.milliseconds))
    done = " and ".join(what[kind] for kind in kinds) or "works"
    blocked = "nobody can read or write it" if BLOCKS[mode] == "reads+writes" else "nobody can write to it"
    return f"{done} under {mode} on {main}: {blocked} for about {milliseconds(spent)} on this target"


def _causes(effect: Effect, main: str) -> Iterator[str]:
    parsed, seen = effect.seen.parsed, effect.seen
    added = [c.after or {} for c in seen.changes.added("con")]
    types = {c["type"] for c in added if c["valid"]}
    match parsed.node:
        case "RefreshMatViewStmt":
            yield "refresh_matview_blocking"
            return
        case "ReindexStmt":
            yield "reindex_blocking"
            return
        case "ClusterStmt":
            yield "cluster"
        case "VacuumStmt":
            yield "vacuum_full"
        case _:
            pass
    if effect.rewrites:
        yield "table_rewrite"
        if any(
            (c.after or {}).get("has_default") or (c.after or {}).get("identity") for c in seen.changes.added("col")
        ):
            yield "volatile_default"
        if parsed.has("AT_AlterColumnType"):
            yield "full_scan_under_access_exclusive"
        return
    if effect.built:
        known = {"p": "primary_key_builds_index", "u": "unique_constraint_builds_index",
                 "x": "exclusion_constraint_builds_index"}  # fmt: skip
        found = [known[t] for t in known if t in types]
        yield from found or ["blocking_index_build"]
        return
    if parsed.has("AT_AttachPartition") or parsed.node == "CreateStmt":
        yield "attach_partition_scan" if _attached(effect) else "default_partition_scan"
        return
    if "f" in types:
        yield from ("fk_validation_blocks_writes", "constraint_missing_not_valid")
    if types & {"c"}:
        yield from ("full_scan_under_access_exclusive", "constraint_missing_not_valid")
    if "p" in types:
        yield from ("primary_key_sets_not_null", "full_scan_under_access_exclusive")
    if not types & {"f", "c", "p"}:
        strong = "AccessExclusiveLock" in (effect.locks.get(main), effect.held.get(main, ("", 0))[0])
        yield "full_scan_under_access_exclusive" if strong else "work_while_holding_exclusive_lock"


def _attached(effect: Effect) -> bool:
    """Whether the scanned table is the one attached rather than the default partition."""
    named = set(effect.seen.parsed.relations)
    return any(name in named or name.partition(".")[2] in named for name in effect.scans)


def _while_held(times: Times, effect: Effect) -> Iterator[Hazard]:
    spent = sum(work.milliseconds for work in effect.work)
    if not effect.held or spent <= times.budget:
        return
    relation, (mode, since) = max(effect.held.items(), key=lambda item: list(BLOCKS).index(item[1][0]))
    reason = (
        f"takes about {milliseconds(spent)} on this target while the transaction holds {mode} on {relation} since "
        f"statement {since}: {'reads and writes' if BLOCKS[mode] == 'reads+writes' else 'writes'} of it wait that long"
    )
    evidence: dict[str, Json] = {"relation": relation, "lock": mode, "since": since}
    evidence |= {"estimate_ms": effect.estimate.as_json()}
    ids = ["work_while_holding_exclusive_lock"]
    if effect.written:
        ids.insert(0, "backfill_in_ddl_transaction")
    elif any((c.before or {}).get("valid") is False for c in effect.seen.changes.changed("con")):
        ids.insert(0, "validate_in_same_transaction")
    for identifier in ids:
        yield hazard(identifier, effect.seen.number, "reject", reason, evidence=evidence)


def _rows(times: Times, effect: Effect) -> Iterator[Hazard]:
    parsed = effect.seen.parsed
    spent = effect.spent_on_rows
    if parsed.node in ("UpdateStmt", "DeleteStmt", "MergeStmt", "DoStmt", "InsertStmt", "CallStmt", "SelectStmt"):
        rows = sum(target for _, target in effect.written.values())
        if effect.changed_rows and spent > times.budget and rows >= LARGE_ROWS:
            yield hazard(
                "unbatched_dml", effect.seen.number, "reject",
                f"changes about {rows:,} rows of {', '.join(effect.written)} in one transaction: about "
                f"{milliseconds(spent)}, in which every writer of such a row waits, and as much WAL and dead rows",
                evidence={"target_rows": rows, "estimate_ms": effect.estimate.as_json()},
            )  # fmt: skip
            return
    if effect.milliseconds > LONG_MS and not parsed.concurrent and not effect.held and not _blocking(times, effect):
        validates = parsed.has("AT_ValidateConstraint")
        if not validates and parsed.node not in ("VacuumStmt", "IndexStmt"):
            yield hazard(
                "long_statement", effect.seen.number, "warn",
                f"takes about {milliseconds(effect.milliseconds)} on this target in one transaction; vacuum cannot "
                "clean up behind it meanwhile",
                evidence={"estimate_ms": effect.estimate.as_json()},
            )  # fmt: skip


def _momentary(times: Times, effect: Effect) -> Iterator[Hazard]:
    """Short, but everybody who comes meanwhile queues behind it, and a form that does not block exists."""
    parsed, number = effect.seen.parsed, effect.seen.number
    if parsed.concurrent:
        return
    large = [name for name in effect.locks if times.large(name)]
    if parsed.node == "DropStmt" and parsed.tree.get("removeType") == "OBJECT_INDEX" and large:
        yield hazard("drop_index_blocking", number, "warn", f"takes AccessExclusiveLock on {large[0]}, however shortly")
    if parsed.has("AT_DetachPartition") and large:
        yield hazard(
            "detach_partition_blocking", number, "warn",
            f"takes AccessExclusiveLock on {large[0]} and waits for every query on it; all later ones queue behind",
        )  # fmt: skip


def _several(times: Times) -> Iterator[Hazard]:
    taken: dict[int, dict[str, int]] = {}
    for effect in times.effects:
        if not effect.seen.transaction or effect.seen.failed:
            continue
        strong = [
            n for n, mode in effect.locks.items() if mode == "AccessExclusiveLock" and n in _blocking(times, effect)
        ]
        for name in strong:
            taken.setdefault(effect.seen.transaction, {}).setdefault(name, effect.seen.number)
    for relations in taken.values():
        numbers = set(relations.values())
        parents = {times.world.target.relations[n]["parent"] for n in relations} - {None}
        if len(relations) > 1 and len(numbers) > 1 and not parents:
            names = ", ".join(relations)
            for identifier in ("deadlock_risk", "multi_table_locks"):
                yield hazard(
                    identifier, max(numbers), "warn",
                    f"one transaction takes AccessExclusiveLock on {names} one after the other: a session that uses "
                    "them in another order deadlocks with it, and all stay locked until the end",
                )  # fmt: skip
    scanned: dict[str, list[int]] = {}
    for effect in times.effects:
        for name in effect.scans:
            if BLOCKS.get(effect.locks.get(name, ""), "") == "reads+writes" or (name in effect.held):
                scanned.setdefault(name, []).append(effect.seen.number)
    for name, numbers in scanned.items():
        if len(numbers) > 1 and times.large(name):
            yield hazard(
                "multiple_scans", numbers[-1], "warn", f"{name} is read as a whole by {len(numbers)} statements"
            )
