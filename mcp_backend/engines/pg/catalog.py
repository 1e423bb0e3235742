"""What the catalog says about the names in a statement: everything about them that may hide code.

https://www.postgresql.org/docs/current/catalogs.html
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend.engines.pg.reading import PATH
from mcp_backend.engines.pg.statement import Name
from mcp_backend.engines.pg.wire import Reply, Step

FIRST_USER_OID = 16384
"""OIDs below are PostgreSQL's own. https://www.postgresql.org/docs/current/system-catalog-initial-data.html"""

CONSTRUCTOR = "constructor"
"""Instead of a language: a function that came with a range type and makes ranges."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that runs code when it is read: a view, a foreign table, a table with row security. Also any relation
    of the statement, with those of the asked columns that it has."""

    schema: str
    name: str
    kind: str
    definition: str | None
    policies: tuple[str, ...]
    program: bool
    """A foreign table whose rows come from running a program on the server."""
    columns: frozenset[str]
    functions: tuple[int, ...]
    """Functions that the planner may run to make a plan: in expressions of indexes, constraints, statistics, partition
    keys and defaults, and behind operator classes, also of the tables that inherit from it."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function, aggregate or procedure. `definition` is there for languages whose bodies can be read."""

    oid: int
    schema: str
    name: str
    kind: str
    volatility: str
    language: str
    extension: str | None
    definition: str | None
    least: int
    most: int
    """How many arguments a call has to give, and can."""
    takes_row: bool
    parts: tuple[int, ...]
    """The functions that an aggregate is made of."""
    types: tuple[int, ...]
    """The types of its arguments and its result, other than PostgreSQL's own."""

    @property
    def builtin(self) -> bool:
        """Whether it came with PostgreSQL itself."""
        return self.oid < FIRST_USER_OID and self.schema == "pg_catalog"

    def __str__(self) -> str:
        return self.name if self.schema == "pg_catalog" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What types bring along: checks of domains as expressions, and functions of casts."""

    checks: tuple[str, ...]
    functions: tuple[int, ...]


_NAMED = """rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) q(schema, name)
    join pg_catalog.{table} x on x.{column} = q.name::name
    join pg_catalog.pg_namespace n on n.oid = x.{namespace}
      and (n.nspname = q.schema or q.schema = ''
        and n.nspname = any ($3::name[]))"""

_RELATIONS = f"""
select pg_catalog.json_build_object('schema', n.nspname, 'name', x.relname, 'kind', x.relkind,
  'definition', case when x.relkind = 'v' and x.oid >= {FIRST_USER_OID}
    then pg_catalog.pg_get_viewdef(x.oid) end,
  'policies', case when x.relrowsecurity then (
    select pg_catalog.json_agg(pg_catalog.pg_get_expr(p.polqual, p.polrelid)) from pg_catalog.pg_policy p
    where p.polrelid = x.oid and p.polcmd in ('r', '*') and p.polqual is not null) end,
  'program', exists (
    select from pg_catalog.pg_foreign_table f, pg_catalog.unnest(f.ftoptions) o
    where f.ftrelid = any (heirs.oids) and o like 'program=%'),
  'functions', (select pg_catalog.json_agg(distinct p.oid::int8) from pg_catalog.pg_proc p
    join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
    where p.oid >= {FIRST_USER_OID} and p.provolatile <> 'v' and p.oid in (
      select case d.refclassid when 'pg_catalog.pg_proc'::pg_catalog.regclass then d.refobjid
          else (select o.oprcode::pg_catalog.oid from pg_catalog.pg_operator o where o.oid = d.refobjid) end
      from (
        select 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid from pg_catalog.pg_index i
          where i.indrelid = any (heirs.oids) and (i.indexprs is not null or i.indpred is not null)
        union all select 'pg_catalog.pg_class'::pg_catalog.regclass, k.partrelid
          from pg_catalog.pg_partitioned_table k where k.partrelid = any (heirs.oids) and k.partexprs is not null
        union all select 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid
          from pg_catalog.pg_constraint c where c.conrelid = any (heirs.oids) and c.contype = 'c'
        union all select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid
          from pg_catalog.pg_statistic_ext s where s.stxrelid = any (heirs.oids)
        union all select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid
          from pg_catalog.pg_attrdef a where a.adrelid = x.oid and $5::bool
      ) found(class, oid)
      join pg_catalog.pg_depend d on d.classid = found.class and d.objid = found.oid and d.refclassid in
        ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
      union all select m.amproc::pg_catalog.oid from (
        select pg_catalog.unnest(i.indclass::pg_catalog.oid[]) from pg_catalog.pg_index i
          where i.indrelid = any (heirs.oids)
        union all select pg_catalog.unnest(k.partclass::pg_catalog.oid[]) from pg_catalog.pg_partitioned_table k
          where k.partrelid = any (heirs.oids)
      ) used(class) join pg_catalog.pg_opclass o on o.oid = used.class and o.oid >= {FIRST_USER_OID}
        join pg_catalog.pg_amproc m on m.amprocfamily = o.opcfamily)),
  'columns', (select pg_catalog.json_agg(a.attname) from pg_catalog.pg_attribute a
    where a.attrelid = x.oid and not a.attisdropped and a.attname = any ($4::name[])))
