"""Hazards of the schema: what is gone, renamed, loosened or left out once the whole migration has run.

Judged by the net difference, so what is dropped and made again in one migration counts as what it became.
"""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal import judge_columns, judge_integrity, judge_routines
from mcp_backend.migrations.rehearsal.catalog import Change
from mcp_backend.migrations.rehearsal.net import Net, bodies
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_KINDS = {
    "r": "table", "p": "table", "f": "foreign table", "m": "materialized view", "S": "sequence", "v": "view",
}  # fmt: skip


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _relations_gone(net)
    yield from _remade(net)
    yield from _schemas(net)
    yield from _relations_changed(net)
    yield from judge_columns.judge(net)
    yield from judge_integrity.judge(net)
    yield from judge_routines.judge(net)
    yield from _indexes(net)
    yield from _identity(net)
    yield from _unpublished(net)
    for change in (*net.changes.added("cfg"), *net.changes.changed("cfg")):
        who = f"{(change.after or {})['name']}{' in this database' if change.sub else ''}"
        reason = f"changes a setting of every later session of {who}"
        yield hazard("server_configuration", net.statement(change), "needs_approval", reason, source="catalog")


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


def _remade(net: Net) -> Iterator[Hazard]:
    """Views and tables that have the same name as one that is gone, but not all of its columns."""
    now = {str(doc["name"]): oid for oid, doc in net.there("rel")}
    for change in net.changes.removed("rel"):
        doc = change.before or {}
        name = str(doc["name"])
        if doc["kind"] not in ("r", "p", "v", "m", "f") or name not in now:
            continue
        there = {str(d["name"]) for key, d in net.end.items() if key[0] == "col" and key[1] == now[name]}
        before = [str(d["name"]) for key, d in net.world.start.items() if key[0] == "col" and key[1] == change.oid]
        if lost := [column for column in before if column not in there]:
            kind, number = _KINDS[str(doc["kind"])], net.statement(change)
            severity = "warn" if kind == "view" else "needs_approval"
            reason = f"the {kind} {name} is made anew without {', '.join(lost)}: running code that names it fails"
            yield hazard("breaks_old_readers", number, severity, reason)
            if kind == "table":
                yield hazard("destructive_drop", number, severity, f"{name} is made anew: what it held is gone")
            for column in lost:
                yield from bodies(net, column, name.partition(".")[2], number)


def _schemas(net: Net) -> Iterator[Hazard]:
    for change in net.changes.changed("sch"):
        before, after = str((change.before or {})["name"]), str((change.after or {})["name"])
        holds = any(d["schema"] == before and d["kind"] in _KINDS for k, d in net.world.start.items() if k[0] == "rel")
        if before != after and holds:
            reason = f"the schema {before} becomes {after}: running code that names it, or its search_path, fails"
            for identifier in ("rename_table", "breaks_old_readers"):
                yield hazard(identifier, net.statement(change), "needs_approval", reason)


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
        if before["name"] != after["name"] and after["kind"] == "S":
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
                f"no index on the columns of {after['def'] or after['name']}: each DELETE or key UPDATE of the "
                f"referenced table reads all of {net.name(table)}",
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


def _unpublished(net: Net) -> Iterator[Hazard]:
    """Tables that subscribers get no more changes of."""
    alive = {oid for oid, _ in net.there("rel")}
    still = {(doc["name"], doc["rel"]) for _, doc in net.there("pub")}
    everything = {doc["name"] for _, doc in net.there("suball")}
    for change in (*net.changes.removed("pub"), *net.changes.removed("suball")):
        doc = change.before or {}
        if doc["name"] in everything or (change.kind == "pub" and (doc["name"], doc["rel"]) in still):
            continue
        if change.kind == "pub" and int(doc["rel"]) not in alive:
            continue
        what = f"{net.name(int(doc['rel']))}" if change.kind == "pub" else "every table"
        reason = f"{what} is no longer published by {doc['name']}: subscribers get no more changes of it"
        yield hazard("breaks_old_readers", net.statement(change), "warn", reason, source="catalog")
