"""Migrations and whatever dies or blocks while they run: the database is before or after, never between."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from mcp_backend.app import open_app
from mcp_backend.migrations import lost
from tests.conftest import ERAS, SOME_ERAS, Era
from tests.migration_fixtures import MIGRATING, NOBODY, WAITING, Project, call
from tests.test_escalation import records_of

GATE = "create table gate(id int);"


@pytest.fixture
def gated(project: Project) -> Project:
    """A project with a table that a migration waits for: 2_wait does half of its work before."""
    project.write("1_gate", GATE, "drop table gate;")
    project.write("2_wait", "create table half(id int);\nalter table gate add column n int;", "drop table half;")
    return project


@asynccontextmanager
async def held(project: Project, mode: str = "access exclusive") -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """A session that holds a lock on `gate` until the block ends."""
    async with await psycopg.AsyncConnection.connect(project.url, application_name="reader") as conn:
        await conn.execute(f"lock table gate in {mode} mode".encode())
        await conn.execute(b"select * from gate where id = 4711")
        yield conn
        await conn.rollback()


async def audit(project: Project) -> list[dict[str, Any]]:
    """The audit log of the repository, oldest first."""
    async with open_app(project.root) as app:
        return await records_of(app)


@asynccontextmanager
async def real_server(project: Project, era: Era = "auto") -> AsyncGenerator[tuple[Client, int]]:
    """A real `mcp-backend serve` process, and its process id."""
    note = project.root.parent / "pid"
    # The shell writes its id and becomes the server.
    script = f'echo $$ > "{note}"; exec "$0" -m mcp_backend serve --workspace "{project.root}"'
    environment = {"MCP_BACKEND_STATE": os.environ["MCP_BACKEND_STATE"], "PATH": os.environ["PATH"]}
    command = StdioServerParameters(command="/bin/sh", args=["-c", script, sys.executable], env=environment)
    async with Client(command, mode=era) as client:
        yield client, int(note.read_text())


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_killed_server_leaves_the_database_before_and_the_next_one_says_unknown(
    gated: Project, era: Era
) -> None:
    await gated.run(version="1")
    async with held(gated), real_server(gated, era) as (client, process):
        calling = asyncio.create_task(call(client))
        await gated.until(WAITING)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(MCPError):
            await calling
        await gated.until(NOBODY)
    assert (gated.applied, gated.tables) == (["1"], ["gate"])

    async with gated.server(era) as client:
        answer = await client.call_tool("check_escalation", {})
        assert answer.structured_content is not None
        (warning,) = answer.structured_content["warnings"]
        assert "an earlier server died during run_migration" in warning["reason"]
        assert "unknown" in warning["reason"]
        result = await call(client)
        assert [m["version"] for m in result["applied"]] == ["2"]
    assert (gated.applied, gated.tables) == (["1", "2"], ["gate", "half"])
    events = [(r["tool"], r["event"]) for r in await audit(gated) if r["tool"] == "run_migration"]
    assert events == [
        ("run_migration", "started"), ("run_migration", "done"), ("run_migration", "started"),
        ("run_migration", "unknown"), ("run_migration", "started"), ("run_migration", "done"),
    ]  # fmt: skip


async def test_a_killed_backend_leaves_the_database_before(gated: Project) -> None:
    async with gated.server() as client:
        await call(client, version="1")
        async with held(gated):
            calling = asyncio.create_task(call(client))
            await gated.until(WAITING)
            gated.admin.execute(f"select pg_terminate_backend(pid) {MIGRATING}".encode())
            error = await calling
        assert (error["code"], error["retry"]) == ("unavailable", "later")
        assert error["reason"].startswith("postgresql engine 'main': the connection was lost at ")
        assert "during db/migrations/2_wait.sql, which was rolled back" in error["reason"]
        assert (gated.applied, gated.tables) == (["1"], ["gate"])
        assert [m["version"] for m in (await call(client))["applied"]] == ["2"]


async def test_a_backend_killed_by_the_kernel_leaves_the_database_before(gated: Project) -> None:
    async with gated.server() as client:
        await call(client, version="1")
        holder = await psycopg.AsyncConnection.connect(gated.url)
        await holder.execute(b"lock table gate")
        calling = asyncio.create_task(call(client))
        await gated.until(WAITING)
        (process,) = gated.ask(f"select pid {MIGRATING}")
        os.kill(process, signal.SIGKILL)
        error = await calling
        assert error["code"] == "unavailable"
        assert "which was rolled back" in error["reason"]
        await holder.close()
        await gated.reconnect()
        assert (gated.applied, gated.tables) == (["1"], ["gate"])
        assert [m["version"] for m in (await call(client))["applied"]] == ["2"]


COMMIT_WAITS = """
create function wait() returns trigger language plpgsql as $$ begin lock table gate; return new; end $$;
create table t(id int);
create constraint trigger at_commit after insert on t deferrable initially deferred
  for each row execute function wait();
