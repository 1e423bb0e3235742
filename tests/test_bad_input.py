"""Bad input on every tool, chosen from its own schema: a clear error that names the field, never a traceback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_backend.errors import BackendError, InvalidArgument
from mcp_backend.tools import TOOLS
from mcp_backend.tools.arguments import parse
from tests.conftest import ERAS, Connect, Era, git

CODES = {cls.code for cls in BackendError.__subclasses__()}
RIGHT: dict[str, dict[str, Any]] = {
    "escalate": {"kind": "unknown", "title": "what", "question": "why?", "details": {"known": "a"}},
    "db_query": {"sql": "select 1"},
    "publish_message": {"destination": "orders.created", "messages": [{"payload": {"a": 1}}]},
    "peek_messages": {"destination": "orders.created"},
    "configure_messaging": {"changes": [{"kind": "stream", "name": "ORDERS", "config": {"subjects": ["orders.>"]}}]},
    "call_api": {"target": "http://127.0.0.1:9", "path": "/"},
    "git_branch": {"name": "topic"},
    "git_rebase": {"onto": "main", "action": "status"},
    "git_commit": {"message": "change"},
    "run_command": {"command": "true"},
    "read_file": {"path": "README.md"},
    "write_file": {"path": "notes.txt", "content": "x"},
    "edit_file": {"path": "README.md", "edits": [{"old": "# orders", "new": "# Orders"}]},
    "search_code": {"query": "orders"},
}
"""Arguments that are right where a tool needs some; each case below spoils one of them."""
WRONG_TYPES: dict[str, Any] = {"string": {"a": 1}, "integer": "many", "number": "much", "boolean": "perhaps"}


def spoiled() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every `(tool, field, arguments)` with one field of a wrong type, too long, or with a NUL."""
    for tool in TOOLS:
        right = RIGHT.get(tool.name, {})
        for field, schema in tool.input_schema()["properties"].items():
            kind = schema.get("type")
            if kind == "object" or (kind == "array" and "$ref" in str(schema)) or field == "changes":
                yield tool.name, field, {**right, field: "text"}
            elif kind == "array":
                yield tool.name, field, {**right, field: {"a": 1}}
            elif kind in WRONG_TYPES:
                yield tool.name, field, {**right, field: WRONG_TYPES[kind]}
            if kind == "string":
                yield tool.name, field, {**right, field: "a\0b"}
                yield tool.name, field, {**right, field: "\ud800"}
                if "enum" not in schema:
                    yield tool.name, field, {**right, field: "x" * max(1_000_001, schema.get("maxLength", 0) + 1)}
        yield tool.name, "no_such_field", {**right, "no_such_field": 1}


