"""Statements made at random from every function of the server and the corners of the grammar: no canary ever changes.

`FUZZ_STATEMENTS=20000 pytest tests/test_sql_fuzz.py` makes a long run of it; `FUZZ_SEED` makes another.
"""

import os
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from mcp_backend.engines.pg import analysis, reading, statement
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import BackendError
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace
from tests.canary_fixtures import CANARIES
from tests.conftest import CORPORA

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the canaries are not here")

STATEMENTS = int(os.environ.get("FUZZ_STATEMENTS", "100"))
EVERY = 50
FUNCTIONS = """
select n.nspname || '.' || quote_ident(p.proname), (select array_agg(format_type(t, null) order by o)
  from unnest(p.proargtypes) with ordinality a (t, o)), p.prokind
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.prokind in ('f', 'a') and n.nspname in
  ('pg_catalog', 'public') order by 1, p.oid
"""
LITERALS = {
    "text": ["'x'", "'select 1'", "'/etc/passwd'", "'public.canary'", "'host=127.0.0.1 port=1'"],
    "integer": ["1", "-1", "0"],
    "bigint": ["1", "9999999999"], "oid": ["'public.canary'::regclass", "424242", "1"], "boolean": ["true", "false"],
    "regclass": ["'public.canary'::regclass", "'public.canary_seq'::regclass"], "name": ["'x'", "'canary'"],
    "bytea": ["'\\x00'"],
    "double precision": ["0.001", "1"], "interval": ["'1 ms'::interval"], "jsonb": ["'{}'::jsonb"],
    "json": ["'{}'::json"],
    "timestamp with time zone": ["now()"], "numeric": ["1.5"], "cstring": ["'x'::cstring"],
    "\"char\"": ["'a'::\"char\""],
    "regtype": ["'int'::regtype"], "text[]": ["array['x']"], "xid": ["'1'::xid"], "pg_lsn": ["'0/0'::pg_lsn"],
}  # fmt: skip
FORMS = [
    "select {}", "select * from {}", "values ({})", "select 1 where ({}) is not null", "select (select {})",
    "with x as (select {}) select * from x", "with x as materialized (select {}) select 1",
    "select * from rows from ({}) r",
    "select count(*) filter (where ({}) is null) from public.canary", "select row({}, 1)", "select array[({})::text]",
    "explain analyze select {}", "explain (analyze, verbose) select * from {}",
    "select case when ({}) is null then 1 end",
    "select coalesce(({})::text, 'x')", "select 1 from public.canary order by {} limit 1",
    "table public.canary; select {}",
    "select 1 from public.canary group by ({})::text", "select max(id) over (order by ({})::text) from public.canary",
    "select * from public.canary c, lateral (select {}) l", "select 1 union select 1 where ({}) is null",
    "select json_build_object('a', {})", "select 1 from public.canary where id in (select 1 where ({}) is null)",
    "explain select {}", "select {}::text", "select x from public.canary c, lateral {} x",
]  # fmt: skip
TRAPS = [
    "select * from public.trap_view", "select 1 |>>>| 2", "select 'x'::public.ct", "select public.bad_sum(1)",
    "select c.sd_write from public.canary c", "select public.dyn('delete from public.canary')",
    "select ('x').sd_write",
    "select * from public.canary for update", "select 1 into public.pwn", "explain analyze delete from public.canary",
    "with d as (delete from public.canary returning 1) select * from d", "copy public.canary to stdout",
]  # fmt: skip


def made(functions: list[tuple[str, list[str], str]], dice: random.Random) -> Iterator[str]:
    while True:
        if dice.random() < 0.03:
            yield dice.choice(TRAPS)
            continue
        name, types, kind = dice.choice(functions)
        arguments = [
            dice.choice(LITERALS.get(t, [f"null::{t}" if not t.startswith("any") else "1"])) for t in types or []
        ]
        if kind == "f" and len(arguments) == 1 and dice.random() < 0.15:
            call = f"({arguments[0]}).{name.rpartition('.')[2]}"
        else:
            call = f"{name}({', '.join(arguments)})"
        yield dice.choice(FORMS).format(call)


@pytest.mark.timeout(60 + STATEMENTS)
async def test_no_generated_statement_changes_a_canary(canary_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "3"))
    engine = Postgresql(EngineSettings("main", "postgresql", canary_url), Workspace(tmp_path, tmp_path, False))
    try:
        ran = await _thrown(engine, canary_url, seed)
    finally:
        await engine.close()
    print(f"{STATEMENTS} statements judged, {ran} run, seed {seed}")
    assert ran > STATEMENTS * 0.05


async def _thrown(engine: Postgresql, canary_url: str, seed: int) -> int:
    """How many of the statements were run; fails when a canary changed."""
    ran = 0
    with psycopg.connect(canary_url, autocommit=True) as admin:
        rows = admin.execute(FUNCTIONS.encode()).fetchall()
        functions = [(str(name), list[str](types or []), str(kind)) for name, types, kind in rows]
        before = admin.execute(CANARIES.encode()).fetchone()
        batch: list[str] = []
        for number, sql in enumerate(islice(made(functions, random.Random(seed)), STATEMENTS), start=1):
            batch.append(sql)
            ran += await _asked(engine, sql)
            if number % EVERY == 0:
                assert admin.execute(CANARIES.encode()).fetchone() == before, (seed, batch)
                batch.clear()
        assert admin.execute(CANARIES.encode()).fetchone() == before, (seed, batch)
    return ran


async def _asked(engine: Postgresql, sql: str) -> bool:
    """Whether the statement was judged to read, and ran to its end."""
    try:
        shape = statement.shape(sql)
        if await analysis.effect(shape, engine.look_up):
            return False
        direct = shape.kind != "select"
        asked = reading.Question(shape.text, (), 20, 1, direct=direct, plain=not (direct or shape.mentions))
        await engine.converse(lambda opened: reading.read(opened, asked), 1)
    except BackendError:
        return False
    return True
