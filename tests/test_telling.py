"""Long calls say what they do meanwhile: in words, and ever further on."""

from typing import Any

import pytest

from mcp_backend import telling
from tests.conftest import ERAS, Era
from tests.rehearsal_fixtures import Case


@pytest.mark.parametrize("era", ERAS)
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
