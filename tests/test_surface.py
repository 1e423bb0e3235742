"""What a host sees before the first call. A change here is a change of the public contract: it needs a decision.

`UPDATE_SURFACE=1 pytest tests/test_surface.py` writes the snapshots anew.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.tools import TOOLS, TOOLSETS, enabled
from mcp_backend.tools.base import Tool
from tests.conftest import ERAS, Connect, Era

SNAPSHOTS = Path(__file__).parent / "surface"
LIST_LIMIT = 24_000
"""Bytes of the whole `tools/list` answer with every toolset on."""
HEAVY = ("psycopg", "psycopg_pool", "nats", "git", "sqlglot", "postgast", "yaml", "jsonschema", "clickhouse_connect",
         "redis", "confluent_kafka")  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tools_schema_is_the_one_that_was_agreed(tool: type[Tool]) -> None:
    shown = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description(),
        "hints": [tool.read_only, tool.destructive, tool.idempotent, tool.open_world],
        "input": tool.input_schema(),
        "output": tool.output_schema(),
    }
    path = SNAPSHOTS / f"{tool.name}.json"
    if os.environ.get("UPDATE_SURFACE"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert json.loads(path.read_text("utf-8")) == shown


def test_every_snapshot_belongs_to_a_tool() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == {tool.name for tool in TOOLS}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_can_be_chosen_by_its_first_sentence_and_approved_by_its_hints(tool: type[Tool]) -> None:
    assert re.fullmatch(r"[a-z_]{1,24}", tool.name)
    assert tool.toolset in TOOLSETS
    first = tool.description().splitlines()[0]
    assert 20 <= len(first) <= 250
    assert not (tool.read_only and tool.destructive)
    for name, field in tool.input_schema()["properties"].items():
        assert "type" in field or "anyOf" in field or "enum" in field or "const" in field or "$ref" in field, name


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_refusal_fits_the_output_schema(tool: type[Tool]) -> None:
    """The official TypeScript client holds every structured result against it, and drops what does not fit."""
    from jsonschema import Draft202012Validator

    if schema := tool.output_schema():
        validator: Any = Draft202012Validator(schema)
        validator.validate({"error": {"code": "permission_denied", "reason": "x", "retry": "never"}})


def test_names_are_unique() -> None:
    names = [tool.name for tool in TOOLS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("era", ERAS)
async def test_the_whole_list_is_small(repository: Path, connect: Connect, era: Era) -> None:
    async with connect(repository, mode=era) as client:
        listed = await client.list_tools()
    size = len(listed.model_dump_json(by_alias=True, exclude_none=True).encode())
    assert size < LIST_LIMIT
    assert [tool.name for tool in listed.tools] == [tool.name for tool in TOOLS]
    for tool in listed.tools:
        assert tool.annotations is not None
        assert None not in (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
            tool.annotations.open_world_hint,
        )


def test_toolsets_choose_tools_and_escalation_is_always_on() -> None:
    chosen = enabled(frozenset({"git"}), read_only=False)
    assert {tool.toolset for tool in chosen.values()} <= {"git", "escalation"}
    assert "escalate" in chosen


def test_a_read_only_server_hides_what_changes_things() -> None:
    chosen = enabled(frozenset(TOOLSETS), read_only=True)
    assert {name for name, tool in chosen.items() if not tool.read_only} == {"escalate"}


def test_the_server_imports_no_engine_before_it_is_needed() -> None:
    script = "import sys, mcp_backend.serving.transports\nprint(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    # The SDK itself imports jsonschema; the server adds nothing heavy to it.
    assert set(HEAVY) & set(loaded) <= {"jsonschema"}


def test_policy_guards_and_actions_import_the_standard_library_only() -> None:
    script = (
        "import sys\nimport mcp_backend.actions, mcp_backend.policy, mcp_backend.guards, mcp_backend.persona\n"
        "own = {'mcp_backend', '__main__', '__mp_main__', 'sitecustomize', '_distutils_hack'}\n"
        "names = {m.split('.')[0] for m in sys.modules}\n"
        "print(*sorted(n for n in names - set(sys.stdlib_module_names) - own if not n.startswith('__editable__')))"
    )
    isolated = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{script}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert isolated.stdout.split() == []
