-- Everything a shadow needs to know of its target, as one JSON document. Reads the catalog only.
with ns as (
  select oid, nspname from pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
)
select pg_catalog.jsonb_build_object(
  'version', pg_catalog.current_setting('server_version_num')::int,
  'role', current_user,
  'superuser', (select rolsuper from pg_catalog.pg_roles where rolname = current_user),
  'create', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
  'typed', (select pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_array(x.name, ns.nspname || '.' || c.relname))
    from (select a.attrelid as rel, t.typname as name from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where t.typtype in ('e', 'd') and t.oid >= 16384 and a.attnum > 0
      union all select g.tgrelid, f.proname from pg_catalog.pg_trigger g
        join pg_catalog.pg_proc f on f.oid = g.tgfoid where not g.tgisinternal
      union all select coalesce(b.adrelid, d.refobjid), q.relname from pg_catalog.pg_class q
        join pg_catalog.pg_depend d on d.deptype in ('a', 'i') and d.objid = q.oid
            and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          or d.refobjid = q.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            and d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
        left join pg_catalog.pg_attrdef b on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and b.oid = d.objid
        where q.relkind = 'S'
      union all select coalesce(k.conrelid, l.polrelid, b.adrelid), f.proname from pg_catalog.pg_depend d
        join pg_catalog.pg_proc f on f.oid = d.refobjid
        left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
        left join pg_catalog.pg_policy l on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and l.oid = d.objid
        left join pg_catalog.pg_attrdef b on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and b.oid = d.objid
        where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and f.oid >= 16384) x
    join pg_catalog.pg_class c on c.oid = x.rel join ns on ns.oid = c.relnamespace
    where c.relkind in ('r', 'p')),
  'settings', (select pg_catalog.jsonb_object_agg(name, setting) from pg_catalog.pg_settings
    where name in ('TimeZone', 'search_path', 'DateStyle', 'IntervalStyle', 'bytea_output', 'row_security',
                   'default_transaction_isolation', 'xmloption', 'extra_float_digits', 'transform_null_equals',
                   'default_toast_compression', 'check_function_bodies', 'lc_monetary')),
  'extensions', (select pg_catalog.jsonb_agg(name) from pg_catalog.pg_available_extensions),
  'roles', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', rolname, 'createrole', rolcreaterole,
      'createdb', rolcreatedb, 'bypassrls', rolbypassrls, 'inherit', rolinherit))
    from pg_catalog.pg_roles where rolname !~ '^pg_'),
  'members', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.rolname, m.rolname))
    from pg_catalog.pg_auth_members a join pg_catalog.pg_roles r on r.oid = a.roleid
    join pg_catalog.pg_roles m on m.oid = a.member),
  'owners', (select pg_catalog.md5(pg_catalog.string_agg(x.line, ',' order by x.line)) from (
      select pg_catalog.format('%s.%s %s', ns.nspname, c.relname, c.relowner::pg_catalog.regrole) as line
      from pg_catalog.pg_class c join ns on ns.oid = c.relnamespace
      union all select pg_catalog.format('%s %s', n.nspname, n.nspowner::pg_catalog.regrole)
      from pg_catalog.pg_namespace n join ns using (oid)
      union all select pg_catalog.format('db %s', d.datdba::pg_catalog.regrole)
      from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) x),
  'owner', (select d.datdba::pg_catalog.regrole::text from pg_catalog.pg_database d
    where d.datname = pg_catalog.current_database()),
  'invalid', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
      pg_catalog.format('%I.%I', ns.nspname, c.relname), pg_catalog.pg_get_indexdef(i.indexrelid)))
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
    join ns on ns.oid = c.relnamespace where not i.indisvalid and c.relkind = 'i'),
  'relations', (select pg_catalog.jsonb_object_agg(ns.nspname || '.' || c.relname, pg_catalog.jsonb_build_object(
      'oid', c.oid, 'kind', c.relkind, 'rows', c.reltuples, 'pages', c.relpages,
      'size', case when c.relkind in ('r', 'm') then pg_catalog.pg_relation_size(c.oid) else 0 end,
      'parent', (select pn.nspname || '.' || p.relname from pg_catalog.pg_inherits h
        join pg_catalog.pg_class p on p.oid = h.inhparent join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
        where h.inhrelid = c.oid limit 1),
      'key', (select pg_catalog.jsonb_agg(a.attname order by k.n) from pg_catalog.pg_index i
        cross join lateral pg_catalog.unnest(i.indkey::int2[]) with ordinality k(num, n)
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num
        where i.indrelid = c.oid and i.indisprimary),
      'readable', pg_catalog.has_table_privilege(c.oid, 'SELECT')))
    from pg_catalog.pg_class c join ns on ns.oid = c.relnamespace where c.relkind in ('r', 'p', 'm', 'v', 'f')),
  'references', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
      an.nspname || '.' || a.relname, bn.nspname || '.' || b.relname,
      (select pg_catalog.jsonb_agg(t.attname order by k.n) from pg_catalog.unnest(c.conkey) with ordinality k(num, n)
        join pg_catalog.pg_attribute t on t.attrelid = c.conrelid and t.attnum = k.num),
      (select pg_catalog.jsonb_agg(t.attname order by k.n) from pg_catalog.unnest(c.confkey) with ordinality k(num, n)
        join pg_catalog.pg_attribute t on t.attrelid = c.confrelid and t.attnum = k.num)))
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_class a on a.oid = c.conrelid join pg_catalog.pg_namespace an on an.oid = a.relnamespace
    join pg_catalog.pg_class b on b.oid = c.confrelid join pg_catalog.pg_namespace bn on bn.oid = b.relnamespace
    where c.contype = 'f'),
  'views', (select pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_array(
      vn.nspname || '.' || v.relname, bn.nspname || '.' || b.relname))
    from pg_catalog.pg_rewrite r join pg_catalog.pg_class v on v.oid = r.ev_class
    join pg_catalog.pg_namespace vn on vn.oid = v.relnamespace
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class
    join pg_catalog.pg_class b on b.oid = d.refobjid join pg_catalog.pg_namespace bn on bn.oid = b.relnamespace
    join ns on ns.oid = vn.oid),
  'sequences', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'name', s.schemaname || '.' || s.sequencename, 'last', s.last_value, 'max', s.max_value, 'cycle', s.cycle,
      'increment', s.increment_by, 'table', (select tn.nspname || '.' || t.relname from pg_catalog.pg_depend d
        join pg_catalog.pg_class q on q.oid = d.objid and q.relname = s.sequencename
        join pg_catalog.pg_namespace qn on qn.oid = q.relnamespace and qn.nspname = s.schemaname
        join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i') limit 1),
      'column_type', (select pg_catalog.format_type(a.atttypid, null) from pg_catalog.pg_depend d
        join pg_catalog.pg_class q on q.oid = d.objid and q.relname = s.sequencename
        join pg_catalog.pg_namespace qn on qn.oid = q.relnamespace and qn.nspname = s.schemaname
        join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i') limit 1)))
    from pg_catalog.pg_sequences s where s.last_value > 1000000000 or (s.max_value < 100000 and s.last_value > 10000))
)
