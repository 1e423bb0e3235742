"""A database with canaries in it, and a query that shows whether anything happened to them."""

import psycopg
import pytest

from tests.conftest import CORPORA

CANARIES = """
select jsonb_build_object(
  'canary', (select md5(string_agg(c.ctid::text || c.xmax::text || c::text, ',' order by id)) from public.canary c),
  'log', (select count(*) from public.canary_log), 'sequence', (select last_value::text from public.canary_seq),
  'relations', (select md5(string_agg(
      concat_ws('/', oid, relname, relfilenode, relacl, relrowsecurity), ',' order by oid))
    from pg_class where relnamespace = 'public'::regnamespace),
  'functions', (select count(*) from pg_proc), 'types', (select count(*) from pg_type),
  'schemas', (select count(*) from pg_namespace where nspname !~ '^pg_'),
  'extensions', (select count(*) from pg_extension),
  'roles', (select md5(string_agg(a::text, ',' order by oid)) from pg_authid a),
  'objects', (select md5(string_agg(md5(data), ',' order by loid, pageno)) from pg_largeobject),
  'owners', (select count(*) from pg_largeobject_metadata), 'prepared', (select count(*) from pg_prepared_xacts),
  'slots', (select count(*) from pg_replication_slots), 'origins', (select count(*) from pg_replication_origin),
  'loaded', pg_conf_load_time(), 'wal', pg_walfile_name(pg_current_wal_insert_lsn()),
  'databases', (select count(*) from pg_database),
  'reset', (select stats_reset from pg_stat_database where datname = current_database()),
  'settings', (select md5(string_agg(s::text, ',' order by setdatabase, setrole)) from pg_db_role_setting s)
)::text
"""


@pytest.fixture
def canary_url(postgres_admin_url: str) -> str:
    """A database with the canaries in it; what this server has no extension for is left out."""
    from postgast import split

    script = (CORPORA / "canary_setup.sql").read_text()
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        for statement in split(script):
            try:
                admin.execute(statement.encode())
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile, psycopg.errors.UndefinedObject):
                admin.execute(b"select 1")
        admin.execute(b"create table if not exists public.geo(id int)")
        admin.execute(b"grant all on all tables in schema public to backend")
        admin.execute(b"grant all on all sequences in schema public to backend")
    return postgres_admin_url
