"""Whether a statement only reads, all the way down: through its functions, the views it reads and their functions.

The server parses (EXPLAIN AST) and its catalog says what the names mean: two round trips for the statement, and two
for each level of views below it. `readonly = 1` holds besides, whatever is found here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp_backend.engines.ch import effects, statement
from mcp_backend.engines.ch.effects import Function
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.engines.ch.standing import Standing
from mcp_backend.engines.ch.statement import Outline, Shape
from mcp_backend.engines.ch.values import Parameters, parameter
from mcp_backend.errors import Unavailable
from mcp_backend.keeper.chdb.tokens import tokens

DEEPEST = 8
_LOOK_UP = """
SELECT 'readonly' AS what, toString(getSetting('readonly')), '', '', '', '', ''
UNION ALL
SELECT 'function', name, alias_to, toString(origin), toString(is_aggregate), {determinism}, create_query
FROM system.functions WHERE has({{functions:Array(String)}}, lower(name))
UNION ALL
SELECT 'table function', name, '', '', '', '', '' FROM system.table_functions
WHERE has({{functions:Array(String)}}, lower(name))
UNION ALL
SELECT 'table', name, database, engine, toString(database = currentDatabase()), '', as_select
FROM system.tables WHERE has({{tables:Array(String)}}, name) OR engine IN ('Executable', 'ExecutablePool')
"""
_DICTIONARIES = """
UNION ALL
SELECT 'dictionary', name, database, source, '', '', '' FROM system.dictionaries WHERE source LIKE 'Executable%'
"""


class Asks(Protocol):
    """What the analysis needs of an engine."""

    async def standing(self) -> Standing:
        """What the server is, and what our user may do."""
        ...

    async def rows(
        self, sql: str, parameters: Parameters | None = None, settings: Mapping[str, str] | None = None
    ) -> list[list[Any]]:
        """The rows of a read of our own. Raises `ServerError`."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the statement does more than read, or `""`; and its shape, where it came to that."""

    why: str
    shape: Shape | None = None


async def effect(
    outline: Outline,
    asks: Asks,
    parameters: Parameters,
    harmless: set[str],
    approved: frozenset[str] = frozenset(),
) -> Verdict:
    """The verdict about an outlined statement.

    `harmless` remembers functions of the server's own, which do not change while it runs; `approved` are functions and
    table functions that the policy vouches for, in lower case. Raises `BackendError` when the server cannot be asked,
    or does not understand the statement.
    """
    if outline.why:
        return Verdict(outline.why)
    first = await _shape(outline, asks, parameters)
    walk = _Walk(asks, harmless, approved)
    level = [_Piece("", first)]
    for _ in range(DEEPEST):
        below = await walk.down(level)
        if walk.why or not below:
            return Verdict(walk.why, first)
        level = [_Piece(where, await _shape(statement.outline(sql), asks, {})) for where, sql in below]
    return Verdict("it reaches views or functions that are nested too deeply to be checked", first)


