"""Two servers over HTTP that share one store on PostgreSQL: identical, and none is missed when it dies."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client

from mcp_backend import audit, escalations
from mcp_backend.cli import main
from mcp_backend.errors import FailedPrecondition
from mcp_backend.store import Store, open_store
from mcp_backend.store_policy import Shared
from tests.conftest import SOME_ERAS, Era
from tests.test_transports import QUESTION, SERVE, environment


@asynccontextmanager
async def replica(root: Path, url: str) -> AsyncGenerator[tuple[str, Process]]:
    """The address of a server, and its process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, "--transport", "http", "--port", "0", "--workspace", str(root),
        stderr=PIPE, env=environment() | {"STORE": url},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        yield (await process.stderr.readline()).decode().split()[-1], process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def said(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error is False, answer.structured_content
    assert answer.structured_content is not None
    return answer.structured_content


@pytest.fixture
def shared(repository: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Shared:
    """A store of the test's own, which the policy of the repository names."""
    monkeypatch.setenv("STORE", store_url)
    name = f"replicas_{abs(hash(repository)) % 10**9}"
    (repository / "mcp-backend.toml").write_text(f'store = {{url = "env:STORE", workspace = "{name}"}}\n')
    return Shared("env:STORE", name)


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_what_is_asked_on_one_replica_is_answered_to_the_other_and_one_may_die(
    repository: Path, shared: Shared, store_url: str, tmp_path: Path, era: Era, capsys: pytest.CaptureFixture[str]
) -> None:
    async with replica(repository, store_url) as (first, dying), replica(repository, store_url) as (second, ending):
        async with Client(first, mode=era) as one, Client(second, mode=era) as other:
            asked = (await said(one, "escalate", **QUESTION))["id"]
            assert (await said(other, "escalate", **QUESTION))["duplicate_of"] == asked
            waiting = asyncio.create_task(said(other, "check_escalation", id=asked, wait_seconds=45))
            store = open_store(tmp_path, shared)
            await decide(store, asked)
            with pytest.raises(FailedPrecondition):
                await decide(store, asked)
            found = await asyncio.wait_for(waiting, 30)
            assert (found["status"], found["answer"]) == ("answered", "three times")
        dying.kill()
        await dying.wait()
        async with httpx2.AsyncClient() as requests:
            for probe in ("healthz", "readyz"):
                assert (await requests.get(second.replace("mcp", probe))).text == "ok\n"
        async with Client(second, mode=era) as other:
            assert (await said(other, "check_escalation", id=asked))["answer"] == "three times"
            waiting = asyncio.create_task(said(other, "check_escalation", id=await asks(other), wait_seconds=1))
            async with httpx2.AsyncClient() as requests:
                while not await store.rows("running_all"):
                    await asyncio.sleep(0.01)
                ending.terminate()
                while (told := await requests.get(second.replace("mcp", "readyz"))).status_code == 200:
                    await asyncio.sleep(0.01)
                assert told.text == "this server is ending\n"
                assert (await requests.get(second.replace("mcp", "healthz"))).status_code == 200
            assert (await waiting)["status"] == "open", "a call that runs is answered before the server ends"
    rows = [json.loads(row["record"]) for row in await store.rows("audit_after", seq=0, limit=1000)]
    assert len({row["session"] for row in rows if "session" in row}) >= 2
    assert await audit.verify(store) == (len(rows), [])
    store.close()
    assert await asyncio.to_thread(main, ["audit", "verify", "--workspace", str(repository)]) == 0
    assert "the log is whole" in capsys.readouterr().out


async def decide(store: Store, identifier: str) -> None:
    """What the inbox of another machine does."""
    await escalations.decide(
        store, identifier, status="answered", answer="three times", by="ana", channel="web", now=time.time()
    )


async def asks(client: Client) -> str:
    """A second question."""
    return (await said(client, "escalate", **{**QUESTION, "title": "another", "question": "And how often a refund?"}))[
        "id"
    ]
