"""Long calls say what they do meanwhile: in words, and ever further on; who cancels one ends its work."""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_backend import telling
from tests.conftest import ERAS, SOME_ERAS, Committed, Connect, Era
from tests.rehearsal_fixtures import Case


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_rehearsal_says_what_it_is_doing(case: Case, era: Era) -> None:
    told: list[tuple[float, str]] = []

    async def progress_callback(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    case.policy()
    async with case.connect(case.root, mode=era) as client:
        arguments: dict[str, Any] = {"sql": "create table told (id bigint primary key)"}
        answer = await client.call_tool("rehearse_migration", arguments, progress_callback=progress_callback)
    assert not answer.is_error
    words = [message for _, message in told]
    assert "rehearsing 1 statements on the shadow" in words
    assert [word.split()[0] for word in words][:3] == ["reading", "making", "copying"]
    steps = [step for step, _ in told]
    assert steps == sorted(set(steps))


async def test_progress_grows_whoever_tells() -> None:
    told: list[tuple[float, float | None, str]] = []

    async def send(done: float, total: float | None, words: str) -> None:
        told.append((done, total, words))

    await telling.tell("nobody asked")
    one = telling.Told(send)
    telling.here(one)
    await telling.tell("starting")
    await one.progress(0, 2, "first")
    await one.progress(1, 2, "second")
    await telling.tell("almost")
    await one.progress(1, 2, "second again")
    assert told == [
        (0.0, None, "starting"), (0.01, 2, "first"), (1, 2, "second"), (1.01, None, "almost"),
        (1.02, 2, "second again"),
    ]  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_is_silent_says_that_it_still_works(
    repository: Path, connect: Connect, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BEAT", 0.02)
    told: list[tuple[float, str]] = []
    enough = asyncio.Event()

    async def progress_callback(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))
        if len(told) == 3:
            enough.set()

    question: dict[str, Any] = {
        "kind": "unknown", "title": "what is it", "question": "What is it?",
        "details": {"known": "little", "tried": "much", "would_unblock": "a word"},
    }  # fmt: skip
    async with connect(repository, mode=era) as client:
        asked: dict[str, Any] = (await client.call_tool("escalate", question)).structured_content or {}
        arguments: dict[str, Any] = {"id": asked["id"], "wait_seconds": 45}
        waiting = asyncio.create_task(
            client.call_tool("check_escalation", arguments, progress_callback=progress_callback)
        )
        await asyncio.wait_for(enough.wait(), 60)
        await client.call_tool("escalate", {**question, "details": {"reply_to": asked["id"], "withdraw": True}})
        assert ((await waiting).structured_content or {})["status"] == "withdrawn"
    assert all(message.startswith("working (") for _, message in told)
    steps = [step for step, _ in told]
    assert steps == sorted(set(steps))


SPEC = """openapi: 3.0.3
info: {title: t, version: "1"}
paths: {/a: {get: {responses: {"200": {description: there}}}}}
"""
HELD = "import threading\nthreading.Event().wait()\n"
APPLICATION = f"held_{secrets.token_hex(8)}"


def held() -> list[str]:
    """The processes of the application that is never ready."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if APPLICATION.encode() in place.read_bytes():
                found.append(place.parent.name)
    return found


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_check_of_a_contract_that_the_host_cancels_ends_the_application(
    tmp_path: Path, committed: Committed, connect: Connect, era: Era
) -> None:
    root = committed(tmp_path / "shop", {"api.yaml": SPEC, f"{APPLICATION}.py": HELD})
    told: list[str] = []

    async def progress_callback(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with connect(root, mode=era) as client:
        arguments = {"implementation": f"{APPLICATION}.py:app"}
        call = asyncio.create_task(client.call_tool("check_contract", arguments, progress_callback=progress_callback))
        with anyio.fail_after(60):
            while not held():
                await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with anyio.fail_after(60):
            while held():
                await asyncio.sleep(0.02)
    assert told[0] == "starting the application to ask it what it serves"
