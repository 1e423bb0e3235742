"""db_schema: small, complete, and honest about what it leaves out."""

import json
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from mcp.client import Client

from tests.asking import error, names_database, result
from tests.conftest import ERAS, Connect, Era
from tests.shop_fixtures import ORDERS

RICH = """
create schema audit;
create sequence small_numbers as smallint;
select setval('small_numbers', 30000);
create domain email as text not null check (value like '%@%');
create table customers (
  id bigint generated always as identity primary key, mail email, name varchar(80) not null default 'nobody',
  parent_id bigint references customers on delete set null, small smallint default nextval('small_numbers'),
  upper_name text generated always as (upper(name)) stored, unique (name, mail), check (length(name) > 1));
alter sequence small_numbers owned by customers.small;
comment on table customers is 'people who pay';
comment on column customers.mail is 'where invoices go';
create type state as enum ('new', 'paid', 'gone');
create table "Orders" (id int primary key, customer_id bigint not null references customers on delete cascade,
  state state not null, at date) ;
create index on "Orders" (state) where state <> 'gone';
create table events (id bigint, at timestamptz not null, body jsonb) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table audit.log (id int, who text);
create table child (extra int) inherits (audit.log);
create view paid as select id from "Orders" where state = 'paid';
create function stamp() returns trigger language plpgsql as $$begin new.at := now(); return new; end$$;
create trigger stamped before update on "Orders" for each row execute function stamp();
create policy own on customers for select using (name = current_user);
alter table customers enable row level security;
grant select on customers to public;
create statistics named on name, mail from customers;
"""


@pytest.fixture
def rich(repository: Path, postgres_url: str) -> Path:
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(RICH.encode())
    names_database(repository, postgres_url)
    return repository


