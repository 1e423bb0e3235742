"""Hazards of a statement that the shadow refused."""

import re
from collections.abc import Iterator

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.effect_hazards import Data
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.observing import Seen
from mcp_backend.migrations.clickhouse.target import Target
from mcp_backend.migrations.rehearsal.report import Hazard

_KEY = re.compile(r"(?i)\bkey\b|sorting key|primary key|partition key")


def of_failure(seen: Seen, there: Target, data: Data, applied: int) -> Iterator[Hazard]:
    """What a refusal means. `applied` statements ran before it and stay."""
    error, number = seen.error, seen.number
    assert error is not None
    if missing := lacking(error, there, seen):
        yield hazard(
            "fails_in_rehearsal", number, "warn", f"not rehearsed: {missing}", "try it on a development server "
                "of the same version",
            "observed", code=error.code,
        )  # fmt: skip
        return
    stuck = bool(seen.after.schema.mutations) or any(cast.failing or cast.nulls for cast in data.casts.values())
    yield hazard(
        "syntax_error" if error.code == 62 else "fails_in_rehearsal", number, "reject",
        f"{error.message[:400]} (code {error.code})", _remedy(error), "observed", code=error.code,
    )  # fmt: skip
    if error.code in (36, 420, 524) and _KEY.search(error.message) and "materialized view" not in error.message:
        yield hazard(
            "order_by_immutable", number, "reject", "the sorting key of a table that has rows, and what is in "
                                                    "it, cannot be changed",
            "make a table with the new key, INSERT … SELECT the rows, EXCHANGE TABLES", "observed",
        )  # fmt: skip
    if error.code == 44 and "nullable" in error.message.lower():
        yield hazard(
            "nullable_key", number, "reject", "a sorting key may not be nullable here", "give the column a "
                "default instead of NULL",
            "observed",
        )  # fmt: skip
    if (error.code == 524 and "materialized view" in error.message) or error.code == 630:
        yield hazard(
            "mv_chain_breakage",
            number,
            "reject",
            "something else is computed from it",
            "change or drop the view first",
            "catalog",
        )
    if error.code == 252 and "partition" in error.message.lower():
        yield hazard("too_many_partitions", number, "reject", error.message[:200], "partition less finely", "observed")
    if stuck:
        yield from casting(seen, there, data)
    if applied:
        yield hazard(
            "not_atomic", number, "reject",
            f"{applied} statement(s) before it took effect and stay: ClickHouse has no transaction around them",
            "one statement in each migration, or each with IF (NOT) EXISTS, so that the next run goes on", "observed",
        )  # fmt: skip


def casting(seen: Seen, there: Target, data: Data) -> Iterator[Hazard]:
    """A change of type that some rows do not survive."""
    number = seen.number
    where = shown(seen.statement.name or ("", ""))
    bad = {column: cast for column, cast in data.casts.items() if cast.failing or cast.nulls}
    for column, cast in bad.items():
        what = " and ".join(
            f"{n} rows {why}"
            for n, why in ((cast.failing, "hold what the new type cannot"), (cast.nulls, "are NULL"))
            if n
        )
        yield hazard(
            "cast_failure", number, "reject", f"{where}.{column}: {what}, of {cast.rows} looked at on the target",
            "repair or move those rows first, or add a column with an OrNull conversion beside it", "target_data",
            rows=cast.failing + cast.nulls, examples=list(cast.examples), untrusted="examples are values of rows",
        )  # fmt: skip
    yield hazard(
        "fails_on_existing_data", number, "reject", f"{where} has rows that the statement fails on", "", "target_data",
        columns=list(bad),
    )  # fmt: skip
    if seen.after.schema.mutations:
        undo = {
            True: "tried on the shadow: it can be undone",
            False: "undoing it failed on the shadow",
            None: "not undone",
        }
        yield hazard(
            "stuck_mutation", number, "reject",
            "the column has its new type at once, "
            "the mutation never ends: reads of the column fail and every later ALTER waits "
            f"({undo[data.undone]} by KILL MUTATION and MODIFY COLUMN back to the old type)",
            "do not run it; if it happened: KILL MUTATION, then MODIFY COLUMN back to the old type, "
            "no value is lost", "observed",
            undone=data.undone,
        )  # fmt: skip


def lacking(error: ServerError, there: Target, seen: Seen) -> str:
    """Why the refusal says nothing about the target: the shadow lacks what it has."""
    if error.code == 60 and (found := re.search(r"[Tt]able [`']?([\w.`]+?)[`']?\s+does", error.message)):
        database, _, table = found[1].replace("`", "").rpartition(".")
        name = (database or there.database, table)
        if name in there.schema.tables and name not in seen.before.schema.tables:
            return f"{shown(name)} could not be made on the shadow"
    if error.code in (159, 241):
        return error.message[:200]
    return ""


def _remedy(error: ServerError) -> str:
    if error.code == 48 and "ransaction" in error.message:
        return "leave BEGIN and COMMIT out: ClickHouse runs each statement by itself"
    if error.code == 15:
        return "the column is there already; write ADD COLUMN IF NOT EXISTS, or drop the statement"
    if error.code == 57:
        return "it is there already; write CREATE … IF NOT EXISTS"
    if error.code in (60, 16, 10, 47):
        return "look at the schema (db_schema) for the names that exist"
    if error.code == 62:
        return "correct the statement; db_schema shows how the server writes its own definitions"
    return "change the statement and rehearse again"
