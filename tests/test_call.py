"""The one path of a call: what is recorded when it ends well, badly, never, or when the store itself fails."""

import asyncio
import logging
import os
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import server
from mcp_backend.actions import ExecuteSql, WriteFile
from mcp_backend.app import App, Caller, open_app
from mcp_backend.call import call
from mcp_backend.entry import SHOWN
from mcp_backend.errors import Internal, InvalidArgument, NotFound, OutcomeUnknown, PermissionDenied, Unavailable
from mcp_backend.facts import Facts, Ownership
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.check_escalation import CheckEscalation
from tests.test_escalation import records_of

pytestmark = pytest.mark.usefixtures("each_store")


class Probe(Tool):
    """Do what a test says, in one place of the path."""

    name = "probe"
    title = "Probe"
    toolset = "database"
    read_only = False

    where: str = ""
    what: str = ""

    async def plan(self, app: App) -> Plan:
        await self.act(app, "plan")
        owner = Ownership("frontend" if self.where == "frontend" else "backend", "a rule")
        path = {"secret": "https://ana:hunter2@example.org/x", "bytes": os.fsdecode(b"src/\xff.py")}.get(
            self.where, "src/app.py"
        )
        writes = tuple(WriteFile(path, None, f"{i:064}") for i in range(30 if self.where == "many" else 1))
        return Plan(writes, Facts(owners={path: owner}))

    async def run(self, app: App, plan: Plan) -> Result:
        await self.act(app, "run")
        return {"did": True}

    async def act(self, app: App, here: str) -> None:
        """What the arguments say, if this is the place."""
        if self.where != here:
            return
        match self.what:
            case "fault":
                raise ValueError("password=hunter2 is wrong")
            case "unavailable":
                raise Unavailable("main does not answer")
            case "unknown":
                raise OutcomeUnknown("main went away: the change may have happened")
            case "missing":
                raise NotFound("no table t; there is: u")
            case "hold":
                HOLDING.set()
                await asyncio.Event().wait()
            case _:
                with sqlite3.connect(app.workspace.state / "store.db") as connection:
                    connection.execute(self.what)
                connection.close()


HOLDING = asyncio.Event()


async def events(app: App) -> list[tuple[str, str]]:
    """Each record as event and code."""
    return [(r["event"], r.get("code", "")) for r in await records_of(app)]


