"""Hazards of row level security: left off, without a policy, or opened to every row."""

from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.judge_rights import TABLES, siblings
from mcp_backend.migrations.rehearsal.net import Net
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard


def judge(net: Net) -> Iterator[Hazard]:
    """All of it."""
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
            yield hazard("rls_without_policy", net.statement(change), "warn", reason, source="catalog")
    for change in (*net.changes.added("pol"), *net.changes.changed("pol")):
        before, after = change.before or {}, change.after or {}
        table = net.world.start.get(("rel", int(after["rel"]), 0))
        opens = after["permissive"] and after["using"] == "true" and before.get("using") != "true"
        if table and table["rls"] and opens:
            reason = f"the policy {after['name']} lets its roles see every row of {table['name']}"
            yield hazard("grant_widening", net.statement(change), "needs_approval", reason, source="catalog")