async def refused(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    body: dict[str, Any] = result.structured_content or {}
    assert result.is_error is True, f"{tool} took {str(arguments)[:200]}: {str(body)[:300]}"
    error: dict[str, Any] = body["error"]
    assert error["code"] in CODES
    assert error["code"] != "internal", error
    assert "Traceback" not in error["reason"]
    assert "pydantic" not in error["reason"]
    assert len(error["reason"]) < 2000
    return error


async def test_each_field_of_each_tool_says_what_was_expected(repository: Path, connect: Connect) -> None:
    cases = list(spoiled())
    assert {tool for tool, _, _ in cases} == {tool.name for tool in TOOLS}
    async with connect(repository) as client:
        for tool, field, arguments in cases:
            error = await refused(client, tool, arguments)
            assert error["code"] == "invalid_argument", (tool, field, error)
            assert field in error["reason"], (tool, field, error)


@pytest.mark.parametrize("era", ERAS)
async def test_a_missing_argument_is_named(repository: Path, connect: Connect, era: Era) -> None:
    async with connect(repository, mode=era) as client:
        for tool in TOOLS:
            for needed in tool.input_schema().get("required", []):
                error = await refused(client, tool.name, {})
                assert f"{needed}: is required" in error["reason"]


async def test_an_unknown_engine_is_named_with_those_that_exist(repository: Path, connect: Connect) -> None:
    async with connect(repository) as client:
        for tool in TOOLS:
            if "engine" not in tool.input_schema()["properties"]:
                continue
            error = await refused(client, tool.name, {**RIGHT.get(tool.name, {}), "engine": "nowhere"})
            assert error["code"] == "not_found", (tool.name, error)
            assert "nowhere" in error["reason"]


PLAIN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("edit_file", {"path": "a", "edits": {"old": "a", "new": "b"}}, {"path": "a", "edits": [{"old": "a", "new": "b"}]}),
    ("edit_file", {"path": "a", "edits": '[{"old":"b","new":""}]'}, {"path": "a", "edits": [{"old": "b", "new": ""}]}),
    ("git_status", {"paths": "orders", "base": ""}, {"paths": ["orders"]}),
    ("git_status", {"paths": None, "log": None}, {}),
    ("git_commit", {"message": "m", "paths": '["a", "b"]'}, {"message": "m", "paths": ["a", "b"]}),
    ("db_query", {"sql": "s", "parameters": 5, "limit": "10"}, {"sql": "s", "parameters": [5], "limit": 10}),
    ("db_query", {"sql": "s", "explain": " Analyze"}, {"sql": "s", "explain": "analyze"}),
    ("db_schema", {"table": "", "search": "x"}, {"search": "x"}),
    ("run_migration", {"version": 20260302090000}, {"version": "20260302090000"}),
    (
        "escalate",
        {"kind": "Trade-Off", "title": "abc", "question": "def", "details": '{"a": 1}'},
        {"kind": "trade_off", "title": "abc", "question": "def", "details": {"a": 1}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "given", "meant"), PLAIN)
def test_a_form_with_one_meaning_is_taken_as_it_was_meant(
    tool: str, given: dict[str, Any], meant: dict[str, Any]
) -> None:
    chosen = next(each for each in TOOLS if each.name == tool)
    assert parse(chosen, given).model_dump() == chosen.model_validate(meant).model_dump()


UNCLEAR: list[tuple[str, dict[str, Any], str]] = [
    ("db_query", {"sql": "s", "parameters": {"a": 1}}, "parameters: expected a list"),
    ("run_command", {"command": ["ls"]}, "command: expected a string"),
    ("run_tests", {"selection": 5}, "selection: expected a list or expected a string"),
    ("edit_file", {"path": "a", "edits": []}, "edits: expected at least 1 item"),
    ("git_commit", {"message": "m", "paths": r'["a\u0000b"]'}, "paths.0: a NUL character is not allowed"),
    ("escalate", {"details": "[" * 300 + "]" * 300}, f"{('details' + '.0' * 65)[:100]}…: nested deeper than 64 levels"),
    ("find_symbol", {"kind": "reference"}, "kind: expected 'definition', 'references' or 'outline'"),
    (
        "publish_message",
        {"destination": "d", "messages": [{"id": 1}]},
        "messages.0.payload: is required; messages.0.id: unknown field "
        "(fields of messages.0: payload, key, headers, message_id)",
    ),
    (
        "publish_message",
        {"destination": "d", "messages": ["x"] * 900},
        "; ".join(f"messages.{n}: expected an object" for n in range(10)) + "; and 890 more fields",
    ),
    (
        "publish_message",
        {"destination": "d", "messages": [{"payload": 1}], "expected_last_sequence": 2**63},
        f"expected_last_sequence: expected less than or equal to {2**63 - 1}",
    ),
]


@pytest.mark.parametrize(("tool", "given", "reason"), UNCLEAR)
def test_what_has_no_one_meaning_is_said_in_the_words_of_json(tool: str, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(next(each for each in TOOLS if each.name == tool), given)
    assert caught.value.reason == reason


def bare(root: Path) -> Path:
    git(root.parent, "init", "--quiet", "--bare", str(root))
    return root


def without_commits(root: Path) -> Path:
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "app.py").write_text("x = 1\n")
    return root


def no_repository(root: Path) -> Path:
    root.mkdir()
    (root / "app.py").write_text("x = 1\n")
    return root


def not_utf8(root: Path) -> Path:
    without_commits(root)
    (root / "latin.py").write_bytes(b"# caf\xe9\nx = '\xff\xfe'\n")
    (root / "mcp-backend.toml").write_text("[commands]\n")
    (root / "openapi.yaml").write_bytes(b"\xff\xfeopenapi")
    (root / "package.json").write_bytes(b"{\xff}")
    return root


@pytest.mark.parametrize("make", [bare, without_commits, no_repository, not_utf8], ids=lambda make: make.__name__)
async def test_unusual_repositories_get_answers_not_faults(tmp_path: Path, connect: Connect, make: Any) -> None:
    root: Path = make(tmp_path / "a place with spaces")
    async with connect(root) as client:
        for tool in ("git_status", "git_commit", "run_tests", "check_escalation"):
            result = await client.call_tool(tool, RIGHT.get(tool, {}))
            body: dict[str, Any] = result.structured_content or {}
            if result.is_error:
                assert body["error"]["code"] != "internal", (tool, body)
                assert len(body["error"]["reason"]) > 15
        recent = (await client.read_resource("audit://recent")).contents[0]
        assert '"code":"internal"' not in recent.text  # type: ignore[union-attr]
