"""Whether a statement only reads, all the way down: through its functions, the views it reads and their functions.

The server parses (EXPLAIN AST) and its catalog says what the names mean: two round trips for the statement, two more
for each level of views below it. What the server parsed before it is not asked for again; what names mean, and whether
it only reads now, always is. `readonly = 1` holds besides, whatever is found here.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp_backend.engines.ch import effects, standing, statement
from mcp_backend.engines.ch.effects import Function
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.engines.ch.standing import Catalog, Standing
from mcp_backend.engines.ch.statement import Outline, Shape
from mcp_backend.engines.ch.values import Parameters, parameter
from mcp_backend.errors import Unavailable
from mcp_backend.keeper.chdb.tokens import tokens

DEEPEST = 8
MOST_SHAPES, LONGEST_REMEMBERED = 200, 10_000
"""How many shapes are remembered, and of statements of how many characters at most."""
_READONLY = "SELECT toString(getSetting('readonly'))"
_OF_USERS = "origin != 'System' AND has({names:Array(String)}, lower(name))"
_TABLES = """
SELECT name, database, engine, toInt32(database = currentDatabase()), as_select FROM system.tables
WHERE name IN {names:Array(String)}
"""
_PROGRAMS = "SELECT database || '.' || name FROM system.tables WHERE engine IN ('Executable', 'ExecutablePool') LIMIT 1"
_DICTIONARIES = "SELECT database || '.' || name FROM system.dictionaries WHERE source LIKE 'Executable%' LIMIT 1"


class Asks(Protocol):
    """What the analysis needs of an engine."""

    async def standing(self) -> Standing:
        """What the server is, and what our user may do."""
        ...

    async def catalog(self) -> Catalog:
        """The functions that the server brings."""
        ...

    async def rows(
        self, sql: str, parameters: Parameters | None = None, settings: Mapping[str, str] | None = None
    ) -> list[list[Any]]:
        """The rows of a read of our own. Raises `ServerError`."""
        ...


class Remembers(Asks, Protocol):
    """An engine whose statements come again."""

    @property
    def shapes(self) -> dict[object, Shape]:
        """What this server parsed before, by all that it depends on."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the statement does more than read, or `""`; and its shape, where it came to that."""

    why: str
    shape: Shape | None = None


async def effect(
    outline: Outline,
    asks: Remembers,
    parameters: Parameters,
    approved: frozenset[str] = frozenset(),
) -> Verdict:
    """The verdict about an outlined statement.

    `approved` are functions and table functions that the policy vouches for, in lower case. Raises `BackendError` when
    the server cannot be asked, does not understand the statement, or did not take `readonly = 1`.
    """
    if outline.why:
        return Verdict(outline.why)
    first, _ = await asyncio.gather(_shape(outline, asks, parameters), _verify(asks))
    walk = _Walk(asks, await asks.catalog(), approved)
    level = [_Piece("", first)]
    for _ in range(DEEPEST):
        below = await walk.down(level)
        if walk.why or not below:
            return Verdict(walk.why, first)
        level = [_Piece(where, await _shape(statement.outline(sql), asks, {})) for where, sql in below]
    return Verdict("it reaches views or functions that are nested too deeply to be checked", first)


async def _shape(outline: Outline, asks: Remembers, parameters: Parameters) -> Shape:
    """The shape by the server's grammar, which depends on nothing that a statement could change."""
    await asks.standing()  # Forgets all shapes where it finds another server, which may parse in another way.
    asked = (outline.text, *sorted(outline.settings.items()), *sorted(parameters.items()))
    if (known := asks.shapes.get(asked)) is not None:
        return known
    found = await _parsed(outline, asks, parameters)
    if len(outline.text) <= LONGEST_REMEMBERED:
        if len(asks.shapes) >= MOST_SHAPES:
            asks.shapes.clear()
        asks.shapes[asked] = found
    return found


async def _parsed(outline: Outline, asks: Asks, parameters: Parameters) -> Shape:
    try:
        rows = await asks.rows(statement.EXPLAINING + outline.text, parameters, outline.settings)
    except ServerError as error:
        position = max(0, error.position - len(statement.EXPLAINING))
        raise refusal(ServerError(error.code, error.name, error.message, position)) from None
    if not rows:
        raise Unavailable("the server broke its answer off; nothing was run, repeat the call once it is back")
    return statement.shape(outline, [str(row[0]) for row in rows])


async def _verify(asks: Asks) -> None:
    """Asks the server, under the very settings that statements get, whether it only reads now."""
    if (await _rows(asks, _READONLY))[0][0] not in ("1", "2"):
        raise Unavailable("the server did not take readonly=1, so nothing was run: is something between removing it?")


