"""Hazards of types, extensions and functions: dropped, renamed, or called in another way from now on."""

from collections.abc import Iterator
from typing import cast

from mcp_backend.migrations.rehearsal.catalog import Doc
from mcp_backend.migrations.rehearsal.net import Net, bodies
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _types(net)
    yield from _extensions(net)
    yield from _functions(net)


def _types(net: Net) -> Iterator[Hazard]:
    for change in net.changes.changed("typ"):
        old = cast("dict[str, str]", (change.before or {}).get("labels") or {})
        new = cast("dict[str, str]", (change.after or {}).get("labels") or {})
        for oid in old.keys() & new.keys():
            if old[oid] != new[oid]:
                yield hazard(
                    "rename_enum_value", net.statement(change), "needs_approval",
                    f"{(change.after or {})['name']}: {old[oid]!r} becomes {new[oid]!r}; running code uses the former",
                )  # fmt: skip
        before, after = (change.before or {})["name"], (change.after or {})["name"]
        if before != after:
            reason = f"the type {before} becomes {after}: code that casts to the old name fails"
            yield hazard("breaks_old_readers", net.statement(change), "needs_approval", reason)
    for change in net.changes.removed("typ"):
        name = str((change.before or {})["name"])
        if not any(doc["name"] == name for _, doc in net.there("typ")):
            yield hazard("destructive_drop", net.statement(change), "needs_approval", f"drops the type {name}")


def _extensions(net: Net) -> Iterator[Hazard]:
    for change in net.changes.removed("ext"):
        reason = f"drops the extension {(change.before or {})['name']} and all that uses it"
        yield hazard("destructive_drop", net.statement(change), "needs_approval", reason)
    for change in net.changes.added("ext"):
        reason = f"installs the extension {(change.after or {})['name']}"
        yield hazard("extension", net.statement(change), "needs_approval", reason)


def _functions(net: Net) -> Iterator[Hazard]:
    there = [doc for _, doc in net.there("proc")]
    for change in net.changes.removed("proc"):
        before, number = change.before or {}, net.statement(change)
        name = _name(before)
        same = [doc for doc in there if _name(doc) == name]
        if not same:
            yield hazard("destructive_drop", number, "warn", f"drops the function {name}")
            yield hazard("breaks_old_readers", number, "warn", f"whoever calls {name} fails")
            yield from bodies(net, name.rpartition(".")[2], "", number)
        elif not any(_serves(doc, before) for doc in same):
            reason = f"{before['name']} is gone, and {same[0]['name']} takes other arguments: calls of today fail"
            yield hazard("breaks_old_readers", number, "warn", reason)
    for change in net.changes.changed("proc"):
        before, after = change.before or {}, change.after or {}
        if _name(before) != _name(after):
            reason = f"the function {_name(before)} becomes {_name(after)}: whoever calls the former fails"
            yield hazard("breaks_old_readers", net.statement(change), "needs_approval", reason)
            yield from bodies(net, _name(before).rpartition(".")[2], "", net.statement(change))
    for change in (*net.changes.added("proc"), *net.changes.changed("proc")):
        doc = change.after or {}
        if doc["definer"] and not any(str(c).startswith("search_path=") for c in doc["config"] or ()):
            yield hazard(
                "security_definer_search_path", net.statement(change), "warn",
                f"{doc['name']} runs with its owner's rights and the caller's search_path: who calls it can put "
                "another object in the place of what it names",
            )  # fmt: skip


def _name(doc: Doc) -> str:
    return str(doc["name"]).partition("(")[0]


def _serves(doc: Doc, before: Doc) -> bool:
    """Whether a call of the function from before still finds one: the same arguments first, defaults for the rest."""
    old, new = (str(d["name"]).partition("(")[2].removesuffix(")") for d in (before, doc))
    given = len(old.split(", ")) if old else 0
    return new == old or ((new.startswith(f"{old}, ") or not old) and int(doc["required"]) <= given)
