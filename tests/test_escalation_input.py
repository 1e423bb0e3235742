"""Bad input to the escalation tools: a clear error that names the field, and nothing is asked."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.app import open_app
from mcp_backend.call import call
from mcp_backend.errors import InvalidArgument
from mcp_backend.tools.escalate import DETAILS_LIMIT, Escalate
from tests.conftest import ERAS, Connect, Era
from tests.test_escalation import DETAILS, question, said

DEEP: Any = reduce(lambda inner, _: [inner], range(200), "x")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "approval"}, "kind: expected"),
        ({"kind": 3}, "kind: expected"),
        ({"title": ""}, "title: "),
        ({"question": None}, "question: expected a string"),
        ({"question": "x" * 1_000_000}, "question: "),
        ({"question": "half\0even"}, "question: a NUL character"),
        ({"details": []}, "details: expected"),
        ({"details": {**DETAILS["unknown"], "more": "x" * (DETAILS_LIMIT + 1)}}, f"at most {DETAILS_LIMIT} characters"),
        ({"details": {**DETAILS["unknown"], "k\0": 1}}, r"details.k\x00: a NUL character"),
        ({"details": {**DETAILS["unknown"], "deep": DEEP}}, "nested deeper than 64 levels"),
        ({"blocking": "perhaps"}, "blocking: expected"),
        ({"confirm": True}, "confirm: unknown field (fields: kind, title, question, details, blocking)"),
        ({"x" * 5000: True}, "…: unknown field"),
    ],
    ids=str,
)
async def test_bad_input_names_the_field(
    connect: Connect, tmp_path: Path, era: Era, change: dict[str, Any], reason: str
) -> None:
    async with connect(tmp_path, mode=era) as client:
        error = (await said(client, "escalate", question(**change)))["error"]
        assert (error["code"], error["retry"]) == ("invalid_argument", "changed")
        assert reason in error["reason"]
        assert len(error["reason"]) < 600
        assert (await said(client, "check_escalation", {}))["open"] == []


@pytest.mark.parametrize("text", ["\ud800", "half \udfff even"])
async def test_what_is_not_unicode_is_refused(tmp_path: Path, text: str) -> None:
    """A JSON client cannot even send it, so the call is made without one."""
    async with open_app(tmp_path) as app:
        for arguments in (question(question=text), question(details={**DETAILS["unknown"], text: 1})):
            with pytest.raises(InvalidArgument, match="not valid Unicode") as failure:
                await call(app, Escalate, arguments)
            failure.value.reason.encode()


@pytest.mark.parametrize("wait", [-1, 46, "soon"])
async def test_a_wait_is_bounded(connect: Connect, tmp_path: Path, wait: object) -> None:
    async with connect(tmp_path) as client:
        error = (await said(client, "check_escalation", {"wait_seconds": wait}))["error"]
    assert error["code"] == "invalid_argument"
    assert "wait_seconds" in error["reason"]
