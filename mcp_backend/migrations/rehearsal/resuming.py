"""What a crash leaves of a migration that is not one transaction: it is killed after each statement and run again."""

from collections.abc import Sequence
from typing import Any

import psycopg

from mcp_backend.migrations.rehearsal import proofs
from mcp_backend.migrations.rehearsal.observe import Failed
from mcp_backend.migrations.rehearsal.play import Unit
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.shadow import Shadow
from mcp_backend.migrations.rehearsal.words import hazard

_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "DoStmt", "CallStmt", "SelectStmt")


async def resumed(place: Shadow, unit: Unit, tables: Sequence[str]) -> list[Hazard]:
    """Whether running it again from its beginning fails, or does something twice, by the rows of these tables."""
    writes = any(statement.node in _WRITES for statement in unit.statements)
    whole: tuple[Any, ...] | None = None
    for prefix in range(1, min(len(unit.statements), proofs.MOST_PREFIXES + 1)):
        failed, rows = await _again(place, unit, prefix, tables if writes else ())
        if failed is not None:
            return _told(
                prefix, f"killed after statement {prefix}, it fails when it is run again: {failed.message} "
                f"(SQLSTATE {failed.sqlstate})",
            )  # fmt: skip
        if not writes or rows is None:
            continue
        if whole is None:
            whole = (await _again(place, unit, 0, tables))[1]
        if whole is not None and rows != whole and whole == (await _again(place, unit, 0, tables))[1]:
            return _told(prefix, f"killed after statement {prefix} and run again, it changes rows a second time")
    return []


async def _again(
    place: Shadow, unit: Unit, prefix: int, tables: Sequence[str]
) -> tuple[Failed | None, tuple[Any, ...] | None]:
    """Runs a part of it and then all of it in a copy: the error, and the rows; neither when the part itself fails."""
    async with place.copy() as copy:
        conn = await copy.connect()
        try:
            if prefix:
                await proofs.run_plainly(conn, unit, prefix)
                await conn.close()
                conn = await copy.connect()
            failed = await proofs.run_plainly(conn, unit)
            return failed, None if failed else await proofs.content(conn, tables)
        except psycopg.Error:
            return None, None
        finally:
            await conn.close()


def _told(prefix: int, what: str) -> list[Hazard]:
    reason = f"{what}; run_migration goes on where it stopped, other tools begin anew"
    return [
        hazard("crash_resume_not_idempotent", prefix, "warn", reason),
        hazard("not_atomic", 0, "warn", "it does not run in one transaction: a failure leaves a part of it"),
    ]
