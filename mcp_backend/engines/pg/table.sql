-- Everything about one relation, $1 its OID, as one JSON object. What a relation does not have is null.
with c as (
  select c.*, n.nspname, case when n.nspname = 'public' then pg_catalog.quote_ident(c.relname)
    else pg_catalog.format('%I.%I', n.nspname, c.relname) end as name
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = $1::pg_catalog.oid
)
select pg_catalog.json_build_object(
'name', c.name, 'kind', c.relkind, 'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
'rows', case when c.relkind = 'p' then (select pg_catalog.sum(greatest(p.reltuples, 0))::int8
    from pg_catalog.pg_partition_tree(c.oid) t join pg_catalog.pg_class p on p.oid = t.relid where t.isleaf)
  when c.reltuples >= 0 then c.reltuples::int8
  when c.relkind in ('r', 'm') then pg_catalog.pg_stat_get_live_tuples(c.oid) end,
'bytes', case when c.relkind = 'p' then (select pg_catalog.sum(pg_catalog.pg_total_relation_size(t.relid))::int8
    from pg_catalog.pg_partition_tree(c.oid) t where t.isleaf)
  when c.relkind in ('r', 'm') then pg_catalog.pg_total_relation_size(c.oid) end,
'index_bytes', case when c.relkind in ('r', 'm') then pg_catalog.pg_indexes_size(c.oid) end,
'analyzed', greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)),
'dead_rows', nullif(pg_catalog.pg_stat_get_dead_tuples(c.oid), 0),
'persistence', case c.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
'options', c.reloptions, 'row_security', case when c.relrowsecurity then case when c.relforcerowsecurity then 'forced' else 'enabled' end end,
'replica_identity', case c.relreplident when 'n' then 'nothing' when 'f' then 'full' when 'i' then 'index' end,
'partition_key', case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end,
'partition_of', case when c.relispartition then (select i.inhparent::pg_catalog.regclass::text from pg_catalog.pg_inherits i where i.inhrelid = c.oid) end,
'bound', case when c.relispartition then pg_catalog.pg_get_expr(c.relpartbound, c.oid) end,
'inherits', (select pg_catalog.json_agg(i.inhparent::pg_catalog.regclass::text order by i.inhseqno) from pg_catalog.pg_inherits i
  where i.inhrelid = c.oid and not c.relispartition),
'children', (select pg_catalog.count(*) from pg_catalog.pg_inherits i where i.inhparent = c.oid),
'partitions', (select pg_catalog.json_agg(p.o) from (
  select pg_catalog.json_build_object('name', i.inhrelid::pg_catalog.regclass::text, 'bound', pg_catalog.pg_get_expr(k.relpartbound, k.oid),
    'rows', greatest(k.reltuples, 0)::int8) as o
  from pg_catalog.pg_inherits i join pg_catalog.pg_class k on k.oid = i.inhrelid where i.inhparent = c.oid order by k.relname limit 30) p),
'columns', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
    'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull and not (t.typtype = 'd' and t.typnotnull),
    'default', case when a.attgenerated = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
    'generated', case when a.attgenerated <> '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid)
      || case a.attgenerated when 's' then ' stored' else ' virtual' end end,
    'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
    'collation', case when a.attcollation <> t.typcollation then a.attcollation::pg_catalog.regcollation::text end,
    'comment', pg_catalog.col_description(c.oid, a.attnum),
    'enum', (select pg_catalog.json_agg(e.enumlabel order by e.enumsortorder) from pg_catalog.pg_enum e
      where e.enumtypid in (t.oid, nullif(t.typelem, 0))),
    'domain', case when t.typtype = 'd' then pg_catalog.concat_ws(' ', pg_catalog.format_type(t.typbasetype, t.typtypmod),
      case when t.typnotnull then 'NOT NULL' end, 'DEFAULT ' || t.typdefault,
      (select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ' order by k.conname) from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c')) end)
    order by a.attnum)
  from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
'primary_key', (select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.pg_constraint p,
    pg_catalog.unnest(p.conkey) with ordinality k(attnum, n) join pg_catalog.pg_attribute a on a.attnum = k.attnum
  where p.conrelid = c.oid and p.contype = 'p' and a.attrelid = c.oid),
'foreign_keys', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', f.conname,
    'columns', (select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.unnest(f.conkey) with ordinality k(attnum, n)
      join pg_catalog.pg_attribute a on a.attnum = k.attnum and a.attrelid = f.conrelid),
    'references', f.confrelid::pg_catalog.regclass::text,
    'to', (select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.unnest(f.confkey) with ordinality k(attnum, n)
      join pg_catalog.pg_attribute a on a.attnum = k.attnum and a.attrelid = f.confrelid),
    'on_delete', case f.confdeltype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' end,
    'on_update', case f.confupdtype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' end,
    'deferrable', case when f.condeferrable then true end, 'not_valid', case when not f.convalidated then true end,
    'without_index', case when not exists (select from pg_catalog.pg_index i where i.indrelid = f.conrelid and i.indisvalid
      and i.indpred is null and (i.indkey::int2[])[0:pg_catalog.cardinality(f.conkey) - 1] @> f.conkey) then true end) order by f.conname)
  from pg_catalog.pg_constraint f where f.conrelid = c.oid and f.contype = 'f'),
