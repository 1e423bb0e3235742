"""Twenty processes race the same pending migrations: `python -m benchmarks.migration_race [RACERS [MIGRATIONS]]`.

First with migrations that are one transaction each, then with ones that run statement by statement.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.migration_crashes import FORMS, PROCESSES, Form, migrate
from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace

ONLY = os.environ.get("TOOLS", ",".join(form.tool for form in FORMS)).split(",")
INSIDE = "insert into runs values ({0});\n"
OUTSIDE = (
    "create index concurrently i{0} on runs(version);\ninsert into runs values ({0});\ndrop index concurrently i{0};\n"
)


def race(
    root: Path, url: str, form: Form, racers: int, count: int, *, outside: bool
) -> tuple[Counter[int], Counter[str]]:
    """How often each migration ran, and how the racers ended: `0` all applied, `3` another server was quicker."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(b"create table runs(version int)")
    for number in range(1, count + 1):
        place = root / "migrations" / form.name(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        if form.tool == "Flyway" and outside:
            place.with_name(f"{place.name}.conf").write_text("executeInTransaction=false\n")
        text = form.outside.format(OUTSIDE) if outside else form.inside.format(INSIDE)
        place.write_text(text.format(number))
    go = PROCESSES.Event()
    children = [PROCESSES.Process(target=_racer, args=(go, str(root), url, form.tool)) for _ in range(racers)]
    for child in children:
        child.start()
    go.set()
    for child in children:
        child.join(300)
    with psycopg.connect(url, autocommit=True) as conn:
        ran = Counter(int(row[0]) for row in conn.execute(b"select version from runs").fetchall())
    return ran, Counter(str(child.exitcode) for child in children)


def _racer(go: Any, root: str, url: str, tool: str) -> None:
    go.wait()
    migrate(root, url, tool)


def main(racers: int, count: int) -> None:
    """One line for each tool's form; exit code 1 when a migration ran twice or not at all."""
    well = True
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name), Path(name, "state"), False)
        lease = asyncio.run(embedded.lease("postgresql", workspace))
        assert lease.superuser_url
        try:
            for form, outside in [(form, outside) for outside in (False, True) for form in FORMS if form.tool in ONLY]:
                with psycopg.connect(lease.superuser_url, autocommit=True) as conn:
                    conn.execute(b"drop schema public cascade; create schema public authorization backend")
                began = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    ran, ends = race(Path(folder), lease.url, form, racers, count, outside=outside)
                once = ran == Counter(range(1, count + 1))
                well = well and once
                how = "statement by statement" if outside else "in transactions"
                print(f"{form.tool}, {how}: {racers} racers, {count} migrations, each once: {once}, ends {dict(ends)}, "
                      f"{time.monotonic() - began:.1f} s", flush=True)  # fmt: skip
        finally:
            lease.close()
            asyncio.run(embedded.stop("postgresql", workspace, force=True))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main(int((sys.argv[1:2] or ["20"])[0]), int((sys.argv[2:3] or ["5"])[0]))
