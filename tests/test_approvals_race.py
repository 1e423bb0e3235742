"""One approval, many who would use it: processes at once, and calls of one process at once."""

import asyncio
import sys
from pathlib import Path

import pytest

from mcp_backend.app import open_app
from mcp_backend.call import call
from mcp_backend.errors import FailedPrecondition
from mcp_backend.tools.base import Result
from tests.migrating import Migrate, executed
from tests.test_approvals import asked, decide
from tests.test_escalation import records_of

RACERS = 4


@pytest.mark.usefixtures("local_store")
async def test_of_many_processes_one_spends_an_approval(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        await decide(app, await asked(app))
        racers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.migrating", str(tmp_path),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(RACERS)
        ]  # fmt: skip
        for racer in racers:
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
        outputs = await asyncio.gather(*(racer.communicate(b"\n") for racer in racers))
        assert sorted(out for out, _ in outputs) == [b"failed_precondition\n"] * (RACERS - 1) + [b"ran\n"]
        assert executed(app) == ["CREATE TABLE t (id int)"]
        used = [r for r in await records_of(app) if r["event"] == "started" and "approval" in r]
        assert len(used) == 1


async def test_calls_of_one_process_at_once_spend_an_approval_once(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        await decide(app, await asked(app))
        results = await asyncio.gather(*(call(app, Migrate, {}) for _ in range(20)), return_exceptions=True)
        ran: list[Result] = [result for result in results if isinstance(result, dict)]
        assert len(ran) == 1
        assert {type(result) for result in results if not isinstance(result, dict)} == {FailedPrecondition}
