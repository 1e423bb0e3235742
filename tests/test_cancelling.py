"""What a host cancels while something is started for it: the start of a local broker, and schemathesis."""

import asyncio
import json
import os
import secrets
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from mcp.client import Client

from mcp_backend import policy
from mcp_backend.engines import binaries, embedded
from mcp_backend.settings import workspace
from tests.conftest import ALL, SOME_ERAS, Connect, Era
from tests.lease_fixtures import has_ended, keeper_of
from tests.service import write
from tests.test_call_api import always, serving
from tests.test_contract_deep import DEEP, SPEC

VARIABLES = {"nats": "MCP_BACKEND_NATS_SERVER", "redis": "MCP_BACKEND_VALKEY_SERVER"}
HELD = f"held_{secrets.token_hex(8)}"
"""What stands in for schemathesis is known by this word, and never ends by itself."""


async def recorded(client: Client) -> list[str]:
    """What the audit says happened, the newest first."""
    (answer,) = (await client.read_resource("audit://recent")).contents
    return [record["event"] for record in json.loads(getattr(answer, "text", "[]"))]


async def there(path: Path) -> None:
    """Waits until a file is there."""
    with anyio.fail_after(60):
        while not path.exists():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", VARIABLES if ALL else ["nats"])
async def test_a_start_of_a_broker_that_the_host_cancels_leaves_no_broker_and_can_be_repeated(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The broker waits before it listens, until this test lets it go on."""
    write(repository, {policy.POLICY_FILE: f"[engines.{kind}]\n"})
    began, go_on = tmp_path / "began", tmp_path / "go on"
    os.mkfifo(go_on)
    slow = tmp_path / binaries.find(kind).name
    begins, going, program = (shlex.quote(f"{path}") for path in (began, go_on, binaries.find(kind)))
    slow.write_text(
        f'#!/bin/sh\necho $$ > {begins}.new\nmv {begins}.new {begins}\nread -r word < {going}\nexec {program} "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv(VARIABLES[kind], str(slow))
    place = workspace(repository)
    try:
        async with connect(repository) as client:
            call = asyncio.create_task(client.call_tool("message_topology", {}))
            await there(began)
            broker, keeper = int(began.read_text()), keeper_of(place, kind)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (await recorded(client))[0] == "cancelled", "the server answers while the broker still starts"
            await asyncio.to_thread(go_on.write_text, "go on\n")
            assert await asyncio.to_thread(has_ended, broker, 60), "nobody uses it"
            assert await asyncio.to_thread(has_ended, keeper, 60)
            monkeypatch.delenv(VARIABLES[kind])
            assert not (await client.call_tool("message_topology", {})).is_error
    finally:
        await embedded.stop(kind, place, force=True)


def held() -> list[str]:
    """The processes of what stands in for schemathesis."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if HELD.encode() in place.read_bytes():
                found.append(place.parent.name)
    return found


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_run_of_schemathesis_that_the_host_cancels_ends_with_all_it_started(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    sleep = shutil.which("sleep")
    script = f"#!/bin/sh\n{sleep} 86400 &\nexec /bin/sh -c '{sleep} 86400; : {HELD}'\n"
    write(repository, {"api.yaml": SPEC, policy.POLICY_FILE: DEEP, "bin/schemathesis": script})
    (repository / "bin" / "schemathesis").chmod(0o755)  # The fence shows no other folder of this test.
    monkeypatch.setenv("PATH", f"{repository / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with serving(always(200)) as (url, _):
        async with connect(repository, mode=era) as client:
            call = asyncio.create_task(client.call_tool("check_contract", {"url": url}))
            with anyio.fail_after(60):
                while not held():
                    assert not call.done(), json.dumps(call.result().structured_content)
                    await asyncio.sleep(0.02)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            with anyio.fail_after(60):
                while held() or [*tmp_path.glob("mb-*")]:
                    await asyncio.sleep(0.02)
            assert (await recorded(client))[0] == "cancelled"
