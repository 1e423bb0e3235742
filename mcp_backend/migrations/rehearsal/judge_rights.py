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


def rights(acl: Any) -> dict[str, set[str]]:
    """Grantee (empty for PUBLIC) to the letters of its privileges. https://www.postgresql.org/docs/current/ddl-priv.html"""
    found: dict[str, set[str]] = {}
    for item in acl or ():
        grantee, _, rest = str(item).rpartition("=")
        found.setdefault(grantee.strip('"'), set()).update(rest.partition("/")[0])
    return found


def owner_of(acl: Any) -> set[str]:
    """Who granted, which is the owner in all but odd cases."""
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
        owners = owner_of(after["acl"]) | {net.world.target.role}
        mine = rights(after["acl"])
        wanted = _usual(net, str(after["schema"]), str(after["name"]))
        lacking = sorted(g for g, held in wanted.items() if g not in owners and g and not mine.get(g) and held)
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
        return rights(former["acl"])
    beside = siblings(net, schema)
    counts: dict[str, list[set[str]]] = {}
    for doc in beside:
        for grantee, held in rights(doc["acl"]).items():
            if grantee not in owner_of(doc["acl"]):
                counts.setdefault(grantee, []).append(held)
    return {g: set[str]().union(*r) for g, r in counts.items() if len(r) >= 2 and len(r) * 2 >= len(beside)}


def _sequences(net: Net, table: int, mine: dict[str, set[str]], owners: set[str], number: int) -> Iterator[Hazard]:
    defaults = [
        str(doc["default"]) for key, doc in net.end.items()
        if key[0] == "col" and key[1] == table and doc["default"] and "nextval(" in str(doc["default"])
    ]  # fmt: skip
    writers = {g for g, held in mine.items() if "a" in held and g not in owners}
    for change in net.changes.added("rel"):
        after = change.after or {}
        short = str(after["name"]).partition(".")[2]
        if after["kind"] != "S" or not any(f"{short}'" in text or f'{short}"' in text for text in defaults):
            continue
        lacking = sorted(g for g in writers if not rights(after["acl"]).get(g, set()) & {"U", "w"})
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
            owners = owner_of(before["acl"]) | owner_of(after["acl"])
            now = rights(after["acl"])
            if not after["acl"]:
                continue  # back to what everybody has by default
            for grantee, held in rights(before["acl"]).items():
                lost = [_VERBS[letter] for letter in sorted(held - now.get(grantee, set())) if letter in _VERBS]
                if grantee not in owners and lost:
                    reason = f"{grantee or 'PUBLIC'} loses {', '.join(lost)} on {after['name']}: what uses it fails"
                    yield hazard(
                        "missing_app_privileges", net.statement(change), "needs_approval", reason, source="catalog"
                    )


def _widened(net: Net) -> Iterator[Hazard]:
    for change in (*net.changes.added("rel"), *net.changes.changed("rel")):
        before, after = change.before, change.after or {}
        if after["kind"] not in ("r", "p", "v", "m", "S"):
            continue
        old, new = rights((before or {}).get("acl")), rights(after["acl"])
        number = net.statement(change)
        if before and after["kind"] in TABLES and before["owner"] != after["owner"]:
            reason = f"{after['owner']} becomes the owner of {after['name']}: it may drop it, and no policy binds it"
            yield hazard("grant_widening", number, "needs_approval", reason, source="catalog")
        if gained := new.get("", set()) - old.get("", set()):
            letters = "".join(sorted(gained))
            yield hazard("grant_widening", number, "needs_approval", f"{after['name']}: PUBLIC gets {letters}")
        usual = _others(net, str(after["schema"]), str(after["name"]))
        owners = owner_of(after["acl"])
        for grantee, held in new.items():
            more = held - old.get(grantee, set())
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
            old, new = rights((change.before or {}).get("acl")), rights((change.after or {})["acl"])
            if new.get("", set()) - old.get("", set()):
                what = f"the schema {(change.after or {})['name']}" if kind == "sch" else "new objects by default"
                yield hazard("grant_widening", net.statement(change), "needs_approval", f"PUBLIC gets rights on {what}")


def _others(net: Net, schema: str, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for doc in siblings(net, schema):
        if doc["name"] != name:
            for grantee, held in rights(doc["acl"]).items():
                found.setdefault(grantee, set()).update(held)
    return found
