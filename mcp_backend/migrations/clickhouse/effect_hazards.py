"""Hazards by their effect: what a statement did on the shadow, and what the target's own rows make of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcp_backend.migrations.clickhouse import estimating, made_hazards
from mcp_backend.migrations.clickhouse.differences import changes, compatible, shown
from mcp_backend.migrations.clickhouse.estimating import spoken
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.moving import READS_COLUMN, moved
from mcp_backend.migrations.clickhouse.observing import Seen
from mcp_backend.migrations.clickhouse.probing import Cast
from mcp_backend.migrations.clickhouse.target import Table, Target
from mcp_backend.migrations.rehearsal.report import Hazard

LOSES = {
    "DROP PARTITION": "the rows of the partition are deleted", "DROP PART": "the rows of the part are deleted",
    "DETACH PARTITION": "the rows of the partition are no longer read", "DETACH PART": "the rows of the part "
        "are no longer read",
    "REPLACE PARTITION": "the rows of the partition are replaced by others", "MOVE PARTITION": "",
    "DROP DETACHED PARTITION": "detached rows are deleted for good", "DROP DETACHED PART": "detached rows are "
        "deleted for good",
    "FORGET PARTITION": "the partition is forgotten", "CLEAR COLUMN": "the values of the column are deleted",
}  # fmt: skip


@dataclass(slots=True)
class Data:
    """What the target's rows said about one statement."""

    casts: dict[str, Cast] = field(default_factory=dict[str, Cast])
    matching: dict[str, tuple[int, bool]] = field(default_factory=dict[str, tuple[int, bool]])
    expired: tuple[int, bool] | None = None
    expired_column: str = ""
    partitions: int | None = None
    undone: bool | None = None


def of_effects(seen: Seen, there: Target, data: Data) -> Iterator[Hazard]:
    """The hazards of a statement that succeeded."""
    yield from _tables(seen, there)
    yield from _emptied(seen, there)
    yield from _columns(seen, there, data)
    yield from _remade(seen, there)
    yield from _commands(seen, there, data)
    yield from made_hazards.of_made(seen, there, data.partitions)


def _tables(seen: Seen, there: Target) -> Iterator[Hazard]:
    found = changes(seen.before.schema, seen.after.schema)
    number = seen.number
    for table in found.gone:
        known = there.schema.tables.get(table.name)
        if known is None:
            continue
        what = f"{shown(table.name)} is gone for whoever reads or writes it"
        held = f", with {known.rows} rows ({spoken(known.bytes)})" if known.stored else ""
        yield hazard(
            "destructive_drop", number, "needs_approval", f"{what}{held}",
            "keep it under another name (RENAME TABLE) until nothing has asked for it for a "
            "while", "catalog", rows=known.rows,
        )  # fmt: skip
        if known.engine == "MaterializedView":
            yield hazard(
                "mv_chain_breakage", number, "info", f"the roll-up by {shown(table.name)} stops: its target "
                                                     f"gets no new rows",
                "", "catalog",
            )  # fmt: skip
    for old, new in found.renamed:
        if old.name in there.schema.tables and old.name not in seen.after.schema.tables:
            yield hazard(
                "breaks_old_readers", number, "needs_approval",
                f"{shown(old.name)} is now {shown(new.name)}: who asks for the old name gets an error",
                f"leave a view of the old name: CREATE VIEW {shown(old.name)} AS SELECT * FROM "
                f"{shown(new.name)}", "catalog",
            )  # fmt: skip
    for old, _ in found.replaced:
        if (
            (known := there.schema.tables.get(old.name))
            and known.rows
            and not seen.statement.verb.startswith("EXCHANGE")
        ):
            yield hazard(
                "destructive_data", number, "needs_approval", f"{shown(old.name)} is made anew without its "
                    f"{known.rows} rows",
                "make the new table beside it, copy the rows, then EXCHANGE TABLES", "catalog", rows=known.rows,
            )  # fmt: skip


def _emptied(seen: Seen, there: Target) -> Iterator[Hazard]:
    """Tables without rows after a statement that names none of them, as TRUNCATE ALL TABLES."""
    if not seen.statement.verb.startswith("TRUNCATE") or there.schema.find(seen.statement.name, there.database):
        return
    for name, was in seen.before.schema.tables.items():
        now, known = seen.after.schema.tables.get(name), there.schema.tables.get(name)
        if was.stored and was.rows and now and not now.rows and known and known.rows:
            yield hazard(
                "destructive_data", seen.number, "needs_approval",
                f"all {known.rows} rows of {shown(name)} are deleted ({spoken(known.bytes)})",
                "have a person agree; name the tables that are meant", "observed", rows=known.rows,
            )  # fmt: skip


