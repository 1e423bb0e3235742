"""Hazards of row level security: left off, without a policy, opened to every row, or gone around by a view.

https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.catalog import Catalog, Doc
from mcp_backend.migrations.rehearsal.judge_rights import TABLES, owner_of, rights, siblings
from mcp_backend.migrations.rehearsal.net import Net
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
    yield from _tables(net)
    yield from _uncovered(net)
    yield from _views(net)


def _tables(net: Net) -> Iterator[Hazard]:
    policies = {int(doc["rel"]) for _, doc in net.there("pol")}
    for change in (*net.changes.added("rel"), *net.changes.changed("rel")):
        before, after = change.before, change.after or {}
        if after["kind"] not in TABLES or after["partition"]:
            continue
        number = net.statement(change)
        if before is None and not after["rls"] and after["persistence"] != "t":
            beside = siblings(net, str(after["schema"]))
            secured = [doc for doc in beside if doc["rls"]]
            if len(secured) >= 2 and len(secured) * 2 > len(beside):
                yield hazard(
                    "rls_left_off", number, "warn",
                    f"{after['name']} has no row level security; {len(secured)} of {len(beside)} beside it have",
                    source="catalog",
                )  # fmt: skip
        if before is not None and before["rls"] and not after["rls"]:
            reason = f"{after['name']} loses its row level security: every row becomes visible to who may read it"
            yield hazard("rls_left_off", number, "needs_approval", reason, source="catalog")
            yield hazard("grant_widening", number, "needs_approval", reason, source="catalog")
        if after["rls"] and not (before or {}).get("rls") and change.oid not in policies:
            yield hazard(
                "rls_without_policy", number, "warn",
                f"{after['name']} has row level security and no policy: everybody but its owner sees no row",
                source="catalog",
            )  # fmt: skip
    for change in net.changes.removed("pol"):
        table = int((change.before or {})["rel"])
        doc = net.end.get(("rel", table, 0))
        if doc and doc["rls"] and table not in policies:
            reason = f"{doc['name']} loses its last policy: everybody but its owner sees no row"
            yield hazard("rls_without_policy", net.statement(change), "needs_approval", reason, source="catalog")
    for change in (*net.changes.added("pol"), *net.changes.changed("pol")):
        before, after = change.before or {}, change.after or {}
        table, end = net.world.start.get(("rel", int(after["rel"]), 0)), net.end[("rel", int(after["rel"]), 0)]
        if change.before is None and not end["rls"]:
            reason = f"the policy {after['name']} does nothing: row level security of {end['name']} is off"
            yield hazard("rls_left_off", net.statement(change), "warn", reason, source="catalog")
        opens = after["permissive"] and after["using"] == "true" and before.get("using") != "true"
        if table and table["rls"] and opens:
            reason = f"the policy {after['name']} lets its roles see every row of {table['name']}"
            yield hazard("grant_widening", net.statement(change), "needs_approval", reason, source="catalog")


_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}


def _uncovered(net: Net) -> Iterator[Hazard]:
    """Rights that row security makes useless: no permissive policy lets the role use them, though others have one."""
    touched = {c.oid: net.statement(c) for c in net.changes.items if c.kind == "rel"}
    touched |= {int((c.after or c.before or {})["rel"]): net.statement(c) for c in net.changes.items if c.kind == "pol"}
    for table, number in touched.items():
        after, before = net.end.get(("rel", table, 0)), net.world.start.get(("rel", table, 0))
        if not after or after["kind"] not in TABLES or not after["rls"] or not _allowing(net.end, table):
            continue
        were = _useless(net, net.world.start, table, before) if before else set[tuple[str, str]]()
        lacking = _useless(net, net.end, table, after) - were
        if not lacking:
            continue
        held = rights(before["acl"]) if before else dict[str, set[str]]()
        worked = any(letter in held.get(role, ()) for role, letter in lacking)
        told = "; ".join(
            f"{role or 'PUBLIC'} {', '.join(name for letter, name in _COMMANDS.items() if (role, letter) in lacking)}"
            for role in sorted({role for role, _ in lacking})
        )
        yield hazard(
            "rls_without_policy", number, "needs_approval" if worked else "warn",
            f"{after['name']} has no policy for what is granted on it: {told}. New rows are refused, others not found",
            source="catalog",
        )  # fmt: skip


def _allowing(catalog: Catalog, table: int) -> list[Doc]:
    return [d for k, d in catalog.items() if k[0] == "pol" and int(d["rel"]) == table and d["permissive"]]


def _useless(net: Net, catalog: Catalog, table: int, doc: Doc) -> set[tuple[str, str]]:
    """Roles and the letters of what they may do, by privilege, that no policy allows."""
    if not doc["rls"]:
        return set()
    allowing, owners = _allowing(catalog, table), owner_of(doc["acl"])
    free = {str(role["name"]) for role in net.world.target.roles if role["bypassrls"]}
    above: dict[str, set[str]] = {}
    for group, member in net.world.target.members:
        above.setdefault(member, set()).add(group)
    return {
        (role, letter)
        for role, letters in rights(doc["acl"]).items()
        for letter in letters & _COMMANDS.keys()
        if role not in owners | free
        and not any(
            policy["command"] in ("*", letter) and {"", role, *above.get(role, ())} & set(policy["roles"])
            for policy in allowing
        )
    }


def _views(net: Net) -> Iterator[Hazard]:
    """Views that read with their owner's rights what row security hides from those who read them."""
    for view, doc in net.there("rel"):
        readers = sorted(g or "PUBLIC" for g, letters in rights(doc["acl"]).items()
                         if "r" in letters and g not in owner_of(doc["acl"]))  # fmt: skip
        if doc["kind"] != "v" or doc["invoker"] or not readers:
            continue
        before = net.world.start.get(("rel", view, 0))
        for table in doc["reads"] or ():
            below, was = net.end.get(("rel", table, 0)), net.world.start.get(("rel", table, 0), {})
            if not below or not below["rls"] or below["force"] or below["owner"] != doc["owner"]:
                continue
            already = before and not before["invoker"] and table in (before["reads"] or ()) and was.get("rls")
            gained = before and rights(doc["acl"]).keys() - rights(before["acl"]).keys()
            if already and not gained:
                continue
            reason = f"{doc['name']} reads {below['name']} with its owner's rights: through it {', '.join(readers)} see"
            reason += " every row, whatever the policies say (security_invoker = true makes it read with theirs)"
            made = sorted(
                (c for c in net.changes.items if c.kind == "rel" and c.oid in (view, table)),
                key=lambda c: c.oid != view,
            )
            number = net.statement(made[0]) if made else 0
            yield hazard("grant_widening", number, "needs_approval", reason, source="catalog")
