-- One hash of everything a migration can make: names and definitions, never OIDs, owners, statistics or rows.
-- Runs with an empty search_path, so that definitions name every object with its schema.
with recursive member as materialized (
  select classid, objid from pg_catalog.pg_depend where deptype = 'e'
), ns as materialized (
  select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
), rel as materialized (
  select c.*, pg_catalog.format('%I.%I', ns.nspname, c.relname) as name
  from pg_catalog.pg_class c join ns on ns.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    and not exists (select from member m where m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and m.objid = c.oid)
), typ as materialized (
  select t.*, pg_catalog.format('%I.%I', ns.nspname, t.typname) as name
  from pg_catalog.pg_type t join ns on ns.oid = t.typnamespace
  where t.typtype in ('e', 'd', 'r', 'b')
    and not (t.typtype = 'b' and exists (select from pg_catalog.pg_type e where e.typarray = t.oid))
    and not exists (select from member m where m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and m.objid = t.oid)
), fn as materialized (
  select p.*, pg_catalog.format('%I.%I(%s)', ns.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) as name
  from pg_catalog.pg_proc p join ns on ns.oid = p.pronamespace
  where not exists (select from member m where m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and m.objid = p.oid)
), line(kind, name, body) as (
  select 'schema', nspname::text, '' from ns
  union all
  select 'extension', e.extname::text, pg_catalog.concat_ws(' ', e.extversion, n.nspname)
  from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  union all
  select 'relation', rel.name, pg_catalog.concat_ws('|', rel.relkind::text, rel.relpersistence::text, am.amname,
    rel.relreplident::text, rel.relrowsecurity, rel.relforcerowsecurity, rel.reloptions::text, toast.reloptions::text,
    ts.spcname, pg_catalog.format_type(nullif(rel.reloftype, 0), null),
    case when rel.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(rel.oid) end,
    case when rel.relkind = 'p' then pg_catalog.pg_get_partkeydef(rel.oid) end,
    case when rel.relispartition then pg_catalog.pg_get_expr(rel.relpartbound, rel.oid) end,
    (select pg_catalog.string_agg(i.inhparent::pg_catalog.regclass::text || case when i.inhdetachpending then ' detaching' else '' end, ','
            order by i.inhseqno) from pg_catalog.pg_inherits i where i.inhrelid = rel.oid),
    (select pg_catalog.concat_ws(' ', srv.srvname, f.ftoptions::text) from pg_catalog.pg_foreign_table f
     join pg_catalog.pg_foreign_server srv on srv.oid = f.ftserver where f.ftrelid = rel.oid),
    (select pg_catalog.concat_ws(' ', s.seqtypid::pg_catalog.regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
     from pg_catalog.pg_sequence s where s.seqrelid = rel.oid),
    (select pg_catalog.string_agg(d.refobjid::pg_catalog.regclass::text || '.' || a.attname, ',' order by a.attnum)
     from pg_catalog.pg_depend d join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
     where rel.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = rel.oid
       and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i')))
  from rel left join pg_catalog.pg_am am on am.oid = rel.relam
    left join pg_catalog.pg_class toast on toast.oid = rel.reltoastrelid
    left join pg_catalog.pg_tablespace ts on ts.oid = rel.reltablespace
  union all
  select 'column', rel.name || '.' || a.attname, pg_catalog.concat_ws('|',
    pg_catalog.row_number() over (partition by a.attrelid order by a.attnum),
    pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    case when a.attcollation <> t.typcollation then a.attcollation::pg_catalog.regcollation::text end,
    case when a.attstorage <> t.typstorage then a.attstorage::text end, a.attislocal, a.attinhcount > 0,
    a.attcompression::text, nullif(a.attstattarget, -1),
    a.attoptions::text, a.attfdwoptions::text)
  from rel join pg_catalog.pg_attribute a on a.attrelid = rel.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where rel.relkind <> 'S'
  union all
  select 'index', i.indexrelid::pg_catalog.regclass::text, pg_catalog.concat_ws('|', pg_catalog.pg_get_indexdef(i.indexrelid),
    i.indisvalid, i.indisready, i.indisclustered, i.indisreplident, c.reloptions::text, ts.spcname,
    (select pg_catalog.string_agg(p.inhparent::pg_catalog.regclass::text, ',') from pg_catalog.pg_inherits p where p.inhrelid = i.indexrelid))
  from rel join pg_catalog.pg_index i on i.indrelid = rel.oid join pg_catalog.pg_class c on c.oid = i.indexrelid
    left join pg_catalog.pg_tablespace ts on ts.oid = c.reltablespace
  union all
  select 'constraint', coalesce(rel.name, typ.name) || '.' || k.conname, pg_catalog.concat_ws('|', k.contype::text,
    pg_catalog.pg_get_constraintdef(k.oid), k.convalidated, k.conislocal, k.coninhcount > 0)
  from pg_catalog.pg_constraint k left join rel on rel.oid = k.conrelid left join typ on typ.oid = k.contypid
  where (rel.oid is not null or typ.oid is not null) and k.contype <> 't'
  union all
  select 'trigger', rel.name || '.' || t.tgname, pg_catalog.concat_ws('|', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled::text)
  from rel join pg_catalog.pg_trigger t on t.tgrelid = rel.oid and not t.tgisinternal
  union all
  select 'rule', rel.name || '.' || r.rulename, pg_catalog.concat_ws('|', pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled::text)
  from rel join pg_catalog.pg_rewrite r on r.ev_class = rel.oid and r.rulename <> '_RETURN'
  union all
  select 'policy', rel.name || '.' || p.polname, pg_catalog.concat_ws('|', p.polcmd::text, p.polpermissive,
    (select pg_catalog.string_agg(case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r)::text end, ',' order by
       case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r)::text end) from pg_catalog.unnest(p.polroles) r),
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), '/', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  from rel join pg_catalog.pg_policy p on p.polrelid = rel.oid
  union all
  select 'type', typ.name, pg_catalog.concat_ws('|', typ.typtype::text,
    (select pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ',' order by e.enumsortorder)
     from pg_catalog.pg_enum e where e.enumtypid = typ.oid),
    case when typ.typtype = 'd' then pg_catalog.format_type(typ.typbasetype, typ.typtypmod) end, typ.typnotnull, typ.typdefault,
    case when typ.typtype = 'd' then typ.typcollation::pg_catalog.regcollation::text end,
    (select pg_catalog.concat_ws(' ', r.rngsubtype::pg_catalog.regtype, r.rngcollation::pg_catalog.regcollation, o.opcname, r.rngcanonical, r.rngsubdiff)
     from pg_catalog.pg_range r join pg_catalog.pg_opclass o on o.oid = r.rngsubopc where r.rngtypid = typ.oid),
    case when typ.typtype = 'b' then pg_catalog.concat_ws(' ', typ.typinput, typ.typoutput, typ.typlen, typ.typalign) end)
  from typ
  union all
  select 'function', fn.name, case when fn.prokind = 'a' then
    (select pg_catalog.concat_ws('|', pg_catalog.format_type(fn.prorettype, null), a.aggkind::text, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn,
       a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggsortop,
       a.aggtranstype::pg_catalog.regtype, a.agginitval, a.aggminitval, fn.proparallel::text)
     from pg_catalog.pg_aggregate a where a.aggfnoid = fn.oid)
    else pg_catalog.pg_get_functiondef(fn.oid) end
  from fn
  union all
  select 'operator', pg_catalog.format('%I.%s(%s,%s)', ns.nspname, o.oprname, pg_catalog.format_type(o.oprleft, null), pg_catalog.format_type(o.oprright, null)),
    pg_catalog.concat_ws('|', o.oprcode, o.oprcom::pg_catalog.regoper, o.oprnegate::pg_catalog.regoper, o.oprrest, o.oprjoin, o.oprcanmerge, o.oprcanhash)
  from pg_catalog.pg_operator o join ns on ns.oid = o.oprnamespace
  where not exists (select from member m where m.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass and m.objid = o.oid)
  union all
  select 'cast', pg_catalog.format('%s as %s', pg_catalog.format_type(k.castsource, null), pg_catalog.format_type(k.casttarget, null)),
    pg_catalog.concat_ws('|', nullif(k.castfunc, 0)::pg_catalog.regprocedure, k.castcontext::text, k.castmethod::text)
  from pg_catalog.pg_cast k where k.oid >= 16384
    and not exists (select from member m where m.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass and m.objid = k.oid)
  union all
  select 'collation', pg_catalog.format('%I.%I', ns.nspname, c.collname), pg_catalog.concat_ws('|', c.collprovider::text, c.collisdeterministic,
    c.collencoding, c.collcollate, c.collctype, pg_catalog.to_jsonb(c) ->> 'colliculocale', pg_catalog.to_jsonb(c) ->> 'colllocale')
  from pg_catalog.pg_collation c join ns on ns.oid = c.collnamespace
  where not exists (select from member m where m.classid = 'pg_catalog.pg_collation'::pg_catalog.regclass and m.objid = c.oid)
  union all
  select 'statistics', pg_catalog.format('%I.%I', ns.nspname, s.stxname),
    pg_catalog.concat_ws('|', pg_catalog.pg_get_statisticsobjdef(s.oid), nullif(s.stxstattarget, -1))
  from pg_catalog.pg_statistic_ext s join ns on ns.oid = s.stxnamespace
  union all
  select 'event trigger', e.evtname::text, pg_catalog.concat_ws('|', e.evtevent, e.evtfoid::pg_catalog.regprocedure, e.evtenabled::text, e.evttags::text)
  from pg_catalog.pg_event_trigger e
  where not exists (select from member m where m.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass and m.objid = e.oid)
  union all
  select 'text search', pg_catalog.format('%I.%I', ns.nspname, c.cfgname), pg_catalog.concat_ws('|', p.prsname,
    (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', m.maptokentype, m.mapseqno, m.mapdict::pg_catalog.regdictionary), ',' order by m.maptokentype, m.mapseqno)
     from pg_catalog.pg_ts_config_map m where m.mapcfg = c.oid))
  from pg_catalog.pg_ts_config c join ns on ns.oid = c.cfgnamespace join pg_catalog.pg_ts_parser p on p.oid = c.cfgparser
  union all
  select 'text search', pg_catalog.format('%I.%I', ns.nspname, d.dictname), d.dictinitoption
  from pg_catalog.pg_ts_dict d join ns on ns.oid = d.dictnamespace
  where not exists (select from member m where m.classid = 'pg_catalog.pg_ts_dict'::pg_catalog.regclass and m.objid = d.oid)
  union all
  select 'foreign server', s.srvname::text, pg_catalog.concat_ws('|', w.fdwname, s.srvtype, s.srvversion, s.srvoptions::text)
  from pg_catalog.pg_foreign_server s join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
  union all
  select 'publication', p.pubname::text, pg_catalog.concat_ws('|', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
    (select pg_catalog.string_agg(r.prrelid::pg_catalog.regclass::text, ',' order by r.prrelid::pg_catalog.regclass::text)
     from pg_catalog.pg_publication_rel r where r.prpubid = p.oid))
  from pg_catalog.pg_publication p
  union all
  select 'comment', o.type || ' ' || o.identity, d.description
  from pg_catalog.pg_description d, pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) o
  where (d.objoid >= 16384 or d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.objoid in (select oid from ns))
    and d.classoid <> 'pg_catalog.pg_largeobject'::pg_catalog.regclass
    and d.classoid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
    and (o.schema is null or o.schema in (select nspname from ns))
    and not exists (select from member m where m.classid = d.classoid and m.objid = d.objoid)
  union all
  select 'grant', g.kind || ' ' || g.name, pg_catalog.concat_ws(' ', coalesce(r.rolname::text, 'PUBLIC'), x.privilege_type, x.is_grantable)
  from (
    select 'relation', rel.name, rel.relowner, coalesce(rel.relacl, pg_catalog.acldefault(case rel.relkind when 'S' then 's' else 'r' end::"char", rel.relowner))
    from rel where rel.relkind <> 'c'
    union all
    select 'column', rel.name || '.' || a.attname, rel.relowner, a.attacl
    from rel join pg_catalog.pg_attribute a on a.attrelid = rel.oid and a.attacl is not null and not a.attisdropped
    union all
    select 'function', fn.name, fn.proowner, coalesce(fn.proacl, pg_catalog.acldefault('f', fn.proowner)) from fn
    union all
    select 'type', typ.name, typ.typowner, coalesce(typ.typacl, pg_catalog.acldefault('T', typ.typowner)) from typ
    union all
    select 'schema', ns.nspname::text, ns.nspowner, coalesce(ns.nspacl, pg_catalog.acldefault('n', ns.nspowner)) from ns
  ) g(kind, name, owner, acl), pg_catalog.aclexplode(g.acl) x left join pg_catalog.pg_roles r on r.oid = x.grantee
  where x.grantee <> g.owner
  union all
  select 'default grant', pg_catalog.concat_ws(' ', n.nspname, d.defaclobjtype::text), pg_catalog.concat_ws(' ', coalesce(r.rolname::text, 'PUBLIC'), x.privilege_type, x.is_grantable)
  from pg_catalog.pg_default_acl d left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace,
    pg_catalog.aclexplode(d.defaclacl) x left join pg_catalog.pg_roles r on r.oid = x.grantee
  where x.grantee <> d.defaclrole
)
select pg_catalog.encode(pg_catalog.sha256(coalesce(pg_catalog.string_agg(hash, '' order by hash), '')::bytea), 'hex')
from (select pg_catalog.md5(pg_catalog.concat_ws(E'\n', kind, name, body)) collate "C" as hash from line) hashed
