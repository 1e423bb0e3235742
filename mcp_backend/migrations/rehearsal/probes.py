"""Asks the target itself, read-only, what a sample cannot tell: rows that a new constraint or type does not allow."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.catalog import Catalog, Change
from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.report import Hazard, Severity
from mcp_backend.migrations.rehearsal.words import hazard

SECONDS = 8
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A query whose rows are violations, and the hazard that they are."""

    identifier: str
    statement: int
    severity: Severity
    reason: str
    query: sql.Composed


async def probe(engine: Postgresql, world: World, end: Catalog, effects: tuple[Effect, ...]) -> list[Hazard]:
    """The violations on the target, asked in a READ ONLY transaction. Tables that were copied whole need no question;
    one that takes longer than `SECONDS` stays open."""
    questions = [q for effect in effects if not effect.seen.failed for q in _questions(world, end, effect)]
    if not questions:
        return []
    async with engine.session(True, SECONDS * len(questions) + 5) as source:
        return [hazard for question in questions for hazard in await _asked(source, question)]


def _questions(world: World, end: Catalog, effect: Effect) -> Iterator[Question]:
    for change in effect.seen.changes.items:
        table = _table(world, change)
        if not table or table in world.sample.whole or not world.size(table).stored:
            continue
        place = sql.Identifier(*table.split(".", 1))
        match change.kind:
            case "con" if change.before is None:
                yield from _constraint(world, end, change, effect.seen.number, place, table)
            case "idx" if change.before is None and change.after and change.after["unique"]:
                yield from _unique(world, change, effect.seen.number, place, table)
            case "col" if change.before and change.after:
                yield from _column(change, effect.seen.number, place, table, effect.seen.parsed.sql)
            case _:
                pass


def _table(world: World, change: Change) -> str:
    doc = change.after or {}
    return world.name(change.oid if change.kind == "col" else int(doc.get("rel") or 0))


def _columns(world: World, table: int, keys: list[int]) -> list[str]:
    """Names of columns on the target; empty when one of them is new."""
    found = [world.start.get(("col", table, key)) for key in keys]
    return [str(doc["name"]) for doc in found if doc] if keys and all(found) else []


def _constraint(
    world: World, end: Catalog, change: Change, number: int, place: sql.Identifier, table: str
) -> Iterator[Question]:
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


def _column(change: Change, number: int, place: sql.Identifier, table: str, text: str) -> Iterator[Question]:
    before, after = change.before or {}, change.after or {}
    column = sql.Identifier(str(before["name"]))
    if not before["notnull"] and after["notnull"]:
        query = sql.SQL("select count(*) from {} where {} is null having count(*) > 0").format(place, column)
        yield Question("not_null_violation", number, "reject", f"{table}.{before['name']} is NULL in some rows", query)
    if before["type"] != after["type"]:
        using = re.search(r"\busing\s+(.*)$", text, re.IGNORECASE | re.DOTALL)
        value = _raw(using[1]) if using else sql.SQL("{}::{}").format(column, _raw(str(after["type"])))
        query = sql.SQL("select 1 from (select count({}) from {}) x where false").format(value, place)
        yield Question(
            "cast_failure", number, "reject", f"values of {table}.{before['name']} cannot become {after['type']}", query
        )


def _raw(text: str) -> sql.SQL:
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]


async def _asked(source: AsyncConnection[Any], question: Question) -> list[Hazard]:
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
    except psycopg.Error:
        return []
    found = [
        hazard(
            question.identifier, question.statement, question.severity, reason, source="target_data", evidence=evidence
        )
    ]
    if question.severity == "reject":
        found.append(
            hazard(
                "fails_on_existing_data", question.statement, "reject", reason, source="target_data", evidence=evidence
            )
        )
    return found
