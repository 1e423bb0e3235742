-- Every object that a migration can change, by its OID, as kind, oid, sub-number and a document.
-- {xid} is a transaction id as bigint: only rows written by it or later ones are returned; 0 returns all, and leaves
-- definitions out, which take long to write down.
with ns as (
  select oid, nspname from pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
), p(x) as (select {xid}::bigint)
select 'rel', c.oid::bigint, 0, pg_catalog.jsonb_build_object('name', ns.nspname || '.' || c.relname, 'kind', c.relkind,
    'file', pg_catalog.pg_relation_filenode(c.oid), 'rls', c.relrowsecurity, 'force', c.relforcerowsecurity,
    'persistence', c.relpersistence, 'identity', c.relreplident, 'partition', c.relispartition,
    'acl', c.relacl::text[], 'owner', pg_catalog.pg_get_userbyid(c.relowner), 'schema', ns.nspname,
    'parent', (select h.inhparent::bigint from pg_catalog.pg_inherits h where h.inhrelid = c.oid limit 1),
    'def', case when p.x > 0 and c.relkind in ('v', 'm') then pg_catalog.md5(pg_catalog.pg_get_viewdef(c.oid)) end,
    'invoker', coalesce(c.reloptions && '{security_invoker=true,security_invoker=on,security_invoker=1}', false),
    'reads', case when c.relkind in ('v', 'm') then (select pg_catalog.jsonb_agg(distinct d.refobjid::bigint)
      from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
        and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      where r.ev_class = c.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) end)
from pg_catalog.pg_class c join ns on ns.oid = c.relnamespace, p
where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') and c.xmin::text::bigint >= p.x
union all
select 'col', a.attrelid::bigint, a.attnum::int, pg_catalog.jsonb_build_object('name', a.attname, 'dropped', a.attisdropped,
    'type', case when a.attisdropped then '' else pg_catalog.format_type(a.atttypid, a.atttypmod) end,
    'category', (select t.typcategory from pg_catalog.pg_type t where t.oid = a.atttypid),
    'notnull', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated, 'has_default', a.atthasdef,
    'missing', a.atthasmissing,
    'default', (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
                where d.adrelid = a.attrelid and d.adnum = a.attnum))
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid join ns on ns.oid = c.relnamespace, p
where a.attrelid >= 16384 and a.attnum > 0 and c.relkind in ('r', 'p', 'v', 'm', 'f') and (a.xmin::text::bigint >= p.x
  or a.attrelid in (select d.adrelid from pg_catalog.pg_attrdef d where d.xmin::text::bigint >= {xid}))
union all
select 'con', k.oid::bigint, 0, pg_catalog.jsonb_build_object('name', k.conname, 'type', k.contype, 'rel', k.conrelid::bigint,
    'ref', k.confrelid::bigint, 'valid', k.convalidated,
    'def', case when p.x > 0 then pg_catalog.pg_get_constraintdef(k.oid) else '' end,
    'not_null', k.contype = 'c' and k.conbin::text like '{NULLTEST :arg {VAR %:nulltesttype 1 %',
    'keys', k.conkey::int[], 'refkeys', k.confkey::int[], 'index', k.conindid::bigint, 'typ', k.contypid::bigint,
    'parent', k.conparentid::bigint)
from pg_catalog.pg_constraint k join ns on ns.oid = k.connamespace, p where k.oid >= 16384 and k.xmin::text::bigint >= p.x
union all
select 'idx', i.indexrelid::bigint, 0, pg_catalog.jsonb_build_object('name', ns.nspname || '.' || c.relname,
    'rel', i.indrelid::bigint, 'valid', i.indisvalid, 'ready', i.indisready, 'unique', i.indisunique,
    'primary', i.indisprimary, 'keys', i.indkey::int2[]::int[], 'kind', c.relkind,
    'shape', pg_catalog.concat_ws(' ', c.relam, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text,
      pg_catalog.pg_get_expr(i.indexprs, i.indrelid), 'where', pg_catalog.pg_get_expr(i.indpred, i.indrelid)),
    'partial', i.indpred is not null)
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid join ns on ns.oid = c.relnamespace, p
where i.indexrelid >= 16384 and i.xmin::text::bigint >= p.x
union all
select 'trg', t.oid::bigint, 0, pg_catalog.jsonb_build_object('name', t.tgname, 'rel', t.tgrelid::bigint,
    'enabled', t.tgenabled, 'internal', t.tgisinternal, 'func', t.tgfoid::bigint)
