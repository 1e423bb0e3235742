"""Asks the target itself, read-only, what a sample cannot tell: rows that a new constraint or type does not allow."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.catalog import Change
from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.kinds import Parsed
from mcp_backend.migrations.rehearsal.report import Hazard, Severity
from mcp_backend.migrations.rehearsal.words import hazard

SECONDS = 8
SHOWN = 5
_COMPARED = ("S", "N", "D", "T")
"""Categories of types within which a value that is cast and cast back has to be the same: text, numbers, times.
https://www.postgresql.org/docs/current/catalog-pg-type.html"""


@dataclass(frozen=True, slots=True)
class Question:
    """A query whose rows are violations, and the hazard that they are."""

    identifier: str
    statement: int
    severity: Severity
    reason: str
    query: sql.Composed
    always: bool = False
    """Asked of tables that were copied whole, too: the rehearsal itself does not show the answer."""


async def probe(engine: Postgresql, world: World, effects: tuple[Effect, ...]) -> tuple[list[Hazard], tuple[str, ...]]:
    """The violations on the target, asked in a READ ONLY transaction, and what could not be asked, in words.

    Tables that were copied whole need few questions; one that takes longer than `SECONDS` stays open.
    """
    questions = [q for effect in effects if not effect.seen.failed for q in _questions(world, effect)]
    if not questions:
        return [], ()
    found: list[Hazard] = []
    unasked: list[str] = []
    async with engine.session(True, SECONDS * len(questions) + 5) as source:
        for question in questions:
            answer = await _asked(source, question)
            if isinstance(answer, str):
                unasked.append(answer)
            else:
                found += answer
    return found, tuple(unasked)


def _questions(world: World, effect: Effect) -> Iterator[Question]:
    for change in effect.seen.changes.items:
        table = _table(world, change)
        if not table or not world.size(table).stored:
            continue
        place = sql.Identifier(*table.split(".", 1))
        for question in _of(world, effect, change, place, table):
            if question.always or table not in world.sample.whole:
                yield question


def _of(world: World, effect: Effect, change: Change, place: sql.Identifier, table: str) -> Iterator[Question]:
    match change.kind:
        case "con" if change.before is None:
            yield from _constraint(world, change, effect.seen.number, place, table)
        case "idx" if change.before is None and change.after and change.after["unique"]:
            yield from _unique(world, change, effect.seen.number, place, table)
        case "col" if change.before and change.after:
            yield from _column(change, effect.seen.number, place, table, effect.seen.parsed)
        case _:
            pass


def _table(world: World, change: Change) -> str:
    doc = change.after or {}
    return world.name(change.oid if change.kind == "col" else int(doc.get("rel") or 0))


def _columns(world: World, table: int, keys: list[int]) -> list[str]:
    """Names of columns on the target; empty when one of them is new."""
    found = [world.start.get(("col", table, key)) for key in keys]
    return [str(doc["name"]) for doc in found if doc] if keys and all(found) else []


def _constraint(world: World, change: Change, number: int, place: sql.Identifier, table: str) -> Iterator[Question]:
    after = change.after or {}
    columns = _columns(world, int(after["rel"]), list(after["keys"] or ()))
    later = not after["valid"]
    if not columns:
        return
    shown = sql.SQL(", ").join(map(sql.Identifier, columns))
    severity: Severity = "warn" if later else "reject"
    if after["type"] == "c" and (
        text := re.fullmatch(r"CHECK \((.*)\)( NO INHERIT)?( NOT VALID)?", after["def"], re.DOTALL)
    ):
        query = sql.Composed(
            [
                sql.SQL("select "),
                shown,
                sql.SQL(" from "),
                place,
                sql.SQL(" where not ("),
                _raw(text[1]),
                sql.SQL(") limit "),
                sql.Literal(SHOWN),
            ]
        )
        yield Question(
            "validate_will_fail" if later else "check_violation",
            number,
            severity,
            f"rows of {table} violate {after['name']}",
            query,
        )
    if after["type"] == "f":
        parent, referred = (
            world.name(int(after["ref"])),
            _columns(world, int(after["ref"]), list(after["refkeys"] or ())),
        )
        if parent and referred:
            match = sql.SQL(" and ").join(
                sql.SQL("p.{} = c.{}").format(sql.Identifier(r), sql.Identifier(k))
                for k, r in zip(columns, referred, strict=True)
            )
            there = sql.SQL(" and ").join(sql.SQL("c.{} is not null").format(sql.Identifier(k)) for k in columns)
            query = sql.SQL("select {} from {} c where {} and not exists (select from {} p where {}) limit {}").format(
                shown, place, there, sql.Identifier(*parent.split(".", 1)), match, sql.Literal(SHOWN)
            )
            yield Question(
                "validate_will_fail" if later else "fk_violation",
                number,
                severity,
                f"rows of {table} refer to no row of {parent}",
                query,
            )


