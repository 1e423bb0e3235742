"""How many bytes of the target a statement's mutations and merges write anew."""

from mcp_backend.migrations.clickhouse import estimating
from mcp_backend.migrations.clickhouse.language import Command, Name
from mcp_backend.migrations.clickhouse.observing import Seen
from mcp_backend.migrations.clickhouse.target import Table, Target

READS_COLUMN = frozenset(
    {"MATERIALIZE INDEX", "MATERIALIZE PROJECTION", "MATERIALIZE STATISTICS", "MATERIALIZE COLUMN"}
)


def rewritten(seen: Seen, there: Target) -> dict[Name, int]:
    """Bytes of the target that the statement's mutations write anew, by table."""
    statement = seen.statement
    found: dict[Name, int] = {}
    for name, mutations in seen.mutations().items():
        table = there.schema.tables.get(name)
        if table is None or not table.rows:
            continue
        size = 0
        for command in statement.commands:
            size += moved(seen, table, command)
        if statement.verb == "UPDATE":
            size += table.bytes // max(1, len(table.columns))
        if not statement.commands and statement.verb == "OPTIMIZE" and mutations:
            size += table.bytes
        if size:
            found[name] = found.get(name, 0) + size
    if (
        statement.verb == "OPTIMIZE"
        and statement.has("FINAL")
        and (table := there.schema.find(statement.name, there.database))
    ):
        found[table.name] = table.bytes
    return found


def moved(seen: Seen, table: Table, command: Command) -> int:
    """Bytes that one command of an ALTER TABLE writes anew."""
    if command.kind in ("DELETE", "APPLY DELETED MASK", "MATERIALIZE TTL", "MODIFY TTL"):
        return table.bytes
    if command.kind == "UPDATE":
        upper = [word for word in command.words if word.kind in ("word", "quoted")]
        sets = [w.name for at, w in enumerate(upper) if w.name in table.columns and at < len(upper)]
        return estimating.moved(table, sets[:1] or None)
    if command.kind in READS_COLUMN or (command.kind == "MODIFY COLUMN" and command.type):
        was = seen.before.schema.tables.get(table.name)
        now = seen.after.schema.tables.get(table.name)
        column = command.name.split(".")[0]
        if command.kind == "MODIFY COLUMN" and was and now and column in was.columns and column in now.columns:
            if was.columns[column].type == now.columns[column].type:
                return 0
            return estimating.moved(table, [column])
        return estimating.moved(table, [column] if column in table.columns else None) // (
            1 if column in table.columns else 5
        )
    return 0
