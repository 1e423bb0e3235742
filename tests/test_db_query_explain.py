"""Plans and findings of db_query."""

from pathlib import Path
from typing import Any

import psycopg

from tests.asking import error, result
from tests.conftest import Connect

EXPLAINED = """
create table big (id bigint primary key, kind text, at timestamptz, other_id bigint, payload text);
insert into big select i, 'k' || (i % 5000), now() - i * interval '1 minute', i % 100, repeat('x', 20)
  from generate_series(1, 60000) i;
analyze big;
"""


async def test_a_plan_says_what_to_improve(shop: Path, connect: Connect, owner: psycopg.Connection[Any]) -> None:
    owner.execute(EXPLAINED.encode())
    sql = "select * from big where kind = 'k7' and at > now() - interval '10 days'"
    async with connect(shop) as client:
        planned = await result(client, "db_query", sql=sql, explain="plan")
        assert "Seq Scan on big" in planned["plan"][0]
        (finding,) = planned["findings"]
        assert "sequential scan of big" in finding["finding"]
        assert "(kind, at)" in finding["advice"]
        measured = await result(client, "db_query", sql=sql, explain="analyze")
        assert "read 60,000 rows to keep" in measured["findings"][0]["finding"]
        assert "execution" in measured["plan"][-1]
        owner.execute("create index on big (kind, at)")
        assert (await result(client, "db_query", sql=sql, explain="plan"))["findings"] == []


async def test_a_wrong_estimate_and_a_spill_are_findings(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(EXPLAINED.encode())
    owner.execute("alter role backend set work_mem = '64kB'")
    owner.execute("update big set kind = 'same' where id % 2 = 0")
    async with connect(shop) as client:
        sql = "select * from big where kind = 'same' order by payload, id"
        found = await result(client, "db_query", sql=sql, explain="analyze")
        owner.execute("alter role backend reset work_mem")
    says = " / ".join(finding["finding"] for finding in found["findings"])
    assert "off by a factor of" in says
    assert "spilled" in says
    assert any("ANALYZE big" in finding["advice"] for finding in found["findings"])


async def test_a_write_is_planned_but_never_measured(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    async with connect(shop) as client:
        planned = await result(client, "db_query", sql="delete from orders where id = 1", explain="plan")
        assert "Delete on orders" in planned["plan"][0]
        refused = await error(client, "db_query", sql="delete from orders", explain="analyze")
        assert refused["code"] == "permission_denied"
        assert (await result(client, "db_query", sql="explain update orders set note = 'x'"))["row_count"] > 0
        wrong = await error(client, "db_query", sql="explain select 1", explain="plan")
        assert wrong["code"] == "invalid_argument"
    assert owner.execute("select count(*) from orders").fetchone() == (1,)


async def test_a_plan_is_shown_beside_operators_that_only_an_execution_would_run(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(
        b"create type point3 as (x int, y int, z int); create function same(a point3, b point3) returns bool "
        b"language sql as 'select (a).x = (b).x'; create operator = ("
        b"leftarg = point3, rightarg = point3, function = same)"
    )
    async with connect(shop) as client:
        assert (await result(client, "db_query", sql="select * from orders where id = 1", explain="plan"))["plan"]
