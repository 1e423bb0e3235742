"""What only the target's own rows can tell: read there, never changed, in bounded time.

Each question is judged like any statement of db_query first, because parts of it come from the migration's text.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_backend.engines.ch import statement as reads
from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.errors import BackendError, Json
from mcp_backend.keeper.chdb.tokens import identifier, literal, tokens
from mcp_backend.migrations.clickhouse.language import Command, between
from mcp_backend.migrations.clickhouse.mapping import quoted
from mcp_backend.migrations.clickhouse.target import Column, Table

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse

MOST_READ = 2_000_000_000
"""Bytes of a column on disk that a probe reads as a whole; of more, only the first rows."""
FIRST = 20_000_000
SHOWN = 3
_NUMBERS = ("Int", "UInt", "Float", "Decimal", "BFloat", "Bool")
_TIMES = ("Date", "DateTime", "Time")


@dataclass(frozen=True, slots=True)
class Cast:
    """What the rows of a column would make of another type. `where` finds the rows that fail."""

    rows: int
    nulls: int
    failing: int
    changed: int
    examples: tuple[Json, ...]
    where: str
    whole: bool


@dataclass(slots=True)
class Probes:
    """Asks a target. `failed` collects what could not be asked, in words."""

    engine: "Clickhouse"
    failed: list[str] = field(default_factory=list[str])

    async def cast(self, table: Table, column: Column, wanted: str) -> Cast | None:
        """What becomes of the values of a column under CAST to the type `wanted`."""
        name, kind = identifier(column.name), literal(wanted)
        null = f"isNull({name}) AND {int(not nullable(wanted))}"
        inner = bare(column.type)
        fails = (
            f"isNotNull({name}) AND isNull(accurateCastOrNull({name}, {kind}))" if _parsed(inner, bare(wanted)) else "0"
        )
        if inner.startswith("Enum") and bare(wanted).startswith("Enum"):  # the cast goes by number, readers by name
            left = ", ".join(re.findall(r"'(?:[^'\\]|\\.)*'", bare(wanted))) or "''"
            fails = f"isNotNull({name}) AND toString({name}) NOT IN ({left})"
        there = literal(wanted if nullable(wanted) or not nullable(column.type) else f"Nullable({wanted})")
        back = f"CAST(CAST({name}, {there}), {literal(column.type)})"
        changes = f"ifNull({name} != {back}, 0)" if _lossy(inner, bare(wanted)) else "0"
        source, whole = _source(table, column.bytes, [name])
        what = f"cast of {'.'.join(table.name)}.{column.name} to {wanted}"
        found = await self._row(
            f"SELECT count(), countIf({null}), countIf({fails}), countIf({changes}) FROM {source}", what
        )
        if found is None:
            return None
        rows, nulls, failing, changed = (int(str(n)) for n in found)
        where = f"({null}) OR ({fails})"
        examples: list[Json] = []
        if nulls or failing or changed:
            sql = f"SELECT {name} FROM {source} WHERE {where} OR ({changes}) LIMIT {SHOWN}"
            examples = [row[0] for row in await self._rows(sql, what) or []]
        return Cast(rows, nulls, failing, changed, tuple(examples), where, whole)

    async def matching(self, table: Table, condition: str, what: str) -> tuple[int, bool] | None:
        """How many rows of a table a condition holds for, and whether all were looked at."""
        source, whole = _source(table, table.bytes, [])
        found = await self._row(f"SELECT countIf({condition}) FROM {source}", what)
        return (int(str(found[0])), whole) if found else None

    async def partitions(self, source: Table, expression: str) -> int | None:
        """About how many partitions the rows of a table would make."""
        found = await self._row(
            f"SELECT uniq({expression}) FROM (SELECT * FROM {quoted(*source.name)} LIMIT 1000000)",
            f"partitions of {expression}",
            quiet=True,
        )
        return int(str(found[0])) if found else None

    async def _row(self, sql: str, what: str, *, quiet: bool = False) -> list[Json] | None:
        rows = await self._rows(sql, what, quiet=quiet)
        return rows[0] if rows else None

    async def _rows(self, sql: str, what: str, *, quiet: bool = False) -> list[list[Json]] | None:
        try:
            verdict = await self.engine.judge(reads.outline(sql), {}, frozenset())
            if not verdict.why:
                return await self.engine.rows(sql)
            why = verdict.why
        except (ServerError, BackendError) as error:
            why = str(error)
        if not quiet:
            self.failed.append(f"{what}: the target was not asked, {why[:200]}")
        return None


def condition(sql: str, command: Command) -> str:
    """The condition of an UPDATE or DELETE, or one that always holds."""
    return between(sql, command.words, "WHERE", "SETTINGS") or "1"


def expired(text: str) -> list[tuple[str, str]]:
    """The rules of a TTL that delete rows: their expression, and the condition they hold for."""
    words = tokens(text)
    rules: list[tuple[str, str]] = []
    depth, start = 0, 0
    for at in range(len(words) + 1):
        word = words[at] if at < len(words) else None
        if word is not None:
            depth += (word.text == "(") - (word.text == ")")
        if word is None or (depth == 0 and word.text == ","):
            part, start = words[start:at], at + 1
            if not part:
                continue
            upper = [w.upper for w in part]
            if "TO" in upper or "RECOMPRESS" in upper or ("GROUP" in upper and "BY" in upper) or "SET" in upper:
                continue
            end = next((i for i, w in enumerate(part) if w.upper in ("DELETE", "WHERE")), len(part))
            when = between(text, part, "WHERE") if "WHERE" in upper else "1"
            rules.append((text[part[0].start : part[end - 1].end], when or "1"))
    return rules


def bare(kind: str) -> str:
    """A type without LowCardinality and Nullable."""
    while kind.startswith(("LowCardinality(", "Nullable(")) and kind.endswith(")"):
        kind = kind[kind.index("(") + 1 : -1].strip()
    return kind


def same(one: str, other: str) -> bool:
    """Whether two types are one but for the spaces in them."""
    return "".join(one.split()) == "".join(other.split())


def nullable(kind: str) -> bool:
    """Whether a value may be NULL."""
    return kind.removeprefix("LowCardinality(").startswith("Nullable(") or kind.startswith(("Variant", "Dynamic"))


def _parsed(old: str, new: str) -> bool:
    """Whether CAST can fail on a value: text is parsed, a fixed length or an enum does not hold everything."""
    return (
        new != old
        and (old.startswith(("String", "FixedString", "Enum")) or new.startswith(("FixedString", "Enum")))
        and (not new.startswith("String"))
    )


def _lossy(old: str, new: str) -> bool:
    """Whether CAST can change a value without a word: narrower numbers wrap round, times lose their end."""
    if old == new:
        return False
    both = (*_NUMBERS, *_TIMES)
    return old.startswith(both) and new.startswith(both)


def _source(table: Table, size: int, columns: list[str]) -> tuple[str, bool]:
    name = quoted(*table.name)
    if size <= MOST_READ:
        return name, True
    return f"(SELECT {', '.join(columns) or '*'} FROM {name} LIMIT {FIRST})", False