insert into t values (1);
"""


async def test_a_backend_killed_during_its_commit_is_looked_after(project: Project) -> None:
    project.write("1_gate", GATE)
    project.write("2_wait", COMMIT_WAITS)
    async with project.server() as client:
        await call(client, version="1")
        async with held(project):
            calling = asyncio.create_task(call(client))
            await project.until(WAITING)
            assert project.ask(f"select query {MIGRATING}") == ["commit"]
            project.admin.execute(f"select pg_terminate_backend(pid) {MIGRATING}".encode())
            error = await calling
        assert error["code"] == "unavailable"
        assert "which was rolled back" in error["reason"]
        assert (project.applied, project.tables) == (["1"], ["gate"])


class Wire:
    """A proxy in front of the database that can cut a connection when the server says something."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.cut: Callable[[bytes], bool] = lambda said: False
        self.refuse_afterwards = False
        self.refusing = False
        self.cuts = 0
        self.open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, until either side or the test ends it."""
        ends = [writer]
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            if not self.refusing:
                theirs, ours = await asyncio.open_connection(self.host, self.port)
                ends.append(ours)
                passing = [asyncio.create_task(self._pass(reader, ours, watched=False)),
                           asyncio.create_task(self._pass(theirs, writer, watched=True))]  # fmt: skip
                try:
                    await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in passing:
                        one.cancel()
                    await asyncio.wait(passing)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            for end in ends:
                end.transport.abort()
            self.open.discard(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, watched: bool) -> None:
        with suppress(OSError):
            while said := await source.read(65536):
                if watched and self.cut(said):
                    self.cuts += 1
                    self.refusing = self.refuse_afterwards
                    return
                sink.write(said)


@asynccontextmanager
async def wired(project: Project) -> AsyncGenerator[Wire]:
    """The project's policy names a proxy in front of its database."""
    parts = urlsplit(project.url)
    assert parts.hostname
    assert parts.port
    wire = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    credentials, _, _ = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
    project.policy(url=url)
    try:
        yield wire
    finally:
        server.close()
        for task in wire.open:
            task.cancel()
        if wire.open:
            await asyncio.wait(wire.open)


@pytest.mark.parametrize("back", [True, False], ids=["the server comes back", "the server stays away"])
async def test_a_connection_that_dies_after_the_commit_is_looked_after(
    project: Project, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    monkeypatch.setattr(lost, "LOOKING_SECONDS", 20.0 if back else 0.2)
    project.write("1_a", "create table a();")
    project.write("2_b", "create table b();")
    async with wired(project) as wire:
        wire.cut = lambda said: b"COMMIT\0" in said and wire.cuts == 0
        wire.refuse_afterwards = not back
        async with project.server() as client:
            error = await call(client)
            assert error["code"] == "unavailable"
            if back:
                assert "but 1 is committed: its history row says so" in error["reason"]
                assert error["details"]["applied"] == ["1"]
                assert [m["version"] for m in (await call(client))["applied"]] == ["2"]
            else:
                assert "whether 1 was committed is unknown" in error["reason"]
                assert error["details"]["outcome"] == "unknown"
    assert project.applied == (["1", "2"] if back else ["1"])
    events = [r["event"] for r in await audit(project)]
    assert events == (["started", "failed", "started", "done"] if back else ["started", "unknown"])


async def test_an_engine_that_is_down_is_named_and_recovers(project: Project) -> None:
    project.write("1_a", "create table a();")
    async with wired(project) as wire, project.server() as client:
        wire.refusing = True
        first = await call(client)
        again = await call(client)
        assert first["code"] == again["code"] == "unavailable"
        assert "engine main (postgresql)" in first["reason"]
        assert first["details"]["since"] == again["details"]["since"]
        wire.refusing = False
        assert [m["version"] for m in (await call(client))["applied"]] == ["1"]


async def test_a_long_reader_is_not_queued_behind_and_is_named(gated: Project) -> None:
    async with gated.server() as client:
        await call(client, version="1")
        gated.policy(lock_deadline="100ms")
        async with held(gated, "access share") as reader, gated.server() as hurried:
            error = await call(hurried, lock_timeout_ms=200)
            process = reader.info.backend_pid
        assert (error["code"], error["retry"]) == ("deadline_exceeded", "later")
        assert error["reason"].startswith("db/migrations/2_wait.sql:3: could not get its lock in any try")
        assert f"blocked by process {process} (reader), on gate, in a transaction for " in error["reason"]
        assert "last ran: select * from gate where id = ?" in error["reason"]
        assert "4711" not in json.dumps(error)
        assert "2 was rolled back" in error["reason"]
        assert error["details"]["blocked_by"]
        assert (gated.applied, gated.tables) == (["1"], ["gate"])
        result = await call(client)
        assert [m["version"] for m in result["applied"]] == ["2"]
        assert result["waited_for_locks_ms"] == 0


async def test_a_lock_that_comes_free_in_time_is_waited_for(gated: Project) -> None:
    async with gated.server() as client:
        await call(client, version="1")
        async with held(gated, "access share"):
            calling = asyncio.create_task(call(client, lock_timeout_ms=300))
            await gated.until(WAITING)
            # Others read on while the migration waits: it gives way and tries again.
            async with await psycopg.AsyncConnection.connect(gated.url, autocommit=True) as other:
                await other.execute(b"set statement_timeout = 10000")
                await other.execute(b"select count(*) from gate")
            assert gated.tables == ["gate"]
        result = await calling
    assert [m["version"] for m in result["applied"]] == ["2"]
    assert result["waited_for_locks_ms"] > 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_the_host_cancels_is_stopped_in_the_server(gated: Project, era: Era) -> None:
    async with gated.server(era) as client:
        await call(client, version="1")
        async with held(gated):
            calling = asyncio.create_task(call(client, lock_timeout_ms=1000))
            await gated.until(WAITING)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await gated.until(NOBODY)
            assert gated.tables == ["gate"]
        assert (gated.applied, gated.tables) == (["1"], ["gate"])
        assert [m["version"] for m in (await call(client))["applied"]] == ["2"]
    events = [r["event"] for r in await audit(gated)]
    assert events == ["started", "done", "started", "cancelled", "started", "done"]
