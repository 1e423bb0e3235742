"""Kills what applies migrations at random moments: `CRASHES=1000 python -m benchmarks.migration_crashes`.

Each round has two new migrations, one in a transaction and one outside. While a process of its own applies them, either
that process, the PostgreSQL process that serves it or PostgreSQL itself is killed with SIGKILL. Then the history has to
be true of the database (nothing half-applied that it does not tell of), and repeating the call has to finish every
statement exactly once.
"""

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from mcp_backend.engines import embedded
from mcp_backend.engines.embedded import Lease
from mcp_backend.settings import Workspace

CRASHES = int(os.environ.get("CRASHES", "40"))
SEED = int(os.environ.get("SEED", "1"))
BATCH = 25
"""Rounds before the database is emptied and another tool's form is taken."""
PROCESSES = multiprocessing.get_context("forkserver")
VICTIMS = ("server", "server", "server", "backend", "postgresql")


@dataclass(frozen=True, slots=True)
class Form:
    """How a tool's file is named, what opens it inside and outside a transaction, and how its history is asked."""

    tool: str
    name: Callable[[int], str]
    inside: str
    outside: str
    applied: str


FORMS = (
    Form("dbmate", lambda n: f"{n:05}_m.sql", "-- migrate:up\n{}-- migrate:down\n",
         "-- migrate:up transaction:false\n{}-- migrate:down\n",
         "select version::int from schema_migrations"),
    Form("golang-migrate", lambda n: f"{n:05}_m.up.sql", "{}", "commit;\n{}",
         "select generate_series(1, version - dirty::int) from schema_migrations"),
    Form("goose", lambda n: f"{n:05}_m.sql", "-- +goose Up\n{}", "-- +goose NO TRANSACTION\n-- +goose Up\n{}",
         "select version_id from goose_db_version where version_id > 0"),
    Form("Flyway", lambda n: f"V{n}__m.sql", "{}", "{}",
         "select version::int from flyway_schema_history where success"),
    Form("Prisma", lambda n: f"{n:05}_m/migration.sql", "{}", "commit;\n{}",
         "select left(migration_name, 5)::int from _prisma_migrations where finished_at is not null"),
    Form("sqlx", lambda n: f"{n:05}_m.sql", "{}", "-- no-transaction\n{}",
         "select version from _sqlx_migrations"),
)  # fmt: skip


@dataclass
class Tally:
    """What happened, by victim, and what went wrong."""

    rounds: Counter[str] = field(default_factory=Counter[str])
    half_way: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])


def migrate(root: str, url: str, tool: str) -> None:
    """Applies everything pending, below the tool, in a process of its own. Its exit code is 0 when all is applied."""
    from mcp_backend.errors import BackendError

    try:
        asyncio.run(_migrate(Path(root), url, tool))
    except BackendError as error:
        print(f"{error.code}: {error.reason}", file=sys.stderr)
        sys.exit(3)


async def _migrate(root: Path, url: str, tool: str) -> None:
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.migrations import apply, planning
    from mcp_backend.migrations.run import Limits
    from mcp_backend.policy import EngineSettings
    from mcp_backend.policy.migrating import Migrating

    settings = EngineSettings("main", "postgresql", url, "development", "migrations", migrating=Migrating(tool))
    engine = Postgresql(settings, Workspace(root, root / "state", False))

    async def silent(done: float, total: float | None, words: str) -> None:
        """Progress that nobody asked for."""

    try:
        prepared = await planning.prepare(engine, root, None, "up")
        if prepared.steps:
            await apply.apply(engine, prepared, Limits(turn=60), silent)
    finally:
        await engine.close()


def _child(root: Path, url: str, tool: str) -> Any:
    process = PROCESSES.Process(target=migrate, args=(str(root), url, tool), daemon=True)
    process.start()
    return process


