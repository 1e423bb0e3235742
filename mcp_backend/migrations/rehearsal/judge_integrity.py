"""Hazards of what kept rows right: constraints, unique indexes, triggers and generated columns that are gone, and rules
that swallow rows."""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.net import Net
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_CONSTRAINTS = {"f": "foreign key", "c": "check", "u": "unique constraint", "p": "primary key", "x": "exclusion"}
_EVENTS = {"2": "UPDATE", "3": "INSERT", "4": "DELETE"}


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _constraints(net)
    yield from _unique(net)
    yield from _triggers(net)
    yield from _rules(net)
    for change in net.changes.changed("col"):
        if (change.before or {})["generated"] and not (change.after or {})["generated"]:
            column = f"{net.name(change.oid)}.{(change.after or {})['name']}"
            reason = f"{column} is no longer computed: an INSERT of running code leaves it empty"
            yield hazard("integrity_removed", net.statement(change), "warn", reason)


def _constraints(net: Net) -> Iterator[Hazard]:
    alive = {oid for oid, _ in net.there("rel")}
    columns = {(key[1], key[2]) for key in net.end if key[0] == "col"}
    types = dict(net.there("typ"))
    now = {(doc["rel"], doc["type"], tuple(doc["keys"] or ())) for _, doc in net.there("con")}
    for change in net.changes.removed("con"):
        doc = change.before or {}
        kind, table = _CONSTRAINTS.get(str(doc["type"])), int(doc["rel"])
        if doc["type"] == "c" and (domain := types.get(int(doc["typ"]))):
            if not any(d["typ"] == doc["typ"] and d["type"] == "c" for _, d in net.there("con")):
                reason = f"the domain {domain['name']} loses its check {doc['name']}"
                yield hazard("integrity_removed", net.statement(change), "warn", reason)
            continue
        if kind is None or table not in alive or (table, doc["type"], tuple(doc["keys"] or ())) in now:
            continue
        if any((table, key) not in columns for key in doc["keys"] or ()):
            continue  # it went with its column
        if doc["not_null"] and all(net.end["col", table, int(key)]["notnull"] for key in doc["keys"] or ()):
            continue  # the column itself says so now
        yield hazard(
            "integrity_removed", net.statement(change), "warn",
            f"{net.name(table)} loses its {kind} {doc['name']}",
        )  # fmt: skip
    for change in net.changes.changed("con"):
        before, after = change.before or {}, change.after or {}
        if before["valid"] and not after["valid"]:  # nothing but NOT ENFORCED makes it so
            kind = _CONSTRAINTS.get(str(after["type"]), "constraint")
            reason = f"the {kind} {after['name']} of {net.name(int(after['rel']))} is no longer enforced"
            yield hazard("integrity_removed", net.statement(change), "warn", reason)


def _unique(net: Net) -> Iterator[Hazard]:
    """Unique indexes that are no constraint: whoever relied on them, ON CONFLICT too, finds them gone."""
    alive = {oid for oid, _ in net.there("rel")}
    columns = {(key[1], key[2]) for key in net.end if key[0] == "col"}
    behind = {int(doc["index"] or 0) for key, doc in net.world.start.items() if key[0] == "con"}
    for change in net.changes.removed("idx"):
        doc = change.before or {}
        table = int(doc["rel"])
        if not doc["unique"] or not doc["valid"] or change.oid in behind or table not in alive:
            continue
        again = any(d["rel"] == table and d["unique"] and d["shape"] == doc["shape"] for _, d in net.there("idx"))
        if again or any(key and (table, key) not in columns for key in doc["keys"]):
            continue
        reason = f"{net.name(table)} loses its unique index {doc['name']}: duplicates become possible"
        yield hazard("integrity_removed", net.statement(change), "warn", reason)


def _triggers(net: Net) -> Iterator[Hazard]:
    alive = {oid for oid, _ in net.there("rel")}
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


def _rules(net: Net) -> Iterator[Hazard]:
    """Rewrite rules on tables: with INSTEAD what is written goes somewhere else, or nowhere, without an error."""
    for change in net.changes.added("rul"):
        after = change.after or {}
        table = net.world.name(int(after["rel"]))
        if after["instead"] and net.world.kind(int(after["rel"])) in ("r", "p"):
            verb = _EVENTS.get(str(after["event"]), "a write")
            reason = f"the rule {after['name']} does something else instead of {verb} on {table}, without an error"
            yield hazard("integrity_removed", net.statement(change), "warn", reason)
