"""Whether a statement only reads, all the way down: through views, row security, functions, operators, casts, domains.

One round trip a level: the catalog is asked about everything that the level names, and what it answers may name more.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mcp_backend.engines.pg import bodies, catalog, effects
from mcp_backend.engines.pg.catalog import Conversion, Function, Relation
from mcp_backend.engines.pg.errors import refusal
from mcp_backend.engines.pg.statement import Call, Mentions, Name, Shape, shape
from mcp_backend.engines.pg.wire import Reply, Step
from mcp_backend.errors import InvalidArgument

Ask: TypeAlias = Callable[[Sequence[Step]], Awaitable[list[Reply]]]
"""Runs lookups in one round trip."""

DEEPEST = 16
ALWAYS_OPERATORS: frozenset[Name] = frozenset(("", name) for name in ("=", "<", ">", "<=", ">=", "<>"))
"""What IN, BETWEEN, USING, ORDER BY, GROUP BY, DISTINCT and CASE apply without naming it."""
POPULATES = frozenset(
    f"{kind}_{word}"
    for kind in ("json", "jsonb")
    for word in ("populate_record", "populate_recordset", "populate_record_valid")
)
"""Functions that convert to the column types of their first argument."""


async def effect(first: Shape, ask: Ask, approved: frozenset[str] = frozenset()) -> str:
    """Why the statement does more than read, or `""` when everything it reaches only reads.

    `approved` are functions that the policy vouches for, as `schema.name`. Raises `BackendError` when the catalog
    cannot be asked.
    """
    if first.why:
        return first.why
    if not first.mentions:
        return ""
    walk = _Walk(approved, first.executes)
    level = [_Found("", first)]
    for _ in range(DEEPEST):
        level = walk.enter(level)
        if walk.why or not (level or walk.functions or walk.types):
            return walk.why
        level = await walk.look(level, ask)
        if walk.why:
            return walk.why
    return "it reaches code that is nested too deeply to be checked"


@dataclass(frozen=True, slots=True)
class _Found:
    """A piece of code on the way down, and how to name it to people: `""` for the statement itself."""

    where: str
    shape: Shape


@dataclass(slots=True)
class _Walk:
    approved: frozenset[str]
    executes: bool
    why: str = ""
    functions: set[int] = field(default_factory=set[int])
    """OIDs of functions to look at next: parts of aggregates, functions behind operators and casts."""
    types: set[int] = field(default_factory=set[int])
    seen_functions: set[int] = field(default_factory=set[int])
    seen_types: set[int] = field(default_factory=set[int])
    seen_code: set[str] = field(default_factory=set[str])

    def enter(self, level: list[_Found]) -> list[_Found]:
        """The pieces that name something. Finds fault with what shows without the catalog."""
        for found in level:
            if found.shape.why:
                self.fault(f"{found.where} does more than read: {found.shape.why}")
            if unknown := found.shape.mentions.samplers - effects.SAMPLERS:
                self.fault(f"TABLESAMPLE {unknown.pop()} is not known to only read")
        return [found for found in level if found.shape.mentions]

    def fault(self, why: str) -> None:
        self.why = self.why or why

    async def look(self, level: list[_Found], ask: Ask) -> list[_Found]:
        """Asks the catalog about everything the level names; what that leads to is the next level."""
        mentions = [found.shape.mentions for found in level]
        relations = {name for m in mentions for name in m.relations}
        attributes = {name for m in mentions for _, name in m.attributes}
        calls = {call for m in mentions for call in m.functions}
        called: set[Name] = {(schema, name) for schema, name, _ in calls}
        operators = {name for m in mentions for name in m.operators}
        types = {name for m in mentions for name in m.types} | called
        if any(name in POPULATES for _, name in called):
            types |= relations
        by_oid, type_oids = self.functions, self.types
        self.functions, self.types = set[int](), set[int]()
        replies = await ask(
            [
                catalog.relations(relations, attributes),
                catalog.functions(called | {("", name) for name in attributes}, by_oid),
                catalog.operators(operators | ALWAYS_OPERATORS),
                catalog.types(types, type_oids),
            ]
        )
        for reply in replies:
            if reply.error is not None:
                raise refusal(reply.error)
        found_relations = catalog.read_relations(replies[0])
        following = [found for relation in found_relations for found in self._relation(relation)]
        for function in catalog.read_functions(replies[1]):
            wanted = function.oid in by_oid or any(_means(call, function) for call in calls)
            if wanted or any(_in_attribute_notation(m, function, found_relations) for m in mentions):
                following += self._function(function)
        following += self._conversion(catalog.read_types(replies[3]))
        self.functions.update(catalog.read_operators(replies[2]))
        self.functions -= self.seen_functions
        self.types -= self.seen_types
        self.seen_types |= self.types
        return following

    def _relation(self, relation: Relation) -> Iterator[_Found]:
        name = f"{relation.schema}.{relation.name}"
        secret = relation.schema == "pg_catalog" and relation.name in effects.SECRET_RELATIONS
        if secret or (relation.schema == "information_schema" and relation.name in effects.SECRET_INFORMATION):
            self.fault(f"{relation.name} holds credentials or who may log in how")
        if relation.program:
            self.fault(f"the foreign table {name} runs a program on the server")
        if relation.definition is not None:
            yield from self._code(f"the view {name}", relation.definition)
        for policy in relation.policies:
            yield from self._code(f"the row security of {name}", f"select {policy}")

    def _function(self, function: Function) -> Iterator[_Found]:
        if function.oid in self.seen_functions:
            return
        self.seen_functions.add(function.oid)
        if not self.executes and function.volatility == "v":
            return
        if why := effects.objection(function, self.approved):
            self.fault(f"the function {function} {why}")
        elif not effects.vouched_for(function, self.approved):
            self.functions.update(function.parts)
            self.types.update(function.types)
            if function.definition is not None:
                try:
                    for found in bodies.shapes(function.definition):
                        yield _Found(f"the function {function}", found)
                except bodies.Opaque as opaque:
                    self.fault(f"the function {function} {opaque}")

    def _conversion(self, conversion: Conversion) -> Iterator[_Found]:
        self.functions.update(conversion.functions)
        for check in conversion.checks:
            yield from self._code("a check of a domain", f"select {check.removeprefix('CHECK ')}")

    def _code(self, where: str, sql: str) -> Iterator[_Found]:
        if f"{where} {sql}" not in self.seen_code:
            self.seen_code.add(f"{where} {sql}")
            try:
                yield _Found(where, shape(sql.removesuffix(" NOT VALID")))
            except InvalidArgument:
                self.fault(f"{where} cannot be read")


def _means(call: Call, function: Function) -> bool:
    """Whether the call can be one of this function, as far as names and numbers of arguments tell."""
    schema, name, given = call
    fits = given < 0 or function.least <= given <= function.most
    return fits and name == function.name and schema in ("", function.schema)


def _in_attribute_notation(mentions: Mentions, function: Function, relations: list[Relation]) -> bool:
    """Whether some `x.name` of the statement can be a call of the function rather than a column.

    A column wins, and a whole row can only be passed to a function that takes a row.
    https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-USAGE
    """
    if not function.least <= 1 <= function.most:
        return False
    for alias, name in mentions.attributes:
        if name != function.name:
            continue
        if alias in mentions.functions_as or alias not in mentions.aliases:
            return True
        if not function.takes_row:
            continue
        for source in mentions.aliases[alias]:
            matching = [r for r in relations if source and source[1] == r.name and source[0] in ("", r.schema)]
            if not matching or any(name not in r.columns for r in matching):
                return True
    return False