async def table(client: Client, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", (await result(client, "db_schema", table=name))["table"])


@pytest.mark.parametrize("era", ERAS)
async def test_a_whole_small_database_fits_with_its_columns(rich: Path, connect: Connect, era: Era) -> None:
    async with connect(rich, mode=era) as client:
        shown = await result(client, "db_schema")
    assert shown["engine"] == "main"
    assert shown["environment"] == "development"
    assert shown["dialect"].startswith("postgresql 1")
    assert len(shown["version"]) == 64
    assert shown["truncated"] is False
    assert shown["next"] is None
    assert {"applied", "pending"} <= set(shown["migrations"])
    tables = {entry["name"]: entry for entry in shown["tables"]}
    assert set(tables) == {"customers", '"Orders"', "events", "audit.log", "child", "paid"}
    assert shown["tables"][0]["name"] == "customers"
    assert tables["customers"]["comment"] == "people who pay"
    assert "id bigint pk identity" in tables["customers"]["columns"]
    assert "parent_id bigint? → customers" in tables["customers"]["columns"]
    assert tables['"Orders"']["columns"][1] == "customer_id bigint → customers"
    assert (tables["events"]["kind"], tables["events"]["partitions"]) == ("partitioned", 1)
    assert tables["paid"]["kind"] == "view"
    assert shown["enums"] == {"state": "new|paid|gone"}


async def test_one_table_shows_everything_about_it(rich: Path, connect: Connect) -> None:
    async with connect(rich) as client:
        customers = await table(client, "customers")
        columns = {column["name"]: column for column in customers["columns"]}
        assert columns["id"] == {"name": "id", "type": "bigint", "nullable": False, "identity": "always"}
        assert columns["mail"]["domain"].startswith("text NOT NULL CHECK")
        assert columns["mail"]["nullable"] is False
        assert columns["mail"]["comment"] == "where invoices go"
        assert columns["upper_name"]["generated"].endswith("stored")
        assert customers["primary_key"] == ["id"]
        assert customers["comment"] == "people who pay"
        (own,) = customers["foreign_keys"]
        assert (own["references"], own["to"], own["on_delete"]) == ("customers", ["id"], "set null")
        assert own["without_index"] is True
        assert {"table": '"Orders"', "columns": ["customer_id"], "on_delete": "cascade"} in customers["referenced_by"]
        definitions = [entry["definition"] for entry in customers["constraints"]]
        assert "UNIQUE (name, mail)" in definitions
        assert any(text.startswith("CHECK (length") for text in definitions)
        assert {index["name"] for index in customers["indexes"]} == {"customers_pkey", "customers_name_mail_key"}
        (policy,) = customers["policies"]
        assert (policy["for"], policy["to"], customers["row_security"]) == ("select", ["public"], "enabled")
        (sequence,) = customers["sequences"]
        assert (sequence["column"], sequence["used"]) == ("small", "92%")
        assert customers["grants"] == {"public": "select"}
        assert customers["bytes"] > 0
        assert "CREATE STATISTICS" in customers["statistics"][0]


async def test_triggers_partitions_inheritance_and_views_are_followed(rich: Path, connect: Connect) -> None:
    async with connect(rich) as client:
        orders = await table(client, '"Orders"')
        (trigger,) = orders["triggers"]
        assert trigger["function"] == "stamp()" or trigger["function"] == "public.stamp()"
        assert "new.at := now()" in trigger["source"]
        assert "BEFORE UPDATE" in trigger["definition"]
        assert next(c for c in orders["columns"] if c["name"] == "state")["enum"] == ["new", "paid", "gone"]
        assert any("WHERE" in index["on"] for index in orders["indexes"])
        assert orders["views"] == ["paid"]
        events = await table(client, "events")
        assert events["partition_key"] == "RANGE (at)"
        assert events["partitions"][0]["name"] == "events_2026"
        part = await table(client, "events_2026")
        assert part["partition_of"] == "events"
        assert "2027" in part["bound"]
        assert (await table(client, "child"))["inherits"] == ["audit.log"]
        assert "SELECT" in (await table(client, "paid"))["definition"]


async def test_a_table_is_found_by_every_way_to_write_it(rich: Path, connect: Connect) -> None:
    async with connect(rich) as client:
        for name in ("Orders", "orders", '"Orders"', "public.Orders", 'public."Orders"', "PUBLIC.ORDERS"):
            assert (await table(client, name))["name"] == '"Orders"', name
        for name in ("log", "audit.log", "Audit.Log"):
            assert (await table(client, name))["name"] == "audit.log"
        assert (await table(client, "pg_catalog.pg_class"))["kind"] == "table"
        unknown = await error(client, "db_schema", table="costumers")
        assert unknown["code"] == "not_found"
        assert unknown["details"]["near"][0] == "customers"
        assert "; there are " in (await error(client, "db_schema", table="zzz"))["reason"]
        assert "an index of customers" in (await error(client, "db_schema", table="customers_pkey"))["reason"]
        for wrong in ("a b", "a.b.c.d", "'x'", "; drop table x", "."):
            assert (await error(client, "db_schema", table=wrong))["code"] in ("invalid_argument", "not_found")
        assert (await error(client, "db_schema", after="nonsense"))["code"] == "invalid_argument"
        assert (await error(client, "db_schema", table="customers", after="nope"))["code"] == "invalid_argument"
        assert (await error(client, "db_schema", engine="nope"))["code"] == "not_found"


async def test_a_search_looks_at_names_columns_and_comments(rich: Path, connect: Connect) -> None:
    async with connect(rich) as client:

        async def found(words: str) -> list[str]:
            return [entry["name"] for entry in (await result(client, "db_schema", search=words))["tables"]]

        assert await found("invoices") == ["customers"]
        assert await found("PAY people") == ["customers"]
        assert set(await found("state")) == {'"Orders"'}
        assert await found("audit who") == ["audit.log"]
        assert await found("customer_id") == ['"Orders"']
        assert await found("100%_nothing") == []


async def test_a_table_that_is_about_something_else_shows_only_the_columns_that_were_found(
    rich: Path, connect: Connect, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as owner:
        owner.execute(b"create table coupons (id int primary key, code text)")
        owner.execute(b"create table fees (id int primary key, precise_coupons_cents int, units int, rate int)")
        owner.execute(b"create view coupon_totals as select sum(precise_coupons_cents) from fees")
    async with connect(rich) as client:
        found = {t["name"]: t for t in (await result(client, "db_schema", search="coupon"))["tables"]}
        assert found["coupons"]["columns"] == ["id integer pk", "code text?"]
        assert found["fees"] == {"name": "fees", "rows": 0, "matched": ["precise_coupons_cents"]}
        asked = await result(client, "db_schema", search="coupon", detail="columns")
        assert all(len(table["columns"]) > 0 for table in asked["tables"])


async def test_what_many_tables_reference_comes_first_with_their_number_and_views_after_tables(
    repository: Path, connect: Connect, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as owner:
        owner.execute(b"create table zones (id int primary key)")
        owner.execute(b"create view a_view as select 1 as one")
        for number in range(200):
            name = f"some_rather_long_name_of_a_table_{number}"
            owner.execute(f"create table {name} (id int primary key, zone_id int references zones)".encode())
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        seen = await result(client, "db_schema")
        following = await result(client, "db_schema", after=seen["next"], detail="names")
    assert seen["tables"][0] == {"name": "zones", "rows": 0, "referenced_by": 200}
    assert "legend" not in seen
    assert following["tables"][-1] == {"name": "a_view", "kind": "view"}


async def test_the_version_changes_with_the_schema_and_only_then(
    rich: Path, connect: Connect, postgres_url: str
) -> None:
    async with connect(rich) as client:
        first = await result(client, "db_schema")
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(b"insert into audit.log values (1, 'x')")
            second = await result(client, "db_schema")
            owner.execute(b"alter table audit.log add column at date")
        third = await result(client, "db_schema")
    assert first["version"] == second["version"] != third["version"]
    assert any("at date?" in entry["columns"] for entry in third["tables"])


SMALL_CHANGES = [
    "alter sequence small_numbers owned by none", "comment on column customers.name is 'x'",
    "revoke select on customers from public", "alter table customers alter column name set statistics 7",
    "drop policy own on customers", "create function added() returns int language sql return 1",
    "alter type state add value 'late'", "alter index customers_pkey rename to customers_key",
]  # fmt: skip


async def test_no_answer_outlives_the_smallest_change(rich: Path, connect: Connect, postgres_url: str) -> None:
    async with connect(rich) as client:
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            versions: set[str] = set()
            for change in ("select 1", *SMALL_CHANGES):
                owner.execute(change.encode())
                found = await result(client, "db_schema", table="customers")
                assert await result(client, "db_schema", table="customers") == found
                assert found["version"] not in versions, change
                versions.add(found["version"])


async def test_writes_of_others_leave_an_answer_as_it_is_but_for_what_was_applied(
    rich: Path, connect: Connect, postgres_url: str
) -> None:
    folder = rich / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "1_one.sql").write_text("-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n")
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(b"create table schema_migrations (version varchar primary key)")
        async with connect(rich) as client:
            for question in ({}, {"table": "customers"}, {"search": "state"}):
                first = await result(client, "db_schema", **question)
                assert first["migrations"]["applied"] == []
                owner.execute(b"insert into schema_migrations values ('1')")
                applied = {**first["migrations"], "applied": ["1_one"], "applied_total": 1, "pending": []}
                applied["pending_total"] = 0
                for _ in range(2):
                    assert await result(client, "db_schema", **question) == {**first, "migrations": applied}
                owner.execute(b"delete from schema_migrations")
                assert await result(client, "db_schema", **question) == first


async def test_an_unchanged_database_still_shows_a_new_migration_file(rich: Path, connect: Connect) -> None:
    folder = rich / "db" / "migrations"
    folder.mkdir(parents=True)
    async with connect(rich) as client:
        (folder / "20260101000000_one.sql").write_text("-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n")
        assert len((await result(client, "db_schema"))["migrations"]["pending"]) == 1
        (folder / "20260102000000_two.sql").write_text("-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n")
        assert len((await result(client, "db_schema"))["migrations"]["pending"]) == 2


async def test_many_tables_are_listed_page_by_page_the_most_useful_first(
    repository: Path, connect: Connect, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as owner:
        owner.execute(ORDERS.encode())
        for n in range(700):
            reference = ", customer_id bigint references customers" if n % 10 == 0 else ""
            owner.execute(f"create table module_{n:03}_entries (id int{reference})".encode())
        owner.commit()
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        seen: list[str] = []
        shown = await result(client, "db_schema")
        assert shown["tables"][0]["name"] == "customers"
        assert shown["total"] == 703
        assert shown["prefixes"] == {"module_*": 700}
        assert shown["schemas"] == {"public": 703}
        while True:
            size = len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode())
            assert size <= 8000
            seen += [entry["name"] for entry in shown["tables"]]
            if not shown["truncated"]:
                break
            shown = await result(client, "db_schema", after=shown["next"])
        assert len(seen) == len(set(seen)) == 703
        columns = await result(client, "db_schema", detail="columns")
        assert columns["truncated"] is True
        assert columns["tables"][0]["columns"][0] == "id bigint pk"
        full = await result(client, "db_schema", detail="full", search="module_00")
        assert "indexes" in full["tables"][0]


async def test_a_very_wide_table_goes_on_after_a_column(repository: Path, connect: Connect, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"create table wide ({', '.join(f'c{n} int' for n in range(300))})".encode())
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        names: list[str] = []
        after: dict[str, str] = {}
        while True:
            shown = await result(client, "db_schema", table="wide", **after)
            names += [column["name"] for column in shown["table"]["columns"]]
            if not shown["truncated"]:
                break
            after = {"after": shown["next"]}
    assert names == [f"c{n}" for n in range(300)]


async def test_an_empty_database_is_no_error(repository: Path, connect: Connect, postgres_url: str) -> None:
    names_database(repository, postgres_url)
    async with connect(repository) as client:
        shown = await result(client, "db_schema")
        assert (shown["tables"], shown["total"], shown["truncated"]) == ([], 0, False)
        assert (await result(client, "db_schema", search="x"))["tables"] == []


@pytest.mark.parametrize("era", ERAS)
async def test_the_resources_show_the_same_and_complete_their_names(rich: Path, connect: Connect, era: Era) -> None:
    import mcp_types as types

    async with connect(rich, mode=era) as client:
        whole = await client.read_resource("schema://main")
        assert isinstance(whole.contents[0], types.TextResourceContents)
        assert json.loads(whole.contents[0].text)["version"] == (await result(client, "db_schema"))["version"]
        one = await client.read_resource("schema://main/customers")
        assert isinstance(one.contents[0], types.TextResourceContents)
        assert json.loads(one.contents[0].text)["table"] == await table(client, "customers")
        reference = types.ResourceTemplateReference(uri="schema://{engine}/{table}")
        engines = await client.complete(reference, {"name": "engine", "value": "m"})
        assert engines.completion.values == ["main"]
        tables = await client.complete(reference, {"name": "table", "value": "cust"}, {"engine": "main"})
        assert tables.completion.values == ["customers"]