async def _shape(outline: Outline, asks: Asks, parameters: Parameters) -> Shape:
    try:
        rows = await asks.rows(statement.EXPLAINING + outline.text, parameters, outline.settings)
    except ServerError as error:
        position = max(0, error.position - len(statement.EXPLAINING))
        raise refusal(ServerError(error.code, error.name, error.message, position)) from None
    return statement.shape(outline, [str(row[0]) for row in rows])


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of code on the way down, and how to name it to people: `""` for the statement itself."""

    where: str
    shape: Shape


@dataclass(slots=True)
class _Walk:
    asks: Asks
    harmless: set[str]
    approved: frozenset[str]
    why: str = ""
    seen: set[str] = field(default_factory=set[str])

    def fault(self, where: str, why: str) -> None:
        self.why = self.why or (f"{where} does more than read: {why}" if where else why)

    async def down(self, level: Sequence[_Piece]) -> list[tuple[str, str]]:
        """Judges everything that the level names; what there is to look at below, as its name and its code."""
        for piece in level:
            self._by_name(piece)
        if self.why:
            return []
        executed = [piece for piece in level if piece.shape.executes]
        functions = {name.lower() for piece in executed for name in _called(piece.shape)} - self.harmless
        tables = {name for piece in executed for name in _tables(piece.shape)}
        rows = await self._look_up(functions, tables)
        return [found for piece in executed for found in self._judged(piece, rows)]

    def _by_name(self, piece: _Piece) -> None:
        shape = piece.shape
        if shape.why:
            self.fault(piece.where, shape.why)
        if not shape.executes:
            return
        for name in sorted(_called(shape)):
            if name.lower() in effects.REFUSED and name.lower() not in self.approved:
                self.fault(piece.where, f"{name}() {effects.REFUSED[name.lower()]}")
        named = {table for database, table in shape.tables if database.lower() == "system"}
        for table in sorted(named | (set(_tables(shape)) if shape.hides else set())):
            if table.lower() in effects.SECRET_TABLES:
                self.fault(piece.where, f"system.{table} {effects.SECRET_TABLES[table.lower()]}")

    async def _look_up(self, functions: set[str], tables: set[str]) -> list[list[Any]]:
        column = (await self.asks.standing()).determinism
        sql = _LOOK_UP.format(determinism=f"ifNull(toString({column}), '')" if column else "''")
        if any(name.startswith("dict") for name in functions):
            sql += _DICTIONARIES
        asked = {"functions": parameter(sorted(functions)), "tables": parameter(sorted(tables))}
        try:
            rows = await self.asks.rows(sql, asked)
        except ServerError as error:
            raise refusal(error, field="the catalog, asked what the statement's names mean") from None
        if any(row[0] == "readonly" and row[1] == "0" for row in rows):
            raise Unavailable(
                "the server did not take readonly=1, so nothing was run: is something between removing it?"
            )
        return rows

    def _judged(self, piece: _Piece, rows: list[list[Any]]) -> Iterator[tuple[str, str]]:
        called = {name.lower() for name in _called(piece.shape)}
        scalar = {str(row[1]).lower() for row in rows if row[0] == "function"} | self.harmless
        for what, name, first, second, third, fourth, code in rows:
            low = str(name).lower()
            if what == "function" and low in called - self.approved:
                function = Function(first or name, third == "1", second, fourth == "1" if fourth else None)
                if why := effects.objection(function):
                    self.fault(piece.where, f"{name}() {why}")
                elif second == "SQLUserDefined":
                    yield from self._below(f"the function {name}", _body(code))
                else:
                    self.harmless.add(low)
            elif what == "table function" and low in called - self.approved:
                stands_for_a_table = low in {f.lower() for f in piece.shape.table_functions}
                if (stands_for_a_table or low not in scalar) and low not in effects.TABLE_FUNCTIONS:
                    self.fault(piece.where, f"the table function {name}() is not known to only read")
            elif what == "table":
                yield from self._table(piece, name, first, second, code, current=third == "1")
            elif what == "dictionary" and any(name.startswith("dict") for name in called):
                self.fault(piece.where, f"the dictionary {name} runs a program when it is asked")

    def _table(
        self, piece: _Piece, name: str, database: str, engine: str, code: str, *, current: bool
    ) -> Iterator[tuple[str, str]]:
        shape = piece.shape
        meant = (database, name) in shape.tables or (current and ("", name) in shape.tables)
        hidden = shape.hides and name in _tables(shape)
        if engine in effects.PROGRAM_ENGINES and (meant or hidden or "merge" in shape.table_functions):
            self.fault(piece.where, f"the table {database}.{name} runs a program when it is read")
        elif engine in effects.CONSUMED_ENGINES and (meant or hidden):
            self.fault(piece.where, f"reading the {engine} table {database}.{name} takes its messages from others")
        elif code and engine == "View" and (meant or hidden):
            yield from self._below(f"the view {database}.{name}", code)

    def _below(self, where: str, code: str) -> Iterator[tuple[str, str]]:
        if where not in self.seen:
            self.seen.add(where)
            yield where, code


def _called(shape: Shape) -> frozenset[str]:
    """Functions by the grammar, and by the words where the grammar hides something."""
    return shape.functions | shape.outline.called if shape.hides else shape.functions


def _tables(shape: Shape) -> Iterable[str]:
    """Names of tables, and every name there is where the grammar hides something."""
    hidden = (word.name for word in shape.outline.words if word.name) if shape.hides else ()
    return {table for _, table in shape.tables} | set(hidden)


def _body(code: str) -> str:
    """The expression of a CREATE FUNCTION as a statement."""
    begins = next((word.end for word in tokens(code) if word.upper == "AS"), 0)
    return f"SELECT {code[begins:]}"
