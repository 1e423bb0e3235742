"""Requests that the SDK drops are answered; whatever it takes is left alone."""

import json
from typing import Any

import pytest

from mcp_backend.serving import unread

GOOD: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "escalate"}}


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (json.dumps({**GOOD, "id": "a", "params": {"title": "\ud83c"}}), -32700, "surrogate"),
        (json.dumps({**GOOD, "params": {"title": "\udf24 and more"}}), -32700, "surrogate"),
        (json.dumps(GOOD)[:-1] + ', "deep": ' + "[" * 400 + "]" * 400 + "}", -32700, "recursion limit"),
        (json.dumps({**GOOD, "params": ["escalate"]}), -32600, "params: Input should be an object"),
        (json.dumps({**GOOD, "method": 5}), -32600, "method"),
        (json.dumps({**GOOD, "jsonrpc": "1.0"}), -32600, "jsonrpc"),
    ],
)
def test_a_request_that_the_sdk_cannot_read_is_answered(line: str, code: int, said: str) -> None:
    answer = json.loads(unread.answer(line))
    assert answer["id"] == json.loads(line)["id"]
    assert answer["error"]["code"] == code
    assert said in answer["error"]["message"]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(GOOD),
        json.dumps({**GOOD, "params": {"title": "\U0001f324 whole"}}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"message": "\ud83c"}}),
        json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"text": "\ud83c"}}),
        json.dumps({**GOOD, "id": None}).replace("escalate", "\\ud83c"),
        "not JSON",
        "[]",
        "",
        "[" * 100_000,
    ],
)
def test_what_can_be_read_or_asks_nothing_is_not_answered(line: str) -> None:
    assert unread.answer(line) == ""
