-- Reads, one a line: none may be refused. Some need an extension or a later release.
select to_tsvector('english', name) @@ plainto_tsquery('english','user') from public.users limit 2
select ts_rank(to_tsvector('simple','a b c'), to_tsquery('simple','a & b')), ts_headline('the quick brown fox', to_tsquery('fox'))
select websearch_to_tsquery('english', '"quick fox" -dog'), phraseto_tsquery('quick fox')
select * from ts_debug('english', 'The quick foxes')
select * from ts_parse('default', 'foo 12 bar')
select ts_lexize('english_stem','stars')
select setweight(to_tsvector('a b'),'A') || to_tsvector('c'), strip(to_tsvector('a b')), numnode(to_tsquery('a & b')), querytree(to_tsquery('a'))
select * from unnest(to_tsvector('a b c'))
select ts_filter('a:1A b:2B'::tsvector, '{a}')
select int4range(1,5) * int4range(3,8), int4range(1,5) && int4range(3,8), upper(int4range(1,5)), range_merge(int4range(1,2), int4range(5,6))
select '{[1,3),[5,8)}'::int4multirange @> 2, unnest('{[1,3),[5,8)}'::int4multirange)
select range_agg(int4range(i,i+1)) from generate_series(1,3) i
select tsrange(now()::timestamp, now()::timestamp + interval '1 day', '[)')
select regexp_matches('foobarbaz','b..','g'), regexp_replace('abc','b','x'), regexp_split_to_array('a,b,c',','), substring('foobar' from 'o(.)b')
select * from regexp_split_to_table('a b c','\s')
select substring('foobar' similar '%#"o_b#"%' escape '#'), overlay('abcdef' placing 'zz' from 2 for 2), position('b' in 'abc'), trim(both 'x' from 'xxaxx')
select now() at time zone 'UTC', timezone('Europe/Berlin', now()), '2026-01-01'::timestamp at time zone 'America/New_York'
select date_bin('15 minutes', now(), '2020-01-01'), age(now(), '2020-01-01'), justify_hours('36 hours'), make_timestamptz(2026,1,2,3,4,5,'UTC'), isfinite(now())
select to_char(now(),'YYYY-MM-DD'), to_timestamp(0), to_date('20260101','YYYYMMDD'), to_number('12,454.8-','99G999D9S')
select current_date, current_time, localtime, localtimestamp, current_timestamp(3), current_user, session_user, current_catalog, current_schema, user, current_role
select now() - interval '1' day * 3, interval '1-2' year to month, extract(isodow from current_date), date_part('week', now())
select (date '2026-01-01', date '2026-02-01') overlaps (date '2026-01-15', date '2026-03-01')
with recursive t(n) as (values (1) union all select n+1 from t where n<100) select sum(n) from t
with recursive t(id,path) as (select 1, array[1] union all select id+1, path||id+1 from t where id<5) search depth first by id set ord select * from t
with recursive g(f,t) as (values(1,2),(2,3),(3,1)), s(f,t) as (select f,t from g where f=1 union all select g.f,g.t from g join s on s.t=g.f) cycle f,t set is_cycle using path select * from s
with a as materialized (select 1 x), b as not materialized (select 2 y) select * from a,b
select u.id, x.total from public.users u cross join lateral (select sum(total) total from public.orders o where o.user_id=u.id) x limit 3
select u.id, o.* from public.users u left join lateral (select * from public.orders o where o.user_id=u.id order by placed_at desc limit 1) o on true limit 3
select status, date_trunc('day',placed_at), count(*) from public.orders group by grouping sets ((status),(date_trunc('day',placed_at)),()) limit 5
select status, user_id, sum(total), grouping(status,user_id) from public.orders group by rollup(status,user_id) limit 5
select status, user_id, count(*) from public.orders group by cube(status,user_id) having count(*) > 1 limit 5
select status, count(*) from public.orders group by distinct rollup(status), status
select id, sum(total) over (order by placed_at rows between unbounded preceding and current row exclude current row) from public.orders limit 3
select id, avg(total) over (order by placed_at range between interval '1 day' preceding and current row) from public.orders limit 3
select id, first_value(total) over w, nth_value(total,2) over w, ntile(4) over w, percent_rank() over w, cume_dist() over w, dense_rank() over w from public.orders window w as (partition by status order by id groups between 1 preceding and 1 following) limit 3
select percentile_cont(array[0.25,0.5]) within group (order by total), percentile_disc(0.5) within group (order by total), rank(10) within group (order by total) from public.orders
select array_agg(id order by id desc) filter (where id<5), string_agg(distinct status, ',' order by status), bool_and(total>0), every(true), bit_or(id::int), json_agg(id), jsonb_object_agg(id,status) from public.orders where id<10
select * from public.orders tablesample bernoulli(10) repeatable (42) limit 3
select count(*) from public.orders tablesample system(50)
select jsonb_path_query(profile,'$.items[*] ? (@ > 1)') from public.users limit 3
select jsonb_path_exists(profile,'$.plan'), profile @? '$.items', profile @@ '$.n > 1', jsonb_path_query_array(profile,'$.items'), jsonb_path_query_first(profile,'$.n') from public.users limit 1
select jsonb_array_elements(profile->'items'), jsonb_typeof(profile), jsonb_pretty(profile), jsonb_strip_nulls(profile) from public.users limit 2
select * from jsonb_each_text('{"a":1}'), jsonb_object_keys('{"b":1}')
select * from jsonb_populate_record(null::public.orders, '{"id":1,"status":"x"}')
select * from jsonb_populate_recordset(null::public.orders, '[{"id":1,"status":"x"}]')
select * from json_to_record('{"a":1,"b":"x"}') as x(a int, b text)
select json_build_object('a',1,'b',json_build_array(1,2)), row_to_json(u), to_jsonb(u) from public.users u limit 1
select profile || '{"x":1}', profile - 'plan', profile #- '{items,0}', profile @> '{"plan":"pro"}', profile ?| array['a'], profile ?& array['plan'] from public.users limit 1
select profile['plan'] from public.users limit 1
select '{"a":1}'::jsonb is json, 'x' is not json
select json_object('{a,1}'), jsonb_insert('{"a":[0]}','{a,0}','1')
select * from xmltable('/r/i' passing ('<r><i n="1">a</i></r>'::xml) columns n int path '@n', v text path '.')
select xmlelement(name a, xmlattributes('x' as b), 'c'), xmlforest(1 as a), xmlagg(xmlelement(name z)), xmlconcat('<a/>','<b/>'), xmlpi(name php), xmlcomment('x')
select xml_is_well_formed('<a/>'), xpath('/a','<a/>'::xml), xmlexists('//a' passing by value '<a/>')
select generate_series(1,3), generate_series(1,2)
select * from generate_series(1,10,3) with ordinality as t(v,n)
select * from rows from (generate_series(1,3), unnest(array['a','b'])) as t(a,b)
select * from unnest(array[1,2],array['a','b']) with ordinality
select array[[1,2],[3,4]], array_position(array[1,2],2), array_remove(array[1,2],1), array_to_string(array[1,2],','), cardinality(array[1]), array_dims(array[1]), array_fill(0,array[2]), trim_array(array[1,2,3],1), string_to_table('a,b',',')
select array(select id from public.users where id<4), (array[1,2,3])[2:], array[1] || array[2] <@ array[1,2]
select id from public.users where id in (select user_id from public.orders) and exists (select from public.orders o where o.user_id=users.id) limit 2
select distinct on (status) status, id from public.orders order by status, placed_at desc
select * from public.users order by created_at desc nulls last, id using > limit 2 offset 1
select * from public.orders order by total desc fetch first 3 rows with ties
select case when total>10 then 'a' when total is null then 'b' else 'c' end, nullif(status,'x'), coalesce(note,''), greatest(1,2), least(1,2) from public.orders limit 1
select total between symmetric 10 and 1, status is distinct from 'x', (id,total) > (1,2), row(1,2) is not null, id is not null from public.orders limit 1
select cast('1' as int), '1'::numeric(10,2), int '5', bit '101', b'11' & b'10', x'1F', U&'d\0061t\+000061'
select md5('x'), sha256('x'::bytea), encode('x'::bytea,'base64'), decode('eA==','base64'), convert_to('x','UTF8'), quote_literal('x'), quote_ident('x'), format('%I %L %s','a','b','c'), chr(65), ascii('A'), repeat('x',3), lpad('x',3), initcap('abc'), translate('abc','a','b'), starts_with('abc','a'), unistr('\0061')
select encode(sha512('x'),'hex'), get_byte('x'::bytea,0), set_bit('x'::bytea,0,1), bit_count('x'::bytea), crc32('x')
select width_bucket(5,0,10,5), gcd(4,6), lcm(4,6), factorial(5), trunc(1.5), round(1.555,2), mod(5,3), power(2,3), sqrt(4), log(10), ln(1), sin(1), atan2(1,2), degrees(1), pi(), sign(-1), div(7,2), cbrt(8), scale(1.10), min_scale(1.10), trim_scale(1.10)
select inet '10.0.0.1/8' << inet '10.0.0.0/8', host(inet '10.0.0.1'), network('10.0.0.1/8'), masklen('10.0.0.1/8'), set_masklen('10.0.0.1/8'::inet,16), macaddr '08:00:2b:01:02:03', inet_merge('10.0.0.1','10.0.0.2'), abbrev(inet '10.0.0.1')
select point(1,2) <-> point(3,4), box '((0,0),(1,1))' @> point '(0.5,0.5)', area(circle '((0,0),1)'), center(box '((0,0),(1,1))'), path '((0,0),(1,1))', polygon '((0,0),(1,1),(2,0))', lseg '((0,0),(1,1))' ?# lseg '((0,1),(1,0))'
select p, b, r, tsr, v, ip from public.geo
select pg_typeof(1), pg_column_size('x'::text), pg_get_viewdef('public.canary_v'::regclass, true), pg_get_indexdef(indexrelid), pg_get_expr(indpred, indrelid) from pg_index limit 1
select pg_get_functiondef('public.user_total(bigint)'::regprocedure), pg_get_function_arguments('public.user_total(bigint)'::regprocedure), pg_get_function_result('public.user_total(bigint)'::regprocedure), pg_get_function_identity_arguments('public.user_total(bigint)'::regprocedure)
select pg_get_triggerdef(oid) from pg_trigger limit 1
select pg_get_ruledef(oid) from pg_rewrite limit 1
select pg_get_serial_sequence('public.canary_log','id'), pg_sequence_last_value('public.canary_seq'), pg_get_userbyid(10), pg_encoding_to_char(6), pg_describe_object('pg_class'::regclass,'public.users'::regclass,0)
select to_regclass('public.users'), to_regtype('int'), to_regproc('now'), to_regnamespace('public'), to_regrole('postgres'), 'public.users'::regclass::oid
select has_table_privilege('public.users','select'), has_schema_privilege('public','create'), has_database_privilege(current_database(),'connect'), has_column_privilege('public.users','name','select'), has_function_privilege('now()','execute'), pg_has_role('postgres','member'), row_security_active('public.rls_t')
select * from pg_stat_activity where state='active'
select * from pg_stat_user_tables limit 2
select * from pg_statio_user_tables limit 2
select * from pg_stat_user_indexes limit 2
select * from pg_stat_database limit 2
select * from pg_stat_bgwriter
select * from pg_stat_replication
select * from pg_stat_ssl limit 1
select * from pg_stat_progress_vacuum
select * from pg_stat_progress_create_index
select * from pg_stat_archiver
select * from pg_stat_wal
select * from pg_stat_slru
select * from pg_stat_wal_receiver
select * from pg_stat_subscription
select * from pg_stat_user_functions
select * from pg_stat_xact_user_tables limit 1
select * from pg_stat_gssapi limit 1
select * from pg_stat_database_conflicts limit 1
select * from pg_stat_replication_slots
select query, calls from pg_stat_statements limit 1
select * from pg_replication_slots
select * from pg_prepared_xacts
select * from pg_prepared_statements
select * from pg_cursors
select * from pg_timezone_names limit 2
select * from pg_timezone_abbrevs limit 2
select * from pg_available_extensions limit 2
select * from pg_available_extension_versions limit 2
select * from pg_extension
select * from pg_roles limit 1
select * from pg_user limit 1
select * from pg_group limit 1
select * from pg_tables limit 1
select * from pg_views limit 1
select * from pg_matviews
select * from pg_indexes limit 1
select * from pg_rules limit 1
select * from pg_seclabels limit 1
select * from pg_shmem_allocations limit 1
select * from pg_backend_memory_contexts limit 1
select * from pg_config limit 1
select * from pg_publication_tables
select * from pg_stats_ext
select * from pg_stats_ext_exprs
select * from pg_database limit 1
select * from pg_namespace
select * from pg_type limit 1
select * from pg_proc limit 1
select * from pg_operator limit 1
select * from pg_am
select * from pg_opclass limit 1
select * from pg_depend limit 1
select * from pg_description limit 1
select * from pg_enum
select * from pg_range
select * from pg_inherits
select * from pg_partitioned_table
select * from pg_statistic_ext
select * from pg_event_trigger
select * from pg_foreign_server
select * from pg_foreign_data_wrapper
select * from pg_collation limit 1
select * from pg_default_acl
select * from pg_db_role_setting
select * from pg_publication
select * from pg_language
select * from pg_cast limit 1
select * from pg_conversion limit 1
select * from pg_ts_config
select * from pg_tablespace
select * from pg_auth_members
select * from pg_init_privs limit 1
select * from pg_largeobject_metadata
select * from information_schema.columns where table_name='users'
select * from information_schema.tables limit 1
select * from information_schema.table_constraints limit 1
select * from information_schema.key_column_usage limit 1
select * from information_schema.referential_constraints limit 1
select * from information_schema.constraint_column_usage limit 1
select * from information_schema.routines limit 1
select * from information_schema.parameters limit 1
select * from information_schema.views limit 1
select * from information_schema.triggers limit 1
select * from information_schema.sequences limit 1
select * from information_schema.schemata limit 1
select * from information_schema.role_table_grants limit 1
select * from information_schema.table_privileges limit 1
select * from information_schema.check_constraints limit 1
select * from information_schema.domains limit 1
select * from information_schema.element_types limit 1
select * from information_schema.applicable_roles limit 1
select * from information_schema.foreign_tables limit 1
select * from information_schema.sql_features limit 1
select pg_table_size('public.users'), pg_indexes_size('public.users'), pg_database_size(current_database()), pg_tablespace_size('pg_default'), pg_size_pretty(1024::bigint), pg_size_bytes('1 GB'), pg_relation_filenode('public.users'), pg_relation_filepath('public.users'), pg_filenode_relation(0,1)
select pg_backend_pid(), pg_postmaster_start_time(), pg_conf_load_time(), version(), inet_server_addr(), inet_server_port(), inet_client_addr(), pg_is_in_recovery(), pg_my_temp_schema(), pg_is_other_temp_schema(0), current_schemas(true), pg_trigger_depth(), pg_jit_available(), pg_listening_channels()
select pg_current_wal_lsn(), pg_wal_lsn_diff(pg_current_wal_lsn(),'0/0'), pg_walfile_name(pg_current_wal_lsn()), pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()
select txid_current_if_assigned(), pg_current_xact_id_if_assigned(), pg_current_snapshot(), pg_snapshot_xmin(pg_current_snapshot()), txid_current_snapshot(), pg_visible_in_snapshot('1', pg_current_snapshot()), age(relfrozenxid), mxid_age(relminmxid) from pg_class limit 1
select pg_xact_status('3'), pg_notification_queue_usage(), pg_safe_snapshot_blocking_pids(pg_backend_pid()), pg_isolation_test_session_is_blocked(pg_backend_pid(), '{1}')
select * from pg_get_keywords() limit 1
select * from pg_options_to_table(array['a=b'])
select * from aclexplode((select relacl from pg_class where relacl is not null limit 1))
select * from pg_partition_tree('public.canary_part')
select pg_partition_root('public.canary_part_a'), pg_partition_ancestors('public.canary_part_a')
select * from pg_lock_status() limit 1
select * from pg_show_all_settings() limit 1
select * from pg_stat_get_activity(null) limit 1
select pg_stat_get_live_tuples('public.users'::regclass), pg_stat_get_numscans('public.users'::regclass), pg_stat_get_last_vacuum_time('public.users'::regclass), pg_stat_get_db_numbackends(oid) from pg_database limit 1
select pg_collation_for('x'), pg_collation_is_visible(100), pg_table_is_visible('public.users'::regclass), pg_type_is_visible(23), pg_function_is_visible(1)
select collation for ('x'), 'a' < 'b' collate "C", name collate "C" from public.users limit 1
select pg_char_to_encoding('UTF8'), pg_client_encoding(), getdatabaseencoding(), pg_get_statisticsobjdef(0), pg_index_column_has_property('public.users_pkey'::regclass,1,'asc'), pg_indexam_has_property(403,'can_order'), pg_index_has_property('public.users_pkey'::regclass,'clusterable')
select amname, amvalidate(c.oid) from pg_opclass c, pg_am a limit 1
select * from pg_control_checkpoint()
select * from pg_control_system()
select setting from pg_settings where name='shared_buffers'
select current_setting('app.tenant', true)
show server_version
show all
show transaction_isolation
show transaction isolation level
show session authorization
show timezone
table public.users
table only public.users
select * from only public.canary_part
select * from public.canary_part*
select users from public.users limit 1
select (u).name, (u.*)::text from public.users u limit 1
select u.name from public.users as u(a,b) where false
select "order", "update" from public.users limit 1
select * from public."drop"
select user_id, public.user_total(user_id) from public.orders limit 1
select h->'a', hstore('a','1') || 'b=>2', hstore_to_json(h), akeys(h), each(h), h @> 'a=>1' from public.geo
select path ~ 'top.*', subpath(path,0,1), nlevel(path), lca(path,path), path @> 'top.sci.x' from public.geo
select similarity('abc','abd'), show_trgm('abc'), word_similarity('a','abc'), 'abc' % 'abd', 'abc' <-> 'abd', show_limit()
select arr + 5, icount(arr), sort(arr), idx(arr,2), arr & '{1}', uniq(arr), query_int '1&2' ~~ arr from public.geo
select digest('x','sha256'), encode(hmac('a','b','sha1'),'hex'), crypt('a', gen_salt('bf',4)), armor('x'), gen_random_bytes(4), pgp_sym_encrypt('x','k')
select levenshtein('a','b'), soundex('x'), metaphone('x',4), difference('a','b'), dmetaphone('x')
select unaccent('é')
select uuid_generate_v4(), uuid_nil()
select cube(array[1,2]), cube_distance('(1)','(2)')
select earth_distance(ll_to_earth(1,2), ll_to_earth(3,4))
select 'a'::citext = 'A'::citext
select normal_rand(3, 0, 1)
select isbn('978-0-393-04002-9'), seg '1 .. 2'
select * from pg_buffercache limit 1
select * from pg_buffercache_summary()
select * from pgstattuple('public.users')
select * from pgstatindex('public.users_pkey')
select * from pg_freespace('public.users')
select * from pg_visibility_map('public.users')
select * from pgrowlocks('public.users')
select bt_index_check('public.users_pkey')
select * from verify_heapam('public.users')
select * from public.orders tablesample system_rows(10)
select * from public.orders tablesample system_time(10)
explain (analyze, costs off, timing off, summary off) select * from public.users where id=1
explain (analyze, buffers, wal, verbose, settings) select count(*) from public.orders
explain (format yaml) select 1
explain (format xml, analyze) select 1
explain (analyze, serialize text, memory) select 1
explain merge into public.users u using public.orders o on u.id=o.user_id when matched then update set name='x'
explain with d as (delete from public.canary returning *) select * from d
explain insert into public.users(id) select 1 on conflict do nothing
explain (costs off) update public.users set name='x' where id=1 returning *
explain create table x as select 1
explain verbose select * from public.users u join public.orders o on o.user_id=u.id where o.total>10
explain select * from public.canary for update
explain table public.users
explain values (1)
explain analyze values (1)
explain analyze table public.users
select 1 where 1=1 and not false or null is null
select all id from public.users limit 1
select count(*), count(distinct status), sum(total) filter (where total>5) from public.orders
select id, status, lag(total,1,0::numeric) over (partition by status order by id), lead(total) over (partition by status order by id) from public.orders limit 2
select o.id, u.name from public.orders o natural join (select id as user_id, name from public.users) u limit 1
select * from public.users u full join public.orders o using (id) limit 1
select * from public.users join public.orders using (id) as j limit 1
select * from (select 1) x
select * from (public.users u join public.orders o on o.user_id=u.id) limit 1
select x.* from (values (1,'a'),(2,'b')) x(id,t) where x.t like 'a%' escape '!'
select * from public.users where name like all(array['User%','%1']) or name ilike any(array['x%'])
select id from public.users except all select user_id from public.orders
select 1 as "select", 2 "from"
select $$ dollar; drop table x $$, $tag$ it's $tag$
select E'\n\t', 'a'
select 0x1F, 0b101, 0o17, 1_000
select gen_random_uuid(), clock_timestamp(), statement_timestamp(), transaction_timestamp(), timeofday()
select random(1,10)
select uuidv7(), uuidv4(), uuid_extract_version(gen_random_uuid())
select any_value(name) from public.users
select array_sample(array[1,2,3],2), array_shuffle(array[1,2])
select * from json_table('[{"a":1},{"a":2}]', '$[*]' columns (id for ordinality, a int path '$.a', nested path '$.b' columns (c text path '$')))
select json_value('{"a":1}','$.a' returning int), json_query('{"a":[1]}','$.a' with wrapper), json_exists('{"a":1}','$.a'), json_scalar(1), json('{}'), json_serialize('{}')
select json_object('a': 1, 'b': null absent on null), json_array(1,2,3), json_arrayagg(i order by i), json_objectagg(i: i) from generate_series(1,2) i
select merge_action is null from (select null as merge_action) x
select jsonb_path_query('"2026-01-01"','$.datetime()'), jsonb_path_query_tz('"2026-01-01"','$.datetime().type()')
select normalize('x'), 'x' is normalized, 'x' is nfc normalized
select pg_get_acl('pg_class'::regclass,'public.users'::regclass,0)
select unnest(array[1,2,3]) except select 1 order by 1
select id from public.users where (name, email) in (values ('User 1','u1@ex.org'))
select string_to_array('a,b',','), concat_ws('-','a','b'), left('abc',2), right('abc',2), reverse('abc'), split_part('a-b','-',2), strpos('abc','b'), substr('abc',2), length('abc'), octet_length('abc'), char_length('abc'), bit_length('a'), upper('a'), lower('A'), btrim(' x '), to_hex(255), to_ascii('a')
select public.users.name from public.users limit 1
select enum_first(null::public.canary_enum), enum_last(null::public.canary_enum), 'a'::public.canary_enum < 'b'
select lo_get(424242), lo_get(424242, 0, 5)
select loid, pageno, length(data) from pg_largeobject limit 1
select tableoid::regclass, ctid, xmin, xmax, cmin, cmax from public.users limit 1
select * from public.users where ctid = '(0,1)'
select min(ctid), max(xmin::text) from public.users
select pg_stat_get_backend_idset() limit 1
select * from pg_stat_io limit 1
select * from pg_wait_events limit 1
select * from pg_aios
select currval('public.canary_seq')
select last_value, is_called from public.canary_seq
select overlay(name placing 'x' from 1) from public.users limit 1
select format('%s', row(1,2)), row(1,'a')::text, (row(1,'a')).f1
select * from pg_get_publication_tables('x')
select date_trunc('day', now(), 'UTC'), date_add(now(), '1 day'), date_subtract(now(), '1 day','UTC')
select * from generate_series(now(), now()+interval '2 day', interval '1 day', 'UTC')
select ordinality from unnest(array[1]) with ordinality
select count(*) from public.orders where placed_at > now() - interval '7 days' group by ()
select extract(epoch from placed_at)::bigint / 3600 as hour, count(*) from public.orders group by 1 order by 2 desc
select coalesce(sum(total),0)::money, 12.5::money * 2 from public.orders
select xmlparse(content 'x'), xmlroot('<a/>'::xml, version '1.0'), xmlserialize(content '<a/>'::xml as text)
select pg_input_is_valid('12','integer'), pg_input_is_valid('x', 'timestamp with time zone'), pg_input_is_valid('{1,x}', 'int[]')
select * from pg_input_error_info('42000000000', 'numeric(3,1)'::text)
select name from public.users where not pg_input_is_valid(name, 'date')
select word, ndoc from ts_stat('select to_tsvector(name) from public.users') order by nentry desc limit 5
select * from ts_stat($$select to_tsvector('simple', name) from public.users where id > 0$$, 'ab')
select ts_rewrite('a & b'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')
select table_to_xml('public.users', true, false, ''), table_to_xmlschema('public.orders'::regclass, true, false, '')
select query_to_xml('select count(*) from public.users', false, true, '')
select pg_stat_clear_snapshot(), pg_stat_get_snapshot_timestamp()
