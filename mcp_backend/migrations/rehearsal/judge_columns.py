"""Hazards of columns: dropped, renamed, retyped, loosened, or required of code that does not know them."""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.catalog import Change
from mcp_backend.migrations.rehearsal.net import Net, bodies
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_ROOM = {"smallint": 2**15 - 1, "integer": 2**31 - 1}


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    alive = {oid for oid, _ in net.there("rel")}
    for change in net.changes.removed("col"):
        if change.oid not in alive or not _base(change.oid, net):
            continue
        table, column, number = net.name(change.oid), str((change.before or {})["name"]), net.statement(change)
        again = next((k for k, d in net.end.items() if k[:2] == ("col", change.oid) and d["name"] == column), None)
        if again and again in net.world.start:
            reason = f"drops {table}.{column} and what it holds; {net.world.start[again]['name']} takes its name"
            yield hazard("destructive_drop", number, "needs_approval", reason)
            continue
        if again and number:
            yield hazard(
                "destructive_data", number, "needs_approval", f"{table}.{column} is dropped and made anew, empty"
            )
            continue
        if any(e.seen.number == number and e.seen.parsed.node == "DropStmt" for e in net.effects):
            yield hazard("cascade_victim", number, "needs_approval", f"CASCADE also drops {table}.{column}")
        yield hazard(
            "destructive_drop", number, "needs_approval", f"drops {table}.{column} and what it holds",
            evidence={"target_rows": net.world.size(table).rows},
        )  # fmt: skip
        yield hazard("breaks_old_readers", number, "needs_approval", f"running code that names {table}.{column} fails")
        yield from bodies(net, column, table.partition(".")[2], number)
    for change in net.changes.changed("col"):
        if _base(change.oid, net):
            yield from _column(net, change)
        elif (before := str((change.before or {})["name"])) != (after := str((change.after or {})["name"])):
            reason = f"{net.name(change.oid)}.{before} becomes {after}: running code that names the old one fails"
            for identifier in ("rename_column", "breaks_old_readers"):
                yield hazard(identifier, net.statement(change), "warn", reason)
    for change in net.changes.added("col"):
        after, table = change.after or {}, net.world.name(change.oid)
        number = net.statement(change)
        if str(after["type"]) == "json":
            yield hazard("json_type", number, "warn", f"{net.name(change.oid)}.{after['name']} is json, not jsonb")
        rows, room = net.world.size(table).rows if table else 0, _ROOM.get(str(after["type"]), 0)
        if 0 < room < rows and (after["identity"] or "nextval(" in str(after["default"] or "")):
            yield hazard(
                "fails_on_existing_data", number, "reject",
                f"{table}.{after['name']} numbers about {rows:,} rows with a {after['type']}, which ends at {room:,}",
                source="target_data",
            )  # fmt: skip
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
        yield from bodies(net, str(before["name"]), table.partition(".")[2], number)
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
    if after["identity"] == "a" and before["identity"] != "a" and before["name"] == name:
        yield hazard(
            "breaks_old_writers", number, "warn",
            f"{table}.{name} is GENERATED ALWAYS from now on: an INSERT of running code that gives its value fails",
        )  # fmt: skip
    lost = before["has_default"] and not after["has_default"] and not after["identity"]
    if (lost or (before["identity"] and not after["identity"] and not after["has_default"])) and after["notnull"]:
        yield hazard(
            "breaks_old_writers", number, "warn",
            f"{table}.{name} is NOT NULL and loses its default: an INSERT that leaves it out fails",
        )  # fmt: skip