def _columns(seen: Seen, there: Target, data: Data) -> Iterator[Hazard]:
    renamed = {c.name.split(".")[0] for c in seen.statement.commands if c.kind == "RENAME COLUMN"}
    number = seen.number
    for table, old, new in changes(seen.before.schema, seen.after.schema).columns:
        known = there.schema.tables.get(table.name)
        if known is None or old is None:
            continue
        place = f"{shown(table.name)}.{old.name}"
        fresh = old.name not in known.columns  # added a few statements before
        if fresh and (new is not None or old.name in renamed):
            continue
        if new is None and old.name in renamed:
            yield hazard(
                "rename_column", number, "needs_approval", f"{place} has another name: old readers and writers "
                                                           f"get an error",
                "add the new column, let both be written, move readers, drop the old one later", "catalog",
            )  # fmt: skip
            yield hazard(
                "breaks_old_readers", number, "needs_approval", f"whoever selects {place} gets an error", "", "catalog"
            )
        elif new is None:
            stored = known.stored and old.default_kind != "ALIAS"
            if stored:
                yield hazard(
                    "destructive_drop", number, "needs_approval", f"drops {place} and what it holds",
                    "stop reading and writing it first; drop it in a later migration", "catalog", rows=known.rows,
                )  # fmt: skip
                yield hazard(
                    "destructive_data", number, "needs_approval",
                    f"the values of {place} are deleted ({spoken(estimating.moved(known, [old.name]))} of "
                    f"{known.rows} rows)",
                    "stop reading and writing it first; drop it in a later migration", "catalog", rows=known.rows,
                )  # fmt: skip
            yield hazard(
                "breaks_old_readers",
                number,
                "needs_approval",
                f"whoever selects or inserts {place} gets an error",
                "",
                "catalog",
            )
        elif old.type != new.type:
            yield from _type(seen, known, old.name, old.type, new.type, data.casts.get(old.name))


def _remade(seen: Seen, there: Target) -> Iterator[Hazard]:
    """Columns that one ALTER drops and adds again: the schema is the same afterwards, the values are not."""
    known = there.schema.find(seen.statement.name, there.database)
    dropped = {c.name for c in seen.statement.commands if c.kind == "DROP COLUMN"}
    added = {c.name for c in seen.statement.commands if c.kind == "ADD COLUMN"}
    if known is None or not known.stored or not known.rows:
        return
    for name in sorted(dropped & added):
        yield hazard(
            "destructive_data", seen.number, "needs_approval",
            f"{shown(known.name)}.{name} is dropped and made anew: the values of {known.rows} rows are deleted",
            "use MODIFY COLUMN, or add the new column under another name", "catalog", rows=known.rows,
        )  # fmt: skip


def _type(seen: Seen, table: Table, column: str, old: str, new: str, cast: Cast | None) -> Iterator[Hazard]:
    number, place = seen.number, f"{shown(table.name)}.{column}"
    how = compatible(old, new)
    if how != "same":
        yield hazard(
            "type_change_breaks_clients", number, "needs_approval" if how == "other" else "warn",
            f"{place} changes from {old} to {new}: clients that decode or insert {old} have to change with it",
            f"add a column of the new type beside it (DEFAULT CAST({column}, '{new}')), move clients, drop the "
            f"old one", "catalog",
        )  # fmt: skip
    if cast and cast.changed:
        yield hazard(
            "silent_data_loss", number, "reject",
            f"{cast.changed} of {cast.rows} rows change their value without an error when {place} becomes {new}",
            "keep a type that holds every value, or repair those rows first", "target_data",
            rows=cast.changed, examples=list(cast.examples), untrusted="examples are values of rows",
        )  # fmt: skip
    size = estimating.moved(table, [column])
    if table.rows and any("MODIFY COLUMN" in command for command in seen.mutations().get(table.name, ())):
        yield _rewrites(seen, table, size, strict="reject")


def _rewrites(seen: Seen, table: Table, size: int, *, strict: str = "needs_approval") -> Hazard:
    long = estimating.long(size)
    expected = estimating.band(size)
    return hazard(
        "mutation_rewrites_parts", seen.number, strict if long else "warn",  # type: ignore[arg-type]
        f"a mutation writes {spoken(size)} of {shown(table.name)} anew ({table.parts or 'all'} parts, about "
        f"{expected.expected / 1000:.3g} s); until it is done no other ALTER of the table can finish",
        "partition by partition, at a quiet time; or a new column and a background INSERT … SELECT" if long
        else "run_migration waits for its end",
        "observed", bytes=size, rows=table.rows, parts_rewritten=seen.rewritten(table.name),
    )  # fmt: skip


