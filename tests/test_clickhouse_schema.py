"""db_schema on ClickHouse: a whole server in few bytes, everything about a table, a fingerprint to be trusted."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from mcp_backend.engines.ch.definition import canonical
from mcp_backend.keeper.chdb.changes import Changes, only_reads
from mcp_backend.keeper.chdb.tokens import tokens
from tests.asking import error, result
from tests.clickhouse_fixtures import Sql, names_clickhouse
from tests.conftest import ERAS, Connect, Era

SHOP = [
    "CREATE TABLE orders (id UInt64 COMMENT 'the number of the order', at DateTime CODEC(Delta, ZSTD), old String TTL "
    "at + INTERVAL 1 DAY, kind LowCardinality(String) DEFAULT 'new', third UInt8 MATERIALIZED id % 3, title String "
    "ALIAS concat(kind, '!'), note String EPHEMERAL, INDEX by_kind kind TYPE set(100) GRANULARITY 4, INDEX by_time at "
    "TYPE minmax, PROJECTION per_kind (SELECT kind, count() GROUP BY kind), CONSTRAINT positive CHECK id > 0) "
    "ENGINE = ReplacingMergeTree(at) PARTITION BY toYYYYMM(at) PRIMARY KEY id ORDER BY (id, kind) SAMPLE BY id "
    "TTL at + INTERVAL 1 MONTH DELETE WHERE kind = 'x' "
    "SETTINGS index_granularity = 4096, deduplicate_merge_projection_mode = 'drop' COMMENT 'what was ordered'",
    "CREATE TABLE days (day Date, n UInt64) ENGINE = SummingMergeTree ORDER BY day",
    "CREATE TABLE log (day Date) ENGINE = Log",
    "CREATE MATERIALIZED VIEW to_days TO days AS SELECT toDate(at) AS day, count() AS n FROM orders GROUP BY day",
    "CREATE MATERIALIZED VIEW to_log TO log AS SELECT day FROM days",
    "CREATE MATERIALIZED VIEW uniques ENGINE = AggregatingMergeTree ORDER BY kind AS SELECT kind, uniqState(id) AS u "
    "FROM orders GROUP BY kind",
    "CREATE VIEW recent AS SELECT * FROM days WHERE day > today() - 7",
    "CREATE DICTIONARY names (id UInt64, name String DEFAULT '?') PRIMARY KEY id "
    "SOURCE(CLICKHOUSE(TABLE 'orders' PASSWORD 'not for you')) LAYOUT(FLAT()) LIFETIME(MIN 1 MAX 10) "
    "COMMENT 'of people'",
    "INSERT INTO orders (id, at) SELECT number + 1, now() FROM numbers(1000)",
]


@pytest.fixture
def shop_analytics(repository: Path, clickhouse_url: str, clickhouse: Sql) -> Path:
    """A workspace whose engine `main` has orders, what views make of them, and a dictionary."""
    for statement in SHOP:
        clickhouse(statement)
    names_clickhouse(repository, clickhouse_url)
    return repository


@pytest.mark.parametrize("era", ERAS)
async def test_the_whole_server_in_brief(shop_analytics: Path, connect: Connect, era: Era) -> None:
    async with connect(shop_analytics, mode=era) as client:
        found = await result(client, "db_schema")
    tables = {table["name"]: table for table in found["tables"]}
    assert found["tables"][0]["name"] == "orders"
    assert tables["orders"] == {
        "name": "orders", "engine": "ReplacingMergeTree(at)", "rows": 1000, "feeds": 2, "order_by": "id, kind",
        "partition_by": "toYYYYMM(at)", "comment": "what was ordered",
        "columns": [
            "id UInt64 key -- the number of the order", "at DateTime", "old String",
            "kind LowCardinality(String) key = 'new'", "third UInt8 materialized id % 3",
            "title String alias concat(kind, '!')", "note String ephemeral",
        ],
    }  # fmt: skip
    assert tables["to_days"]["kind"] == "materialized view"
    assert tables["recent"]["kind"] == "view"
    assert tables["names"]["kind"] == "dictionary"
    assert not any(name.startswith(".inner") for name in tables)
    assert found["dialect"].startswith("clickhouse ")
    assert found["environment"] == "development"
    assert found["truncated"] is False
    assert found["total"] == len(tables) == 8
    assert found["migrations"]["problem"]


async def test_a_table_in_full(shop_analytics: Path, connect: Connect) -> None:
    async with connect(shop_analytics) as client:
        orders = (await result(client, "db_schema", table="orders"))["table"]
        days = (await result(client, "db_schema", table="Days"))["table"]
        view = (await result(client, "db_schema", table="`uniques`"))["table"]
        names = (await result(client, "db_schema", table="names"))["table"]
    columns = {column["name"]: column for column in orders["columns"]}
    assert columns["id"]["in"] == ["order_by", "primary_key"]
    assert columns["id"]["comment"] == "the number of the order"
    assert columns["at"]["codec"] == "Delta(4), ZSTD(1)"
    assert columns["old"]["ttl"] == "at + toIntervalDay(1)"
    assert columns["kind"]["default"] == "'new'"
    assert columns["third"]["materialized"] == "id % 3"
    assert columns["title"]["alias"] == "concat(kind, '!')"
    assert orders["engine"] == "ReplacingMergeTree(at)"
    assert orders["order_by"] == "id, kind"
    assert orders["primary_key"] == "id"
    assert orders["sample_by"] == "id"
    assert orders["ttl"] == "at + toIntervalMonth(1) WHERE kind = 'x'"
    assert orders["settings"] == "index_granularity = 4096, deduplicate_merge_projection_mode = 'drop'"
    assert orders["indexes"][0] == {"name": "by_kind", "definition": "kind TYPE set(100) GRANULARITY 4"}
    assert orders["projections"] == [{"name": "per_kind", "query": "(SELECT kind, count() GROUP BY kind)"}]
    assert orders["constraints"] == [{"name": "positive", "definition": "CHECK id > 0"}]
    assert orders["rows"] == 1000
    assert orders["bytes"] > 1000
    assert orders["parts"]["active"] == 1
    assert sorted(orders["feeds"], key=lambda feed: feed["view"]) == [
        {"view": "to_days", "into": "days", "feeds": [{"view": "to_log", "into": "log"}]},
        {"view": "uniques", "into": "a table of its own"},
    ]
    assert days["fed_by"] == [{"view": "to_days", "reads": ["orders"]}]
    assert view["engine"] == "AggregatingMergeTree"
    assert view["reads"] == ["orders"]
    assert names["dictionary"]["key"] == "id"
    assert "not for you" not in json.dumps(names)


async def test_tables_are_found_by_name_comment_and_column(
    shop_analytics: Path, connect: Connect, clickhouse: Sql
) -> None:
    async with connect(shop_analytics) as client:

        async def found(search: str) -> list[str]:
            page = await result(client, "db_schema", search=search)
            return [table["name"] for table in page["tables"]]

        assert await found("ordered") == ["orders"]
        assert await found("number order") == ["orders"]
        assert await found("name people") == ["names"]
        assert await found("nothing of the kind") == []
        near = await error(client, "db_schema", table="order")
        assert near["code"] == "not_found"
        assert near["details"]["near"] == ["orders"]
        wrong = await error(client, "db_schema", table="a.b.c")
        assert wrong["code"] == "invalid_argument"


async def test_pages_bring_every_table_once(
    repository: Path, connect: Connect, clickhouse_url: str, clickhouse: Sql
) -> None:
    many = 120
    for number in range(many):
        clickhouse(f"CREATE TABLE measurements_of_{number} (id UInt64, at DateTime, value Float64) ENGINE = Memory")
    names_clickhouse(repository, clickhouse_url)
    async with connect(repository) as client:
        seen: list[str] = []
        after: str | None = None
        for _ in range(20):
            page = await result(client, "db_schema", **({"after": after} if after else {}))
            assert len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()) <= 8_000
            seen += [table["name"] for table in page["tables"]]
            after = page.get("next")
            if after is None:
                break
        assert sorted(seen) == sorted(f"measurements_of_{number}" for number in range(many))
        wrong = await error(client, "db_schema", after="nonsense")
        assert wrong["code"] == "invalid_argument"


async def test_no_answer_outlives_a_change(shop_analytics: Path, connect: Connect, clickhouse: Sql) -> None:
    changes = (
        "ALTER TABLE clicks ADD COLUMN later UInt8", "ALTER TABLE clicks COMMENT COLUMN later 'x'",
        "CREATE VIEW seen AS SELECT 1", "WITH 1 AS x SELECT x", "DROP VIEW seen",
    )  # fmt: skip
    clickhouse("CREATE TABLE clicks (id UInt64) ENGINE = MergeTree ORDER BY id")
    async with connect(shop_analytics) as client:
        before = await result(client, "db_schema", table="clicks")
        for change in changes:
            assert await result(client, "db_schema", table="clicks") == before
            clickhouse(change)
            after = await result(client, "db_schema", table="clicks")
            assert (after["version"] == before["version"]) == change.startswith("WITH"), change
            before = after
        clickhouse("INSERT INTO clicks SELECT number, 1 FROM numbers(10)")
        assert (await result(client, "db_schema", table="clicks"))["table"]["rows"] == 10


def test_the_word_of_changes_is_kept_back_while_one_is_under_way() -> None:
    changes = Changes()
    first = changes.word()
    with changes.counted(reads=True):
        assert changes.word() == first != ""
    with changes.counted(reads=False):
        assert changes.word() == ""
    assert changes.word() not in ("", first)
    assert only_reads(tokens("WITH 1 AS x SELECT x"))
    assert not only_reads(tokens("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"))
    assert not only_reads(tokens("ALTER TABLE t ADD COLUMN x Int8"))


async def test_the_resources_show_the_same(shop_analytics: Path, connect: Connect) -> None:
    async with connect(shop_analytics) as client:
        one = await client.read_resource("schema://main/orders")
        whole = await client.read_resource("schema://main")
        tool = await result(client, "db_schema", table="orders")
    shown = json.loads(cast("Any", one.contents[0]).text)
    assert shown["table"]["columns"] == tool["table"]["columns"]
    assert json.loads(cast("Any", whole.contents[0]).text)["version"] == shown["version"] == tool["version"]


CHANGES = [
    "ALTER TABLE orders ADD COLUMN more Int8", "ALTER TABLE orders DROP COLUMN more",
    "ALTER TABLE orders MODIFY COMMENT 'other'", "ALTER TABLE orders COMMENT COLUMN at 'when'",
    "ALTER TABLE orders MODIFY COLUMN old String CODEC(ZSTD(3))", "ALTER TABLE orders MODIFY TTL at + INTERVAL 2 MONTH",
    "ALTER TABLE orders ADD INDEX other third TYPE minmax", "ALTER TABLE orders DROP PROJECTION per_kind",
    "ALTER TABLE orders MODIFY SETTING merge_with_ttl_timeout = 9000", "ALTER TABLE orders DROP CONSTRAINT positive",
    "ALTER TABLE orders MODIFY COLUMN kind DEFAULT 'other'", "RENAME TABLE log TO log2",
    "CREATE TABLE another (x Int8) ENGINE = Memory", "DROP VIEW recent", "CREATE VIEW recent AS SELECT 1 AS x",
]  # fmt: skip


async def test_any_change_of_the_schema_changes_the_fingerprint_and_rows_do_not(
    shop_analytics: Path, connect: Connect, clickhouse: Sql
) -> None:
    async with connect(shop_analytics) as client:

        async def version() -> str:
            return str((await result(client, "db_schema", detail="names"))["version"])

        before = await version()
        clickhouse("INSERT INTO orders (id, at) SELECT number + 5000, now() FROM numbers(1000)")
        clickhouse("OPTIMIZE TABLE orders FINAL")
        assert await version() == before
        seen = {before}
        for change in CHANGES:
            clickhouse(change, mutations_sync=2)
            seen.add(await version())
        # Adding a column and dropping it leads back to where it was.
        assert len(seen) == len(CHANGES)


async def test_the_same_schema_made_otherwise_has_the_same_fingerprint(
    repository: Path, connect: Connect, clickhouse_lease: Any, clickhouse: Sql
) -> None:
    from tests.engines_fixtures import with_database

    database = clickhouse("SELECT currentDatabase()").strip()
    other = f"{database}_copy"
    ways = {
        database: [
            "CREATE TABLE {}.a (x Int8, y String, INDEX i x TYPE minmax, INDEX j y TYPE bloom_filter) "
            "ENGINE = MergeTree ORDER BY x",
            "CREATE VIEW {}.v AS SELECT x FROM {}.a",
        ],
        other: [
            "CREATE TABLE {}.b (x Int8, y String) ENGINE = MergeTree ORDER BY x",
            "ALTER TABLE {}.b ADD INDEX j y TYPE bloom_filter", "ALTER TABLE {}.b ADD INDEX i x TYPE minmax",
            "RENAME TABLE {}.b TO {}.a", "CREATE VIEW {}.v AS SELECT x FROM {}.a", "INSERT INTO {}.a VALUES (1, 'x')",
        ],
    }  # fmt: skip
    versions: list[str] = []
    for name, statements in ways.items():
        clickhouse(f"CREATE DATABASE IF NOT EXISTS {name}")
        for statement in statements:
            clickhouse(statement.replace("{}", name))
        names_clickhouse(repository, with_database(clickhouse_lease.url, name))
        async with connect(repository) as client:
            versions.append(str((await result(client, "db_schema", detail="names"))["version"]))
        for kind, made in (("VIEW", "v"), ("TABLE", "a")):
            clickhouse(f"DROP {kind} {name}.{made}")
    clickhouse(f"DROP DATABASE {other}")
    assert versions[0] == versions[1]


def test_who_made_a_view_is_not_part_of_its_definition() -> None:
    plain = "CREATE MATERIALIZED VIEW d.v TO d.t (`x` Int8) AS SELECT x FROM d.s"
    made = "CREATE MATERIALIZED VIEW d.v TO d.t (`x` Int8) DEFINER = ada SQL SECURITY DEFINER AS SELECT x FROM d.s"
    assert (
        canonical(plain, "d") == canonical(made, "d") == "CREATE MATERIALIZED VIEW v TO t (`x` Int8) AS SELECT x FROM s"
    )
    assert canonical("CREATE VIEW e.v AS SELECT x FROM d.s", "d") == "CREATE VIEW e.v AS SELECT x FROM s"
    assert canonical("CREATE VIEW d.v AS SELECT bd.x FROM ad.s", "d") == "CREATE VIEW v AS SELECT bd.x FROM ad.s"


async def test_explain_says_what_is_read_and_what_to_do_about_it(analytics: Path, connect: Connect) -> None:
    async with connect(analytics) as client:

        async def explained(sql: str, how: str = "plan") -> tuple[str, str]:
            found = await result(client, "db_query", sql=sql, explain=how)
            return "\n".join(found["plan"]), json.dumps(found["findings"])

        plan, findings = await explained("SELECT sum(value) FROM events WHERE tenant = 5 AND at > '2026-03-01'")
        assert "PrimaryKey (tenant, at)" in plan
        assert "granules 6/" in plan
        assert findings == "[]"
        _, findings = await explained("SELECT sum(value) FROM events WHERE value > 5")
        assert "none of its filter (value) is on ORDER BY (tenant, at)" in findings
        assert "300,000 of 300,000 rows" in findings
        assert "ORDER BY value" in findings
        _, findings = await explained("SELECT sum(value) FROM events WHERE at > '2026-01-02'")
        assert "leaves out tenant, the first column of ORDER BY" in findings
        plan, findings = await explained("SELECT value FROM events WHERE note = '77'")
        assert "Skip note_index" in plan
        assert findings == "[]"
        _, findings = await explained("SELECT sum(value) FROM events WHERE note != ''")
        assert "none of its filter (note)" in findings
        plan, _ = await explained("SELECT sum(value) FROM events WHERE tenant = 5", "analyze")
        measured = re.search(r"ran in [\d.]+ ms, read ([\d,]+) rows, [\d.]+ MB", plan)
        assert measured is not None, plan
        assert 6_000 <= int(measured[1].replace(",", "")) <= 30_000
        refused = await error(client, "db_query", sql="INSERT INTO users VALUES (1, 'x')", explain="plan")
        assert refused["code"] == "permission_denied"
