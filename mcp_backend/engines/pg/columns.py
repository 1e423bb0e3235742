"""The columns of several tables, one short line each."""

from typing import Any

from psycopg import AsyncConnection

from mcp_backend.engines.pg.asking import ask
from mcp_backend.engines.pg.catalog import array

LEGEND = "type? may be NULL; pk primary key; = default; → references"

_COLUMNS = r"""
select a.attrelid::int8, pg_catalog.concat(
  pg_catalog.quote_ident(a.attname), ' ',
  pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace(
    pg_catalog.format_type(a.atttypid, a.atttypmod), '^public\.', ''),
    '^timestamp(\(\d\))? with time zone', 'timestamptz'),
    '^timestamp(\(\d\))? without time zone', 'timestamp'), '^character varying', 'varchar'),
  case when not a.attnotnull and c.relkind in ('r', 'p', 'f') then '?' end,
  case when pk.conrelid is not null then ' pk' end,
  case when uq.conrelid is not null then ' unique' end,
  case when a.attidentity <> '' then ' identity'
       when a.attgenerated <> '' then ' generated'
       when d.oid is not null and pg_catalog.pg_get_expr(d.adbin, d.adrelid) like 'nextval(%' then ' serial'
       when d.oid is not null then ' = ' || pg_catalog.left(pg_catalog.regexp_replace(
         pg_catalog.pg_get_expr(d.adbin, d.adrelid), '::[\w ."]+(\([0-9,]+\))?(\[\])?$', ''), 40) end,
  (select pg_catalog.string_agg(distinct ' → ' || case when rn.nspname = 'public'
       then pg_catalog.quote_ident(rc.relname) else pg_catalog.format('%I.%I', rn.nspname, rc.relname) end
     || case when ra.attname <> 'id' then '.' || ra.attname else '' end, '')
   from pg_catalog.pg_constraint f join pg_catalog.pg_class rc on rc.oid = f.confrelid
     join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
     join pg_catalog.pg_attribute ra on ra.attrelid = f.confrelid
       and ra.attnum = f.confkey[pg_catalog.array_position(f.conkey, a.attnum)]
   where f.conrelid = a.attrelid and f.contype = 'f' and a.attnum = any (f.conkey)))
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  left join pg_catalog.pg_constraint pk on pk.conrelid = a.attrelid and pk.contype = 'p' and a.attnum = any (pk.conkey)
  left join pg_catalog.pg_constraint uq on uq.conrelid = a.attrelid and uq.contype = 'u' and uq.conkey = array[a.attnum]
where a.attrelid = any ($1::pg_catalog.oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum"""

_COMMENTS = """
select o::int8, pg_catalog.obj_description(o, 'pg_class') from pg_catalog.unnest($1::pg_catalog.oid[]) o
where pg_catalog.obj_description(o, 'pg_class') is not null"""

_ENUMS = """
select distinct t.typname::text, (select pg_catalog.string_agg(e.enumlabel, '|' order by e.enumsortorder)
  from pg_catalog.pg_enum e where e.enumtypid = t.oid)
from pg_catalog.pg_attribute a join pg_catalog.pg_type b on b.oid = a.atttypid
  join pg_catalog.pg_type t on t.oid = case when b.typelem <> 0 then b.typelem else b.oid end and t.typtype = 'e'
where a.attrelid = any ($1::pg_catalog.oid[]) and a.attnum > 0 and not a.attisdropped"""


async def columns(
    conn: AsyncConnection[Any], oids: list[int]
) -> tuple[dict[int, list[str]], dict[int, str], dict[str, str]]:
    """The columns and the comment of each table by its OID, and the labels of the enums they use, in one round trip."""
    wanted = (array([str(oid) for oid in oids]),)
    lines, comments, enums = await ask(conn, (_COLUMNS, wanted), (_COMMENTS, wanted), (_ENUMS, wanted))
    found: dict[int, list[str]] = {}
    for oid, line in lines:
        found.setdefault(int(oid), []).append(str(line))
    return found, {int(o): str(text) for o, text in comments}, {str(name): str(labels) for name, labels in enums}
