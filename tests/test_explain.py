"""What plans say: from which numbers on something stands out, and what to do about it."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_backend.engines.pg import advice
from mcp_backend.engines.pg.advice import Known, Table
from tests.asking import names_database, result
from tests.clickhouse_fixtures import Sql
from tests.conftest import Connect

KNOWN = Known({"orders": Table("orders", 100_000, "2026-11-01", (("id",), ("kind", "at")))}, "4MB", "")


def said(*nodes: tuple[int, dict[str, Any]]) -> list[tuple[str, str]]:
    """The findings of a plan, without what makes no difference to them."""
    plain = {"Total Cost": 1.0, "Plan Rows": 1}
    found = advice.findings([(depth, {**plain, **node}) for depth, node in nodes], KNOWN)
    return [(finding.says, finding.advice) for finding in found]


@pytest.mark.parametrize(
    ("expected", "actual", "factor"),
    [
        (100, 1000, "10"), (100, 999, ""), (1000, 100, "10"), (1, 99, ""), (1, 100, "100"), (5, 0, ""),
        (0, 5000, "5,000"), (200, 0, "200"),
    ],
)  # fmt: skip
def test_an_estimate_stands_out_from_ten_times_on_and_where_it_matters(expected: int, actual: int, factor: str) -> None:
    node = {"Node Type": "Seq Scan", "Relation Name": "orders", "Plan Rows": expected, "Actual Rows": actual}
    found = said((0, {**node, "Actual Loops": 1, "Filter": "((kind = 'a'::text) AND (state = 'b'::text))"}))
    assert [says.partition("(off by a factor of ")[2].rstrip(")") for says, _ in found] == ([factor] if factor else [])
    for _, remedy in found:
        assert remedy.startswith("ANALYZE orders (last analysed: 2026-11-01); ")
        assert "CREATE STATISTICS ON kind, state FROM orders" in remedy


def test_a_wrong_estimate_is_said_where_it_begins() -> None:
    scan = {"Node Type": "Index Scan", "Relation Name": "orders", "Plan Rows": 10, "Actual Rows": 5000}
    join = {"Node Type": "Hash Join", "Plan Rows": 10, "Actual Rows": 50_000}
    found = said((0, {**join, "Actual Loops": 1}), (1, {**scan, "Actual Loops": 1, "Index Cond": "(kind = 'a'::text)"}))
    assert [says for says, _ in found] == ["the planner expected 10 rows and got 5,000 (off by a factor of 500)"]
    assert said((0, {**join, "Actual Loops": 0}), (1, {**scan, "Actual Loops": 0})) == []


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"Node Type": "Sort", "Sort Space Type": "Disk", "Sort Space Used": 12345}, "the sort spilled 12,345 kB"),
        ({"Node Type": "Hash", "Hash Batches": 4}, "did not fit into memory (4 batches)"),
        ({"Node Type": "Aggregate", "Disk Usage": 2048}, "the aggregation spilled 2,048 kB"),
        ({"Node Type": "Bitmap Heap Scan", "Lossy Heap Blocks": 70}, "the bitmap lost precision for 70 pages"),
        ({"Node Type": "Sort", "Sort Space Type": "Memory", "Sort Space Used": 25}, ""),
        ({"Node Type": "Hash", "Hash Batches": 1}, ""),
        ({"Node Type": "Aggregate", "Disk Usage": 0}, ""),
    ],
)
def test_work_that_did_not_fit_into_memory_is_said_with_the_memory_it_had(node: dict[str, Any], words: str) -> None:
    found = said((0, node))
    assert bool(found) is bool(words)
    for says, remedy in found:
        assert words in says
        assert "work_mem for this query (now 4MB)" in remedy


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ("((state = 'a'::text) AND (total > 5))", "state, total"),
        ("((total > 5) AND (note < 'x'::text) AND (state = 'a'::text) AND (owner_id = 7))", "state, owner_id, total"),
        ("((state)::text = 'a'::text)", "state"),
        ("(state = ANY ('{a,b}'::text[]))", "state"),
        ("((kind = 'a'::text) AND (at > now()))", ""),
        ("((state = 'a'::text) OR (total > 5))", ""),
        ("(lower(state) = 'a'::text)", ""),
        ('(("order" = 5) AND ("Odd Name" = 7))', '"order", "Odd Name"'),
    ],
)
def test_a_missing_index_is_named_with_its_columns_equality_first(condition: str, columns: str) -> None:
    node = {"Node Type": "Seq Scan", "Relation Name": "orders", "Filter": condition, "Plan Rows": 10}
    ((says, remedy),) = said((0, node))
    assert says == "sequential scan of orders: would read about 100,000 rows to keep about 10"
    assert (f"CREATE INDEX CONCURRENTLY ON orders ({columns}), by a migration" == remedy) is bool(columns)
    assert said((0, {**node, "Plan Rows": 5001})) == []


async def test_spills_of_hashes_and_aggregates_are_found_in_the_database(
    shop: Path, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(b"create table wide as select n, md5(n::text) as word from generate_series(1, 30000) n")
    owner.execute(b"analyze wide")
    owner.execute(b"alter role backend set work_mem = '64kB'")
    owner.execute(b"alter role backend set enable_sort = off")
    try:
        async with connect(shop) as client:
            for sql, words in (
                ("select count(*) from wide a join wide b using (word)", "the hash table did not fit into memory ("),
                ("select word, count(*) from wide group by word", "the aggregation spilled "),
            ):
                found = await result(client, "db_query", sql=sql, explain="analyze")
                assert any(words in finding["finding"] for finding in found["findings"]), (sql, found)
                assert any("now 64kB" in finding["advice"] for finding in found["findings"])
    finally:
        owner.execute(b"alter role backend reset all")


async def test_the_gain_of_an_index_is_proven_where_hypothetical_ones_can_be_made(
    repository: Path, connect: Connect, postgres_admin_url: str
) -> None:
    names_database(repository, postgres_admin_url)
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        try:
            admin.execute(b'create schema "What if"; create extension hypopg schema "What if"')
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            pytest.skip("this server has no hypopg")
        admin.execute(
            b'create schema "Big App"; create table "Big App"."Lines" ("order" int, kind text); insert into '
            b'"Big App"."Lines" select n % 5000, \'k\' || n % 7 from generate_series(1, 30000) n; analyze'
        )
        async with connect(repository) as client:
            for sql, given in (('"order" = 7', []), ('"order" = $1', [7]), ('"order" = any($1)', [[7, 8]])):
                asked = {"sql": f'select * from "Big App"."Lines" l where {sql}', "parameters": given}
                found = await result(client, "db_query", **asked, explain="plan")
                (finding,) = found["findings"]
                assert '"Big App"."Lines" ("order"), by a migration' in finding["advice"]
                said = re.fullmatch(
                    r"with this index the planner expects a cost of ([\d,]+) instead of ([\d,]+)", finding["gain"]
                )
                assert said is not None, finding
                less, more = (int(number.replace(",", "")) for number in said.groups())
                assert less * 3 < more
        left = admin.execute(b"select count(*) from pg_stat_activity where state like 'idle in trans%'").fetchone()
        assert left == (0,)
        assert (
            admin.execute(
                b'select indexrelid from pg_index where indrelid = \'"Big App"."Lines"\'::regclass'
            ).fetchall()
            == []
        )


async def test_clickhouse_says_which_parts_and_granules_are_left_and_why_not_fewer(
    analytics: Path, connect: Connect, clickhouse: Sql
) -> None:
    clickhouse(
        "CREATE TABLE spread (id UInt32, word String, INDEX by_word word TYPE bloom_filter GRANULARITY 1) ENGINE = "
        "ReplacingMergeTree ORDER BY id SETTINGS index_granularity = 256"
    )
    clickhouse("INSERT INTO spread SELECT number, toString(number % 3) FROM numbers(20000)")
    async with connect(analytics) as client:

        async def explained(sql: str) -> tuple[str, list[tuple[str, str]]]:
            found = await result(client, "db_query", sql=sql, explain="plan")
            return "\n".join(found["plan"]), [(f["finding"], f["advice"]) for f in found["findings"]]

        plan, findings = await explained("SELECT sum(value) FROM events WHERE at >= '2026-04-01' AND kind = 'a'")
        assert "MinMax (at): " in plan
        assert "parts 2/5" in plan
        assert findings == []
        _, findings = await explained("SELECT sum(value) FROM events WHERE kind = 'a'")
        (unpruned,) = [remedy for says, remedy in findings if "no partition of" in says]
        assert unpruned == "add a condition on at where the question allows it"
        _, findings = await explained("SELECT count() FROM spread WHERE word = '1'")
        assert any("the skipping index by_word of" in s and "leaves no granule out" in s for s, _ in findings)
        _, findings = await explained("SELECT count() FROM spread FINAL")
        assert any(says == "FINAL merges rows while it reads" and "argMax" in remedy for says, remedy in findings)
        _, findings = await explained("SELECT count() FROM spread FINAL WHERE id = 5")
        assert findings == []
