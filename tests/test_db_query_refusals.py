"""What db_query refuses: statements that do more than read, and code that hides behind those that seem to."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.asking import error, result
from tests.conftest import Connect

REFUSED: dict[str, str] = {
    "delete from orders": "it is DELETE", "select 1; drop table orders": "2 statements",
    "with gone as (delete from orders returning *) select * from gone": "contains DELETE",
    "select * into copied from orders": "SELECT INTO", "select * from orders for update": "FOR UPDATE",
    "select pg_read_file('/etc/passwd')": "pg_read_file can have an effect", "copy orders to stdout": "COPY",
    "do $$ begin perform 1; end $$": "DO", "explain analyze delete from orders": "EXPLAIN ANALYZE runs",
    "set search_path = x": "SET", "select pg_sleep(9)": "pg_sleep", "select (1).pg_sleep": "pg_sleep",
    "select * from pg_authid": "credentials", "select nextval('s')": "nextval", "listen x": "LISTEN",
    "select table_to_xml(lower('ORDERS')::regclass, true, true, '')": "named in data",
    "show ssl_passphrase_command": "password",
    "select pg_advisory_lock(1)": "pg_advisory_lock", "begin": "transaction control", "call p()": "CALL",
}  # fmt: skip


@pytest.mark.proves("reads-stay-reads", "refused")
async def test_what_is_not_a_read_is_refused_with_the_way_to_go(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    async with connect(shop) as client:
        for sql, why in REFUSED.items():
            refused = await error(client, "db_query", sql=sql)
            assert (refused["code"], refused["retry"]) == ("permission_denied", "never"), sql
            assert refused["constraint"] == "reads-stay-reads"
            assert why in refused["reason"], sql
            assert "run_migration" in refused["details"]["instead"]
    assert owner.execute("select count(*) from orders").fetchone() == (1,)


TRAPS = """
create table log (what text);
create function write_log(t text) returns int language plpgsql volatile as
  $$begin insert into log values (t); return 1; end$$;
create function hidden(t text) returns int language sql stable as 'select write_log(t)';
create function in_default(a int default write_log('x')) returns int language sql immutable as 'select a';
create function dynamic(q text) returns int language plpgsql stable as
  $$declare n int; begin execute q into n; return n; end$$;
create function many(variadic a int[]) returns int language plpgsql as $$begin return write_log(a::text); end$$;
create function sets() returns int language sql stable set lock_timeout = '1s' as 'select 1';
create function atomic(t text) returns int language sql stable begin atomic select write_log(t); end;
create function of_row(c customers) returns int language plpgsql as $$begin return write_log('row'); end$$;
create view trap as select id, write_log('view') from customers;
create view deeper as select * from trap;
create function add_up(int, int) returns int language plpgsql as
  $$begin perform write_log('sum'); return $1 + $2; end$$;
create aggregate trap_sum(int) (sfunc = add_up, stype = int);
create operator |+| (leftarg = int, rightarg = int, function = add_up);
create type pair as (a int);
create function to_pair(text) returns pair language plpgsql as $$begin perform write_log('cast'); return row(1); end$$;
create cast (text as pair) with function to_pair(text);
create domain checked as int check (write_log(value::text) = 1);
create type holds as (v checked);
create table guarded (id int); insert into guarded values (1);
alter table guarded enable row level security; alter table guarded force row level security;
create policy p on guarded using (write_log('policy') = 1);
create function planned(x int) returns int language plpgsql immutable as $$begin
  if current_setting('trap.off', true) = '1' then return x; end if; return write_log('planned'); end$$;
set trap.off = '1';
create domain late as int check (planned(value) = value);
create table folded (a int, b int default planned(1)); create index on folded ((a + planned(1)));
create table sampled (a int, b int); create statistics s on (a + planned(1)), b from sampled;
create table above (a int); create table below (check (planned(1) = 1)) inherits (above);
create function declares() returns int language plpgsql stable as $$declare x late; begin x := 5; return 1; end$$;
create table user_row (l late);
create function like_a_column() returns int language plpgsql stable as
  $$declare x user_row.l%type; begin select 5 into x; return 1; end$$;
