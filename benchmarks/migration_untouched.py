"""Kills rehearsals at random moments: `KILLS=50 python -m benchmarks.migration_untouched`.

After each the target has to be what it was: every row of its system catalogs and of its tables with its transaction and
place, the sequences, and the next transaction id, which tells that not even one that was rolled back has written. Every
tenth round the schema is another one, so that some are killed while their shadow is being made. In the end a rehearsal
that is not killed has to come to its verdict.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.migration_crashes import PROCESSES
from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "1"))
UP = "alter table orders add column note text default 'x' not null;\nupdate orders set amount = amount + 1;\n"
FILES = {
    "1_inside": f"-- migrate:up\n{UP}create index on orders(amount);\n-- migrate:down\nalter table orders drop note;\n",
    "2_outside": "-- migrate:up transaction:false\ncreate index concurrently o on orders(customer);\n"
    "insert into customers select 100000 + g, 'n' from generate_series(1, 50) g;\n-- migrate:down\n",
}


def rehearse(root: str, url: str) -> None:
    """One rehearsal of everything pending, in a process of its own."""
    print(asyncio.run(_rehearse(Path(root), url)), flush=True)


async def _rehearse(root: Path, url: str) -> str:
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.migrations.rehearsal import rehearse as rehearsal
    from mcp_backend.migrations.rehearsal import subject
    from mcp_backend.policy import EngineSettings

    workspace = Workspace(root, root / "state", False)
    engine = Postgresql(EngineSettings("main", "postgresql", url, "development", "migrations"), workspace)
    try:
        return (await rehearsal.rehearse(engine, workspace, await subject.pending(engine, root, None, "up"))).verdict
    finally:
        await engine.close()


_RELATIONS = (
    "select c.oid::regclass::text, c.relkind::text from pg_class c where c.relkind in ('r', 'S') "
    "and c.relpersistence = 'p'"
)


def picture(superuser_url: str) -> dict[str, str]:
    """Every relation of the database, catalogs included, as a digest of its rows."""
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        found: dict[str, str] = {}
        for name, kind in conn.execute(_RELATIONS.encode()).fetchall():
            row = "x" if kind == "r" else "(x.last_value, x.is_called)"
            told = f"select md5(string_agg(x.xmin::text || x.ctid || {row}::text, '' order by x.ctid)) from {name} x"
            found[str(name)] = str(conn.execute(told.encode()).fetchone())
        found["next transaction"] = str(conn.execute(b"select pg_snapshot_xmax(pg_current_snapshot())").fetchone())
    return found


def main() -> None:
    """Prints what happened; exit code 1 when the target was touched or no verdict came in the end."""
    chance = random.Random(SEED)
    faults: list[str] = []
    went: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "migrations").mkdir()
        for file, text in FILES.items():
            (root / "migrations" / f"{file}.sql").write_text(text)
        target = Workspace(root, root / "target", False)
        lease = asyncio.run(embedded.lease("postgresql", target))
        assert lease.superuser_url
        try:
            with psycopg.connect(lease.superuser_url, autocommit=True) as conn:
                conn.execute(b"alter system set autovacuum = off")  # it writes by itself
                conn.execute(b"select pg_reload_conf()")
            with psycopg.connect(lease.url, autocommit=True) as conn:
                conn.execute(
                    b"create table customers(id bigint primary key, name text);"
                    b"create table orders(id bigint generated always as identity primary key, "
                    b"customer bigint references customers, amount int);"
                    b"insert into customers select g, 'c' || g from generate_series(1, 2000) g;"
                    b"insert into orders(customer, amount) select 1 + g % 2000, g from generate_series(1, 8000) g;"
                )
            usual, before = 3.0, dict[str, str]()
            for number in range(KILLS):
                if number % 10 == 0:
                    with psycopg.connect(lease.url, autocommit=True) as conn:
                        conn.execute(f"create table more{number}(id int)".encode())
                    before = picture(lease.superuser_url)
                child: Any = PROCESSES.Process(target=rehearse, args=(str(root), lease.url), daemon=True)
                began = time.monotonic()
                child.start()
                child.join(chance.uniform(0, usual))
                ended = not child.is_alive()
                child.kill()
                child.join()
                usual = min(1.1 * usual, 30.0) if not ended else max(0.9 * (time.monotonic() - began), 0.2)
                went["ended before" if ended else "killed"] += 1
                after = picture(lease.superuser_url)
                if changed := sorted(key for key in before if before[key] != after.get(key)):
                    faults.append(f"kill {number}: changed {changed}")
            child = PROCESSES.Process(target=rehearse, args=(str(root), lease.url), daemon=True)
            child.start()
            child.join(300)
            if child.exitcode != 0 or picture(lease.superuser_url) != before:
                faults.append(f"the last rehearsal: exit code {child.exitcode}, or the target was touched")
        finally:
            lease.close()
            for place in (root / "target", root / "state" / "shadow"):
                asyncio.run(embedded.stop("postgresql", Workspace(root, place, False), force=True))
    print(f"{dict(went)}, relations compared {len(before)}, faults {len(faults)}")
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
