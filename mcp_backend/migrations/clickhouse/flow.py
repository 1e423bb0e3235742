"""Whether rows still arrive: one row is inserted into every table that feeds another, before and after a migration.

The same row both times, as a writer that knows nothing of the migration would send it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.keeper.chdb.tokens import identifier, literal
from mcp_backend.migrations.clickhouse.language import Name
from mcp_backend.migrations.clickhouse.mapping import quoted
from mcp_backend.migrations.clickhouse.shadow import Shadow
from mcp_backend.migrations.clickhouse.target import Schema, Table


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one row. `reached` are the tables behind views that have more rows than before."""

    table: Name
    columns: tuple[str, ...]
    row: str
    error: str
    reached: frozenset[Name]


@dataclass(frozen=True, slots=True)
class Lost:
    """What a view computes for a column that its target does not have: it is thrown away in silence."""

    view: Name
    target: Name
    column: str


async def arrivals(shadow: Shadow, tables: Iterable[Table], schema: Schema) -> dict[Name, Arrival]:
    """Inserts a row into each table."""
    found: dict[Name, Arrival] = {}
    for table in tables:
        if not (table.stored or table.engine in ("Null", "Memory", "Log", "TinyLog", "StripeLog")):
            continue
        columns = tuple(c.name for c in table.columns.values() if c.default_kind in ("", "DEFAULT"))
        if not columns:
            continue
        listed = ", ".join(identifier(name) for name in columns)
        types = {name: literal(table.columns[name].type) for name in columns}
        defaults = ", ".join(f"defaultValueOfTypeName({types[name]}) AS {identifier(name)}" for name in columns)
        try:
            row = await shadow.line(f"SELECT {listed} FROM {quoted(*table.name)} LIMIT 1")
            row = row or await shadow.line(f"SELECT {defaults}")
        except ServerError:
            continue
        found[table.name] = await arrive(shadow, table.name, columns, row, schema)
    return found


async def arrive(shadow: Shadow, table: Name, columns: tuple[str, ...], row: str, schema: Schema) -> Arrival:
    """Inserts one row, given as JSON, into the columns that are named."""
    behind = _behind(schema, table)
    before = await _counts(shadow, behind)
    listed = ", ".join(identifier(name) for name in columns)
    try:
        await shadow.run(
            f"INSERT INTO {quoted(*table)} ({listed}) SETTINGS input_format_skip_unknown_fields = 1 FORMAT "
            f"JSONEachRow\n{row}"
        )
    except ServerError as error:
        return Arrival(table, columns, row, f"{error.message} (code {error.code})", frozenset())
    after = await _counts(shadow, behind)
    return Arrival(table, columns, row, "", frozenset(name for name in after if after[name] != before.get(name)))


def lost_columns(schema: Schema) -> set[Lost]:
    """Columns of views that have no place in the tables that they write to."""
    found: set[Lost] = set()
    for view in schema.tables.values():
        target = schema.tables.get(view.to) if view.to else None
        if target is not None and not target.name[1].startswith(".inner"):
            found |= {Lost(view.name, target.name, name) for name in view.columns if name not in target.columns}
    return found


def _behind(schema: Schema, table: Name) -> set[Name]:
    found: set[Name] = set()
    reached = {table}
    for _ in range(8):
        reached = {target for source, _, target in schema.views() if source in reached} - found
        if not reached:
            break
        found |= reached
    return found


async def _counts(shadow: Shadow, names: set[Name]) -> dict[Name, str]:
    """The newest block of each table: an insert makes a newer one, a merge never an older one."""
    if not names:
        return {}
    rows = await shadow.rows("SELECT database, table, toString(max(max_block_number)) FROM system.parts GROUP BY 1, 2")
    newest = {(row[0], row[1]): str(row[2]) for row in rows}
    return {name: newest.get(name, "") for name in names}
