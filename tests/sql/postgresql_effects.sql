-- Statements that do more than read, or read what nobody may, one a line: all must be refused.
copy public.canary to stdout
copy (select 1) to stdout
copy public.canary from stdin
do $$begin perform 1; end$$
call public.p_write()
call public.p_commit()
execute pwn_stmt
prepare x as select 1
deallocate all
declare c cursor for select 1
fetch all from c
close all
listen pwn_chan
notify pwn_chan, 'x'
unlisten *
lock table public.canary
vacuum public.canary
analyze public.canary
discard all
load 'auto_explain'
security label on table public.canary is 'x'
comment on table public.canary is 'x'
import foreign schema x from server y into public
reassign owned by postgres to backend
drop owned by backend
set role postgres
set local work_mem='1GB'
set transaction read write
savepoint a
release savepoint a
rollback to savepoint a
prepare transaction 'x'
commit prepared 'x'
rollback prepared 'x'
start transaction read write
begin; select 1
end
alter system set work_mem='1MB'
alter database postgres set work_mem='1MB'
create table pwn as select 1
create temp table pwn(x int)
create view pwn as select 1
create materialized view pwn as select 1
create index on public.canary(n)
create trigger t before insert on public.canary execute function public.trg()
create rule r as on select to public.canary do instead select 1
create type pwn as enum('a')
create domain pwn as int check (public.sd_write('x')=1)
create sequence pwn
create publication pwn for all tables
create subscription pwn connection 'host=x' publication p
create server s foreign data wrapper postgres_fdw
create user mapping for public server s
create foreign table f(x int) server s
create event trigger e on ddl_command_start execute function public.trg()
create statistics pwn on id, n from public.canary
create policy pwn on public.canary
create operator public.+++ (leftarg=int, rightarg=int, function=int4pl)
create aggregate public.pwn(int)(sfunc=int4pl, stype=int)
create cast (int as text) with inout
create collation pwn from "C"
create conversion pwn for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1
create database pwn
create tablespace pwn location '/tmp'
create access method pwn type index handler bthandler
create text search dictionary pwn (template=simple)
create language plpython3u
merge into public.canary c using (select 1 id) s on c.id=s.id when matched then update set n=1
with m as (merge into public.canary c using (select 1 id) s on c.id=s.id when matched then update set n=1 returning *) select * from m
with u as (update public.canary set n=n+1 returning *) select * from u
with i as (insert into public.canary_log(what) values('x') returning *) select * from i
select * from (with d as (delete from public.canary returning *) select * from d) x
select exists(with d as (delete from public.canary returning *) select 1 from d)
select 1 into public.pwn
select * into temp pwn from public.canary
select id into table public.pwn from public.canary union select 1
(select 1 into public.pwn)
with x as (select 1) select * into public.pwn from x
select * from public.canary for update nowait
select * from public.canary for no key update
select * from public.canary for share skip locked
select * from public.canary for key share
select * from (select * from public.canary for update) x
with x as (select * from public.canary for share) select * from x
values (1) for update
select public.sd_write('x')
select * from public.canary order by public.sd_write(secret)
select 1 from public.canary group by public.sd_write('x')
select 1 from public.canary having public.sd_write('x')=1
select * from public.canary limit public.sd_write('x')
select * from public.canary offset (select public.sd_write('x'))
select case when public.sd_write('x')=1 then 1 end
select coalesce(null, public.sd_write('x'))
select array[public.sd_write('x')]
select sum(public.sd_write('x')) from public.canary
select sum(n) over (partition by public.sd_write('x')) from public.canary
select sum(n) over w from public.canary window w as (order by public.sd_write('x'))
select * from public.canary join public.orders on public.sd_write('x')=1
select * from public.canary tablesample bernoulli(public.sd_write('x'))
select * from public.canary tablesample bernoulli(1) repeatable (public.sd_write('x'))
select * from public.canary c, lateral public.sd_write(c.secret)
select * from generate_series(1, public.sd_write('x'))
select * from xmltable('/a' passing (public.sd_write('x')::text)::xml columns a int)
select * from json_table(public.sd_write('x')::text::jsonb, '$' columns (a int path '$'))
select json_object('a': public.sd_write('x'))
select json_array(public.sd_write('x'))
select json_query(jsonb '{}', '$.a' default public.sd_write('x')::text::jsonb on empty)
select json_value(jsonb '{}', '$.a' returning int default public.sd_write('x') on empty)
select json_value(jsonb '{"a":1}', '$.a ? (@ > $x)' passing public.sd_write('x') as x)
select xmlelement(name a, public.sd_write('x'))
select (select array(select public.sd_write('x')))
select ('x'::text).sd_write
select (c.secret).sd_write from public.canary c
select 1 operator(public.|>>>|) 2
select 1 |>>>| 2
select * from public.canary where id |>>>| 2 = 1
select 1 from public.canary order by id using operator(public.|>>>|)
select 1 |>>>| any(array[1])
select (1,2) operator(public.|>>>|) (1,2)
select 'x'::text::public.ct
select cast('x'::text as public.ct)
select public.ct(text 'x')
select public.bad_sum(id) from public.canary
select public.bad_sum(id) over () from public.canary
select public.bad_sum(distinct id) filter (where true) from public.canary
select * from public.trap_view
table public.trap_view
select w from (select * from public.trap_view) x
select exists(select * from public.trap_view where w=1)
select public.dyn('select 1')
select public.liar_stable()
select public.plain_write() from generate_series(1,3)
select nextval('canary_seq'::regclass)
select setval('canary_seq', 1, false)
select pg_sequence_last_value('canary_seq'), nextval('canary_seq')
select lo_creat(-1)
select lo_create(0)
select lo_open(424242, 131072)
select lo_unlink(424242)
select lo_put(424242, 0, 'x')
select lo_truncate(0,0)
select lowrite(0,'x')
select lo_import('/etc/passwd')
select lo_export(424242,'/tmp/x')
select loread(lo_open(424242,262144),10)
select pg_read_file('/etc/passwd')
select pg_read_binary_file('PG_VERSION')
select pg_stat_file('PG_VERSION')
select pg_ls_dir('.')
select * from pg_ls_logdir()
select * from pg_ls_tmpdir()
select * from pg_ls_archive_statusdir()
select pg_ls_waldir()
select pg_current_logfile()
select pg_read_file(name) from (values('PG_VERSION')) x(name)
select * from pg_read_file('/etc/passwd') with ordinality
select (pg_stat_file('PG_VERSION')).size
select ('/etc/passwd'::text).pg_read_file
select pg_advisory_lock(1)
select pg_try_advisory_lock(1,2)
select pg_advisory_xact_lock(1)
select pg_advisory_lock_shared(1)
select pg_advisory_unlock_all()
select pg_try_advisory_xact_lock_shared(5)
select set_config('search_path','x',true)
select set_config('work_mem','1GB',false)
select current_setting('work_mem'), set_config('work_mem','1GB',true)
update pg_settings set setting='1GB' where name='work_mem'
select pg_notify('pwn_chan','x')
select pg_terminate_backend(pid) from pg_stat_activity
select pg_cancel_backend(pid) from pg_stat_activity
select pg_terminate_backend(1, 100)
select pg_log_backend_memory_contexts(1)
select pg_reload_conf()
select pg_rotate_logfile()
select pg_promote()
select pg_wal_replay_pause()
select pg_wal_replay_resume()
select pg_create_restore_point('x')
select pg_switch_wal()
select pg_backup_start('x')
select pg_start_backup('x')
select pg_backup_stop()
select pg_export_snapshot()
select pg_create_logical_replication_slot('s','pgoutput')
select pg_drop_replication_slot('s')
select pg_replication_slot_advance('s','0/1')
select pg_logical_slot_get_changes('s',null,null)
select pg_logical_slot_peek_changes('s',null,null)
select pg_replication_origin_create('x')
select pg_replication_origin_session_setup('x')
select pg_sync_replication_slots()
select pg_logical_emit_message(true,'a','b')
select pg_stat_reset_single_table_counters('public.canary'::regclass)
select pg_stat_reset_slru('x')
select pg_stat_statements_reset()
select pg_stat_clear_snapshot()
select pg_stat_force_next_flush()
select pg_stat_reset_backend_stats(1)
select pg_restore_relation_stats('schemaname','public')
select pg_clear_relation_stats('public','canary')
select pg_restore_attribute_stats('a','b')
select pg_collation_actual_version(100), pg_import_system_collations('public')
select pg_extension_config_dump('public.canary','')
select pg_prewarm('public.canary')
select autoprewarm_start_worker()
select pg_buffercache_evict(1)
select pg_buffercache_evict_all()
select pg_truncate_visibility_map('public.canary')
select heap_force_kill('public.canary'::regclass, array['(0,1)']::tid[])
select brin_summarize_new_values('public.users_pkey')
select brin_desummarize_range('public.users_pkey',0)
select gin_clean_pending_list('public.users_pkey')
select setseed(0.5)
select pg_sleep(1)
select pg_sleep_for('1 s')
select (1.0::float8).pg_sleep
select pg_catalog."pg_sleep"(1)
select query_to_xml('delete from public.canary',true,true,'')
select query_to_xmlschema('select public.sd_write(''x'')',true,true,'')
select query_to_xml_and_xmlschema('select '||'1',true,true,'')
select query_to_xml(query => 'select 1', nulls => true, tableforest => true, targetns => '')
select query_to_xml('select 1; delete from public.canary',true,true,'')
select query_to_xml('select * from public.canary for update',true,true,'')
select table_to_xml('public.'||'canary',true,true,'')
select table_to_xml((select 'public.canary'::regclass),true,true,'')
select cursor_to_xml('c',1,true,true,'')
select table_to_xml('pg_authid',true,true,'')
select ts_stat('select public.sd_write(''x'')')
select * from ts_stat((select 'select null::tsvector'))
select * from ts_stat('select to_tsvector(public.sd_write(''x'')::text)'::text)
select * from ts_stat('select ts_stat(''select null::tsvector from pg_sleep(9)'')')
select * from ts_stat('with x as (delete from public.canary returning 1) select null::tsvector from x')
select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, (public.sd_write(''x'')::text)::tsquery')
select ts_rewrite('a'::tsquery, word) from (values ('select 1')) v(word)
select pg_input_is_valid('5', name) from (values ('int')) v(name)
select pg_input_is_valid('5', type => 'int')
select pg_input_is_valid('5', 'int), (1')
select pg_input_is_valid('5', 'int) as x, cast(null as int')
select * from dblink('dbname=x','select 1') as t(a int)
select dblink_connect('dbname=x')
select dblink_connect_u('dbname=x')
select dblink_send_query('x','y')
select dblink_get_connections()
select dblink_exec('x','y')
select dblink_fdw_validator(array['a'],1)
select * from crosstab2('select 1') 
select * from connectby('t','a','b','c',0) as t(a text)
select xpath_table('a','b','c','d','e')
select postgres_fdw_get_connections()
select postgres_fdw_disconnect_all()
select hypopg_create_index('create index on public.canary(n)')
select hypopg_reset()
select pg_file_write('x','y',false)
select pg_file_rename('x','y')
select pg_file_sync('x')
select pg_logdir_ls()
select usename, passwd from pg_shadow
select * from pg_authid
select rolpassword from pg_catalog.pg_authid
select a.rolpassword from pg_roles r join pg_authid a on a.oid=r.oid
select * from pg_hba_file_rules
select * from pg_hba_file_rules()
select * from pg_ident_file_mappings
select * from pg_file_settings
select pg_show_all_file_settings()
select * from pg_user_mappings
select * from pg_user_mapping
select subconninfo from pg_subscription
select * from information_schema.user_mapping_options
select row_to_json(a) from pg_authid a
select to_jsonb(s) from pg_shadow s
select a from pg_authid a
select count(rolpassword) from pg_authid
select (select rolpassword from pg_authid limit 1)
select get_raw_page('pg_authid',0)
select * from heap_page_items(get_raw_page('pg_authid',0))
show primary_conninfo
show ssl_passphrase_command
explain analyze insert into public.canary values(9,'x',1)
explain (analyze true) update public.canary set n=1
explain (analyze 1) delete from public.canary
explain (analyze, format json) merge into public.canary c using (select 1 id) s on c.id=s.id when matched then delete
explain analyze create table pwn as select 1
explain analyze select public.sd_write('x')
explain analyze with d as (delete from public.canary returning *) select * from d
explain analyze execute pwn_stmt
explain execute pwn_stmt
explain declare c cursor for select 1
explain analyze select * from public.canary for update
explain analyze create materialized view pwn as select 1
explain refresh materialized view public.canary_mv
explain (analyze false, analyze true) delete from public.canary
explain (analyze 'on') delete from public.canary
explain (analyze off, analyze) delete from public.canary
explain select nextval('canary_seq'); delete from public.canary
select 1; select public.sd_write('x')
select 1;; delete from public.canary
;delete from public.canary
select 1 /* ; */; drop table public.canary --
select $x$ $y$ $x$; delete from public.canary; select $y$ $y$
select U&'\0027; delete from public.canary'; delete from public.canary
select 1  ; delete from public.canary
delete from public.canary returning *
update only public.canary set n=1
insert into public.canary default values
insert into public.canary select * from public.canary on conflict do nothing
truncate only public.canary restart identity
drop table if exists public.canary
alter table public.canary rename to x
alter sequence public.canary_seq restart
alter role current_user password 'x'
grant postgres to backend
revoke all on public.canary from public
refresh materialized view concurrently public.canary_mv
select pg_catalog.set_config('transaction_read_only','off',true) from public.canary
select public.user_total(public.sd_write('x'))
select array_agg(x) from (select nextval('canary_seq') x) y
select 1 where (select public.plain_write()) = 1
select jsonb_populate_record(null::public.ct, '{"a":1}'), public.sd_write('x')
select * from jsonb_to_record('{}') as x(a int), public.sd_write('x')
select string_agg(public.dyn('delete from public.canary returning id'), ',')
select xmlagg(public.dyn('select 1')::xml)
select unnest(array(select public.sd_write('x')))
select 1 in (select public.sd_write('x'))
select 1 = any(select public.sd_write('x'))
select row(public.sd_write('x')) = row(1)
select not public.sd_write('x')=1
select (public.sd_write('x') is null) is true
select public.sd_write('x')::text collate "C"
select (array[1,2])[public.sd_write('x')]
select greatest(1, public.sd_write('x'))
select nullif(public.sd_write('x'),1)
select format('%s', public.sd_write('x'))
select extract(epoch from make_interval(secs => public.sd_write('x')))
select public.sd_write(t => 'x')
select public.sd_write(variadic 'x')
select distinct on (public.sd_write('x')) 1
select 1 union select public.sd_write('x')
select grouping(n) from public.canary group by rollup(n, public.sd_write('x'))
with recursive t as (select public.sd_write('x') x union all select x+1 from t where x<1) select * from t
with t as not materialized (select public.sd_write('x')) select 1
select overlay('a' placing public.sd_write('x')::text from 1)
select substring('a' from public.sd_write('x'))
select count(record_in('(1)', 'public.ct'::regtype, -1))
select count(array_in('{1}', 'public.ct'::regtype, -1))
select range_in('[1,2)', 'int4range'::regtype, -1)
select satisfies_hash_partition('public.canary_part'::regclass, 2, 0, 5)
select null::public.ct #= hstore('a', '1'), public.sd_write('x')
explain select public.liar_stable()
select pg_stop_making_pinned_objects()
select binary_upgrade_set_next_pg_type_oid(99999)
explain (serialize, analyze) update public.canary set n = 2
with a as materialized (delete from only public.canary where false returning 1) select 1
select txid_current()
select pg_current_xact_id()::text, 1
select * from pg_catalog.txid_current() x
