"""A whole database in a few thousand characters: the most useful tables first, as much of each as fits.

Useful means large, referenced by many others, and no view. https://www.postgresql.org/docs/current/catalog-pg-class.html
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from psycopg import AsyncConnection

from mcp_backend.engines.listing import MOST_MATCHES, MOST_NAMES, key
from mcp_backend.engines.pg.asking import Query, ask
from mcp_backend.engines.pg.catalog import array
from mcp_backend.errors import Json

HUB = 5
"""Tables that reference one from which on their number is worth its bytes."""

BOOKKEEPING = (
    "{schema_migrations,ar_internal_metadata,alembic_version,django_migrations,flyway_schema_history,knex_migrations,"
    "knex_migrations_lock,goose_db_version,_prisma_migrations,__EFMigrationsHistory,databasechangelog,"
    "databasechangeloglock,_sqlx_migrations,atlas_schema_revisions,gorp_migrations}"
)
"""Tables that tools keep for themselves come last."""

RELATIONS = """
with rel as (
  select c.oid, n.nspname, c.relname, c.relkind,
    case when c.relkind = 'p' then null when c.reltuples >= 0 then c.reltuples::int8
         when c.relkind in ('r', 'm') then pg_catalog.pg_stat_get_live_tuples(c.oid) end as tuples
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    and d.objid = c.oid and d.deptype = 'e')
), part as (
  select pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid as root, pg_catalog.count(*) as parts,
    pg_catalog.sum(greatest(c.reltuples, 0))::int8 as tuples
  from pg_catalog.pg_class c where c.relispartition and c.relkind in ('r', 'f') group by 1
), ref as (
  select confrelid, pg_catalog.count(distinct conrelid) as referenced from pg_catalog.pg_constraint
  where contype = 'f' and conparentid = 0 group by 1
), scored as (
  select rel.oid, rel.nspname, rel.relname, rel.relkind, coalesce(rel.tuples, part.tuples) as tuples, part.parts,
    coalesce(ref.referenced, 0) as referenced,
    case when rel.relname = any ('{BOOKKEEPING}'::name[]) then 0
      else pg_catalog.ln(1 + greatest(coalesce(rel.tuples, part.tuples, 0), 0))
        + 3 * pg_catalog.ln(1 + coalesce(ref.referenced, 0))
        + case when rel.relkind in ('v', 'm') then 0 else 0.5 end end::numeric(9, 4) as score
  from rel left join part on part.root = rel.oid left join ref on ref.confrelid = rel.oid
)
""".replace("{BOOKKEEPING}", BOOKKEEPING)

_SHOWN = """
select pg_catalog.json_build_object('oid', oid::int8, 'schema', nspname, 'table', relname, 'kind', relkind,
  'name', case when nspname = 'public' then pg_catalog.quote_ident(relname)
    else pg_catalog.format('%I.%I', nspname, relname) end,
  'rows', tuples, 'parts', parts, 'referenced', referenced, 'score', score, 'total', pg_catalog.count(*) over (),
  'matched', {matched}
)::text from {source} where {after} order by score desc, nspname, relname limit """

_SUMMARY = """
select pg_catalog.json_build_object(
  'schemas', (select pg_catalog.json_object_agg(nspname, tables) from (
     select nspname, pg_catalog.count(*) as tables from rel group by 1 order by 2 desc limit 20) s),
  'prefixes', (select pg_catalog.json_object_agg(prefix || '_*', tables) from (
     select pg_catalog.split_part(relname, '_', 1) as prefix, pg_catalog.count(*) as tables from rel
     where relname ~ '_' group by 1 having pg_catalog.count(*) > 2 order by 2 desc, 1 limit 20) s))::text