async def test_a_call_that_ends_well_is_started_and_done(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        known = replace(app, caller=Caller("ana", "claude 2.1", "s1"))
        assert await call(known, Probe, {}) == {"did": True}
        started, done = await records_of(app)
    assert (started["event"], done["event"]) == ("started", "done")
    assert started["call"] == done["call"]
    assert (done["principal"], done["client"], done["session"], done["tool"]) == ("ana", "claude 2.1", "s1", "probe")
    assert done["actions"] == ["write src/app.py"]
    assert len(done["digest"]) == 64
    assert done["ms"] >= 0


@pytest.mark.parametrize(
    ("where", "what", "error", "recorded"),
    [
        ("plan", "fault", Internal, [("failed", "internal")]),
        ("plan", "unavailable", Unavailable, [("failed", "unavailable")]),
        ("plan", "missing", NotFound, [("failed", "not_found")]),
        ("frontend", "", PermissionDenied, [("refused", "permission_denied")]),
        ("run", "fault", Internal, [("started", ""), ("failed", "internal")]),
        ("run", "unavailable", Unavailable, [("started", ""), ("failed", "unavailable")]),
        ("run", "unknown", OutcomeUnknown, [("started", ""), ("unknown", "unavailable")]),
    ],
)
async def test_how_a_call_ended_is_on_record(
    tmp_path: Path, where: str, what: str, error: type[Exception], recorded: list[tuple[str, str]]
) -> None:
    async with open_app(tmp_path) as app:
        with pytest.raises(error):
            await call(app, Probe, {"where": where, "what": what})
        assert await events(app) == recorded
        assert await app.store.rows("running_all") == []


async def test_a_fault_is_an_id_for_the_caller_and_a_trace_without_secrets_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_app(tmp_path) as app:
        with caplog.at_level(logging.ERROR), pytest.raises(Internal) as failure:
            await call(app, Probe, {"where": "run", "what": "fault"})
        (_, failed) = await records_of(app)
    assert failed["call"] in failure.value.reason
    assert "hunter2" not in failure.value.reason
    assert failed["call"] in caplog.text
    assert "in act" in caplog.text
    assert "hunter2" not in caplog.text


async def test_wrong_arguments_are_refused_before_anything_is_planned(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        with pytest.raises(InvalidArgument):
            await call(app, Probe, {"where": [1]})
        assert await events(app) == [("refused", "invalid_argument")]


async def test_a_cancelled_call_is_recorded_and_does_not_look_running(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        HOLDING.clear()
        task = asyncio.create_task(call(app, Probe, {"where": "run", "what": "hold"}))
        await asyncio.wait_for(HOLDING.wait(), 60)
        assert len(await app.store.rows("running_all")) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await events(app) == [("started", ""), ("cancelled", "")]
        assert await app.store.rows("running_all") == []


async def test_records_describe_without_secrets_and_are_bounded(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        await call(app, Probe, {"where": "secret"})
        await call(app, Probe, {"where": "many"})
        records = await records_of(app)
        assert records[0]["actions"] == ["write https://ana:***@example.org/x"]
        assert len(records[2]["actions"]) == SHOWN
        assert records[2]["actions_left_out"] == 30 - SHOWN


async def test_a_path_that_is_not_unicode_is_recorded_escaped(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        assert await call(app, Probe, {"where": "bytes"}) == {"did": True}
        assert (await records_of(app))[0]["actions"] == ["write src/\\udcff.py"]


def test_a_result_with_a_name_that_is_not_unicode_can_be_sent() -> None:
    sent = server._result({"files": [os.fsdecode(b"a\xff.py"), "ü"]}, is_error=False)  # pyright: ignore[reportPrivateUsage]
    assert sent.structured_content == {"files": ["a?.py", "ü"]}
    assert "a?.py" in sent.model_dump_json()


async def test_a_plan_whose_parts_disagree_on_the_world_is_a_fault() -> None:
    with pytest.raises(ValueError, match="'v2' in a plan at 'v1'"):
        Plan((ExecuteSql("main", "development", ("A",), "v2"),), at_version="v1")


@pytest.mark.parametrize("each_store", ["sqlite"], indirect=True)
async def test_a_done_call_that_cannot_be_recorded_is_told_as_done(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        with pytest.raises(OutcomeUnknown, match="did what it was asked, but its end could not be recorded"):
            await call(app, Probe, {"where": "run", "what": "alter table audit rename to gone"})


@pytest.mark.parametrize("each_store", ["sqlite"], indirect=True)
async def test_a_call_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        with pytest.raises(Unavailable, match="the store of this workspace does not answer"):
            await call(app, Probe, {"where": "plan", "what": "alter table running rename to gone"})


async def test_a_failed_transaction_leaves_the_store_usable(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:

        async def fail() -> None:
            async with app.store.transaction():
                await app.store.run("running_add", call="c", instance="i", tool="t", what="w")
                raise RuntimeError("on purpose")

        for _ in range(2):
            with pytest.raises(RuntimeError, match="on purpose"):
                await fail()
        assert await app.store.rows("running_all") == []
        await call(app, Probe, {})


@pytest.mark.parametrize("each_store", ["sqlite"], indirect=True)
async def test_a_server_killed_in_a_call_is_found_at_the_next_start(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.migrating", str(tmp_path), "hold",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    assert await process.stdout.readline() == b"ready\n"
    assert await process.stdout.readline() == b"running\n"
    async with open_app(tmp_path) as beside:
        assert [r["event"] for r in await records_of(beside)] == ["started"], "a living server is left alone"
        assert "warnings" not in await call(beside, CheckEscalation, {})
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    async with open_app(tmp_path) as app:
        records = await records_of(app)
        assert (records[0]["event"], records[-1]["event"]) == ("started", "unknown")
        assert records[0]["call"] == records[-1]["call"]
        told: Any = (await call(app, CheckEscalation, {}))["warnings"]
        assert "execute 1 statements on main (development)" in told[0]["reason"]
        assert "its outcome is unknown" in told[0]["reason"]
        assert "warnings" not in await call(app, CheckEscalation, {})
