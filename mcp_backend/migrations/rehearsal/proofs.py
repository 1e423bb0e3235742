"""Proofs beyond the statements: writes still work, constraints can be validated, down undoes up, crashes resume."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.catalog import Catalog, Changes, Doc
from mcp_backend.migrations.rehearsal.effects import World
from mcp_backend.migrations.rehearsal.observe import Failed, failure
from mcp_backend.migrations.rehearsal.play import Unit
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard
from mcp_backend.migrations.waits import execute
from mcp_backend.settings import hide_credentials

MOST_TABLES = 12
MOST_PREFIXES = 6
_FINE = ("23505", "23P01", "23503")
"""Errors of a copied row that say nothing about the schema."""


@dataclass(slots=True)
class Writes:
    """What failed of the writes that were tried, and what did nothing without an error, by table and verb."""

    failed: dict[tuple[str, str], Failed] = field(default_factory=dict[tuple[str, str], Failed])
    idle: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


def watched(world: World, changes: Changes, named: Sequence[str]) -> list[int]:
    """The tables whose writes a migration may break: those it changed or named, that have rows on the shadow."""
    oids: dict[int, None] = {}
    for change in changes.items:
        doc = change.after or change.before or {}
        if change.kind in ("col", "rel"):
            oids[change.oid] = None
        elif change.kind in ("con", "trg", "pub", "pol"):
            oids[int(doc.get("rel") or 0)] = None
            oids[int(doc.get("ref") or 0)] = None
    if any(change.kind in ("proc", "typ") for change in changes.items):
        oids |= dict.fromkeys(key[1] for key, doc in world.start.items() if key[0] == "trg" and not doc["internal"]
                              for key in [("rel", int(doc["rel"]), 0)])  # fmt: skip
    oids |= {key[1]: None for key, doc in world.start.items() if key[0] == "rel" and str(doc["name"]) in named}
    found = [o for o in oids if world.kind(o) == "r" and world.sample.rows.get(world.name(o))]
    return found[:MOST_TABLES]


async def write(conn: AsyncConnection[Any], world: World, tables: list[int], end: Catalog) -> Writes:
    """Writes to each table as code did that knows the schema from before; everything is undone."""
    writes = Writes()
    for oid in tables:
        doc = end.get(("rel", oid, 0))
        if doc is None or doc["kind"] != "r":
            continue
        place = sql.Identifier(*str(doc["name"]).split(".", 1))
        old = [d for key, d in world.start.items() if key[0] == "col" and key[1] == oid]
        now = {str(d["name"]) for key, d in end.items() if key[0] == "col" and key[1] == oid}
        known = [str(d["name"]) for d in old if _supplied(d) and str(d["name"]) in now]
        plain = [str(d["name"]) for d in old if not d["generated"] and not d["identity"] and str(d["name"]) in now]
        full = await (await conn.execute(sql.SQL("select from {} limit 1").format(place))).fetchone()
        if not known or not plain or full is None:
            continue
        names = sql.SQL(", ").join(map(sql.Identifier, known))
        one = sql.Identifier(plain[-1])
        tried = {
            "INSERT": sql.SQL("insert into {0} ({1}) select {1} from {0} limit 1").format(place, names),
            "UPDATE": sql.SQL("update {0} set {1} = {1} where ctid = (select min(ctid) from {0})").format(place, one),
            "DELETE": sql.SQL("delete from {0} where ctid = (select min(ctid) from {0})").format(place),
        }
        whole = sql.SQL(", ").join(sql.Identifier(str(d["name"])) for d in old if _stays(d, now))
        again = sql.SQL(
            "with gone as (delete from {0} where ctid = (select min(ctid) from {0}) returning {1}) "
            "insert into {0} ({1}) overriding system value select {1} from gone"
        ).format(place, whole)
        for verb, statement in tried.items():
            done = await _undone(conn, statement.as_string(None))
            if isinstance(done, Failed) and done.sqlstate in _FINE and verb != "DELETE":
                done = await _undone(conn, again.as_string(None))  # a copy is a duplicate: one row back in its place
            if isinstance(done, Failed):
                writes.failed[str(doc["name"]), verb] = done
            elif not done:
                writes.idle.add((str(doc["name"]), verb))
    return writes


def _stays(doc: Doc, now: set[str]) -> bool:
    return not doc["generated"] and str(doc["name"]) in now


def _supplied(doc: Doc) -> bool:
    """Whether code gives the column a value: not an identity, nor a key from a sequence."""
    return not doc["generated"] and not doc["identity"] and "nextval(" not in str(doc["default"] or "")


async def _undone(conn: AsyncConnection[Any], statement: str) -> Failed | int:
    """The rows that a statement is about, or its error; it is rolled back."""
    try:
        async with conn.transaction(force_rollback=True):
            rows = (await conn.execute(statement.encode())).rowcount
            await conn.execute(b"set constraints all immediate")
            return rows
    except psycopg.Error as error:
        return failure(error)


def judge_writes(after: Writes, before: Writes, number: int, end: Catalog, world: World) -> Iterator[Hazard]:
    """What wrote before, and fails now or does nothing."""
    for table, verb in sorted(after.idle):
        oid = next((k[1] for k, d in end.items() if k[0] == "rel" and d["name"] == table), 0)
        if not {(world.name(oid), verb)} & {*before.idle, *before.failed}:
            said = f"{verb} of a row of {table}, which worked before, does nothing now, without an error"
            yield hazard("breaks_writes", number, "reject", said, evidence={"table": table})
    for (table, verb), error in after.failed.items():
        oid = next((k[1] for k, d in end.items() if k[0] == "rel" and d["name"] == table), 0)
        former = world.name(oid)
        if (former, verb) in before.failed or error.sqlstate in _FINE:
            continue
        said = f"{verb} on {table}, which worked before, fails: {hide_credentials(error.message)[:200]}"
        said += f" (SQLSTATE {error.sqlstate})"
        evidence: dict[str, Json] = {"table": table, "sqlstate": error.sqlstate}
        if error.sqlstate == "55000" and "replica identity" in error.message:
            yield hazard("replica_identity_lost", number, "needs_approval", said, evidence=evidence)
        elif error.sqlstate == "23502":
            yield hazard("breaks_old_writers", number, "warn", said, evidence=evidence)
        elif error.sqlstate == "23514":
            yield hazard("breaks_old_writers", number, "info", said, evidence=evidence)
        else:
            yield hazard("breaks_writes", number, "reject", said, evidence=evidence)


async def judge_unvalidated(conn: AsyncConnection[Any], end: Catalog, changes: Changes) -> list[Hazard]:
    """Constraints that were added NOT VALID: whether the rows there would let them be validated."""
    found: list[Hazard] = []
    for change in changes.added("con"):
        after = change.after or {}
        table = end.get(("rel", int(after["rel"] or 0), 0))
        if after["valid"] or after["type"] not in ("c", "f", "n") or table is None or "NOT ENFORCED" in after["def"]:
            continue
        statement = sql.SQL("alter table {} validate constraint {}").format(
            sql.Identifier(*str(table["name"]).split(".", 1)), sql.Identifier(str(after["name"]))
        )
        failed = await _undone(conn, statement.as_string(None))
        if isinstance(failed, Failed) and failed.sqlstate.startswith("23"):
            reason = f"rows of {table['name']} violate {after['name']}, so VALIDATE CONSTRAINT will fail"
            found.append(hazard("validate_will_fail", 0, "warn", reason, source="target_data"))
    return found


@dataclass(frozen=True, slots=True)
class Undone:
    """How taking it back went: the error of the statement, or the version it led to."""

    version: str = ""
    failed: Failed | None = None
    sql: str = ""


async def take_back(conn: AsyncConnection[Any], units: Sequence[Unit]) -> Undone:
    """Runs the units within the transaction that is open, or each as it says when none is."""
    for unit in units:
        for part in unit.parts:
            inside = conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            if part.transaction and not inside:
                await conn.execute(b"begin")
            for statement in part.statements:
                try:
                    await execute(conn, statement.sql)
                except psycopg.Error as error:
                    failed = failure(error)
                    with suppress(psycopg.Error):
                        await conn.execute(b"rollback")
                    return Undone(failed=failed, sql=statement.sql)
            if part.transaction and not inside:
                await conn.execute(b"commit")
    return Undone(await schema_version(conn))


async def content(conn: AsyncConnection[Any], tables: Sequence[str]) -> tuple[Any, ...]:
    """A hash of the rows of each table; nothing for one that is not there."""
    found: list[Any] = []
    for name in tables:
        place = sql.Identifier(*name.split(".", 1))
        query = sql.SQL("select md5(string_agg(t::text, ',' order by t::text)) from {} t").format(place)
        try:
            found.append(await (await conn.execute(query)).fetchone())
        except psycopg.Error:
            found.append(None)
    return tuple(found)


async def run_plainly(conn: AsyncConnection[Any], unit: Unit, until: int | None = None) -> Failed | None:
    """Runs a unit without looking, up to a number of statements, as a crash would leave it."""
    done = 0
    for part in unit.parts:
        if part.transaction:
            await conn.execute(b"begin")
        for statement in part.statements:
            if until is not None and done >= until:
                with suppress(psycopg.Error):
                    await conn.execute(b"rollback")
                return None
            try:
                await execute(conn, statement.sql)
            except psycopg.Error as error:
                failed = failure(error)
                with suppress(psycopg.Error):
                    await conn.execute(b"rollback")
                return failed
            done += 1
        if part.transaction:
            await conn.execute(b"commit")
    return None