"""

_FOUND = """, hay as (
  select scored.*, pg_catalog.lower(pg_catalog.concat_ws(' ', nspname || '.' || relname, d.comment)) as about,
    pg_catalog.lower(a.columns) as columns
  from scored
  left join (select objoid, pg_catalog.string_agg(description, ' ') as comment from pg_catalog.pg_description
    where classoid = 'pg_catalog.pg_class'::pg_catalog.regclass group by 1) d on d.objoid = scored.oid
  left join (select attrelid, pg_catalog.string_agg(attname, ' ') as columns from pg_catalog.pg_attribute
    where attnum > 0 and not attisdropped group by 1) a on a.attrelid = scored.oid
), found as (
  select oid, nspname, relname, relkind, tuples, parts, referenced, columns,
    score + 100 * (select pg_catalog.count(*) from pg_catalog.unnest($1::text[]) w
                   where pg_catalog.strpos(pg_catalog.lower(relname), w) > 0) as score
  from hay where not exists (select from pg_catalog.unnest($1::text[]) w
    where pg_catalog.strpos(about, w) = 0 and pg_catalog.strpos(columns, w) = 0)
)
"""


_MATCHED = """(select pg_catalog.json_agg(c) from pg_catalog.unnest(pg_catalog.string_to_array(columns, ' ')) c
    where exists (select from pg_catalog.unnest($1::text[]) w where pg_catalog.strpos(c, w) > 0))"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the listing. `rows` is an estimate, `None` when there is none. `matched` are the columns whose names
    a search found; `by_columns`: its own name was not found."""

    oid: int
    name: str
    kind: str
    rows: int | None
    partitions: int | None
    referenced: int
    matched: tuple[str, ...]
    by_columns: bool
    key: str


@dataclass(frozen=True, slots=True)
class Page:
    """Tables, the most useful first, with `total` in the whole database that fit the search and come after."""

    entries: tuple[Entry, ...]
    total: int
    summary: dict[str, Json]


KINDS = {"p": "partitioned", "v": "view", "m": "materialized view", "f": "foreign"}


async def page(conn: AsyncConnection[Any], search: str, after: str | None) -> Page:
    """The next tables after the key `after`. Raises `InvalidArgument` when that is not a key of a former answer."""
    words = [word.lower() for word in search.split()]
    parameters = [array(words)] if words else []
    beyond = "true"
    if after is not None:
        a, b, c = (f"${len(parameters) + n}" for n in (1, 2, 3))
        beyond = f"(score < {a}::numeric or score = {a}::numeric and (nspname, relname) > ({b}::name, {c}::name))"
        parameters += key(after)
    source = "found" if words else "scored"
    listing = (
        RELATIONS
        + (_FOUND if words else "")
        + _SHOWN.format(source=source, after=beyond, matched=_MATCHED if words else "null")
        + str(MOST_NAMES)
    )
    queries: list[Query] = [(listing, parameters)]
    if after is None and not words:
        queries.append((RELATIONS + _SUMMARY, ()))
    answers = await ask(conn, *queries)
    rows = [cast("dict[str, Any]", json.loads(row[0])) for row in answers[0]]
    entries = tuple(
        Entry(
            r["oid"], r["name"], r["kind"], r["rows"], r["parts"], r["referenced"], tuple(r["matched"] or ()),
            bool(r["matched"]) and not any(word in r["name"].lower() for word in words),
            f"{r['score']}/{r['schema']}.{r['table']}",
        )
        for r in rows
    )  # fmt: skip
    return Page(entries, rows[0]["total"] if rows else 0, json.loads(answers[1][0][0]) if len(answers) > 1 else {})


def named(entry: Entry) -> dict[str, Json]:
    """An entry as its name and size, and how many others reference it."""
    shown: dict[str, Json] = {"name": entry.name}
    if entry.kind != "r":
        shown["kind"] = KINDS[entry.kind]
    if entry.rows is not None:
        shown["rows"] = entry.rows
    if entry.partitions:
        shown["partitions"] = entry.partitions
    if entry.referenced >= HUB:
        shown["referenced_by"] = entry.referenced
    if entry.matched:
        shown["matched"] = [*entry.matched[:MOST_MATCHES]]
    return shown
