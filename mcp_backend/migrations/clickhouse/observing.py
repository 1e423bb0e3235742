"""One statement on the shadow: what was there before and after, what was refused, which parts were written anew."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.migrations.clickhouse import mapping
from mcp_backend.migrations.clickhouse.language import Name, Statement
from mcp_backend.migrations.clickhouse.shadow import SYNCHRONOUS, Shadow
from mcp_backend.migrations.clickhouse.target import Schema

_PARTS = "SELECT database, table, name, rows FROM system.parts WHERE active AND database != 'system'"
_MUTATIONS = "SELECT database, table, mutation_id, command, is_done FROM system.mutations"
POLL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The shadow between two statements."""

    schema: Schema
    parts: Mapping[tuple[str, str, str], int]
    mutations: Mapping[tuple[str, str, str, str], bool]
    """Whether it is done, by database, table, id and command."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A statement that was run."""

    statement: Statement
    number: int
    before: Moment
    after: Moment
    elapsed_ms: float
    error: ServerError | None = None

    def mutations(self) -> dict[Name, list[str]]:
        """The commands of the mutations it began, by table."""
        found: dict[Name, list[str]] = {}
        for database, table, mutation, command in self.after.mutations:
            if (database, table, mutation, command) not in self.before.mutations:
                found.setdefault((database, table), []).append(command)
        return found

    def rewritten(self, table: Name) -> int:
        """How many parts of a table that were there are there no more, because others took their place."""
        gone = [key for key in self.before.parts if key[:2] == table and key not in self.after.parts]
        return len(gone) if any(key[:2] == table for key in self.after.parts) else 0

    def rows(self, table: Name) -> tuple[int, int]:
        """Rows of a table before and after."""
        return _rows(self.before, table), _rows(self.after, table)

    def changed_rows(self) -> int:
        """Rows that came or went, over all tables."""
        tables = {key[:2] for key in (*self.before.parts, *self.after.parts)}
        return sum(abs(after - before) for before, after in map(self.rows, tables))


async def moment(shadow: Shadow) -> Moment:
    """The shadow now."""
    schema, parts, mutations = await asyncio.gather(shadow.schema(), shadow.rows(_PARTS), shadow.rows(_MUTATIONS))
    return Moment(
        schema,
        {(row[0], row[1], row[2]): int(row[3]) for row in parts},
        {(row[0], row[1], row[2], str(row[3])): bool(row[4]) for row in mutations},
    )


async def run(shadow: Shadow, statement: Statement, number: int, before: Moment, session: Mapping[str, str]) -> Seen:
    """Runs a statement as it would run there, and waits for what it set off."""
    sql, _ = mapping.mapped(statement.sql)
    began, failed = time.monotonic(), None
    try:
        await shadow.run(sql, {**SYNCHRONOUS, **session})
    except ServerError as error:
        failed = error
    after = await moment(shadow)
    until = time.monotonic() + POLL_SECONDS
    while failed is None and not all(after.mutations.values()) and time.monotonic() < until:
        await asyncio.sleep(0.05)
        after = await moment(shadow)
        failed = _failure(after)
    return Seen(statement, number, before, after, round((time.monotonic() - began) * 1000, 1), failed)


async def undone(shadow: Shadow, seen: Seen) -> bool | None:
    """Takes a failed change of type back as run_migration would: the mutation is killed, the column gets its type.
    Whether the table can be read and altered afterwards; nothing when nothing was stuck."""
    stuck = seen.after.schema.mutations
    if seen.error is None or not stuck:
        return None
    for mutation in stuck:
        before, after = seen.before.schema.tables.get(mutation.table), seen.after.schema.tables.get(mutation.table)
        if before is None or after is None:
            return False
        try:
            for sql in undoing(mutation.table, mutation.id, {c.name: c.type for c in before.columns.values()},
                               {c.name: c.type for c in after.columns.values()}):  # fmt: skip
                await shadow.run(sql, SYNCHRONOUS)
            await shadow.rows(f"SELECT * FROM {mapping.quoted(*mutation.table)} LIMIT 1")
        except ServerError:
            return False
    return True


def undoing(table: Name, mutation: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The statements that take a failed change of types back."""
    from mcp_backend.keeper.chdb.tokens import identifier, literal

    place = f"database = {literal(table[0])} AND table = {literal(table[1])} AND mutation_id = {literal(mutation)}"
    changed = [(name, kind) for name, kind in before.items() if name in after and after[name] != kind]
    columns = ", ".join(f"MODIFY COLUMN {identifier(name)} {kind}" for name, kind in changed)
    return [f"KILL MUTATION WHERE {place}", *([f"ALTER TABLE {mapping.quoted(*table)} {columns}"] if columns else [])]


def _failure(now: Moment) -> ServerError | None:
    failed = next((mutation for mutation in now.schema.mutations if mutation.failed), None)
    return ServerError(341, "UNFINISHED", failed.failed) if failed else None


def _rows(now: Moment, table: Name) -> int:
    return sum(rows for key, rows in now.parts.items() if key[:2] == table)
