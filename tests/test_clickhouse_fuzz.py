"""Statements made at random from every function of the server and the corners of the grammar: no canary ever changes.

`FUZZ_STATEMENTS=20000 pytest tests/test_clickhouse_fuzz.py` makes a long run of it; `FUZZ_SEED` makes another.
"""

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from mcp_backend.engines.ch import statement
from mcp_backend.engines.ch.reading import Question
from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.errors import BackendError
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace
from tests.clickhouse_fixtures import Sql
from tests.conftest import CORPORA
from tests.test_clickhouse_corpora import CANARIES, canary, mutants, trap

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the canaries are not here")

__all__ = ["canary", "trap"]

STATEMENTS = int(os.environ.get("FUZZ_STATEMENTS", "60"))
EVERY, AT_ONCE = 100, 4
"""How many statements between two looks at the canaries, and how many of them run at the same time."""
LITERALS = [
    "1", "-1", "0.5", "'x'", "'canary.events'", "'/etc/passwd'", "'id'", "'http://127.0.0.1:{port}/x'", "NULL",
    "[1, 2]", "['a']", "map('a', 1)", "(1, 'a')", "now()", "today()", "x -> x", "'CSV'", "'a String'", "canary.events",
    "'127.0.0.1:{port}'", "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "number", "(SELECT 1)", "'system'", "'.*'",
    "'{{\"a\": 1}}'", "toDecimal64(1, 2)", "'SELECT 1'", "system.one", "8", "''",
]  # fmt: skip
SCALAR = [
    "SELECT {}", "SELECT {} FROM numbers(3)", "SELECT * FROM numbers(2) WHERE ({}) IS NOT NULL", "DESCRIBE (SELECT {})",
    "SELECT count() FROM numbers(2) GROUP BY {}", "SELECT number FROM numbers(2) ORDER BY {}", "EXPLAIN SELECT {}",
    "WITH {} AS x SELECT x", "WITH x AS (SELECT {}) SELECT * FROM x", "SELECT arrayMap(i -> {}, [1])", "SELECT ({}, 1)",
    "SELECT 1 IN (SELECT {})", "SELECT row_number() OVER (ORDER BY {}) FROM numbers(2)", "SELECT if(1, {}, NULL)",
    "SELECT count() OVER w FROM numbers(2) WINDOW w AS (PARTITION BY {})", "SELECT any({}) FROM numbers(2)",
    "SELECT * REPLACE ({} AS number) FROM numbers(1)", "SELECT 1 UNION ALL SELECT {}", "SHOW TABLES WHERE ({}) = 1",
    "SELECT number FROM numbers(2) QUALIFY ({}) = 1", "SELECT number FROM numbers(1) ARRAY JOIN [{}] AS a",
    "SELECT {} SETTINGS max_threads = 1", "EXPLAIN SYNTAX SELECT {}", "EXPLAIN ESTIMATE SELECT {}",
    "SELECT number FROM numbers(3) LIMIT 1 BY {}", "SELECT sumIf(number, ({}) = 1) FROM numbers(3)",
]  # fmt: skip
TABLE = [
    "SELECT * FROM {} LIMIT 3", "DESCRIBE {}", "DESCRIBE TABLE {}", "EXPLAIN SELECT * FROM {}",
    "SELECT count() FROM {}",
    "SELECT * FROM numbers(1) CROSS JOIN {}", "SELECT 1 IN (SELECT * FROM {})", "WITH x AS (SELECT * FROM {}) SELECT 1",
    "SELECT * FROM view(SELECT * FROM {})", "EXPLAIN PIPELINE SELECT * FROM {}", "SELECT (SELECT count() FROM {})",
    "SELECT 1 UNION ALL SELECT 1 FROM {}", "EXPLAIN QUERY TREE SELECT * FROM {}", "INSERT INTO FUNCTION {} SELECT 1",
]  # fmt: skip


def made(functions: list[str], table_functions: list[str], port: int, dice: random.Random) -> Iterator[str]:
    while True:
        if dice.random() < 0.3:
            yield from mutants(1, dice.randrange(10**9))
            continue
        tables = dice.random() < 0.2
        name = dice.choice(table_functions if tables else functions)
        parameters = dice.choice(["(1)", "(0.5)", "('x')"]) if dice.random() < 0.1 else ""
        arguments = [dice.choice(LITERALS).format(port=port) for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 4)))]
        quoted = f"`{name}`" if dice.random() < 0.1 else name
        call = f"{quoted}{parameters}({', '.join(arguments)})"
        sql = dice.choice(TABLE if tables else SCALAR).replace("{}", call)
        yield f"{sql} INTO OUTFILE 'pwn_{dice.randrange(10**6)}'" if dice.random() < 0.02 else sql


@pytest.mark.timeout(60 + STATEMENTS)
async def test_no_generated_statement_changes_a_canary(
    clickhouse_url: str, canary: Sql, tmp_path: Path, trap: socket.socket
) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "3"))
    engine = Clickhouse(EngineSettings("main", "clickhouse", clickhouse_url), Workspace(tmp_path, tmp_path, False))
    functions, table_functions = (
        [str(json.loads(line)[0]) for line in canary(f"SELECT name FROM system.{kind} {KEPT}").splitlines()]
        for kind in ("functions", "table_functions")
    )
    judged = ran = 0
    began = time.monotonic()
    slots = asyncio.Semaphore(AT_ONCE)
    try:
        before = canary(CANARIES)
        statements = islice(made(functions, table_functions, trap.getsockname()[1], random.Random(seed)), STATEMENTS)
        while batch := [*islice(statements, EVERY)]:
            ran += sum(await asyncio.gather(*(_asked(engine, sql, slots) for sql in batch)))
            judged += len(batch)
            assert _settled(canary, before) == before, (seed, batch)
            if judged % 1000 == 0:
                print(f"{judged} judged, {ran} run, {time.monotonic() - began:.0f} s, canaries intact", flush=True)
    finally:
        await engine.close()
    with pytest.raises(BlockingIOError):
        trap.accept()
    print(f"{judged} statements judged, {ran} run, seed {seed}")
    assert ran > STATEMENTS * 0.02


KEPT = "FORMAT JSONCompactEachRow"


def _settled(canary: Sql, before: str) -> str:
    """The canaries, once statements that were killed have ended."""
    for _ in range(20):
        if canary(CANARIES) == before:
            break
        canary("SELECT sleep(1)")
    return canary(CANARIES)


async def _asked(engine: Clickhouse, sql: str, slots: asyncio.Semaphore) -> bool:
    """Whether the statement was judged to read, and ran to its end."""
    async with slots:
        try:
            outline = statement.outline(sql)
            verdict = await engine.judge(outline, {}, frozenset())
            if verdict.why or verdict.shape is None:
                return False
            rows = verdict.shape.kind == "select"
            await engine.read(Question(outline.text, {}, 20, 1, settings=outline.settings, rows=rows))
        except BackendError:
            return False
    return True