async def _rows(asks: Asks, sql: str, parameters: Parameters | None = None) -> list[list[Any]]:
    try:
        return await asks.rows(sql, parameters)
    except ServerError as error:
        raise refusal(error, field="the catalog, asked what the statement's names mean") from None


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of code on the way down, and how to name it to people: `""` for the statement itself."""

    where: str
    shape: Shape


@dataclass(slots=True)
class _Walk:
    asks: Remembers
    catalog: Catalog
    approved: frozenset[str]
    why: str = ""
    seen: set[str] = field(default_factory=set[str])

    def fault(self, where: str, why: str) -> None:
        self.why = self.why or (f"{where} does more than read: {why}" if where else why)

    async def down(self, level: Sequence[_Piece]) -> list[tuple[str, str]]:
        """Judges everything that the level names; what there is to look at below, as its name and its code."""
        for piece in level:
            if piece.shape.why:
                self.fault(piece.where, piece.shape.why)
            if piece.shape.executes:
                self._functions(piece)
                self._secrets(piece)
        executed = [piece for piece in level if piece.shape.executes]
        if self.why or not executed:
            return []
        of_users, tables = await asyncio.gather(self._of_users(executed), self._tables(executed))
        await self._programs(executed)
        return [found for piece in executed for found in (*self._bodies(piece, of_users), *self._views(piece, tables))]

    def _functions(self, piece: _Piece) -> None:
        """What the names in the statement and the server's own catalog tell."""
        tables = {name.lower() for name in piece.shape.table_functions}
        for name in sorted(_called(piece.shape)):
            low = name.lower()
            function = self.catalog.functions.get(low)
            if low in self.approved:
                continue
            only_table = low in effects.ALSO_FUNCTIONS and low not in tables and not piece.shape.hides
            if low in effects.REFUSED and not (only_table and function is not None):
                self.fault(piece.where, f"{name}() {effects.REFUSED[low]}")
            elif low in self.catalog.table_functions and (low in tables or function is None):
                if low not in effects.TABLE_FUNCTIONS:
                    self.fault(piece.where, f"the table function {name}() is not known to only read")
            elif function is not None and (why := effects.objection(function)):
                self.fault(piece.where, f"{name}() {why}")

    def _secrets(self, piece: _Piece) -> None:
        shape = piece.shape
        if "merge" in {name.lower() for name in _called(shape)} and statement.merges_anything(shape.outline.words):
            self.fault(piece.where, "merge() may reach tables of system that hold credentials; name a database first")
        named = {table for database, table in shape.tables if database.lower() == "system"}
        for table in sorted(named | (set(_tables(shape)) if shape.hides else set())):
            if table.lower() in effects.SECRET_TABLES:
                self.fault(piece.where, f"system.{table} {effects.SECRET_TABLES[table.lower()]}")

    async def _of_users(self, level: Sequence[_Piece]) -> dict[str, Function]:
        """The functions among the names that the server does not bring itself."""
        names = {name.lower() for piece in level for name in _called(piece.shape)} - self.approved
        unknown = sorted(names - self.catalog.functions.keys() - self.catalog.table_functions)
        if not unknown:
            return {}
        sql = (await self.asks.standing()).catalog_query(_OF_USERS)
        return standing.functions(await _rows(self.asks, sql, {"names": parameter(unknown)}))

    async def _tables(self, level: Sequence[_Piece]) -> list[list[Any]]:
        names = sorted({name for piece in level for name in _tables(piece.shape)})
        return await _rows(self.asks, _TABLES, {"names": parameter(names)}) if names else []

    async def _programs(self, level: Sequence[_Piece]) -> None:
        """merge() and dictGet() name what they read in strings: so nothing that could be meant may run a program."""
        for piece in level:
            called = {name.lower() for name in _called(piece.shape)}
            for named, sql in (("merge", _PROGRAMS), ("dict", _DICTIONARIES)):
                if any(name.startswith(named) for name in called) and (found := await _rows(self.asks, sql)):
                    self.fault(piece.where, f"{named}… could read {found[0][0]}, which runs a program when it is read")

    def _bodies(self, piece: _Piece, of_users: Mapping[str, Function]) -> Iterator[tuple[str, str]]:
        for name in sorted({name.lower() for name in _called(piece.shape)} & of_users.keys()):
            function = of_users[name]
            if why := effects.objection(function):
                self.fault(piece.where, f"{function.name}() {why}")
            elif function.origin == "SQLUserDefined":
                yield from self._below(f"the function {function.name}", _body(function.body))

    def _views(self, piece: _Piece, rows: list[list[Any]]) -> Iterator[tuple[str, str]]:
        shape = piece.shape
        for name, database, engine, current, code in rows:
            meant = (database, name) in shape.tables or (current and ("", name) in shape.tables)
            if not meant and not (shape.hides and name in _tables(shape)):
                continue
            if engine in effects.PROGRAM_ENGINES:
                self.fault(piece.where, f"the table {database}.{name} runs a program when it is read")
            elif engine in effects.CONSUMED_ENGINES:
                self.fault(piece.where, f"reading the {engine} table {database}.{name} takes its messages from others")
            elif code and engine == "View":
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
