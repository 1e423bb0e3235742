"""How much the role of a connection could do, and the SQL that makes one which can only read.

With a hardened role and a rolled-back READ ONLY transaction, nothing depends on any analysis of the statement.
https://www.postgresql.org/docs/current/predefined-roles.html, …/sql-grant.html
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend.engines.pg.catalog import FIRST_USER_OID
from mcp_backend.engines.pg.wire import Reply, Step

DANGEROUS = (
    "^(lo_|lowrite$|loread$|pg_sleep|pg_notify$|pg_advisory_|pg_try_advisory_|pg_terminate_backend$|pg_cancel_backend$|"
    "query_to_xml|cursor_to_xml|table_to_xml|schema_to_xml|database_to_xml|ts_stat$|ts_rewrite$|set_config$|"
    "pg_export_snapshot$|setseed$|pg_logical_emit_message$|dblink|crosstab|connectby|xpath_table$|xslt_process$|"
    "hypopg_|pg_prewarm$)"
)
"""Functions that reading does not need: they run text as SQL, signal, lock, notify, or reach files and the network."""
SAFE_ANYWAY = "^(lo_get$|hypopg_list)"

_PREDEFINED = (
    "pg_write_all_data", "pg_write_server_files", "pg_read_server_files", "pg_execute_server_program",
    "pg_signal_backend", "pg_checkpoint", "pg_create_subscription", "pg_maintain", "pg_database_owner",
)  # fmt: skip

_REPORT = f"""
with me as (select * from pg_catalog.pg_roles where rolname = coalesce($1, current_user)),
tables as (
  select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'f', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
select pg_catalog.json_build_object(
  'name', rolname, 'superuser', rolsuper,
  'attributes', pg_catalog.array_remove(array[case when rolcreatedb then 'CREATEDB' end,
    case when rolcreaterole then 'CREATEROLE' end, case when rolreplication then 'REPLICATION' end,
    case when rolbypassrls then 'BYPASSRLS' end], null),
  'member', (select pg_catalog.json_agg(r.rolname) from pg_catalog.pg_roles r
    where r.rolname = any (array{list(_PREDEFINED)!r}::name[]) and pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')),
  'owned', (select pg_catalog.count(*) from pg_catalog.pg_class c join tables t on t.oid = c.oid
    where pg_catalog.pg_has_role(me.oid, c.relowner, 'USAGE')),
  'writable', (select pg_catalog.count(*) from tables t
    where pg_catalog.has_table_privilege(me.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')),
  'create', (select pg_catalog.count(*) from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_' and pg_catalog.has_schema_privilege(me.oid, n.oid, 'CREATE')),
  'functions', (select pg_catalog.count(*) from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where (p.proname ~ '{DANGEROUS}' and p.proname !~ '{SAFE_ANYWAY}' and (n.nspname = 'pg_catalog' or exists (
        select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        and d.objid = p.oid and d.deptype = 'e'))
      or p.oid >= {FIRST_USER_OID} and p.provolatile = 'v' and p.prokind in ('f', 'p')
        and pg_catalog.format_type(p.prorettype, null) not in ('trigger', 'event_trigger'))
      and pg_catalog.has_function_privilege(me.oid, p.oid, 'EXECUTE')),
  'read_only', case when rolname = current_user then pg_catalog.current_setting('default_transaction_read_only') = 'on'
    else 'default_transaction_read_only=on' = any (rolconfig) end)
from me"""


def report(role: str | None = None) -> Step:
    """The lookup that `read_report` reads, about a role or about the one of the connection."""
    return Step(_REPORT, (role,))


@dataclass(frozen=True, slots=True)
class Role:
    """The role of a connection, and what it could do besides reading, in words; nothing when it is hardened."""

    name: str
    faults: tuple[str, ...]

    @property
    def hardened(self) -> bool:
        """Whether it can only read, whatever it is told to run."""
        return not self.faults

    def __str__(self) -> str:
        return f"{self.name}: {'hardened' if self.hardened else '; '.join(self.faults)}"

    @property
    def brief(self) -> str:
        """The same for every answer: of what follows from owning relations only that."""
        owns = any(fault.startswith("owns ") for fault in self.faults)
        kept = [
            fault for fault in self.faults if not (owns and fault.startswith(("member of pg_database_owner", "may ")))
        ]
        return f"{self.name}: {'hardened' if self.hardened else '; '.join(kept)}"


def read_report(reply: Reply) -> Role:
    """The answer to `report`, about a role that exists."""
    found = cast("dict[str, Any]", json.loads(reply.rows[0][0] or "{}"))
    if found["superuser"]:
        return Role(found["name"], ("superuser",))
    faults = [*found["attributes"], *(f"member of {name}" for name in found["member"] or ())]
    if found["owned"]:
        faults.append(f"owns {found['owned']} relations")
    elif found["writable"]:
        faults.append(f"may write {found['writable']} relations")
    if found["create"]:
        faults.append(f"may create in {found['create']} schemas")
    if found["functions"]:
        faults.append(f"may call {found['functions']} functions that can have effects")
    if not found["read_only"]:
        faults.append("default_transaction_read_only is off")
    return Role(found["name"], tuple(faults))


def hardening(role: str, database: str) -> str:
    """A script for an administrator, to run in that database with psql: makes the role, lets it read and nothing else.

    PostgreSQL cannot take a right from one role that everybody has. So what reading does not need is taken from
    PUBLIC and given to every role that exists now except this one; a role that is made later gets it by a GRANT.
    """
    name, place = _identifier(role), _identifier(database)
    return f"""\\set ON_ERROR_STOP on
BEGIN;
DO $$BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_literal(role)}) THEN CREATE ROLE {name} LOGIN; END IF;
END$$;
ALTER ROLE {name} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT CONNECTION LIMIT 10;
ALTER ROLE {name} SET default_transaction_read_only = on;
ALTER ROLE {name} SET statement_timeout = '5s';
ALTER ROLE {name} SET lock_timeout = '2s';
ALTER ROLE {name} SET idle_in_transaction_session_timeout = '60s';
GRANT CONNECT ON DATABASE {place} TO {name};
DO $$DECLARE
  who text := {_literal(role)};
  place text := {_literal(database)};
  others text;
  r record;
BEGIN
  SELECT string_agg(quote_ident(rolname), ', ') INTO others FROM pg_roles
    WHERE rolname <> who AND rolname !~ '^pg_' AND NOT rolsuper;
  BEGIN
    EXECUTE format('ALTER ROLE %I SET temp_file_limit = %L', who, '1GB');
  EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'temp_file_limit is left as it is: only a superuser sets it';
  END;
  EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC, %I', place, who);
  IF others IS NOT NULL THEN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %s', place, others); END IF;
  FOR r IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', r.nspname, who);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', r.nspname, who);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', r.nspname, who);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO %I', r.nspname, who);
  END LOOP;
  FOR r IN SELECT p.oid::regprocedure AS routine FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname ~ '{DANGEROUS}' AND p.proname !~ '{SAFE_ANYWAY}' AND (n.nspname = 'pg_catalog' OR EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))
      OR p.oid >= {FIRST_USER_OID} AND p.provolatile = 'v' AND p.prokind IN ('f', 'p')
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) LOOP
    IF has_function_privilege(who, r.routine, 'EXECUTE') THEN
      EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC, %I', r.routine, who);
      IF others IS NOT NULL THEN EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', r.routine, others); END IF;
    END IF;
  END LOOP;
END$$;
COMMIT;
\\echo Set its password with \\password {name}, and name it in the URL of the engine.
"""


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
