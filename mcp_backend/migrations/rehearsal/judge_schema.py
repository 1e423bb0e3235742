"""Hazards of the schema: what is gone, renamed, loosened or left out once the whole migration has run.

Judged by the net difference, so what is dropped and made again in one migration counts as what it became.
"""

from collections.abc import Iterator
from typing import cast

from mcp_backend.migrations.rehearsal import judge_columns
from mcp_backend.migrations.rehearsal.catalog import Change
from mcp_backend.migrations.rehearsal.net import Net, bodies
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_KINDS = {
    "r": "table", "p": "table", "f": "foreign table", "m": "materialized view", "S": "sequence", "v": "view",
}  # fmt: skip
_CONSTRAINTS = {"f": "foreign key", "c": "check", "u": "unique constraint", "p": "primary key", "x": "exclusion"}


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _relations_gone(net)
    yield from _relations_changed(net)
    yield from judge_columns.judge(net)
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
        yield from bodies(net, name.partition(".")[2], "", number)


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
                yield from bodies(net, str(before["name"]).partition(".")[2], "", number)
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
            f"{net.name(table)} loses its {kind} {doc['name']}",
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
            yield from bodies(net, name.rpartition(".")[2], "", net.statement(change))
    for change in (*net.changes.added("proc"), *net.changes.changed("proc")):
        doc = change.after or {}
        if doc["definer"] and not any(str(c).startswith("search_path=") for c in doc["config"] or ()):
            yield hazard(
                "security_definer_search_path", net.statement(change), "warn",
                f"{doc['name']} runs with its owner's rights and the caller's search_path: who calls it can put "
                "another object in the place of what it names",
            )  # fmt: skip


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
