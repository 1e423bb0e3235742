"""Statements by the hundred that read, and that do more: of all kinds of syntax, functions, catalogs and extensions.

Every fifth of them is tried; `SQL_CASES=1 pytest tests/test_sql_cases.py` tries all.
"""

import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.asking import either, names_database
from tests.canary_fixtures import CANARIES
from tests.clickhouse_fixtures import Sql, names_clickhouse
from tests.conftest import CORPORA, Connect
from tests.test_clickhouse_corpora import CANARIES as CLICKHOUSE_CANARIES
from tests.test_clickhouse_corpora import canary

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the canaries are not here")

CASES = Path(__file__).parent / "sql"
EVERY = int(os.environ.get("SQL_CASES", "5"))
EXTENSIONS = (
    "amcheck", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "isn", "pageinspect",
    "pg_freespacemap", "pg_visibility", "pgrowlocks", "pgstattuple", "seg", "tsm_system_rows", "tsm_system_time",
    "unaccent", "uuid-ossp",
)  # fmt: skip
LACKING = ("42883", "42P01", "42704", "0A000", "42601", "22P02", "55000", "2202E", "22023")
"""What an older server or one without an extension says: no such function, relation, type, feature."""

__all__ = ["canary"]


def lines(name: str) -> list[str]:
    found = [line for line in (CASES / name).read_text().splitlines() if not line.startswith("-- ")]
    return found[::EVERY]


@pytest.fixture
def extended_url(canary_url: str) -> str:
    """The canaries' database with every extension that this server has."""
    with psycopg.connect(canary_url, autocommit=True) as admin:
        for name in EXTENSIONS:
            try:
                admin.execute(f'create extension if not exists "{name}" cascade'.encode())
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
                admin.execute(b"select 1")
    return canary_url


async def test_reads_of_every_kind_are_answered(repository: Path, connect: Connect, extended_url: str) -> None:
    names_database(repository, extended_url)
    wrong: list[str] = []
    async with connect(repository) as client:
        for sql in lines("postgresql_reads.sql"):
            ok, body = await either(client, "db_query", sql=sql)
            if not ok and not (
                body["code"] == "invalid_argument" and body.get("details", {}).get("sqlstate") in LACKING
            ):
                wrong.append(f"{sql}: {body['reason']}")
    assert not wrong, "\n".join(wrong)


async def test_effects_of_every_kind_are_refused(repository: Path, connect: Connect, extended_url: str) -> None:
    names_database(repository, extended_url)
    passed: list[str] = []
    with psycopg.connect(extended_url, autocommit=True) as admin:
        before = admin.execute(CANARIES.encode()).fetchone()
        async with connect(repository) as client:
            for sql in lines("postgresql_effects.sql"):
                ok, body = await either(client, "db_query", sql=sql, timeout_seconds=2)
                if ok or body["code"] not in ("permission_denied", "invalid_argument"):
                    passed.append(f"{sql}: {body}")
        assert passed == []
        assert admin.execute(CANARIES.encode()).fetchone() == before


async def test_clickhouse_reads_of_every_kind_are_answered(
    repository: Path, connect: Connect, clickhouse_url: str, canary: Sql
) -> None:
    names_clickhouse(repository, clickhouse_url)
    wrong: list[str] = []
    async with connect(repository) as client:
        for sql in lines("clickhouse_reads.sql"):
            ok, body = await either(client, "db_query", sql=sql, timeout_seconds=60)
            if not ok and body["code"] != "invalid_argument":
                wrong.append(f"{sql}: {body['reason']}")
    assert not wrong, "\n".join(wrong)


async def test_clickhouse_effects_of_every_kind_are_refused(
    repository: Path, connect: Connect, clickhouse_url: str, canary: Sql
) -> None:
    names_clickhouse(repository, clickhouse_url)
    passed: list[str] = []
    before = canary(CLICKHOUSE_CANARIES)
    async with connect(repository) as client:
        for sql in lines("clickhouse_effects.sql"):
            ok, body = await either(client, "db_query", sql=sql, timeout_seconds=2)
            if ok or body["code"] not in ("permission_denied", "invalid_argument"):
                passed.append(f"{sql}: {body}")
    assert passed == []
    assert canary(CLICKHOUSE_CANARIES) == before


