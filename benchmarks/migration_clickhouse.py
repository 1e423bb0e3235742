"""Migrations on ClickHouse, killed and raced: `CRASHES=100 RACERS=20 python -m benchmarks.migration_clickhouse`.

No transaction holds a migration together there. Each round has one of six statements; while a process of its own
applies it, that process or ClickHouse itself is killed with SIGKILL. The history and the note on its table then have to
be true: what they say is done is done once, and nothing is that they do not speak of. Whether rows of an INSERT that
was under way arrived is asked of a person by the refusal: here that person looks, and says it with the statement that
the refusal gives. Then the call is repeated until everything ran, each statement once.
"""

import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.migration_crashes import PROCESSES
from mcp_backend.engines import embedded
from mcp_backend.engines.embedded import Lease
from mcp_backend.settings import Workspace
from tests.clickhouse_fixtures import speaking

CRASHES = int(os.environ.get("CRASHES", "20"))
RACERS = int(os.environ.get("RACERS", "20"))
SEED = int(os.environ.get("SEED", "1"))
MARK = "mcp-backend checkpoint "
STATEMENTS = (
    "create table t{0} (a UInt8) engine = MergeTree order by a", "insert into runs values ({0}, 1)",
    "alter table t{0} add column b String", "insert into t{0} values (1, 'x')",
    "alter table t{0} add index i b type set(0)", "insert into runs values ({0}, 5)",
)  # fmt: skip


def migrate(root: str, url: str) -> None:
    """Applies what is pending, in a process of its own. Exit code 0: all is applied; 4: a person has to look."""
    from mcp_backend.errors import BackendError, FailedPrecondition

    try:
        asyncio.run(_migrate(Path(root), url))
    except FailedPrecondition as error:
        Path(root, "refused").write_text(error.reason)
        sys.exit(4)
    except BackendError:
        sys.exit(3)


async def _migrate(root: Path, url: str) -> None:
    from mcp_backend.engines.clickhouse import Clickhouse
    from mcp_backend.migrations.clickhouse import applying, subject
    from mcp_backend.policy import EngineSettings

    workspace = Workspace(root, root / "state", False)
    engine = Clickhouse(EngineSettings("main", "clickhouse", url, "development", "migrations"), workspace)

    async def silent(done: float, total: float | None, words: str) -> None:
        """Progress that nobody asked for."""

    try:
        planned = await subject.pending(engine, root, None, "up")
        if planned.steps:
            await applying.apply(engine, workspace, planned, 60, silent)
    finally:
        await engine.close()


def _racer(go: Any, root: str, url: str) -> None:
    go.wait()
    migrate(root, url)