set trap.off = '0';
"""


HIDDEN = [
    "select write_log('x')", "select hidden('x')", "select in_default(1)", "select dynamic('select 1')",
    "select sets()", "select many(1, 2)",
    "select atomic('x')", "select c.of_row from customers c", "select * from trap", "select * from deeper",
    "select trap_sum(1)", "select 1 |+| 2", "select 1 operator(public.|+|) 2", "select 'x'::text::pair",
    "select pair('x'::text)", "select 1::checked", "select row(1)::holds", "select array[1]::checked[]",
    "select * from guarded", "select json_populate_record(null::holds, '{\"v\": 1}')",
    "select (select hidden('x'))",
    "select * from customers where hidden(name) = 1", "select * from rows from (hidden('a'), hidden('b')) r",
    "select x.write_log from unnest(array['a']) x", "select unnest.write_log from unnest(array['a'])",
    "select count(*) filter (where hidden('x') = 1) from customers", "values (hidden('x'))",
    "select max(id) over (order by hidden('x')) from customers",
    "with x as (select hidden('x')) select * from x",
    "select * from folded", "select * from sampled", "select * from above", "explain select * from folded",
    "explain insert into folded (a) values (1)", "explain select planned(1)", "select declares()",
    "select like_a_column()", "select count(array_in('{1}', 'late'::regtype, -1))",
    "select domain_in('1', 'late'::regtype, -1)", "select record_in('(1)', 'user_row'::regtype, -1)",
]  # fmt: skip


async def test_code_that_hides_behind_a_read_is_found(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(TRAPS.encode())
    async with connect(shop) as client:
        for sql in HIDDEN:
            refused = await error(client, "db_query", sql=sql)
            assert refused["code"] == "permission_denied", (sql, refused)
    assert owner.execute("select count(*) from log").fetchone() == (0,)


SPOTS = """
declare r record := write_log('x'); | return 1;
declare "R" record default write_log('x'); | return 1;
declare x int := write_log('x'); | return 1;
declare x constant int not null = write_log('x'); | return 1;
declare c cursor (k int) for select write_log('x'); | return 1;
declare c cursor (k int) for select k; r record; | for r in c(write_log('x')) loop null; end loop; return 1;
declare c refcursor; | open c for select write_log('x'); return 1;
declare c refcursor; | open c for execute 'select 1' using write_log('x'); return 1;
declare c refcursor; r record; | fetch relative write_log('x') from c into r; return 1;
| while write_log('x') = 1 loop null; end loop; return 1;
| loop exit when write_log('x') = 1; end loop; return 1;
| for i in 1..write_log('x') by write_log('y') loop null; end loop; return 1;
declare x int; | foreach x in array array[write_log('x')] loop null; end loop; return 1;
| case write_log('x') when 1 then null; end case; return 1;
| if false then null; elsif write_log('x') = 1 then null; end if; return 1;
| raise notice '%', write_log('x'); return 1;
| raise exception using message = write_log('x'); return 1;
| assert write_log('x') = 2, write_log('y'); return 1;
| begin return 1/0; exception when others then perform write_log('x'); end; return 1;
| <<b>> declare y int := write_log('x'); begin null; end; return 1;
declare x int[]; | x[write_log('x')] := 1; return 1;
declare x int; | select write_log('x') into x; return 1;
| return write_log('x');
| execute 'select write_log(''x'')'; return 1;
| set local work_mem = '1MB'; return 1;
| lock table log; return 1;
| do 'begin end'; return 1;
| perform set_config('work_mem', '1MB', false); return 1;
| perform pg_advisory_lock(1); return 1;
| insert into log values ('x'); return 1;
| call p(); return 1;
| notify x; return 1;
"""


async def test_no_spot_in_a_procedural_body_is_overlooked(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(TRAPS.encode())
    spots = [line.partition("|") for line in SPOTS.strip().splitlines()]
    for number, (declared, _, body) in enumerate(spots):
        head = f"create function spot_{number}(a int) returns int language plpgsql stable as"
        owner.execute(f"{head} $${declared} begin {body} end$$".encode())
    async with connect(shop) as client:
        for number, (declared, _, body) in enumerate(spots):
            refused = await error(client, "db_query", sql=f"select spot_{number}(1)")
            assert refused["code"] == "permission_denied", (declared, body)
            assert (
                f"spot_{number}" in refused["reason"]
                or "write_log" in refused["reason"]
                or "can have" in refused["reason"]
            )
    assert owner.execute("select count(*) from log").fetchone() == (0,)


HARMLESS = """
create function plain(a int) returns int language sql immutable as 'select a + 1';
create function unmarked(a bigint) returns numeric language plpgsql as $$
  declare found_total numeric := 0; r record; parts numeric[];
  begin
    for r in select total from orders where customer_id = a loop found_total := found_total + r.total; end loop;
    parts[1] := found_total;
    if found_total > 100 then return 100; end if;
    return coalesce((select sum(o.total) from orders o where o.customer_id = a), parts[1]);
  exception when others then return null; end$$;
