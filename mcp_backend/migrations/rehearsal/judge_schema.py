"""Hazards of the schema: what is gone, renamed, loosened or left out once the whole migration has run.

Judged by the net difference, so what is dropped and made again in one migration counts as what it became.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from mcp_backend.migrations.rehearsal.catalog import Catalog, Change, Changes, Doc, difference
from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_KINDS = {
    "r": "table", "p": "table", "f": "foreign table", "m": "materialized view", "S": "sequence", "v": "view",
}  # fmt: skip
_CONSTRAINTS = {"f": "foreign key", "c": "check", "u": "unique constraint", "p": "primary key", "x": "exclusion"}


@dataclass(frozen=True, slots=True)
class Net:
    """The world before, the catalog after, their difference, and the statements in between."""

    world: World
    end: Catalog
    changes: Changes
    effects: tuple[Effect, ...]

    def there(self, kind: str) -> list[tuple[int, Doc]]:
        """All objects of a kind that are there in the end."""
        return [(key[1], doc) for key, doc in self.end.items() if key[0] == kind]

    def name(self, oid: int) -> str:
        """The name of a relation, as it is in the end or was before."""
        doc = self.end.get(("rel", oid, 0)) or self.world.start.get(("rel", oid, 0))
        return str(doc["name"]) if doc else ""

    def statement(self, change: Change) -> int:
        """The number of the statement that made a change, 0 when it is none alone."""
        for effect in reversed(self.effects):
            if any((c.kind, c.oid, c.sub) == (change.kind, change.oid, change.sub) for c in effect.seen.changes.items):
                return effect.seen.number
        return 0


def net(world: World, end: Catalog, effects: tuple[Effect, ...]) -> Net:
    """What a rehearsal made of the schema."""
    return Net(world, end, difference(world.start, end), effects)


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _relations_gone(net)
    yield from _relations_changed(net)
    yield from _columns(net)
    yield from _integrity(net)
    yield from _types_and_routines(net)
    yield from _indexes(net)
    yield from _identity(net)


def _relations_gone(net: Net) -> Iterator[Hazard]:
    names = {str(doc["name"]) for _, doc in net.there("rel")}
    for change in net.changes.removed("rel"):
        doc = change.before or {}
        kind = _KINDS.get(str(doc["kind"]))
        name = str(doc["name"])
        if kind is None or name in names or (kind == "sequence" and _owned(change, net)):
            continue
        number = net.statement(change)
        named = _named(name, number, net)
        if not named:
            yield hazard("cascade_victim", number, "needs_approval", f"CASCADE also drops the {kind} {name}")
        rows = net.world.size(name).rows
        if kind == "view":
            yield hazard("breaks_old_readers", number, "warn", f"the view {name} is gone: whoever reads it fails")
        if named or kind != "view":
            severity = "warn" if kind == "view" else "needs_approval"
            lost = f" with about {rows:,} rows" if rows and kind != "view" else ""
            yield hazard(
                "destructive_drop", number, severity, f"drops the {kind} {name}{lost}", evidence={"target_rows": rows}
            )
        yield from _bodies(net, name.partition(".")[2], "", number)


def _owned(change: Change, net: Net) -> bool:
    number = net.statement(change)
    effect = next((e for e in net.effects if e.seen.number == number), None)
    return effect is not None and bool(effect.seen.changes.removed("col") or effect.seen.changes.removed("rel")[1:])


def _named(name: str, number: int, net: Net) -> bool:
    effect = next((e for e in net.effects if e.seen.number == number), None)
    if effect is None or effect.seen.parsed.node == "DoStmt":
        return True
    named = effect.seen.parsed.relations
    return any(n == name or n == name.partition(".")[2] for n in named)


def _relations_changed(net: Net) -> Iterator[Hazard]:
    views = {str(doc["name"]) for _, doc in net.there("rel") if doc["kind"] == "v"}
    for change in net.changes.changed("rel"):
        before, after = change.before or {}, change.after or {}
        number = net.statement(change)
        if before["name"] != after["name"] and after["kind"] in ("r", "p", "v", "m", "f"):
            kept = str(before["name"]) in views
            reason = f"{before['name']} becomes {after['name']}"
            if kept:
                yield hazard("rename_table", number, "warn", f"{reason}; a view of the old name stands in for it")
            else:
                yield hazard(
                    "rename_table", number, "needs_approval", f"{reason}: running code still uses the old name"
                )
                yield hazard("breaks_old_readers", number, "needs_approval", f"readers of {before['name']} fail")
                yield from _bodies(net, str(before["name"]).partition(".")[2], "", number)
        if before["persistence"] == "p" and after["persistence"] == "u":
            yield hazard("loses_crash_safety", number, "needs_approval", f"{after['name']} is emptied by a crash")
    for change in net.changes.added("rel"):
        after = change.after or {}
        if after["kind"] == "p" and not after["partition"]:
            yield hazard(
                "partitioning_choice", net.statement(change), "needs_approval",
                f"{after['name']} is partitioned: key and bounds are a design choice that is hard to undo",
            )  # fmt: skip
        if after["persistence"] == "u" and after["kind"] == "r":
            yield hazard("loses_crash_safety", net.statement(change), "warn", f"{after['name']} is unlogged")


def _columns(net: Net) -> Iterator[Hazard]:
    alive = {oid for oid, _ in net.there("rel")}
    for change in net.changes.removed("col"):
        if change.oid not in alive or not _base(change.oid, net):
            continue
        table, column, number = net.name(change.oid), str((change.before or {})["name"]), net.statement(change)
        again = any(doc["name"] == column for key, doc in net.end.items() if key[0] == "col" and key[1] == change.oid)
        if again and number:
            yield hazard(
                "destructive_data", number, "needs_approval", f"{table}.{column} is dropped and made anew, empty"
            )
            continue
        yield hazard(
            "destructive_drop", number, "needs_approval", f"drops {table}.{column} and what it holds",
            evidence={"target_rows": net.world.size(table).rows},
        )  # fmt: skip
        yield hazard("breaks_old_readers", number, "needs_approval", f"running code that names {table}.{column} fails")
        yield from _bodies(net, column, table.partition(".")[2], number)
    for change in net.changes.changed("col"):
        if _base(change.oid, net):
            yield from _column(net, change)
    for change in net.changes.added("col"):
        after, table = change.after or {}, net.world.name(change.oid)
        number = net.statement(change)
        if str(after["type"]) == "json":
            yield hazard("json_type", number, "warn", f"{net.name(change.oid)}.{after['name']} is json, not jsonb")
        supplied = after["has_default"] or after["identity"] or after["generated"]
        if table and _base(change.oid, net) and after["notnull"] and not supplied:
            yield hazard(
                "breaks_old_writers", number, "warn",
                f"{table}.{after['name']} is NOT NULL without a default: an INSERT of running code, which does not "
                "know it, fails",
            )  # fmt: skip


def _base(oid: int, net: Net) -> bool:
    return net.world.kind(oid) in ("r", "p", "f") or not net.world.kind(oid)


def _column(net: Net, change: Change) -> Iterator[Hazard]:
    before, after, number = change.before or {}, change.after or {}, net.statement(change)
    table, name = net.name(change.oid), str(after["name"])
    if before["name"] != name:
        reason = f"{table}.{before['name']} becomes {name}: running code that names the old one fails"
        yield hazard("rename_column", number, "needs_approval", reason)
        yield hazard("breaks_old_readers", number, "needs_approval", reason)
        yield from _bodies(net, str(before["name"]), table.partition(".")[2], number)
    if before["type"] != after["type"]:
        kinds = {before["category"], after["category"]}
        severity = "info" if len(kinds) == 1 else "warn"
        yield hazard(
            "type_change_breaks_clients", number, severity,
            f"{table}.{name} becomes {after['type']} (was {before['type']}): clients get another type",
        )  # fmt: skip
        if str(after["type"]) == "json":
            yield hazard("json_type", number, "warn", f"{table}.{name} is json, not jsonb")
    if before["notnull"] and not after["notnull"]:
        yield hazard("drop_not_null", number, "warn", f"{table}.{name} may be NULL from now on: readers must handle it")
    lost = before["has_default"] and not after["has_default"] and not after["identity"]
    if (lost or (before["identity"] and not after["identity"] and not after["has_default"])) and after["notnull"]:
        yield hazard(
            "breaks_old_writers", number, "warn",
            f"{table}.{name} is NOT NULL and loses its default: an INSERT that leaves it out fails",
        )  # fmt: skip


def _integrity(net: Net) -> Iterator[Hazard]:
    alive = {oid for oid, _ in net.there("rel")}
    columns = {(key[1], key[2]) for key in net.end if key[0] == "col"}
    now = {(doc["rel"], doc["type"], tuple(doc["keys"] or ())) for _, doc in net.there("con")}
    for change in net.changes.removed("con"):
        doc = change.before or {}
        kind, table = _CONSTRAINTS.get(str(doc["type"])), int(doc["rel"])
        if kind is None or table not in alive or (table, doc["type"], tuple(doc["keys"] or ())) in now:
            continue
        if any((table, key) not in columns for key in doc["keys"] or ()):
            continue  # it went with its column
        yield hazard(
            "integrity_removed", net.statement(change), "warn",
            f"{net.name(table)} loses its {kind} {doc['name']} ({doc['def']})",
        )  # fmt: skip
    for change in net.changes.removed("trg"):
        doc = change.before or {}
        again = any(d["name"] == doc["name"] and d["rel"] == doc["rel"] for _, d in net.there("trg"))
        if int(doc["rel"]) in alive and not doc["internal"] and not again:
            reason = f"{net.name(int(doc['rel']))} loses its trigger {doc['name']}"
            yield hazard("integrity_removed", net.statement(change), "warn", reason)
    for change in net.changes.changed("trg"):
        before, after = change.before or {}, change.after or {}
        if before["enabled"] != "D" and after["enabled"] == "D":
            reason = f"the trigger {after['name']} of {net.name(int(after['rel']))} is disabled"
            yield hazard("integrity_removed", net.statement(change), "warn", reason)


def _types_and_routines(net: Net) -> Iterator[Hazard]:
    for change in net.changes.changed("typ"):
        old = cast("dict[str, str]", (change.before or {}).get("labels") or {})
        new = cast("dict[str, str]", (change.after or {}).get("labels") or {})
        for oid in old.keys() & new.keys():
            if old[oid] != new[oid]:
                yield hazard(
                    "rename_enum_value", net.statement(change), "needs_approval",
                    f"{(change.after or {})['name']}: {old[oid]!r} becomes {new[oid]!r}; running code uses the former",
                )  # fmt: skip
    for change in net.changes.removed("typ"):
        name = str((change.before or {})["name"])
        if not any(doc["name"] == name for _, doc in net.there("typ")):
            yield hazard("destructive_drop", net.statement(change), "needs_approval", f"drops the type {name}")
    for change in net.changes.removed("ext"):
        reason = f"drops the extension {(change.before or {})['name']} and all that uses it"
        yield hazard("destructive_drop", net.statement(change), "needs_approval", reason)
    for change in net.changes.added("ext"):
        reason = f"installs the extension {(change.after or {})['name']}"
        yield hazard("extension", net.statement(change), "needs_approval", reason)
    for change in net.changes.removed("proc"):
        name = str((change.before or {})["name"]).partition("(")[0]
        if not any(str(doc["name"]).partition("(")[0] == name for _, doc in net.there("proc")):
            yield hazard("destructive_drop", net.statement(change), "warn", f"drops the function {name}")
            yield hazard("breaks_old_readers", net.statement(change), "warn", f"whoever calls {name} fails")
            yield from _bodies(net, name.rpartition(".")[2], "", net.statement(change))
    for change in (*net.changes.added("proc"), *net.changes.changed("proc")):
        doc = change.after or {}
        if doc["definer"] and not any(str(c).startswith("search_path=") for c in doc["config"] or ()):
            yield hazard(
                "security_definer_search_path", net.statement(change), "warn",
                f"{doc['name']} runs with its owner's rights and the caller's search_path: who calls it can put "
                "another object in the place of what it names",
            )  # fmt: skip


def _bodies(net: Net, word: str, beside: str, number: int) -> Iterator[Hazard]:
    """Functions whose text still uses what is gone; PostgreSQL finds out when they are called."""
    changed = {c.oid for c in net.changes.items if c.kind == "proc"}
    for oid, doc in net.there("proc"):
        source = str(doc["source"] or "")
        if oid in changed or doc["sqlbody"] or doc["lang"] in ("c", "internal"):
            continue
        if _mentions(source, word) and (not beside or _mentions(source, beside) or "new." in source.lower()):
            what = f"{beside}.{word}" if beside else word
            yield hazard(
                "function_body_breakage", number, "warn",
                f"the function {doc['name']} still uses {what}: it fails when it is called",
                source="catalog",
            )  # fmt: skip


def _mentions(source: str, word: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(word)}(?![\w$])", source, re.IGNORECASE) is not None


def _indexes(net: Net) -> Iterator[Hazard]:
    there = net.there("idx")
    for change in net.changes.added("idx"):
        after = change.after or {}
        same = [
            doc for oid, doc in there
            if oid != change.oid and doc["rel"] == after["rel"] and doc["shape"] == after["shape"] and doc["valid"]
            and (doc["unique"] or not after["unique"])
        ]  # fmt: skip
        if same and net.world.name(int(after["rel"])):
            reason = f"{after['name']} is the same as {same[0]['name']}: it only costs every write"
            yield hazard("duplicate_index", net.statement(change), "warn", reason, source="catalog")
    for change in net.changes.added("con"):
        after = change.after or {}
        keys, table = [int(k) for k in after["keys"] or ()], int(after["rel"])
        if after["type"] != "f" or after["parent"]:
            continue
        covered = any(
            doc["rel"] == table and doc["valid"] and not doc["partial"] and set(doc["keys"][: len(keys)]) == set(keys)
            for _, doc in there
        )  # fmt: skip
        if not covered:
            rows = net.world.size(net.world.name(table)).rows
            yield hazard(
                "fk_missing_index", net.statement(change), "warn" if rows >= 10_000 else "info",
                f"no index on the columns of {after['def']}: each DELETE or key UPDATE of the referenced table reads "
                f"all of {net.name(table)}",
                source="catalog", evidence={"target_rows": rows},
            )  # fmt: skip


def _identity(net: Net) -> Iterator[Hazard]:
    published = {int(doc["rel"]) for _, doc in net.there("pub") if doc["writes"]}
    everything = any(doc["writes"] for _, doc in net.there("suball"))
    for oid, doc in net.there("rel"):
        if doc["kind"] != "r" or doc["identity"] not in ("d", "n") or not (everything or oid in published):
            continue
        if doc["identity"] == "d" and any(d["rel"] == oid and d["primary"] and d["valid"] for _, d in net.there("idx")):
            continue
        before = [d for key, d in net.world.start.items() if key[0] == "idx" and d["rel"] == oid and d["primary"]]
        was = net.world.start.get(("rel", oid, 0))
        had = was is not None and (was["identity"] in ("f", "i") or (was["identity"] == "d" and bool(before)))
        new = any(c.kind == "pub" and int((c.after or {"rel": 0})["rel"]) == oid for c in net.changes.items)
        if had or new:
            number = next((net.statement(c) for c in net.changes.items if c.kind in ("con", "pub", "rel")), 0)
            yield hazard(
                "replica_identity_lost", number, "needs_approval",
                f"{doc['name']} is published and has no replica identity: UPDATE and DELETE on it fail (55000)",
                source="catalog",
            )  # fmt: skip
