"""Whatever lies below a call and does not answer, whoever asked gets an answer, and others are not kept waiting."""

import asyncio
import contextvars
import os
import signal
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mcp_backend import threads
from mcp_backend.app import App, open_app
from mcp_backend.call import call
from mcp_backend.contracts.calling.addresses import Target
from mcp_backend.contracts.calling.line import Line
from mcp_backend.engines import embedded, postgresql
from mcp_backend.engines.ch.transport import Lost, _Call  # pyright: ignore[reportPrivateUsage]
from mcp_backend.engines.opening import Opening
from mcp_backend.errors import DeadlineExceeded, Unavailable
from mcp_backend.serving import http_limits
from mcp_backend.store import sqlite
from mcp_backend.store.sqlite import open_sqlite
from mcp_backend.tools import TOOLS
from mcp_backend.tools.base import Plan, Result, Tool
from tests.conftest import Connect
from tests.service import write
from tests.test_escalation import records_of
from tests.test_http_limits import serving
from tests.test_postgresql import opened


class Silent(Tool):
    """Wait for something that never comes."""

    name = "silent"
    title = "Silent"
    toolset = "database"
    read_only = True
    deadline: ClassVar[float] = 0.2

    where: str = "plan"

    async def plan(self, app: App) -> Plan:
        await self.wait("plan")
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        await self.wait("run")
        return {"did": True}

    async def wait(self, here: str) -> None:
        """Never ends, in the place that the arguments say."""
        if self.where == here:
            await asyncio.Event().wait()


class Writing(Silent):
    """The same for what changes something."""

    name = "writing"
    read_only = False

    async def wait(self, here: str) -> None:
        """Takes longer than planning may."""
        if here == "run":
            await asyncio.sleep(2 * self.deadline)


@pytest.mark.parametrize("where", ["plan", "run"])
async def test_a_read_that_waits_for_ever_is_answered_and_recorded(repository: Path, where: str) -> None:
    async with asyncio.timeout(60), open_app(repository) as app:
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.2 s"):
            await call(app, Silent, {"where": where})
        assert [record["event"] for record in await records_of(app)][-1] == "failed"


async def test_what_changes_something_is_not_cut_off_in_the_middle(repository: Path) -> None:
    async with asyncio.timeout(60), open_app(repository) as app:
        assert (await call(app, Writing, {}))["did"] is True


def test_every_tool_has_an_end() -> None:
    assert all(0 < tool.deadline <= 3600 for tool in TOOLS)


async def test_who_waits_for_another_process_to_write_does_not_hold_up_the_others(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("begin immediate")

        async def written() -> None:
            async with store.transaction():
                await store.run("running_add", call="c", instance="i", tool="t", what="w")

        waiting = asyncio.create_task(written())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        other.execute("rollback")  # by this very loop
        await waiting
    assert [row["call"] for row in await store.rows("running_all")] == ["c"]
    store.close()


async def test_many_who_wait_for_a_locked_store_wait_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 1.0)
    store = open_sqlite(tmp_path)

    async def written(number: int) -> None:
        if number % 3:
            async with store.transaction():
                pytest.fail("it is locked")
        await store.run("running_remove", call="c")

    async def refused(number: int) -> None:
        with pytest.raises(Unavailable, match="does not answer"):
            await written(number)

    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("begin immediate")
        began = time.monotonic()
        await asyncio.gather(*map(refused, range(24)))
        assert time.monotonic() - began < 12, "24 s one after the other"
        assert await store.rows("running_all") == [], "who only reads does not wait"
        other.execute("rollback")
    async with store.transaction():
        pass
    store.close()