from {_NAMED.format(table="pg_class", column="relname", namespace="relnamespace")}
  cross join lateral (
    with recursive tree(oid) as (select x.oid
      union select i.inhrelid from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid)
    select pg_catalog.array_agg(tree.oid) from tree) heirs(oids)"""

_FUNCTIONS = f"""
with wanted as (
  select x.oid from {_NAMED.format(table="pg_proc", column="proname", namespace="pronamespace")}
  union select o::pg_catalog.oid from pg_catalog.unnest($4::text[]) o
)
select pg_catalog.json_build_object('oid', p.oid::int8, 'schema', n.nspname, 'name', p.proname, 'kind', p.prokind,
  'volatility', p.provolatile, 'language', case when l.lanname = 'internal' and p.oid >= {FIRST_USER_OID}
    and p.prosrc ~ '^(multi)?range_constructor[0-9]$' then '{CONSTRUCTOR}' else l.lanname end,
  'extension', (select e.extname from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
      and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass),
  'definition', case when p.oid >= {FIRST_USER_OID} and l.lanname in ('sql', 'plpgsql') and p.prokind in ('f', 'w')
    then pg_catalog.pg_get_functiondef(p.oid) end,
  'least', p.pronargs - p.pronargdefaults - case when p.provariadic <> 0 then 1 else 0 end,
  'most', case when p.provariadic <> 0 then 10000 else p.pronargs end,
  'takes_row', exists (select from pg_catalog.pg_type t where t.oid = p.proargtypes[0] and t.typtype in ('c', 'p')),
  'parts', (select pg_catalog.array_remove(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
      a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::pg_catalog.oid[]::int8[], 0)
    from pg_catalog.pg_aggregate a where a.aggfnoid = p.oid and p.oid >= {FIRST_USER_OID}),
  'types', case when p.oid >= {FIRST_USER_OID} then (select pg_catalog.json_agg(t::int8)
    from pg_catalog.unnest(p.proargtypes || p.prorettype) t where t >= {FIRST_USER_OID}) end)
