"""Safe forms of statements that block, where there is a mechanical one; they are rehearsed before they are shown."""

import re
from collections.abc import Iterable, Mapping

from mcp_backend.migrations.rehearsal.effects import Effect
from mcp_backend.migrations.rehearsal.report import Hazard

HAZARDS = frozenset({
    "blocking_index_build", "constraint_missing_not_valid", "detach_partition_blocking", "drop_index_blocking",
    "fk_validation_blocks_writes", "full_scan_under_access_exclusive", "primary_key_builds_index", "reindex_blocking",
    "unique_constraint_builds_index",
})  # fmt: skip
"""What a safe form takes away."""


def safer(effects: Iterable[Effect], hazards: Iterable[Hazard]) -> dict[int, tuple[str, ...]]:
    """Statements by number that do the same without blocking, each in a migration of its own."""
    wanted = {hazard.statement for hazard in hazards if hazard.id in HAZARDS}
    found = {e.seen.number: _form(e) for e in effects if e.seen.number in wanted and not e.seen.failed}
    return {number: form for number, form in found.items() if form}


def _form(effect: Effect) -> tuple[str, ...]:
    parsed = effect.seen.parsed
    text = parsed.sql.rstrip("; \n")
    match parsed.node:
        case "IndexStmt":
            return (re.sub(r"(?is)^(create\s+(?:unique\s+)?index)\b", r"\1 concurrently", text, count=1),)
        case "DropStmt":
            return (re.sub(r"(?is)^(drop\s+index)\b", r"\1 concurrently", text, count=1),)
        case "ReindexStmt":
            return (re.sub(r"(?is)^(reindex\s+(?:table|index))\b", r"\1 concurrently", text, count=1),)
        case "AlterTableStmt" if len(parsed.commands) == 1:
            return _alter(effect, text)
        case _:
            return ()


def _alter(effect: Effect, text: str) -> tuple[str, ...]:
    parsed = effect.seen.parsed
    command = parsed.commands[0]
    table = _table(parsed.tree.get("relation", {}))
    match command.get("subtype"):
        case "AT_DetachPartition":
            return (f"{text} concurrently",)
        case "AT_SetNotNull":
            column = str(command.get("name"))
            name = _quoted(f"{column}_filled")
            return (
                f"alter table {table} add constraint {name} check ({_quoted(column)} is not null) not valid",
                f"alter table {table} validate constraint {name}",
                text,
                f"alter table {table} drop constraint {name}",
            )
        case "AT_AddConstraint":
            return _constraint(effect, text, table)
        case _:
            return ()


def _constraint(effect: Effect, text: str, table: str) -> tuple[str, ...]:
    added = [
        c.after or {} for c in effect.seen.changes.added("con") if (c.after or {}).get("type") in ("c", "f", "p", "u")
    ]
    if len(added) != 1:
        return ()
    constraint, name = added[0], _quoted(str(added[0]["name"]))
    if constraint["type"] in ("c", "f"):
        return (f"{text} not valid", f"alter table {table} validate constraint {name}")
    columns = [effect.seen.after.get(("col", int(constraint["rel"]), int(key))) for key in constraint["keys"]]
    names = ", ".join(_quoted(str(doc["name"])) for doc in columns if doc)
    kind = "primary key" if constraint["type"] == "p" else "unique"
    return (
        f"create unique index concurrently {name} on {table} ({names})",
        f"alter table {table} add constraint {name} {kind} using index {name}",
    )


def _table(relation: Mapping[str, object]) -> str:
    schema = relation.get("schemaname")
    name = _quoted(str(relation.get("relname")))
    return f"{_quoted(str(schema))}.{name}" if schema else name


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
