"""What was seen, told in the target's terms: relations by name, sizes of the target, time there.

Times come from what the statement did (rows read, written anew, indexed, changed) at the rate seen on the shadow, kept
within what a server does at all; extrapolations measured against real runs stayed within 0.4 and 3 times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_backend.migrations.rehearsal.bounded import most
from mcp_backend.migrations.rehearsal.catalog import Catalog, Doc
from mcp_backend.migrations.rehearsal.observe import BLOCKS, Seen
from mcp_backend.migrations.rehearsal.report import Band
from mcp_backend.migrations.rehearsal.sample import Sample
from mcp_backend.migrations.rehearsal.target import Size, Target

LOW, HIGH = 0.4, 3.0
_RATES = {  # microseconds a row, bytes a millisecond
    "scan": (0.15, 1_500_000), "rewrite": (1.0, 150_000), "index": (0.8, 400_000), "reference": (0.5, 1_000_000),
    "write": (5.0, 100_000),
}  # fmt: skip
ENOUGH_ROWS = 1000
"""Rows of a sample from which a rate is read."""
TABLES = ("r", "p", "m")


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work on one relation of the target: `kind` is a key of `_RATES`."""

    relation: str
    kind: str
    rows: int
    milliseconds: float


@dataclass(slots=True)
class Effect:
    """One statement's effect. Sets and keys are names of relations that the target has now."""

    seen: Seen
    locks: dict[str, str] = field(default_factory=dict[str, str])
    held: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    rewrites: list[str] = field(default_factory=list[str])
    scans: dict[str, int] = field(default_factory=dict[str, int])
    built: list[Doc] = field(default_factory=list[Doc])
    written: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Rows changed: on the shadow, and what that is on the target."""
    emptied: list[str] = field(default_factory=list[str])
    work: list[Work] = field(default_factory=list[Work])

    @property
    def milliseconds(self) -> float:
        """All of its work on the target."""
        return sum(work.milliseconds for work in self.work) or self.seen.elapsed_ms

    @property
    def estimate(self) -> Band:
        """The same with its bounds."""
        expected = self.milliseconds
        return Band(expected * LOW, expected, expected * HIGH)

    @property
    def changed_rows(self) -> bool:
        """Whether rows that were there before were updated or deleted."""
        return any(rows[3] or rows[4] for rows in self.seen.rows.values())

    @property
    def spent_on_rows(self) -> float:
        """Milliseconds of changing rows."""
        return sum(work.milliseconds for work in self.work if work.kind == "write")

    def spent(self, relation: str, *kinds: str) -> float:
        """Milliseconds of work of these kinds on a relation."""
        return sum(w.milliseconds for w in self.work if w.relation == relation and (not kinds or w.kind in kinds))


@dataclass(frozen=True, slots=True)
class World:
    """The target, the rows on the shadow, and the catalog as it was before anything ran."""

    target: Target
    sample: Sample
    start: Catalog

    def name(self, oid: int) -> str:
        """The name of a relation that was there at the start, else nothing."""
        doc = self.start.get(("rel", oid, 0))
        return str(doc["name"]) if doc else ""

    def kind(self, oid: int) -> str:
        """Its kind."""
        doc = self.start.get(("rel", oid, 0))
        return str(doc["kind"]) if doc else ""

    def size(self, relation: str) -> Size:
        """Its size on the target; rows are never fewer than those that were copied."""
        size = self.target.size(relation)
        return size if size.rows or size.bytes else Size(self.sample.rows.get(relation, 0), 0)

    def scaled(self, relation: str, rows: int) -> int:
        """What a number of the shadow's rows is on the target."""
        there = self.sample.rows.get(relation, 0)
        return rows if not there else max(rows, round(rows * self.size(relation).rows / there))


