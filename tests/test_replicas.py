"""Two servers over HTTP that share one store on PostgreSQL: identical, and none is missed when it dies."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from mcp.client import Client
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceUpdatedNotification

from mcp_backend import audit, escalations
from mcp_backend.app import open_app
from mcp_backend.call import call
from mcp_backend.cli import main
from mcp_backend.errors import FailedPrecondition
from mcp_backend.policy.store import Shared
from mcp_backend.server import Options, build
from mcp_backend.serving import watching
from mcp_backend.store import Store, open_store
from mcp_backend.tools.git_status import GitStatus
from tests.conftest import ERAS, SOME_ERAS, Era
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


@pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
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
            async with told_of(other, era, f"escalation://{asked}"):
                await decide(store, asked)
            with pytest.raises(FailedPrecondition):
                await decide(store, asked)
            found = await asyncio.wait_for(waiting, 40)
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


@asynccontextmanager
async def told_of(client: Client, era: Era, uri: str) -> AsyncGenerator[None]:
    """The block changes a resource, of which this client hears; or is told that it will hear of none."""
    if era == "auto":
        async with client.listen(resource_subscriptions=[uri]) as heard:
            yield
            assert await asyncio.wait_for(anext(aiter(heard)), 60) == ResourceUpdated(uri)
        return
    with pytest.raises(MCPError, match=r"keeps no sessions.*sticky = true"):
        await client.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]
    yield


@pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_given_elsewhere_reaches_a_session_at_once_and_the_next_result(
    repository: Path, shared: Shared, era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by the clock here: the store's own notice wakes the replica that holds the session."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 3600)
    told: asyncio.Queue[str] = asyncio.Queue()

    async def handle(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await told.put(str(message.params.uri))

    servers = [build(Options(repository)) for _ in range(2)]
    async with Client(servers[0], mode=era) as one, Client(servers[1], mode=era, message_handler=handle) as other:
        uri = f"escalation://{(asked := await asks(one))}"
        async with AsyncExitStack() as stack:
            if era == "legacy":
                await other.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]
            else:
                heard = aiter(await stack.enter_async_context(other.listen(resource_subscriptions=[uri])))
            store = open_store(tmp_path, shared)
            await decide(store, asked)
            store.close()
            if era == "legacy":
                assert await asyncio.wait_for(told.get(), 60) == uri
            else:
                assert await asyncio.wait_for(anext(heard), 60) == ResourceUpdated(uri)  # pyright: ignore[reportPossiblyUnboundVariable]
        (notice,) = (await said(other, "git_status"))["notices"]
        assert (notice["escalation"], notice["status"]) == (asked, "answered")


async def test_what_a_store_lost_at_a_failover_is_written_again_by_who_wrote_it(
    repository: Path, shared: Shared, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_app(repository) as app:
        await call(app, GitStatus, {})
        head = await app.store.row("audit_last")
        assert head is not None
        for _ in range(2):
            await call(app, GitStatus, {})
        with psycopg.connect(store_url, options=f"-c search_path=mcp_backend_{shared.workspace}") as editor:
            editor.execute("delete from audit where seq > %s", [head["seq"]])
            editor.execute("update audit_head set seq = %s, hash = %s", [head["seq"], head["hash"]])
        async with app.store.transaction():
            await audit.append(app.store, {"event": "of another server"})
    store = open_store(repository, shared)
    rows = [json.loads(row["record"]) for row in await store.rows("audit_after", seq=0, limit=100)]
    assert [(r["event"], r.get("again")) for r in rows[2:]] == [
        ("of another server", None), ("started", 3), ("done", 4), ("started", 5), ("done", 6)
    ]  # fmt: skip
    assert await audit.verify(store) == (7, [])
    assert "the store lost 4 records" in caplog.text
    store.close()


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
