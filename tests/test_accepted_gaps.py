"""A gap of a specification is accepted by its key, with a reason, by people: then it is told and stops nobody."""

from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from mcp_backend.errors import InvalidArgument
from tests.conftest import ERAS, Connect, Era
from tests.service import ask

SPEC = """\
openapi: 3.1.0
info: {title: Orders, version: '1'}
servers: [{url: /}]
paths:
  /orders:
    post:
      operationId: createOrder
      responses: {}
"""
REASON = "an order is made in the shop only, its answer is never read"


async def _asking(client: Any) -> list[dict[str, Any]]:
    gaps = (await ask(client, "api_contract", path="openapi.yaml"))["gaps"]
    return [gap for gap in gaps if gap["severity"] in ("block", "ask")]


@pytest.mark.parametrize("era", ERAS)
async def test_a_gap_that_the_policy_accepts_is_a_note_with_its_reason(
    repository: Path, connect: Connect, era: Era
) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository, mode=era) as client:
        before = await _asking(client)
    key = before[0]["key"]
    (repository / "mcp-backend.toml").write_text(f'[accepted_gaps]\n"{key}" = "{REASON}"\n')
    async with connect(repository, mode=era) as client:
        shown = await ask(client, "api_contract", path="openapi.yaml")
        listed = await ask(client, "api_contract", operation="createOrder")
    (gap,) = [gap for gap in shown["gaps"] if gap["key"] == key]
    assert (gap["severity"], gap["accepted"]) == ("note", REASON)
    left = shown["gap_severities"]
    assert left.get("block", 0) + left.get("ask", 0) == len(before) - 1
    assert [g["accepted"] for g in listed["gaps"] if g["key"] == key] == [REASON]


async def test_the_answer_of_a_person_accepts_the_gap_that_was_asked_about(repository: Path, connect: Connect) -> None:
    (repository / "openapi.yaml").write_text(SPEC)
    async with connect(repository) as client:
        gap = (await _asking(client))[0]
        asked = await ask(
            client, "escalate", kind="spec_clarification", title="What an order answers", question=gap["question"],
            details={"spec_ref": "openapi.yaml", "readings": gap["readings"], "recommended": gap["readings"][0],
                     "gap": gap["key"]},
        )  # fmt: skip
        assert gap["key"] in {g["key"] for g in await _asking(client)}, (
            "a question that nobody answered accepts nothing"
        )
        async with open_app(repository) as app:
            await escalations.decide(
                app.store, asked["id"], status="answered", answer=REASON, by="ada", channel="terminal", now=app.now()
            )
        after = (await ask(client, "api_contract", path="openapi.yaml"))["gaps"]
    assert [(g["severity"], g["accepted"]) for g in after if g["key"] == gap["key"]] == [
        ("note", f"{REASON} ({asked['id']})")
    ]


async def test_a_gap_is_not_accepted_without_a_reason(repository: Path) -> None:
    (repository / "mcp-backend.toml").write_text('[accepted_gaps]\n"1a2b3c4d5e" = ""\n')
    with pytest.raises(InvalidArgument, match=r"accepted_gaps\.1a2b3c4d5e"):
        async with open_app(repository):
            pass
