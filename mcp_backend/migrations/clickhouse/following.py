"""Mutations on the target: followed until they are done, and taken back when they never will be."""

import asyncio
import time
from typing import TYPE_CHECKING

from mcp_backend.errors import DeadlineExceeded
from mcp_backend.migrations.clickhouse import observing, target
from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.language import Name, Statement
from mcp_backend.migrations.clickhouse.shadow import SYNCHRONOUS
from mcp_backend.migrations.clickhouse.target import Schema

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse

LOOK_SECONDS = 0.2
SLOWEST_LOOK = 5.0
UNDO_SECONDS = 60.0


class Failed(Exception):
    """A mutation that does not go on, and why."""

    def __init__(self, table: str, mutation: str, reason: str) -> None:
        self.table, self.mutation, self.reason = table, mutation, reason
        super().__init__(reason)


async def ended(engine: "Clickhouse", tables: frozenset[Name], seconds: float) -> None:
    """Returns once no mutation of these tables is unfinished.

    Raises `Failed` for one that fails, `DeadlineExceeded` after `seconds`: the server goes on with it by itself.
    """
    until, pause = time.monotonic() + seconds, LOOK_SECONDS
    while True:
        unfinished = [m for m in await _mutations(engine) if m.table in tables]
        if failed := next((m for m in unfinished if m.failed), None):
            raise Failed(shown(failed.table), failed.id, failed.failed)
        if not unfinished:
            return
        if time.monotonic() > until:
            first = unfinished[0]
            raise DeadlineExceeded(
                f"the mutation {first.id} of {shown(first.table)} is not done after {seconds:g} s "
                f"({first.parts_to_do} parts "
                "to do); the server goes on with it. Repeat the call once system.mutations shows it done"
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, SLOWEST_LOOK)


async def undo(engine: "Clickhouse", before: Schema, tables: frozenset[Name]) -> bool:
    """Kills the failing mutations of tables and gives their columns the types they had; whether there were any."""
    stuck = [mutation for mutation in await _mutations(engine) if mutation.table in tables and mutation.failed]
    now = await target.schema(engine)
    for mutation in stuck:
        old, new = before.tables.get(mutation.table), now.tables.get(mutation.table)
        if old is None or new is None:
            continue
        types = [{c.name: c.type for c in table.columns.values()} for table in (old, new)]
        for sql in observing.undoing(mutation.table, mutation.id, *types):
            await engine.change(sql, SYNCHRONOUS, UNDO_SECONDS)
    return bool(stuck)


def repeatable(statement: Statement) -> bool:
    """Whether a statement that had no effect on the schema yet can simply be run again: it has none but that."""
    rows = {"UPDATE", "DELETE", "MATERIALIZE TTL", "CLEAR COLUMN", "APPLY DELETED MASK"}
    if writes_rows(statement):
        return False
    if statement.verb == "ALTER TABLE":
        return not any(c.kind in rows or "PART" in c.kind or "ATTACH" in c.kind for c in statement.commands)
    return statement.verb.startswith(("CREATE", "DROP", "RENAME", "DETACH", "OPTIMIZE", "TRUNCATE"))


def writes_rows(statement: Statement) -> bool:
    """Whether it writes rows block after block, so that some may be there when it was stopped."""
    filled = statement.has("AS", "SELECT") or statement.has("AS", "WITH") or statement.has("POPULATE")
    made = statement.verb in ("CREATE TABLE", "CREATE TEMPORARY TABLE")
    return statement.verb == "INSERT" or (filled and (made or statement.has("POPULATE")))


async def _mutations(engine: "Clickhouse") -> tuple[target.Mutation, ...]:
    rows = await engine.rows(target.MUTATIONS)
    return tuple(target.Mutation((r[0], r[1]), r[2], r[3], int(r[4]), r[5]) for r in rows)