def _unique(world: World, change: Change, number: int, place: sql.Identifier, table: str) -> Iterator[Question]:
    after = change.after or {}
    columns = _columns(world, int(after["rel"]), list(after["keys"]))
    if not columns or after["partial"] or 0 in after["keys"]:
        return
    shown = sql.SQL(", ").join(map(sql.Identifier, columns))
    there = sql.SQL(" and ").join(sql.SQL("{} is not null").format(sql.Identifier(k)) for k in columns)
    query = sql.SQL("select {0} from {1} where {2} group by {0} having count(*) > 1 limit {3}").format(
        shown, place, there, sql.Literal(SHOWN)
    )
    yield Question("unique_violation", number, "reject", f"{table} has duplicates of ({', '.join(columns)})", query)


def _column(change: Change, number: int, place: sql.Identifier, table: str, parsed: Parsed) -> Iterator[Question]:
    before, after = change.before or {}, change.after or {}
    column = sql.Identifier(str(before["name"]))
    if not before["notnull"] and after["notnull"]:
        query = sql.SQL("select count(*) from {} where {} is null having count(*) > 0").format(place, column)
        yield Question("not_null_violation", number, "reject", f"{table}.{before['name']} is NULL in some rows", query)
    if before["type"] != after["type"]:
        using = re.search(r"\busing\s+(.*)$", parsed.sql, re.IGNORECASE | re.DOTALL) if parsed.commands else None
        value = _raw(using[1]) if using else sql.SQL("{}::{}").format(column, _raw(str(after["type"])))
        query = sql.SQL("select 1 from (select count({}) from {}) x where false").format(value, place)
        yield Question(
            "cast_failure", number, "reject", f"values of {table}.{before['name']} cannot become {after['type']}", query
        )
        if before["category"] == after["category"] and before["category"] in _COMPARED:
            back = sql.SQL("(({})::{})::{}").format(value, _raw(str(after["type"])), _raw(str(before["type"])))
            query = sql.SQL("select {0} from {1} where {2} is distinct from {0} limit {3}").format(
                column, place, back, sql.Literal(SHOWN)
            )
            reason = f"values of {table}.{before['name']} are cut or rounded when it becomes {after['type']}"
            yield Question("truncation", number, "needs_approval", reason, query, always=True)


def _raw(text: str) -> sql.SQL:
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]


async def _asked(source: AsyncConnection[Any], question: Question) -> list[Hazard] | str:
    evidence: dict[str, Json] = {}
    try:
        async with source.transaction(force_rollback=True):
            await source.execute(f"set local statement_timeout = '{SECONDS}s'".encode())
            rows = await (await source.execute(question.query)).fetchall()
        if not rows:
            return []
        evidence["untrusted"] = [", ".join(str(value)[:60] for value in row) for row in rows]
        reason = question.reason
    except psycopg.errors.DataError as error:
        reason = f"{question.reason}: {error.diag.message_primary or 'it fails'}"
    except psycopg.errors.QueryCanceled:
        return f"whether {question.reason}: the target did not answer within {SECONDS} s"
    except psycopg.Error:
        return []
    beside = "fails_on_existing_data" if question.severity == "reject" else "destructive_data"
    return [
        hazard(identifier, question.statement, question.severity, reason, source="target_data", evidence=evidence)
        for identifier in (question.identifier, beside)
    ]