async def test_no_answer_shows_how_a_password_is_stored(repository: Path, connect: Connect, canary_url: str) -> None:
    names_database(repository, canary_url)
    with psycopg.connect(canary_url, autocommit=True) as admin:
        for number in range(3):
            admin.execute(f"create role stored_{number} password 'a word {number}'".encode())
        try:
            admin.execute(b"analyze pg_authid")
            async with connect(repository) as client:
                for relation in ("pg_stats where tablename = 'pg_authid'", "pg_statistic"):
                    ok, body = await either(client, "db_query", sql=f"select * from {relation}", limit=5000)
                    assert ok, body
                    assert "SCRAM-SHA-256$" not in json.dumps(body), relation
        finally:
            for number in range(3):
                admin.execute(f"drop role stored_{number}".encode())


PLANTED = """
create function public.ordered(a int, b int) returns int language plpgsql immutable as $$begin
  if current_setting('plant.off', true) = '1' then return btint4cmp(a, b); end if;
  return public.sd_write('x'); end$$;
set plant.off = '1';
create operator class public.planted for type int using btree as operator 1 <, operator 2 <=, operator 3 =,
  operator 4 >=, operator 5 >, function 1 public.ordered(int, int);
create type public.span as range (subtype = int, subtype_opclass = public.planted);
create table public.by_class (a int); insert into public.by_class select generate_series(1, 3000);
create index on public.by_class (a public.planted);
create table public.parted (a int) partition by range (a public.planted);
create table public.part_one partition of public.parted for values from (1) to (5);
create table public.spans (s public.span);
create server files foreign data wrapper file_fdw;
create table public.ancestor (l text); create foreign table public.descendant (l text) server files
  options (program 'touch /dev/null'); alter foreign table public.descendant inherit public.ancestor;
"""
BEHIND = [
    "select * from public.by_class where a = 5", "select * from public.parted where a = 2",
    "select '[1,2)'::public.span", "select s @> 1 from public.spans", "select * from public.ancestor",
    "select public.span(1, 2)",
]  # fmt: skip


async def test_code_behind_operator_classes_and_descendants_is_found(
    repository: Path, connect: Connect, canary_url: str
) -> None:
    names_database(repository, canary_url)
    with psycopg.connect(canary_url, autocommit=True) as admin:
        admin.execute(PLANTED.encode())
    async with connect(repository) as client:
        for sql in BEHIND:
            ok, body = await either(client, "db_query", sql=sql)
            assert not ok, sql
            assert body["code"] == "permission_denied", (sql, body)


WRITTEN = """
create schema app; create type app.state as enum ('new', 'paid'); create domain app.price as int check (value > 0);
create table app.bills (id int, state app.state, price app.price); insert into app.bills values (1, 'paid', 5);
create type app.span as range (subtype = numeric);
create function app.worth(n int) returns bigint language sql stable security definer set search_path = '' as
  'select sum(price) from app.bills where id = n';
create function app.label(s app.state, more app.state[]) returns text[] language plpgsql stable
  set search_path = app, pg_temp as $$declare one state := 'new'; many app.state[] := '{}'; b bills; n app.price := 1;
    begin select * into b from bills where state = s; many := many || one || more;
    return array[label(one), b.state::text]; end$$;
create function app.label(s app.state) returns text language sql immutable set timezone = 'UTC' as 'select s::text';
create function app.paid() returns setof app.bills language plpgsql stable as
  $$begin return query select * from app.bills where state = 'paid'; end$$;
"""


async def test_functions_as_teams_write_them_are_read(repository: Path, connect: Connect, canary_url: str) -> None:
    names_database(repository, canary_url)
    with psycopg.connect(canary_url, autocommit=True) as admin:
        admin.execute(WRITTEN.encode())
    sql = "select app.worth(1), app.label('paid', '{new}'), (select id from app.paid()), app.span(1, 2)"
    async with connect(repository) as client:
        ok, body = await either(client, "db_query", sql=sql)
    assert ok, body
    assert body["rows"] == [[5, ["new", "paid"], 1, "[1,2)"]]


async def test_an_answer_that_is_cut_still_names_its_types(shop: Path, connect: Connect) -> None:
    found: dict[str, Any]
    async with connect(shop) as client:
        sql = "select o.*, repeat('x', 3000) from orders o, generate_series(1, 1000)"
        ok, found = await either(client, "db_query", sql=sql, limit=1000)
    assert ok, found
    assert found["truncated"] is True
    assert [column["type"] for column in found["columns"]][2:4] == ["status", "numeric(12,2)"]