'referenced_by', (select pg_catalog.json_agg(pg_catalog.json_build_object('table', f.conrelid::pg_catalog.regclass::text,
    'columns', (select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.unnest(f.conkey) with ordinality k(attnum, n)
      join pg_catalog.pg_attribute a on a.attnum = k.attnum and a.attrelid = f.conrelid),
    'to', (select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.unnest(f.confkey) with ordinality k(attnum, n)
      join pg_catalog.pg_attribute a on a.attnum = k.attnum and a.attrelid = f.confrelid),
    'on_delete', case f.confdeltype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' end)
    order by f.conrelid::pg_catalog.regclass::text, f.conname)
  from pg_catalog.pg_constraint f where f.oid in (select d.objid from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.refobjid = c.oid) and f.confrelid = c.oid and f.contype = 'f' and f.conparentid = 0),
'constraints', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', k.conname,
    'definition', pg_catalog.pg_get_constraintdef(k.oid, true)) order by k.contype, k.conname)
  from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'u', 'x')),
'indexes', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', x.relname,
    'on', pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(i.indexrelid), '^.*? USING ', ''),
    'unique', case when i.indisunique then true end, 'primary', case when i.indisprimary then true end,
    'invalid', case when not i.indisvalid then true end, 'bytes', pg_catalog.pg_relation_size(i.indexrelid),
    'scans', pg_catalog.pg_stat_get_numscans(i.indexrelid)) order by i.indisprimary desc, x.relname)
  from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid where i.indrelid = c.oid),
'triggers', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', t.tgname,
    'definition', pg_catalog.regexp_replace(pg_catalog.pg_get_triggerdef(t.oid, true), '^CREATE (CONSTRAINT )?TRIGGER \S+ ', ''),
    'disabled', case when t.tgenabled = 'D' then true end,
    'function', t.tgfoid::pg_catalog.regprocedure::text, 'language', l.lanname, 'source', pg_catalog.left(p.prosrc, 1500)) order by t.tgname)
  from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid join pg_catalog.pg_language l on l.oid = p.prolang
  where t.tgrelid = c.oid and not t.tgisinternal),
'policies', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', p.polname,
    'for', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'to', (select pg_catalog.json_agg(case r when 0 then 'public' else pg_catalog.pg_get_userbyid(r)::text end) from pg_catalog.unnest(p.polroles) r),
    'restrictive', case when not p.polpermissive then true end,
    'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'with_check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) order by p.polname)
  from pg_catalog.pg_policy p where p.polrelid = c.oid),
'rules', (select pg_catalog.json_agg(pg_catalog.pg_get_ruledef(r.oid, true)) from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN'),
'sequences', (select pg_catalog.json_agg(pg_catalog.json_build_object('name', s.seqrelid::pg_catalog.regclass::text, 'column', a.attname,
    'last', pg_catalog.pg_sequence_last_value(s.seqrelid), 'max',
    least(s.seqmax, case a.atttypid when 'pg_catalog.int4'::pg_catalog.regtype then 2147483647 when 'pg_catalog.int2'::pg_catalog.regtype then 32767 else s.seqmax end)))
  from pg_catalog.pg_depend d join pg_catalog.pg_sequence s on s.seqrelid = d.objid
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
  where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = c.oid and d.refobjsubid > 0
    and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i')
    and pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')),
'statistics', (select pg_catalog.json_agg(pg_catalog.pg_get_statisticsobjdef(s.oid)) from pg_catalog.pg_statistic_ext s where s.stxrelid = c.oid),
'definition', case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid, true) end,
'server', (select s.srvname from pg_catalog.pg_foreign_table f join pg_catalog.pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = c.oid),
'views', (select pg_catalog.json_agg(distinct r.ev_class::pg_catalog.regclass::text)
  from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid
  where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    and d.refobjid = c.oid and r.ev_class <> c.oid),
'grants', (select pg_catalog.json_object_agg(g.who, g.what) from (
  select coalesce(r.rolname::text, 'public') as who, pg_catalog.string_agg(pg_catalog.lower(x.privilege_type), ', ' order by x.privilege_type) as what
  from pg_catalog.aclexplode(c.relacl) x left join pg_catalog.pg_roles r on r.oid = x.grantee where x.grantee <> c.relowner group by 1) g)
)::text from c
