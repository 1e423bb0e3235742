"""db_query: a statement in the SQL of another system is refused with its translation, when that loses nothing."""

from pathlib import Path

import pytest

from mcp_backend.engines.dialects import translations
from tests.asking import error, result
from tests.conftest import Connect

POSTGRESQL: dict[str, str | None] = {
    "SELECT `id` FROM `orders` LIMIT 5, 10": 'SELECT "id" FROM "orders" LIMIT 10 OFFSET 5',
    "SELECT TOP 5 id FROM [orders]": 'SELECT id FROM "orders" LIMIT 5',
    "select id from orders where placed_at > now() - interval 1 day":
        "SELECT id FROM orders WHERE placed_at > NOW() - INTERVAL '1 DAY'",
    "select id from orders prewhere customer_id = 1 limit 1 by id": None,  # PREWHERE would be lost
    "select id form orders": None,
    "insert into orders (id) values (1) on duplicate key update id = 2": None,  # a write is not to be asked here
}  # fmt: skip


async def test_a_statement_of_another_system_is_refused_with_its_translation(shop: Path, connect: Connect) -> None:
    async with connect(shop) as client:
        for sql, meant in POSTGRESQL.items():
            refused = await error(client, "db_query", sql=sql)
            assert (refused["code"], refused["details"]) == ("invalid_argument", {"sqlstate": "42601"}), sql
            assert refused["reason"].partition("; in PostgreSQL: ")[2] == (meant or ""), sql
        asked = POSTGRESQL["SELECT `id` FROM `orders` LIMIT 5, 10"]
        assert (await result(client, "db_query", sql=asked))["row_count"] == 0


async def test_so_is_one_that_clickhouse_does_not_read(analytics: Path, connect: Connect) -> None:
    async with connect(analytics) as client:
        refused = await error(client, "db_query", sql="SELECT [tenant] FROM [events] ORDER BY [at] OFFSET 1 ROWS")
        assert refused["details"]["code"] == 62
        meant = refused["reason"].partition("; in ClickHouse: ")[2]
        assert meant
        assert (await result(client, "db_query", sql=meant))["rows"]
        mistyped = await error(client, "db_query", sql="SELECT tenant FORM events x")
        assert "in ClickHouse" not in mistyped["reason"]


@pytest.mark.parametrize("sql", ["select " + "(" * 3000 + "1", "select `a`" + ", `a`" * 1000, "", "\0", "`"])
def test_what_cannot_be_translated_is_left(sql: str) -> None:
    assert [*translations(sql, "postgres")] == []