def effect(seen: Seen, world: World) -> Effect:
    """The effect of one statement."""
    found = Effect(seen)
    rank = list(BLOCKS)
    for oid, mode in sorted(seen.locks, key=lambda lock: rank.index(lock[1])):
        if (name := world.name(oid)) and (world.kind(oid) in (*TABLES, "v", "f") or mode == "AccessExclusiveLock"):
            found.locks[name] = mode
    for (oid, mode), number in seen.held.items():
        name = world.name(oid)
        blocking = BLOCKS.get(mode) in ("writes", "reads+writes") and world.kind(oid) in TABLES
        if name and blocking and (name not in found.held or rank.index(mode) > rank.index(found.held[name][0])):
            found.held[name] = (mode, number)
    _rewrites(seen, world, found)
    for oid, (_, read, inserted, updated, deleted) in seen.rows.items():
        name = world.name(oid)
        if not name:
            if inserted and ("rel", oid, 0) in seen.after:
                found.work.append(_filled(seen, world, inserted))
            continue
        if read:
            found.scans[name] = read
        if changed := inserted + updated + deleted:
            scaled = world.scaled(name, updated + deleted) if updated + deleted else 0
            if (bound := most(seen.parsed, seen.before, oid)) is not None:
                scaled = min(scaled, max(bound, updated + deleted))
            found.written[name] = (changed, scaled + inserted * _growth(seen, world))
    made = seen.changes.added("idx")
    files = (
        {d["file"] for key, d in seen.before.items() if key[0] == "rel" and d["kind"] == "i"} if made else set[Any]()
    )
    for change in made:
        after = change.after or {}
        kept = seen.after.get(("rel", change.oid, 0), {}).get("file") in files  # a type that needs no other index
        if (name := world.name(int(after["rel"]))) and not kept:
            found.built.append({**after, "table": name})
    _work(seen, world, found)
    return found


def _rewrites(seen: Seen, world: World, found: Effect) -> None:
    truncates = seen.parsed.node == "TruncateStmt"
    for oid in seen.rewritten:
        name = world.name(oid)
        if not name or world.kind(oid) not in ("r", "m"):
            continue
        there = bool(world.sample.rows.get(name))
        if truncates or (there and oid in seen.emptied):
            found.emptied += [name] if there or world.size(name).rows else []
        else:
            found.rewrites.append(name)


def _filled(seen: Seen, world: World, inserted: int) -> Work:
    """The work of filling a table that the migration makes, from what its rows are read of."""
    rows = inserted * _growth(seen, world)
    sources = [world.size(n) for o in seen.rows if (n := world.name(o)) and seen.rows[o][1]]
    source = max(sources, key=lambda size: size.bytes, default=Size(0, 0))
    written = source.bytes * min(1.0, rows / source.rows) if source.rows else 0
    micro, throughput = _RATES["rewrite"]
    return Work("", "rewrite", rows, max(rows * micro / 1000, written / throughput))


def _growth(seen: Seen, world: World) -> int:
    """By how much more rows an INSERT … SELECT brings on the target: as its largest source is larger there."""
    factors = [world.scaled(n, 1000) // 1000 for o in seen.rows if (n := world.name(o)) and seen.rows[o][1]]
    return max([1, *factors])


def _work(seen: Seen, world: World, found: Effect) -> None:
    rebuilt = set(found.rewrites)
    done: list[tuple[str, str, int]] = [(name, "rewrite", world.size(name).rows) for name in rebuilt]
    indexed: dict[str, int] = {}
    for doc in found.built:
        if doc["kind"] == "i":
            indexed[str(doc["table"])] = indexed.get(str(doc["table"]), 0) + 1
    if seen.parsed.node == "ReindexStmt":
        for oid in seen.rewritten:
            if index := seen.before.get(("idx", oid, 0)):
                name = world.name(int(index["rel"]))
                indexed[name] = indexed.get(name, 0) + 1
    done += [(name, "index", world.size(name).rows * count) for name, count in indexed.items() if name]
    done += [(name, "write", rows) for name, (_, rows) in found.written.items()]
    references = any(
        (c.after or {}).get("type") == "f" and (c.after or {}).get("valid")
        for c in (*seen.changes.added("con"), *seen.changes.changed("con"))
    )
    for name in found.scans:
        if name not in rebuilt and name not in indexed and name not in found.written:
            done.append((name, "reference" if references else "scan", world.size(name).rows))
    for name, kind, rows in done:
        found.work.append(Work(name, kind, rows, _milliseconds(seen, world, name, kind, rows)))


def _milliseconds(seen: Seen, world: World, relation: str, kind: str, rows: int) -> float:
    micro, throughput = _RATES[kind]
    size = world.size(relation)
    portion = min(1.0, rows / size.rows) if size.rows else 1.0
    model = max(rows * micro / 1000, size.bytes * portion / throughput if kind != "write" else 0)
    there = world.sample.rows.get(relation, 0)
    if there < ENOUGH_ROWS or kind == "write":
        return model
    observed = max(seen.elapsed_ms - 1.0, 0) / there * rows
    return min(max(observed, model / 3), model * 4)


def names(oids: Mapping[int, object], world: World) -> list[str]:
    """The names of those relations that the target has."""
    return [name for oid in oids if (name := world.name(oid))]