async def test_a_database_that_stops_in_the_middle_of_a_session_is_told_and_used_again(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of one connection is stopped: the server's own timeouts end nothing then."""
    monkeypatch.setattr(postgresql, "GRACE_SECONDS", 0.2)

    async def frozen(*statements: str) -> None:
        with stopped() as stop:
            async with engine.session(True, 0.2) as conn:
                stop(conn.info.backend_pid)
                for statement in statements:
                    await conn.execute(statement.encode())

    async with asyncio.timeout(60), opened(postgres_url, tmp_path) as engine:
        for statements in (("select 1",), ()):  # the second is cleaned at the end of its session
            with pytest.raises(Unavailable, match=r"no answer within 0\.4 s"):
                await frozen(*statements)
        async with engine.session(True, 5) as conn:
            assert await (await conn.execute("select 1")).fetchone() == (1,)


@contextmanager
def stopped() -> Any:
    """A function that stops a process until the end of the block."""
    pids: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        pids.append(pid)

    try:
        yield stop
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_calls_that_need_an_engine_which_is_away_wait_for_one_attempt() -> None:
    opening, attempts, go_on = Opening(), 0, asyncio.Event()

    async def opens() -> None:
        nonlocal attempts
        async with opening.turn():
            attempts += 1
            await go_on.wait()
            raise Unavailable(f"attempt {attempts}", details={"engine": "cache"})

    calls = [asyncio.create_task(opens()) for _ in range(20)]
    await asyncio.sleep(0.01)
    go_on.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {getattr(error, "reason", "") for error in ended} == {"attempt 1", "attempt 2"}
    with pytest.raises(Unavailable, match="attempt 3"):
        await opens()
    async with opening.turn():
        pass


async def test_a_keeper_that_takes_nobody_more_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.bind(f"{tmp_path}/keeper.sock")
        keeper.listen(0)
        connect = embedded._connect  # pyright: ignore[reportPrivateUsage]
        first = await connect(tmp_path)
        waiting = asyncio.create_task(connect(tmp_path))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        taken = [keeper.accept()[0]]
        second = await asyncio.wait_for(waiting, 60)
        taken.append(keeper.accept()[0])
        for each in (first, second, *taken):
            assert each is not None
            each.close()


def test_a_request_that_was_given_up_before_it_began_is_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        target = Target("http", "127.0.0.1", port, "/", "", "development", None, ("127.0.0.1",))
        line = Line(target, 5)
        line.cut()
        with pytest.raises(Unavailable, match="nothing was sent"):
            line.open()
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.accept()
    given_up = _Call()
    given_up.abort()
    with pytest.raises(Lost):
        given_up.uses(None)  # pyright: ignore[reportArgumentType]


async def test_files_are_read_while_many_wait_for_a_service_that_does_not_answer(
    repository: Path, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as service:
        write(
            repository, {"mcp-backend.toml": f'[services.shop]\nurl = "http://127.0.0.1:{service.getsockname()[1]}"\n'}
        )
        ask = {"target": "shop", "method": "GET", "path": "/orders", "timeout_seconds": 60}
        async with asyncio.timeout(60), connect(repository) as client:
            waiting = [asyncio.create_task(client.call_tool("call_api", ask)) for _ in range(24)]
            taken = [await asyncio.to_thread(service.accept) for _ in waiting]
            assert not (await client.call_tool("read_file", {"path": "README.md"})).is_error
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for connection, _ in taken:
                connection.close()


async def test_work_that_waits_and_work_that_goes_on_have_threads_of_their_own() -> None:
    threads.prepare()
    threads.prepare()
    word = contextvars.ContextVar("word", default="")
    word.set("kept")
    end = threading.Event()
    waiting = [asyncio.create_task(threads.patiently(end.wait, 60)) for _ in range(threads.AT_WORK + 4)]
    try:
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(word.get) == await threads.patiently(word.get) == "kept"
    finally:
        end.set()
    assert all(await asyncio.gather(*waiting))


async def test_a_request_that_came_while_the_server_was_held_up_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a machine slept, every timer is due before anything is read."""
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.2)
    go_on = asyncio.Event()
    go_on.set()
    async with serving(go_on) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            await asyncio.sleep(0.05)  # it is taken, and its time runs
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            time.sleep(0.4)
            client.settimeout(60)
            assert (await asyncio.to_thread(client.recv, 1000)).startswith(b"HTTP/1.1 200")
