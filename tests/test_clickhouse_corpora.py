"""The corpora of attacks and of legitimate reads against a real ClickHouse, with canaries that show any effect."""

import json
import random
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from mcp_backend.keeper.chdb.tokens import tokens
from tests.asking import either
from tests.clickhouse_fixtures import Sql, names_clickhouse, speaking
from tests.conftest import CORPORA, Connect

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not here")

SECRET = "CANARY_FILE_SECRET_77"
CANARIES = """
SELECT (SELECT groupArray((database, name, create_table_query, total_rows)) FROM (SELECT * FROM system.tables
    WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') ORDER BY database, name)),
  (SELECT groupArray((name, engine)) FROM (SELECT * FROM system.databases ORDER BY name)),
  (SELECT sum(cityHash64(*)) FROM canary.events), (SELECT sum(cityHash64(*)) FROM canary.quotes),
  (SELECT sum(cityHash64(*)) FROM canary.secrets), (SELECT count() FROM canary.kw),
  (SELECT groupArray((name, create_query)) FROM system.functions WHERE origin != 'System'),
  (SELECT count() FROM system.mutations), (SELECT count() FROM system.named_collections),
  (SELECT groupArray((name, part_type)) FROM (SELECT * FROM system.parts WHERE database = 'canary' ORDER BY name)),
  (SELECT count() FROM system.processes), (SELECT count() FROM system.dictionaries), getSetting('readonly')
FORMAT JSONCompactEachRow
"""


def cases(name: str) -> list[dict[str, Any]]:
    path = CORPORA / name
    if not path.exists():
        return []
    entries = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return [cast("dict[str, Any]", entry) for entry in entries if entry["engine"] == "clickhouse"]


@pytest.fixture
def canary(clickhouse_url: str) -> Generator[Sql]:
    """The database `canary`, as the corpora expect it."""
    sql = speaking(clickhouse_url)
    for statement in (CORPORA / "canary_setup_clickhouse.sql").read_text().split(";\n"):
        if statement.strip():
            sql(statement)
    yield sql
    sql("DROP DATABASE canary")


@pytest.fixture
def trap() -> Generator[socket.socket]:
    """A port that notices every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


async def test_no_attack_has_an_effect(
    repository: Path, connect: Connect, clickhouse_url: str, canary: Sql, tmp_path: Path, trap: socket.socket
) -> None:
    folder = tmp_path / "attacked"
    folder.mkdir(mode=0o777)
    (folder / "secret.txt").write_text(SECRET)
    names_clickhouse(repository, clickhouse_url)
    filled = {"@@DIR@@": str(folder), "@@SSRF@@": str(trap.getsockname()[1])}
    before = canary(CANARIES)
    async with connect(repository) as client:
        for case in cases("sql_attacks.jsonl"):
            for sql in (case["sql"], *case.get("then", [])):
                for token, value in filled.items():
                    sql = sql.replace(token, value)
                ok, body = await either(client, "db_query", sql=sql, timeout_seconds=1)
                text = json.dumps(body)
                assert SECRET not in text, case["id"]
                assert len(text) < 200_000, case["id"]
                assert not ok or case["effect"] == "dos", f"{case['id']} was run: {sql}"
                if body.get("code") == "permission_denied":
                    assert body["constraint"] == "reads-stay-reads"
            assert canary(CANARIES) == before, case["id"]
    assert sorted(path.name for path in folder.iterdir()) == ["secret.txt"]
    with pytest.raises(BlockingIOError):
        trap.accept()


async def test_every_legitimate_read_is_answered(
    repository: Path, connect: Connect, clickhouse_url: str, canary: Sql
) -> None:
    names_clickhouse(repository, clickhouse_url)
    rejected: list[str] = []
    before = canary(CANARIES)
    async with connect(repository) as client:
        for case in cases("sql_benign.jsonl"):
            ok, body = await either(client, "db_query", sql=case["sql"])
            if case["expect"] == "refuse":
                assert not ok, case["id"]
            elif not ok:
                rejected.append(f"{case['id']}: {body['reason']}")
    assert rejected == []
    assert canary(CANARIES) == before


@pytest.mark.parametrize(
    "effect",
    [
        "INSERT INTO canary.kw VALUES (1, 1)", "ALTER TABLE canary.events DELETE WHERE id = 1",
        "CREATE TABLE canary.pwn (x Int8) ENGINE = Memory", "CREATE DATABASE pwn",
        "ALTER TABLE canary.events ADD COLUMN pwn Int8", "CREATE FUNCTION pwn AS x -> x",
        "EXCHANGE TABLES canary.events AND canary.quotes", "TRUNCATE TABLE canary.secrets",
    ],
)  # fmt: skip
def test_the_canaries_notice_an_effect(effect: str, canary: Sql) -> None:
    before = canary(CANARIES)
    canary(effect)
    assert canary(CANARIES) != before
    canary("DROP FUNCTION IF EXISTS pwn")
    canary("DROP DATABASE IF EXISTS pwn")


def mutants(count: int, seed: int) -> Generator[str]:
    """Statements that nobody thought of: pieces of the corpora, cut, joined, wrapped and quoted anew."""
    chance = random.Random(seed)
    known = [case["sql"] for name in ("sql_attacks.jsonl", "sql_benign.jsonl") for case in cases(name)]
    wraps = (
        "SELECT * FROM ({})", "EXPLAIN {}", "DESCRIBE ({})", "WITH x AS ({}) SELECT * FROM x",
        "{} SETTINGS max_threads=1", "SELECT ({})",
        "SELECT 1 UNION ALL {}", "({})", "{} FORMAT JSON", "/* */ {} -- x", "SELECT * FROM view({})",
        "SELECT row_number() OVER w FROM numbers(1) WINDOW w AS (ORDER BY ({}))", "EXPLAIN AST {}", "EXPLAIN SYNTAX {}",
        "SHOW TABLES WHERE name IN ({})", "SELECT 1 WHERE 1 IN ({})", "{};", "{}; {}", "SELECT * APPLY(x -> ({}))",
    )  # fmt: skip
    for _ in range(count):
        sql = chance.choice(known)
        for _ in range(chance.randint(1, 3)):
            match chance.randrange(5):
                case 0:
                    sql = chance.choice(wraps).replace("{}", sql.rstrip("; "))
                case 1:
                    words = tokens(sql)
                    at = chance.randrange(len(words)) if words else 0
                    sql = sql[: words[at].start] + sql[words[at].end :] if words else sql
                case 2:
                    other = chance.choice(known)
                    sql = sql[: chance.randrange(len(sql) + 1)] + other[chance.randrange(len(other)) :]
                case 3:
                    sql = sql.replace("canary", chance.choice(("`canary`", '"canary"', "/**/canary")), 1)
                case _:
                    sql = "".join(c.swapcase() if chance.random() < 0.1 else c for c in sql)
        yield sql.replace("@@DIR@@", "/nowhere").replace("@@SSRF@@", "9")


async def test_no_mutant_of_an_attack_changes_a_canary(
    repository: Path, connect: Connect, clickhouse_url: str, canary: Sql
) -> None:
    names_clickhouse(repository, clickhouse_url)
    before = canary(CANARIES)
    async with connect(repository) as client:
        for sql in mutants(150, seed=1):
            _, body = await either(client, "db_query", sql=sql, timeout_seconds=1, limit=5)
            assert body.get("code") != "internal", sql
    assert canary(CANARIES) == before
