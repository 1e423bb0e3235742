"""Hazards of privileges, by comparison with the sibling tables of the same schema."""

from collections.abc import Iterator
from typing import Any

from mcp_backend.migrations.rehearsal.catalog import Doc
from mcp_backend.migrations.rehearsal.net import Net
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

TABLES = ("r", "p")


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _missing(net)
    yield from _narrowed(net)
    yield from _widened(net)


def _rights(acl: Any) -> dict[str, set[str]]:
    """Grantee (empty for PUBLIC) to the letters of its privileges. https://www.postgresql.org/docs/current/ddl-priv.html"""
    found: dict[str, set[str]] = {}
    for item in acl or ():
        grantee, _, rest = str(item).rpartition("=")
        found.setdefault(grantee.strip('"'), set()).update(rest.partition("/")[0])
    return found


def _owner_of(acl: Any) -> set[str]:
    return {str(item).rpartition("/")[2].strip('"') for item in acl or ()}


def siblings(net: Net, schema: str) -> list[Doc]:
    """The tables that were in a schema before."""
    return [
        doc for key, doc in net.world.start.items()
        if key[0] == "rel" and doc["kind"] in TABLES and doc["schema"] == schema and not doc["partition"]
        and not str(doc["name"]).endswith("schema_migrations")
    ]  # fmt: skip


def _missing(net: Net) -> Iterator[Hazard]:
    for change in net.changes.added("rel"):
        after = change.after or {}
        if after["kind"] not in ("r", "p", "v", "m") or after["partition"] or after["persistence"] == "t":
            continue
        owners = _owner_of(after["acl"]) | {net.world.target.role}
        mine = _rights(after["acl"])
        wanted = _usual(net, str(after["schema"]), str(after["name"]))
        lacking = sorted(g for g, rights in wanted.items() if g not in owners and g and not mine.get(g) and rights)
        number = net.statement(change)
        if not number:
            continue  # the history table of the migration tool
        if lacking:
            yield hazard(
                "missing_app_privileges", number, "warn",
                f"{after['name']} grants nothing to {', '.join(lacking)}, unlike the tables beside it",
                source="catalog", evidence={"roles": list(lacking)},
            )  # fmt: skip
        elif after["kind"] in TABLES:
            yield from _sequences(net, change.oid, mine, owners, number)


def _usual(net: Net, schema: str, name: str) -> dict[str, set[str]]:
    """Who may do something with at least half of the tables of a schema, or with what had this name before."""
    former = next((d for k, d in net.world.start.items() if k[0] == "rel" and d["name"] == name), None)
    if former is not None:
        return _rights(former["acl"])
    beside = siblings(net, schema)
    counts: dict[str, list[set[str]]] = {}
    for doc in beside:
        for grantee, rights in _rights(doc["acl"]).items():
            if grantee not in _owner_of(doc["acl"]):
                counts.setdefault(grantee, []).append(rights)
    return {g: set[str]().union(*r) for g, r in counts.items() if len(r) >= 2 and len(r) * 2 >= len(beside)}


def _sequences(net: Net, table: int, mine: dict[str, set[str]], owners: set[str], number: int) -> Iterator[Hazard]:
    defaults = [
        str(doc["default"]) for key, doc in net.end.items()
        if key[0] == "col" and key[1] == table and doc["default"] and "nextval(" in str(doc["default"])
    ]  # fmt: skip
    writers = {g for g, rights in mine.items() if "a" in rights and g not in owners}
    for change in net.changes.added("rel"):
        after = change.after or {}
        short = str(after["name"]).partition(".")[2]
        if after["kind"] != "S" or not any(f"{short}'" in text or f'{short}"' in text for text in defaults):
            continue
        lacking = sorted(g for g in writers if not _rights(after["acl"]).get(g, set()) & {"U", "w"})
        if lacking:
            yield hazard(
                "missing_app_privileges", number, "warn",
                f"{', '.join(lacking)} may insert into {net.name(table)} but not use its sequence {after['name']}",
                source="catalog",
            )  # fmt: skip


_VERBS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "U": "USAGE", "X": "EXECUTE"}


def _narrowed(net: Net) -> Iterator[Hazard]:
    """Rights that somebody other than the owner had and has no longer."""
    for kind in ("rel", "sch", "proc"):
        for change in net.changes.changed(kind):
            before, after = change.before or {}, change.after or {}
            owners = _owner_of(before["acl"]) | _owner_of(after["acl"])
            now = _rights(after["acl"])
            if not after["acl"]:
                continue  # back to what everybody has by default
            for grantee, rights in _rights(before["acl"]).items():
                lost = [_VERBS[letter] for letter in sorted(rights - now.get(grantee, set())) if letter in _VERBS]
                if grantee not in owners and lost:
                    reason = f"{grantee or 'PUBLIC'} loses {', '.join(lost)} on {after['name']}: what uses it fails"
                    yield hazard("missing_app_privileges", net.statement(change), "warn", reason, source="catalog")


def _widened(net: Net) -> Iterator[Hazard]:
    for change in (*net.changes.added("rel"), *net.changes.changed("rel")):
        before, after = change.before, change.after or {}
        if after["kind"] not in ("r", "p", "v", "m", "S"):
            continue
        old, new = _rights((before or {}).get("acl")), _rights(after["acl"])
        number = net.statement(change)
        if gained := new.get("", set()) - old.get("", set()):
            letters = "".join(sorted(gained))
            yield hazard("grant_widening", number, "needs_approval", f"{after['name']}: PUBLIC gets {letters}")
        usual = _others(net, str(after["schema"]), str(after["name"]))
        owners = _owner_of(after["acl"])
        for grantee, rights in new.items():
            more = rights - old.get(grantee, set())
            if not grantee or grantee in owners or not more:
                continue
            beyond = more - usual[grantee] if grantee in usual else set[str]()
            if (beyond - {"*"} and after["kind"] in TABLES) or "*" in more:
                letters = "".join(sorted(beyond | ({"*"} & more)))
                yield hazard(
                    "grant_widening", number, "needs_approval",
                    f"{after['name']}: {grantee} gets {letters}, which it has on no other table",
                )  # fmt: skip
    for kind in ("sch", "dac"):
        for change in (*net.changes.added(kind), *net.changes.changed(kind)):
            old, new = _rights((change.before or {}).get("acl")), _rights((change.after or {})["acl"])
            if new.get("", set()) - old.get("", set()):
                what = f"the schema {(change.after or {})['name']}" if kind == "sch" else "new objects by default"
                yield hazard("grant_widening", net.statement(change), "needs_approval", f"PUBLIC gets rights on {what}")


def _others(net: Net, schema: str, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for doc in siblings(net, schema):
        if doc["name"] != name:
            for grantee, rights in _rights(doc["acl"]).items():
                found.setdefault(grantee, set()).update(rights)
    return found
