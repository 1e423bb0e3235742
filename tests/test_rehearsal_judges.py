"""What a rehearsal names that no statement says: by the catalog, the rows and the plans before and after."""

from typing import Any

import pytest

from tests.rehearsal_fixtures import Case

SHOP = """
create type kind as enum ('a', 'b');
create table users (id bigint generated always as identity primary key, email text, name varchar(40), kind kind,
  city text default 'London', code varchar(9));
create index users_code on users (code);
create unique index users_email on users (email);
create index users_name on users (name);
create table orders (id bigint primary key, user_id bigint not null references users (id), note text);
create table empty_one (id int);
create view names as select id, name from users;
create function tax(n int) returns int language sql as 'select n';
create function fee(n int) returns int language sql as 'select n';
alter table orders enable row level security;
create policy own on orders using (note is null);
grant select, insert, update, delete on users, orders to app_rw; grant select on users, orders, names to app_ro;
insert into users (email, name) select 'u' || g || '@x.io', 'name ' || g from generate_series(1, 1500) g;
insert into orders select g, 1 + g % 1500 from generate_series(1, 900) g;
"""


@pytest.fixture
def shop(case: Case) -> Case:
    """Two tables that are large by their statistics, and what depends on them."""
    case.owner(SHOP)
    large = {"rows": 40_000_000, "bytes": 9e9}
    case.sizes({"public.users": large, "public.orders": large, "public.users_name": {"rows": 4e7, "bytes": 1e9}})
    return case


def reasons(result: dict[str, Any], identifier: str) -> str:
    """What is said of one hazard, in all its places."""
    return "\n".join(h["reason"] for h in result["hazards"] if h["id"] == identifier)


async def test_what_is_taken_away_renamed_or_opened_is_named_with_whom_it_breaks(shop: Case) -> None:
    result = await shop.rehearse(
        sql="""
        drop index users_email;
        revoke update on users from app_rw;
        alter function tax(int) rename to vat;
        drop function fee(int); create function fee(n int, zone text) returns int language sql as 'select n';
        alter type kind rename to sort;
        drop view names; create view names as select id from users; grant select on names to app_ro;
        create policy everybody on orders for select using (true);
        create rule keep as on delete to orders do instead nothing;
        do $$ begin execute format('alter database %I set work_mem = ''1GB''', current_database()); end $$;
        """
    )
    assert "public.users_email: duplicates become possible" in reasons(result, "integrity_removed")
    assert "instead of DELETE on public.orders" in reasons(result, "integrity_removed")
    assert reasons(result, "missing_app_privileges").startswith("app_rw loses UPDATE on public.users")
    broken = reasons(result, "breaks_old_readers")
    for said in ("public.tax becomes public.vat", "kind becomes", "takes other arguments", "made anew without name"):
        assert said in broken
    assert "every row of public.orders" in reasons(result, "grant_widening")
    assert "DELETE of a row of public.orders, which worked before, does nothing" in reasons(result, "breaks_writes")
    assert "every later session of everybody in this database" in reasons(result, "server_configuration")
    assert any(said.startswith("plans of queries: ") for said in result["not_checked"])


async def test_rows_count_as_deleted_or_cut_when_they_are_and_only_then(shop: Case) -> None:
    result = await shop.rehearse(
        sql="""
        delete from orders where id < 0; truncate empty_one;
        do $$ begin delete from orders where id = 7; end $$;
        do $$ begin truncate orders; end $$;
        alter table users alter column city type varchar(4) using left(city, 4);
        alter table users alter column code type text;
        """
    )
    told = {h["statement"]: h["reason"] for h in result["hazards"] if h["id"] == "destructive_data"}
    assert told.keys() == {3, 4, 5}
    assert "are cut or rounded" in told[5]
    assert reasons(result, "truncation") == told[5]
    assert not [h for h in result["hazards"] if h["id"] in ("blocking_index_build", "breaks_writes")]


async def test_a_query_that_loses_its_index_or_fails_is_told_by_the_statistics_of_the_target(shop: Case) -> None:
    shop.owner(
        "create table pg_stat_statements (dbid oid, query text, calls bigint, total_exec_time float8);"
        "insert into pg_stat_statements select d.oid, q.text, 7000, 1 from pg_database d, unnest(array["
        "'select id from users where name = $1', 'select note from orders where id = $1', 'select 1']) q(text) "
        "where d.datname = current_database()"
    )
    result = await shop.rehearse(sql="drop index users_name; alter table orders rename column note to remark")
    (flipped,) = [h for h in result["hazards"] if h["id"] == "plan_regression"]
    assert flipped["reason"].startswith("a query that ran 7,000 times reads all of users from then on")
    assert flipped["evidence"]["before"] == ["users: Index Scan using users_name"]
    assert flipped["evidence"]["after"] == ["users: Seq Scan"]
    assert flipped["evidence"]["cost_after"] > 1_000_000  # of 9 GB, though no row of them was copied
    assert 'column "note" does not exist' in reasons(result, "breaks_old_readers")
    assert not any(said.startswith("plans of ") for said in result["not_checked"])