class Injector:
    """One database whose migrations are interrupted again and again."""

    def __init__(self, workspace: Workspace, lease: Lease, seed: int, say: Callable[[str], None]) -> None:
        PROCESSES.set_forkserver_preload(["mcp_backend.migrations.apply", "mcp_backend.migrations.planning"])
        self.workspace, self.lease, self.say = workspace, lease, say
        self.random = random.Random(seed)
        self.tally = Tally()
        self.usual = 0.3

    def run(self, count: int) -> Tally:
        """That many injections."""
        done = 0
        for batch in range((count + BATCH - 1) // BATCH):
            form = FORMS[batch % len(FORMS)]
            with tempfile.TemporaryDirectory() as name:
                root = Path(name)
                (root / "migrations").mkdir()
                self._empty()
                self._write(root, form, 1, "create table runs(version int, statement int);", outside=False)
                self._finish(root, form)
                for round_ in range(min(BATCH, count - done)):
                    self._round(root, form, 2 * round_ + 2)
                    done += 1
            self.say(f"{done}: {form.tool}, {dict(self.tally.rounds)}, {len(self.tally.faults)} faults")
        return self.tally

    def _write(self, root: Path, form: Form, number: int, sql: str, *, outside: bool) -> None:
        place = root / "migrations" / form.name(number)
        place.parent.mkdir(exist_ok=True)
        text = form.outside if outside else form.inside
        if form.tool == "Flyway" and outside:
            place.with_name(f"{place.name}.conf").write_text("executeInTransaction=false\n")
        place.write_text(text.format(f"{sql}\n"))

    def _round(self, root: Path, form: Form, number: int) -> None:
        inside = [f"insert into runs values ({number}, {n});" for n in range(3)]
        inside.insert(2, f"create table t{number}(id int);")
        self._write(root, form, number, "\n".join(inside), outside=False)
        other = number + 1
        outside = [
            f"insert into runs values ({other}, 0);", f"create index concurrently i{other} on runs(statement);",
            f"insert into runs values ({other}, 1);", f"begin; insert into runs values ({other}, 2); commit;",
            f"drop index concurrently i{other};", f"create index concurrently j{other} on t{number}(id);",
            f"insert into runs values ({other}, 3);",
        ]  # fmt: skip
        self._write(root, form, other, "\n".join(outside), outside=True)
        victim = self.random.choice(VICTIMS)
        self.tally.rounds[victim] += 1
        child = _child(root, self.lease.url, form.tool)
        time.sleep(self.random.uniform(0, self.usual))
        self._kill(victim, child)
        child.join()
        where = f"{form.tool} {number}, {victim} killed"
        self._check(root, form, number, where, whole=False)
        self._finish(root, form)
        self._check(root, form, number, where, whole=True)

    def _kill(self, victim: str, child: Any) -> None:
        if victim == "server":
            child.kill()
        elif victim == "backend":
            with suppress(psycopg.Error), self._connect() as conn:
                query = "select pid from pg_stat_activity where application_name = 'mcp-backend run_migration'"
                for (process,) in conn.execute(query).fetchall():
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
        else:
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                place = next(self.workspace.state.rglob("postmaster.pid"))
                os.kill(int(place.read_text().split("\n")[0]), signal.SIGKILL)

    def _check(self, root: Path, form: Form, number: int, where: str, *, whole: bool) -> None:
        with self._connect() as conn:
            # Whoever was killed may still be ending: its transaction is over when its lock is gone.
            until = time.monotonic() + 60
            while (
                conn.execute(
                    "select count(*) from pg_stat_activity where application_name = 'mcp-backend run_migration'"
                ).fetchone()
                != (0,)
                and time.monotonic() < until
            ):
                time.sleep(0.01)
            ran: Counter[int] = Counter()
            for version, statement in conn.execute(
                "select version, statement from runs where version >= %s", (number,)
            ).fetchall():
                ran[version * 10 + statement] += 1
            applied = {row[0] for row in conn.execute(form.applied.encode()).fetchall()}
            table = conn.execute("select to_regclass(%s) is not null", (f"t{number}",)).fetchone() == (True,)
            notes = [
                json.loads(row[0].partition("[mcp-backend at ")[2][:-1])
                for row in conn.execute(
                    "select description from pg_description where description like '%[mcp-backend at %'"
                ).fetchall()
            ]
            invalid = conn.execute("select count(*) from pg_index where not indisvalid").fetchone()
            built = conn.execute("select to_regclass(%s) is not null", (f"j{number + 1}",)).fetchone() == (True,)
        if twice := [key for key, times in ran.items() if times > 1]:
            self.tally.faults.append(f"{where}: ran twice: {twice}")
        inside = sum(ran[number * 10 + n] for n in range(3))
        if {number in applied, table, inside == 3} != {number in applied} or (inside not in (0, 3)):
            self.tally.faults.append(f"{where}: a transaction is not whole: {number in applied} {table} {inside}")
        other = number + 1
        outside = [n for n in range(4) if ran[other * 10 + n]]
        if other in applied:
            if outside != [0, 1, 2, 3] or not built or notes:
                self.tally.faults.append(f"{where}: recorded and not whole: {outside} {built} {notes}")
        elif outside:
            self.tally.half_way[form.tool] += 1
            # Statements 0, 2, 4 to 6 and 9 of the file as it is split are the inserts and the begin to commit.
            offset = 1 if form.outside.startswith("commit") else 0
            ends = [1, 3, 6, 9]
            told = [n for n, end in enumerate(ends) if notes and notes[0]["done"] - offset >= end]
            if told != outside:
                self.tally.faults.append(f"{where}: {outside} took effect and the note says {notes}")
        if whole and (not {number, other} <= applied or invalid != (0,)):
            self.tally.faults.append(f"{where}: not finished: {applied} {invalid}")

    def _finish(self, root: Path, form: Form) -> None:
        for _ in range(8):
            began = time.monotonic()
            child = _child(root, self.lease.url, form.tool)
            child.join(120)
            if child.exitcode == 0:
                self.usual = min(max(0.9 * self.usual + 0.1 * (time.monotonic() - began), 0.05), 3)
                return
            self._connect().close()
        self.tally.faults.append(f"{form.tool}: could not be finished")

    def _connect(self) -> psycopg.Connection[Any]:
        """Connects once the server answers again; a killed one is started anew."""
        until = time.monotonic() + 120
        while True:
            if self.lease.lost:
                self.lease.close()
                self.lease = asyncio.run(embedded.lease("postgresql", self.workspace))
            assert self.lease.superuser_url
            try:
                return psycopg.connect(self.lease.superuser_url, autocommit=True, connect_timeout=10)
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _empty(self) -> None:
        with self._connect() as conn:
            conn.execute("drop schema if exists public cascade; create schema public authorization backend")


def main() -> None:
    """Prints a line for each batch, then what happened; exit code 1 when anything was wrong."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name), Path(name, "state"), False)
        lease = asyncio.run(embedded.lease("postgresql", workspace))
        injector = Injector(workspace, lease, SEED, lambda line: print(line, flush=True))
        began = time.monotonic()
        try:
            tally = injector.run(CRASHES)
        finally:
            injector.lease.close()
            asyncio.run(embedded.stop("postgresql", workspace, force=True))
    print(f"{sum(tally.rounds.values())} crashes in {time.monotonic() - began:.0f} s: {dict(tally.rounds)}")
    print(f"left half-way and told so: {dict(tally.half_way)}; faults: {len(tally.faults)}")
    print("\n".join(tally.faults))
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
