"""Whether a statement only reads, all the way down: through views, row security, functions, operators, casts, domains.

One round trip a level: the catalog is asked about everything that the level names, and what it answers may name more.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mcp_backend.engines.pg import bodies, catalog, effects, told
from mcp_backend.engines.pg.catalog import Conversion, Function, Relation
from mcp_backend.engines.pg.errors import refusal
from mcp_backend.engines.pg.statement import ALWAYS_OPERATORS, Call, Mentions, Name, Shape, shape
from mcp_backend.engines.pg.wire import Reply, Step
from mcp_backend.errors import InvalidArgument

Ask: TypeAlias = Callable[[Sequence[Step]], Awaitable[list[Reply]]]
"""Runs lookups in one round trip."""

DEEPEST = 16
POPULATES = frozenset(
    f"{kind}{word}"
    for kind in ("json_", "jsonb_", "")
    for word in ("populate_record", "populate_recordset", "populate_record_valid")
)
"""Functions that convert to the column types of their first argument; `#=` is hstore's operator for one."""


async def effect(first: Shape, ask: Ask, approved: frozenset[str] = frozenset()) -> str:
    """Why the statement does more than read, or `""` when everything it reaches only reads.

    `approved` are functions that the policy vouches for, as `schema.name`. Raises `BackendError` when the catalog
    cannot be asked.
    """
    if first.why:
        return first.why
    if not first.mentions:
        return ""
    walk = _Walk(approved)
    level = [_Found("", first, first.executes)]
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
    """A piece of code on the way down, and how to name it to people: `""` for the statement itself. `executes`: whether
    it is run, or only planned: then the planner runs what is not VOLATILE, with everything that this calls."""

    where: str
    shape: Shape
    executes: bool


@dataclass(slots=True)
class _Walk:
    approved: frozenset[str]
    why: str = ""
    functions: dict[int, bool] = field(default_factory=dict[int, bool])
    """OIDs of functions to look at next, and whether they are run: parts of aggregates, functions behind operators and
    casts, what the planner runs."""
    types: set[int] = field(default_factory=set[int])
    noted: set[int] = field(default_factory=set[int])
    """OIDs of functions that were to be looked at, also those that are not run and so not looked into."""
    seen_functions: set[int] = field(default_factory=set[int])
    seen_types: set[int] = field(default_factory=set[int])
    seen_code: set[str] = field(default_factory=set[str])

    def enter(self, level: list[_Found]) -> list[_Found]:
        """The pieces that name something, with the queries that they hand to functions as texts. Finds fault with what
        shows without the catalog."""
        level = list(level)
        for found in level:  # It grows: a text may hold another one.
            level += [_Found("a query in a text", inner, found.executes) for inner in found.shape.given]
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
        called: set[Name] = {(schema, name) for m in mentions for schema, name, _ in m.functions}
        operators = {name for m in mentions for name in m.operators}
        types = {name for m in mentions for name in m.types} | called
        if any(name in POPULATES for _, name in called) or any(name == "#=" for _, name in operators):
            types |= relations
        by_oid, type_oids = self.functions, self.types
        self.functions, self.types = dict[int, bool](), set[int]()
        live = any(found.executes for found in level) or any(by_oid.values())
        replies = await ask(
            [
                catalog.relations(relations, attributes, defaults=any(found.shape.writes for found in level)),
                catalog.functions(called | {("", name) for name in attributes}, by_oid),
                catalog.operators(operators | {("", name) for name in ALWAYS_OPERATORS}),
                catalog.types(types, type_oids, relations),
            ]
        )
        for reply in replies:
            if reply.error is not None:
                raise refusal(reply.error)
        found_relations = catalog.read_relations(replies[0])
        following = [found for relation in found_relations for found in self._relation(relation, live)]
        for function in catalog.read_functions(replies[1]):
            calling = [found for found in level if _calls(found.shape.mentions, function, found_relations)]
            runs = [found.executes for found in calling]
            read = function.name in told.FUNCTIONS and function.oid not in by_oid
            if function.oid in by_oid:
                runs.append(by_oid[function.oid])
            if runs:
                known = read and all(_reads_text(found.shape.mentions, function.name) for found in calling)
                following += self._function(function, any(runs), known)
        following += self._conversion(catalog.read_types(replies[3]), live)
        self._note(catalog.read_operators(replies[2]), live)
        self.types -= self.seen_types
        self.seen_types |= self.types
        return following

    def _note(self, functions: Iterable[int], executes: bool) -> None:
        for oid in functions:
            if oid not in self.seen_functions and (executes or oid not in self.noted):
                self.functions[oid] = executes or self.functions.get(oid, False)
                self.noted.add(oid)

    def _relation(self, relation: Relation, executes: bool) -> Iterator[_Found]:
        name = f"{relation.schema}.{relation.name}"
        secret = relation.schema == "pg_catalog" and relation.name in effects.SECRET_RELATIONS
        if secret or (relation.schema == "information_schema" and relation.name in effects.SECRET_INFORMATION):
            self.fault(f"{relation.name} holds credentials or who may log in how")
        if relation.program:
            self.fault(f"the foreign table {name} runs a program on the server")
        self._note(relation.functions, True)
        if relation.definition is not None:
            yield from self._code(f"the view {name}", relation.definition, executes)
        for policy in relation.policies:
            yield from self._code(f"the row security of {name}", f"select {policy}", executes)

    def _function(self, function: Function, executes: bool, known: bool) -> Iterator[_Found]:
        """`known`: the texts it is given are, and are judged as what they name."""
        if function.oid in self.seen_functions or not (executes or function.volatility != "v"):
            return
        if not known:
            self.seen_functions.add(function.oid)
        if why := effects.objection(function, self.approved, told=known):
            self.fault(f"the function {function} {why}")
        elif not effects.vouched_for(function, self.approved):
            self._note(function.parts, executes)
            self.types.update(function.types)
            if function.definition is not None:
                try:
                    for found in bodies.shapes(function.definition):
                        yield _Found(f"the function {function}", found, True)
                except bodies.Opaque as opaque:
                    self.fault(f"the function {function} {opaque}")

    def _conversion(self, conversion: Conversion, executes: bool) -> Iterator[_Found]:
        self._note(conversion.functions, executes)
        for check in conversion.checks:
            yield from self._code("a check of a domain", f"select {check.removeprefix('CHECK ')}", executes)

    def _code(self, where: str, sql: str, executes: bool) -> Iterator[_Found]:
        if (key := f"{executes} {where} {sql}") not in self.seen_code:
            self.seen_code.add(key)
            try:
                yield _Found(where, shape(sql.removesuffix(" NOT VALID")), executes)
            except InvalidArgument:
                self.fault(f"{where} cannot be read")


def _calls(mentions: Mentions, function: Function, relations: list[Relation]) -> bool:
    return any(_means(call, function) for call in mentions.functions) or _in_attribute_notation(
        mentions, function, relations
    )


def _reads_text(mentions: Mentions, name: str) -> bool:
    """Whether every text that the function is given here is written down; `x.name` would give it something else."""
    return name not in mentions.unread and all(attribute != name for _, attribute in mentions.attributes)


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