async def test_a_sequence_that_is_left_behind_its_keys_is_named_with_the_value_it_gives_next(shop: Case) -> None:
    shop.owner("create table places (id serial primary key, name text); insert into places (name) values ('a'), ('b')")
    result = await shop.rehearse(
        sql="""
        alter table users alter column id restart with 7;
        insert into places (id, name) values (3, 'c'), (900, 'd');
        create table kinds (id int generated by default as identity primary key);
        insert into kinds (id) values (1), (2);
        """
    )
    told = reasons(result, "breaks_writes")
    assert "users_id_seq gives 7 next, and public.users.id holds keys up to 1500" in told
    assert "places_id_seq gives 3 next" in told
    assert "kinds_id_seq gives 1 next" in told
    assert result["verdict"] == "reject"
    result = await shop.rehearse(sql="alter sequence users_id_seq restart with 7 maxvalue 9000")
    assert "gives 7 next" in reasons(result, "breaks_writes")
    assert "ends at 9,000, and public.users has about 40,000,000" in reasons(result, "sequence_exhaustion")
    shop.owner("create table old (id int primary key); insert into old values (1), (2)")
    shop.owner("create table later (id int primary key); insert into later values (1), (2)")
    result = await shop.rehearse(
        sql="""
        alter table old alter column id add generated by default as identity;
        alter table later alter id add generated by default as identity (start with 3);
        """
    )
    told = "public.old_id_seq gives 1 next, and public.old.id holds keys up to 2: the next INSERT fails as a duplicate"
    assert reasons(result, "breaks_writes") == told
    moved = "select setval('users_id_seq', (select max(id) from users)), setval('places_id_seq', 5000)"
    bounded = "alter sequence users_id_seq maxvalue 2000"
    result = await shop.rehearse(sql=f"insert into places (id, name) values (3, 'c'); {moved}; {bounded}")
    assert not reasons(result, "breaks_writes")
    assert reasons(result, "sequence_exhaustion") == "public.users_id_seq ends at 2,000 now, and has given 1,500"


async def test_row_security_that_leaves_out_a_command_or_is_gone_around_by_a_view_is_named(shop: Case) -> None:
    shop.owner("grant app_rw to backend; grant create on schema public to app_rw")
    shop.owner("create policy every on users for all to app_ro using (true)")  # without effect before row security
    result = await shop.rehearse(
        sql="""
        alter table users enable row level security;
        create policy seen on users for select to app_rw using (city = current_setting('app.city', true));
        create view known as select * from users; grant select on known to app_ro;
        create view guarded with (security_invoker = true) as select * from users; grant select on guarded to app_ro;
        drop policy own on orders; create policy own on orders for select using (note is null);
        alter table empty_one owner to app_rw;
        """
    )
    useless = reasons(result, "rls_without_policy")
    assert "public.users has no policy for what is granted on it: app_rw INSERT, UPDATE, DELETE." in useless
    assert "public.orders has no policy for what is granted on it: app_rw INSERT, UPDATE, DELETE." in useless
    assert "app_ro" not in useless
    around = reasons(result, "grant_widening")
    assert "public.known reads public.users with its owner's rights: through it app_ro see every row" in around
    assert "public.names reads public.users" in around  # it was there before row security was
    assert "guarded" not in around
    assert "app_rw becomes the owner of public.empty_one" in around


async def test_numbers_of_a_small_type_are_not_given_to_more_rows_than_it_has(shop: Case) -> None:
    later = "create sequence places as smallint; alter table orders alter column id set default nextval('places')"
    result = await shop.rehearse(sql=f"alter table users add column place smallserial; {later}")
    assert "numbers about 40,000,000 rows with a smallint" in reasons(result, "fails_on_existing_data")
    assert "public.places ends at 32,767, and public.orders has about 40,000,000" in reasons(
        result, "sequence_exhaustion"
    )


async def test_an_extension_that_the_server_of_the_target_does_not_have_is_refused_before_a_person_is_asked(
    shop: Case,
) -> None:
    result = await shop.rehearse(sql="create extension if not exists nowhere_to_be_found; drop extension plpgsql")
    assert result["verdict"] == "reject"
    assert "drops the extension plpgsql" in reasons(result, "extension")
    assert "the target's server has no extension nowhere_to_be_found" in reasons(result, "fails_in_rehearsal")
    assert "MCP_BACKEND_POSTGRESQL_BIN" in str(result["hazards"])