class Injector:
    """One server whose migrations are interrupted again and again."""

    def __init__(self, root: Path) -> None:
        clickhouse = "mcp_backend.migrations.clickhouse"
        PROCESSES.set_forkserver_preload([f"{clickhouse}.applying", f"{clickhouse}.subject"])
        self.root, self.random = root, random.Random(SEED)
        self.workspace = Workspace(root, root / "engine", False)
        self.lease: Lease = asyncio.run(embedded.lease("clickhouse", self.workspace))
        self.faults: list[str] = []
        self.went: Counter[str] = Counter()
        self.usual = 1.0
        (root / "migrations").mkdir()
        self.ask("create table runs (version UInt32, statement UInt8) engine = MergeTree order by version")

    def ask(self, sql: str) -> str:
        """What the server answers, once it is there again."""
        until = time.monotonic() + 120
        while True:
            if self.lease.lost:
                self.lease.close()
                self.lease = asyncio.run(embedded.lease("clickhouse", self.workspace))
            try:
                return speaking(self.lease.url)(sql)
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def write(self, number: int, statements: tuple[str, ...]) -> None:
        """One migration."""
        text = ";\n".join(statements).format(number)
        (self.root / "migrations" / f"{number:05}_m.sql").write_text(f"-- migrate:up\n{text};\n-- migrate:down\n")

    def round(self, number: int) -> None:
        """One migration that is killed, looked at and finished."""
        self.write(number, STATEMENTS)
        victim = self.random.choice(("server", "server", "server", "clickhouse"))
        child: Any = PROCESSES.Process(target=migrate, args=(str(self.root), self.lease.url), daemon=True)
        began = time.monotonic()
        child.start()
        child.join(self.random.uniform(0, self.usual))
        self.went[victim if child.is_alive() else "ended before"] += 1
        if victim == "clickhouse" and child.is_alive():
            self._kill()
            child.join(60)
        elif child.is_alive():
            child.kill()
        child.join()
        self.usual = min(max(0.8 * self.usual + 0.2 * (time.monotonic() - began) * 1.6, 0.2), 20)
        self._check(number, f"{number}, {victim} killed")
        self._finish(number)

    def _kill(self) -> None:
        port = str(urlsplit(self.lease.url).port)
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = entry.read_bytes().decode(errors="replace").split("\0")
                if port in words and any(word.endswith("chdb/server.py") for word in words):
                    os.kill(int(entry.parent.name), signal.SIGKILL)

    def effects(self, number: int) -> list[int]:
        """How often each statement of a migration had its effect."""
        rows = Counter(int(line) for line in self.ask(f"select statement from runs where version = {number}").split())
        about = self.ask(
            f"select name, type from system.columns where database = currentDatabase() and table = 't{number}'"
        )
        table, column = int(bool(about)), int("b\t" in about)
        index = f"select count() from system.data_skipping_indices where table = 't{number}'"
        inside = int(self.ask(f"select count() from t{number}")) if table else 0
        return [table, rows[1], column, inside, int(self.ask(index)), rows[5]]

    def _check(self, number: int, where: str) -> None:
        found = self.effects(number)
        note = self.ask(
            "select comment from system.tables where database = currentDatabase() and name = 'schema_migrations'"
        ).strip()
        there = "schema_migrations" in self.ask("show tables")
        recorded = there and str(number).zfill(5) in self.ask("select version from schema_migrations final").split()
        point = json.loads(note.removeprefix(MARK).replace("\\'", "'")) if note.startswith(MARK) else None
        if recorded:
            well = found == [1] * len(STATEMENTS)
        elif point is None or int(point["version"]) != number:
            well = found == [0] * len(STATEMENTS)
        else:
            done, begun = int(point["done"]), bool(point["begun"])
            after = [0] * (len(STATEMENTS) - done)
            well = found in ([1] * done + after, [1] * (done + 1) + after[1:] if begun and after else [])
            self.went["half-way"] += 1
        if not well:
            self.faults.append(f"{where}: {found}, recorded {recorded}, note {note}")

    def _finish(self, number: int) -> None:
        child: Any = None
        for _ in range(8):
            child = PROCESSES.Process(target=migrate, args=(str(self.root), self.lease.url), daemon=True)
            child.start()
            child.join(120)
            if child.exitcode == 0:
                break
            if child.exitcode == 4:
                self._looked(number)
            self.ask("select 1")
        if (found := self.effects(number)) != [1] * len(STATEMENTS):
            self.faults.append(f"{number}: not finished, or twice: {found}, exit code {child.exitcode}")

    def _looked(self, number: int) -> None:
        """What a person does who is asked whether rows arrived."""
        reason = (self.root / "refused").read_text()
        told = re.search(r"_m\.sql:(\d+): .*If it had: (.*)\. If not: (.*)\. Then repeat", reason, re.DOTALL)
        if told is None:
            self.faults.append(f"{number}: refused for another reason: {reason[:300]}")
            return
        self.went["a person looked"] += 1
        had = self.effects(number)[int(told[1]) - 2] == 1
        self.ask(told[2] if had else told[3])

    def race(self, count: int) -> None:
        """Twenty processes, the same pending migrations."""
        for number in range(90001, 90001 + count):
            self.write(number, STATEMENTS)
        go = PROCESSES.Event()
        children = [PROCESSES.Process(target=_racer, args=(go, str(self.root), self.lease.url)) for _ in range(RACERS)]
        for child in children:
            child.start()
        began = time.monotonic()
        go.set()
        for child in children:
            child.join(600)
        once = all(self.effects(90001 + n) == [1] * len(STATEMENTS) for n in range(count))
        ends = dict(Counter(str(child.exitcode) for child in children))
        print(f"{RACERS} racers, {count} migrations, each once: {once}, ends {ends}, {time.monotonic() - began:.1f} s")
        if not once:
            self.faults.append("the race: not each once")


def main() -> None:
    """Prints what happened; exit code 1 when anything was wrong."""
    with tempfile.TemporaryDirectory() as name:
        injector = Injector(Path(name))
        began = time.monotonic()
        try:
            for number in range(1, CRASHES + 1):
                injector.round(number)
                if number % 10 == 0:
                    print(f"{number}: {dict(injector.went)}, {len(injector.faults)} faults", flush=True)
            print(f"{CRASHES} crashes in {time.monotonic() - began:.0f} s: {dict(injector.went)}", flush=True)
            injector.race(5)
        finally:
            injector.lease.close()
            asyncio.run(embedded.stop("clickhouse", injector.workspace, force=True))
    print(f"faults: {len(injector.faults)}")
    print("\n".join(injector.faults))
    sys.exit(1 if injector.faults else 0)


if __name__ == "__main__":
    main()