from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid join ns on ns.oid = c.relnamespace, p
where t.oid >= 16384 and t.xmin::text::bigint >= p.x
union all
select 'pol', o.oid::bigint, 0, pg_catalog.jsonb_build_object('name', o.polname, 'rel', o.polrelid::bigint,
    'permissive', o.polpermissive, 'command', o.polcmd, 'roles', (select pg_catalog.jsonb_agg(
      coalesce(u.rolname, '')) from pg_catalog.unnest(o.polroles) m(oid) left join pg_catalog.pg_roles u using (oid)),
    'using', pg_catalog.pg_get_expr(o.polqual, o.polrelid))
from pg_catalog.pg_policy o join pg_catalog.pg_class c on c.oid = o.polrelid join ns on ns.oid = c.relnamespace, p
where o.xmin::text::bigint >= p.x
union all
select 'proc', f.oid::bigint, 0, pg_catalog.jsonb_build_object(
    'name', pg_catalog.format('%s.%s(%s)', ns.nspname, f.proname, pg_catalog.pg_get_function_identity_arguments(f.oid)),
    'lang', l.lanname, 'definer', f.prosecdef, 'config', f.proconfig, 'source', f.prosrc, 'acl', f.proacl::text[],
    'sqlbody', f.prosqlbody is not null, 'kind', f.prokind, 'returns', pg_catalog.format_type(f.prorettype, null),
    'required', f.pronargs - f.pronargdefaults)
from pg_catalog.pg_proc f join ns on ns.oid = f.pronamespace join pg_catalog.pg_language l on l.oid = f.prolang, p
where f.oid >= 16384 and f.xmin::text::bigint >= p.x and not exists (select from pg_catalog.pg_depend d
  where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = f.oid and d.deptype = 'e')
union all
select 'typ', t.oid::bigint, 0, pg_catalog.jsonb_build_object('name', ns.nspname || '.' || t.typname, 'kind', t.typtype,
    'notnull', t.typnotnull, 'labels', (select pg_catalog.jsonb_object_agg(e.oid::text, e.enumlabel)
      from pg_catalog.pg_enum e where e.enumtypid = t.oid))
from pg_catalog.pg_type t join ns on ns.oid = t.typnamespace, p
where t.oid >= 16384 and t.typtype in ('e', 'd', 'c', 'r') and not exists (select from pg_catalog.pg_class c where c.reltype = t.oid and c.relkind <> 'c')
  and (t.xmin::text::bigint >= p.x
    or t.oid in (select e.enumtypid from pg_catalog.pg_enum e where e.xmin::text::bigint >= {xid}))
union all
select 'pub', r.oid::bigint, 0, pg_catalog.jsonb_build_object('rel', r.prrelid::bigint, 'name', b.pubname,
    'writes', b.pubupdate or b.pubdelete)
from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication b on b.oid = r.prpubid, p where r.xmin::text::bigint >= p.x
union all
select 'suball', b.oid::bigint, 0, pg_catalog.jsonb_build_object('name', b.pubname, 'writes', b.pubupdate or b.pubdelete)
from pg_catalog.pg_publication b, p where b.puballtables and b.xmin::text::bigint >= p.x
union all
select 'ext', e.oid::bigint, 0, pg_catalog.jsonb_build_object('name', e.extname)
from pg_catalog.pg_extension e, p where e.xmin::text::bigint >= p.x
union all
select 'sch', n.oid::bigint, 0, pg_catalog.jsonb_build_object('name', n.nspname, 'acl', n.nspacl::text[])
from pg_catalog.pg_namespace n join ns using (oid), p where n.xmin::text::bigint >= p.x
union all
select 'dac', d.oid::bigint, 0, pg_catalog.jsonb_build_object('acl', d.defaclacl::text[], 'kind', d.defaclobjtype)
from pg_catalog.pg_default_acl d, p where d.xmin::text::bigint >= p.x
union all
select 'rul', r.oid::bigint, 0, pg_catalog.jsonb_build_object('name', r.rulename, 'rel', r.ev_class::bigint,
    'event', r.ev_type, 'instead', r.is_instead)
from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class join ns on ns.oid = c.relnamespace, p
where r.oid >= 16384 and r.ev_type <> '1' and r.xmin::text::bigint >= p.x
union all
select 'cfg', s.setrole::bigint, (s.setdatabase <> 0)::int, pg_catalog.jsonb_build_object('name',
    coalesce((select o.rolname from pg_catalog.pg_roles o where o.oid = s.setrole), 'everybody'), 'settings', s.setconfig)
from pg_catalog.pg_db_role_setting s, p where s.xmin::text::bigint >= p.x and s.setdatabase in (0,
  (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