async def test_what_takes_the_place_of_something_else_is_told_as_that(shop: Case) -> None:
    shop.owner("alter table users add constraint named check (name is not null), add column zone text")
    result = await shop.rehearse(
        sql="""
        alter table users add column note text;
        alter table users alter column email set not null;
        alter table users alter column name set not null;
        alter table users drop constraint named;
        alter table users drop column city; alter table users rename column zone to city;
        create policy everybody on users using (true);
        """
    )
    assert not reasons(result, "integrity_removed")  # NOT NULL says what the check said
    assert "drops public.users.city and what it holds; zone takes its name" in reasons(result, "destructive_drop")
    assert not reasons(result, "destructive_data")
    assert "everybody does nothing: row level security of public.users is off" in reasons(result, "rls_left_off")
    scans = [h["statement"] for h in result["hazards"] if h["id"] == "full_scan_under_access_exclusive"]
    assert scans == [2]  # not only held since the first: it takes the lock itself
    result = await shop.rehearse(sql="reindex schema public")
    assert "builds an index under ShareLock on public.users" in reasons(result, "reindex_blocking")
    assert result["verdict"] == "reject"


async def test_what_is_weakened_without_being_dropped_is_told(shop: Case) -> None:
    shop.owner(
        "create domain grade as int check (value > 0); create table notes (id int generated by default as identity "
        "primary key, sort kind, grade grade, of bigint constraint notes_of references users);"
        "create publication feed for table orders, notes; create sequence numbers; create function given() returns "
        "bigint language plpgsql as 'begin return nextval(''numbers''); end'"
    )
    result = await shop.rehearse(
        sql="""
        alter table notes alter constraint notes_of not enforced;
        alter domain grade drop constraint grade_check;
        alter publication feed drop table orders; alter sequence numbers rename to counted;
        alter table notes alter column id set generated always;
        alter view names rename column name to label;
        drop type kind cascade;
        select set_config('lock_timeout', '0', false);
        do $$ begin set local lock_timeout = 0; end $$;
        """
    )
    assert "the foreign key notes_of of public.notes is no longer enforced" in reasons(result, "integrity_removed")
    assert "the domain public.grade loses its check grade_check" in reasons(result, "integrity_removed")
    assert "public.notes.id is GENERATED ALWAYS from now on" in reasons(result, "breaks_old_writers")
    assert reasons(result, "rename_column").startswith("public.names.name becomes label")
    assert "CASCADE also drops public.notes.sort" in reasons(result, "cascade_victim")
    assert [h["statement"] for h in result["hazards"] if h["id"] == "disables_lock_timeout"] == [8, 9]
    assert "public.orders is no longer published by feed" in reasons(result, "breaks_old_readers")
    assert "given() still uses numbers" in reasons(result, "function_body_breakage")


async def test_a_text_with_its_own_transaction_leaves_nothing_on_the_shadow(shop: Case) -> None:
    folder = shop.root / "db" / "migrations"
    folder.mkdir(parents=True)
    file = folder / "1_a.sql"
    file.write_text("-- migrate:up\nbegin; alter table orders add column seen text; commit;\n-- migrate:down\n")
    result = await shop.rehearse()
    assert "a migration runs in a transaction of its own" in reasons(result, "fails_in_rehearsal")
    file.write_text(
        "-- migrate:up\nalter table orders add column seen text;\n\n"
        "alter table orders\n  add noted itn;\n-- migrate:down\n"
    )
    result = await shop.rehearse()
    (failed,) = [h for h in result["hazards"] if h["id"] == "fails_in_rehearsal"]
    assert (failed["statement"], failed["reason"]) == (2, 'type "itn" does not exist (SQLSTATE 42704)')
    assert failed["evidence"] == {"sqlstate": "42704", "file": "db/migrations/1_a.sql", "line": 5, "column": 13}


async def test_what_was_taken_back_to_a_savepoint_is_no_work_and_holds_no_lock(shop: Case) -> None:
    dropped = "savepoint a; drop table users cascade; rollback to savepoint a; "
    result = await shop.rehearse(sql=f"{dropped} alter table orders add column seen text")
    assert [h["id"] for h in result["hazards"]] == ["no_down"]
    assert result["schema_diff"] == ["+ column public.orders.seen: text"]
    result = await shop.rehearse(sql=f"{dropped} drop table empty_one")
    assert "destructive_drop" in {h["id"] for h in result["hazards"]}
    shop.owner("create table prices (id int primary key, a int, total int generated always as (a * 2) stored)")
    result = await shop.rehearse(sql="alter table prices alter total drop expression")
    assert "prices.total is no longer computed" in reasons(result, "integrity_removed")