from wanted join pg_catalog.pg_proc p on p.oid = wanted.oid
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang"""

_OPERATORS = f"""
select distinct x.oprcode::pg_catalog.oid::int8
from {_NAMED.format(table="pg_operator", column="oprname", namespace="oprnamespace")}
where x.oid >= {FIRST_USER_OID} and x.oprcode <> 0"""

_TYPES = f"""
with recursive reached(oid, converted) as (
  select x.oid, true from {_NAMED.format(table="pg_type", column="typname", namespace="typnamespace")}
  union select o::pg_catalog.oid, true from pg_catalog.unnest($4::text[]) o
  union select x.oid, false from {
    _NAMED.format(table="pg_type", column="typname", namespace="typnamespace").replace("$1", "$5").replace("$2", "$6")
}
  union
  select m.oid, reached.converted from reached join pg_catalog.pg_type t on t.oid = reached.oid cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
    union all select r.rngtypid from pg_catalog.pg_range r
      where t.typtype = 'm' and pg_catalog.to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
    union all select a.atttypid from pg_catalog.pg_attribute a
      where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) m(oid) where m.oid >= {FIRST_USER_OID} or (reached.converted and m.oid <> 0)
), compared(oid) as (
  select p.oid from pg_catalog.pg_proc p
  join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
  where p.oid >= {FIRST_USER_OID} and p.oid in (
    select pg_catalog.unnest(array[r.rngcanonical, r.rngsubdiff]::pg_catalog.oid[]) from pg_catalog.pg_range r
      where r.rngtypid in (select oid from reached)
    union all select m.amproc::pg_catalog.oid from pg_catalog.pg_opclass o
      join pg_catalog.pg_amproc m on m.amprocfamily = o.opcfamily
      where o.oid >= {FIRST_USER_OID} and (o.opcintype in (select oid from reached) or o.oid in (
        select r.rngsubopc from pg_catalog.pg_range r where r.rngtypid in (select oid from reached))))
)
select pg_catalog.json_build_object(
  'checks', (select pg_catalog.json_agg(pg_catalog.pg_get_constraintdef(k.oid)) from pg_catalog.pg_constraint k
    where k.contypid in (select oid from reached where converted) and k.contype = 'c'),
  'functions', (select pg_catalog.json_agg(f::int8) from (
    select c.castfunc::pg_catalog.oid from pg_catalog.pg_cast c where c.oid >= {FIRST_USER_OID} and c.castfunc <> 0
      and (c.castcontext = 'i' or c.casttarget in (select oid from reached where converted))
    union select oid from compared) found(f)))"""


def relations(names: Collection[Name], columns: Collection[str], *, defaults: bool) -> Step:
    """The lookup of relations by name, and which of the columns each has. `defaults`: whether a write is planned, which
    looks at the defaults of columns."""
    return Step(_RELATIONS, (*_pairs(names), array(columns), "t" if defaults else "f"))


def functions(names: Collection[Name], oids: Collection[int]) -> Step:
    """The lookup of functions by name, all overloads that the name can mean, and by OID."""
    return Step(_FUNCTIONS, (*_pairs(names), array([str(oid) for oid in oids])))


def operators(names: Collection[Name]) -> Step:
    """The lookup of the functions behind operators that did not come with PostgreSQL."""
    return Step(_OPERATORS, _pairs(names))


def types(names: Collection[Name], oids: Collection[int], rows: Collection[Name]) -> Step:
    """The lookup of what converting to the types, or to what they are made of, can run, and comparing values of them or
    of the columns of the relations `rows`. Casts that happen by themselves are always in it."""
    return Step(_TYPES, (*_pairs(names), array([str(oid) for oid in oids]), *_pairs(rows)[:2]))


def read_relations(reply: Reply) -> list[Relation]:
    """The answer to `relations`."""
    return [
        Relation(
            r["schema"], r["name"], r["kind"], r["definition"], tuple(r["policies"] or ()), bool(r["program"]),
            frozenset(r["columns"] or ()), tuple(r["functions"] or ()),
        )
        for r in _objects(reply)
    ]  # fmt: skip


def read_functions(reply: Reply) -> list[Function]:
    """The answer to `functions`."""
    return [
        Function(
            f["oid"], f["schema"], f["name"], f["kind"], f["volatility"], f["language"], f["extension"],
            f["definition"], f["least"], f["most"], bool(f["takes_row"]), tuple(f["parts"] or ()),
            tuple(f["types"] or ()),
        )
        for f in _objects(reply)
    ]  # fmt: skip


def read_operators(reply: Reply) -> list[int]:
    """The answer to `operators`: OIDs of functions."""
    return [int(row[0] or 0) for row in reply.rows]


def read_types(reply: Reply) -> Conversion:
    """The answer to `types`."""
    found = _objects(reply)[0]
    return Conversion(tuple(found["checks"] or ()), tuple(found["functions"] or ()))


def array(values: Collection[str]) -> str:
    """An array literal. https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _pairs(names: Collection[Name]) -> Sequence[str]:
    ordered = sorted(names)
    return array([schema for schema, _ in ordered]), array([name for _, name in ordered]), PATH


def _objects(reply: Reply) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", json.loads(row[0] or "{}")) for row in reply.rows]