create function as_row(c customers) returns text language sql stable as $$select upper(c.name)$$;
create function archive(c customers) returns int language plpgsql as $$begin delete from customers; return 1; end$$;
create table archived (id int, archive text); insert into archived values (1, 'box');
create aggregate glued(text) (sfunc = textcat, stype = text, initcond = '');
create domain positive as int check (value > 0);
create function modern(a int) returns int language sql stable begin atomic select a * 2; end;
create function with_record(a int) returns int language plpgsql as $$
  declare r record; "Other" record; n int = 1;
  begin r := row(1); select a as b into "Other"; n := "Other".b; return n; end$$;
create function returning_one(a int) returns int language sql return a + 1;
create function largest(variadic a int[]) returns int language plpgsql as $$
  declare found int := a[1]; begin foreach found in array a loop exit when found > 2; end loop; return found; end$$;
"""


HONEST: dict[str, Any] = {
    "select plain(1)": 2, "select unmarked(1)": "12.50", "select c.as_row from customers c where id = 1": "ADA",
    "select a.archive from archived a": "box", "select glued(name order by id) from customers": "AdaGrace",
    "select 5::positive": 5, "select modern(2)": 4, "select returning_one(2)": 3, "select with_record(4)": 4,
    "select largest(1, 3)": 3,
    "select length(ts_rewrite('a'::tsquery, 'a'::tsquery, 'c'::tsquery)::text)": 3,
    "select total from paid": "12.50",
    "table customers": 1, "values (1)": 1, "(select 1) union all (select 2)": 1,
    "select 1;  -- done": 1,
    "show transaction_read_only": "on", "select x.n from (select 7 as n) x": 7,
    "select count(*) from information_schema.tables where table_name = 'orders'": 1,
    "select count(*)::int from generate_series(1, 10) s where s > 5": 5,
}  # fmt: skip


@pytest.mark.proves("reads-stay-reads", "allowed")
async def test_an_honest_read_is_answered(shop: Path, connect: Connect, owner: psycopg.Connection[Any]) -> None:
    owner.execute(HARMLESS.encode())
    async with connect(shop) as client:
        for sql, first in HONEST.items():
            assert (await result(client, "db_query", sql=sql))["rows"][0][0] == first, sql


async def test_a_function_that_cannot_be_read_is_allowed_by_the_policy(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(TRAPS.encode())
    with (shop / "mcp-backend.toml").open("a") as policy:
        policy.write(
            '[constraints.reads-stay-reads]\ndisabled_because = "looked at by the data owner"\n'
            '[constraints.reads-stay-reads.parameters]\nfunctions = ["public.dynamic"]\n'
        )
    async with connect(shop) as client:
        assert (await result(client, "db_query", sql="select dynamic('select 7')"))["rows"] == [[7]]
        await error(client, "db_query", sql="select write_log('x')")