def _commands(seen: Seen, there: Target, data: Data) -> Iterator[Hazard]:
    statement, number = seen.statement, seen.number
    table = there.schema.find(statement.name, there.database)
    if table is None:
        return
    name = shown(table.name)
    if statement.verb.startswith("TRUNCATE") and table.rows:
        yield hazard(
            "destructive_data", number, "needs_approval", f"all {table.rows} rows of {name} are deleted "
                                                          f"({spoken(table.bytes)})",
            "have a person agree; keep a copy (ALTER TABLE … FREEZE, or another table) until it is sure",
            "observed", rows=table.rows,
        )  # fmt: skip
    for index, command in enumerate(statement.commands):
        if command.kind in LOSES and table.rows:
            yield hazard(
                "destructive_data", number, "needs_approval",
                f"{name}: {LOSES[command.kind] or f'{command.text[:80]}: the rows are no longer in this table'}",
                "have a person agree to which rows; FREEZE the partition first", "observed", command=command.text[:200],
            )  # fmt: skip
        if command.kind in ("UPDATE", "DELETE") and table.rows:
            yield from _mutation(
                seen, table, command.kind, command.text, data.matching.get(str(index)), moved(seen, table, command)
            )
        if command.kind == "ADD CONSTRAINT" and (against := data.matching.get(str(index), (0, True))[0]):
            yield hazard(
                "breaks_writes", number, "reject",
                f"{against} of {table.rows} rows of {name} are against {command.name}: it is not asked of them, but an "
                "INSERT of a row like them fails, the whole block with it",
                "find out who writes such rows first; count them with the condition's opposite", "target_data",
                rows=against,
            )  # fmt: skip
        if command.kind.startswith(("FREEZE", "UNFREEZE", "FETCH")):
            yield hazard(
                "server_command", number, "warn",
                f"{command.kind} of {name} changes files beside the schema; copies stay on the disk until taken away",
                "back up outside of migrations", "statement",
            )  # fmt: skip
        if command.kind in (*READS_COLUMN, "MATERIALIZE TTL", "APPLY DELETED MASK") and table.rows:
            size = moved(seen, table, command)
            if estimating.long(size):
                yield _rewrites(seen, table, size, strict="warn")
        if command.kind == "MODIFY ORDER BY":
            yield hazard(
                "order_by_choice", number, "needs_approval", f"{name} is sorted by another key from now on",
                "a person decides how a table is sorted, because it cannot be taken back", "catalog",
            )  # fmt: skip
        if command.kind == "MODIFY QUERY":
            yield hazard(
                "mv_chain_breakage", number, "needs_approval",
                f"{name} computes something else for new rows from now on; the rows that it has written stay as "
                f"they are",
                "have a person agree to which of the old rows are computed again", "catalog",
            )  # fmt: skip
    if statement.verb in ("DELETE", "UPDATE") and table.rows:
        yield from _mutation(seen, table, statement.verb, statement.sql, data.matching.get("0"), 0)
    if data.expired is not None:
        count, whole = data.expired
        what = f"the values of {data.expired_column} in" if data.expired_column else "they"
        yield hazard(
            "ttl_deletes_rows", number, "needs_approval",
            f"{name}: {count} of {table.rows} rows are past the new TTL{'' if whole else ' (of the first rows)'}, and "
            f"{what}{' them' if data.expired_column else ''} will be deleted",
            "a person decides what may be deleted; begin with a long TTL and shorten it", "target_data", rows=count,
        )  # fmt: skip


def _mutation(
    seen: Seen, table: Table, kind: str, text: str, hit: tuple[int, bool] | None, size: int
) -> Iterator[Hazard]:
    count = hit[0] if hit else None
    if hit == (0, True) and not seen.statement.commands:
        return  # a light DELETE of no row marks none; a mutation of none is one all the same
    if kind == "DELETE" and count != 0:
        yield hazard(
            "destructive_data", seen.number, "needs_approval",
            f"{'an unknown number' if count is None else count} of {table.rows} rows of {shown(table.name)} are "
            f"deleted",
            "have a person agree to the condition; drop whole partitions where that fits", "target_data",
            rows=count, condition=text[:200],
        )  # fmt: skip
    if size or not seen.statement.commands:
        yield _rewrites(seen, table, size or estimating.moved(table, None) // max(1, len(table.columns)))
