"""A host waits for the hook at every call: what it imports, and that a second call asks git nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_backend.hosts import HOOKED
from tests.conftest import git

LIST = """
import io, json, sys
from mcp_backend import hook
sys.stdin = io.TextIOWrapper(io.BytesIO(sys.argv[2].encode()))
code = hook.main([sys.argv[1]])
print(json.dumps([code, sorted(sys.modules)]))
"""
TOO_DEAR = ("argparse", "asyncio", "dataclasses", "inspect", "hashlib", "subprocess", "tomllib", "sqlite3",
            "urllib.request", "mcp", "pydantic", "yaml", "git", "psycopg", "mcp_backend.cli", "mcp_backend.server",
            "mcp_backend.persona")  # fmt: skip


def modules(host: str, event: object) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIST, host, json.dumps(event)], capture_output=True, text=True, check=True
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(names)


@pytest.fixture
def line(repository: Path) -> dict[str, object]:
    (repository / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    git(repository, "add", ".")
    return {"tool_name": "Bash", "tool_input": {"command": "pytest -q | tee out.log"}, "cwd": str(repository)}


@pytest.mark.parametrize("host", HOOKED)
def test_only_the_standard_library_is_imported(host: str, line: dict[str, object]) -> None:
    event = {**line, "tool_name": "run_shell_command"} if host in ("gemini-cli", "qwen") else line
    if host == "opencode":
        event = {**line, "tool": "bash", "args": line["tool_input"]}
    if host == "cursor":
        event = {**line, "hook_event_name": "beforeShellExecution", "command": "pytest -q"}
    top = {name.partition(".")[0] for name in modules(host, event)}
    foreign = top - sys.stdlib_module_names - {"mcp_backend", "__main__", "sitecustomize", "usercustomize"}
    assert {name for name in foreign if not name.startswith(("_", "__editable__"))} == set()


def test_a_second_call_starts_no_program_and_parses_no_policy(line: dict[str, object]) -> None:
    modules("claude-code", line)
    assert modules("claude-code", line).isdisjoint(TOO_DEAR)


def test_a_call_of_another_tool_imports_no_guard() -> None:
    names = modules("claude-code", {"tool_name": "Read", "tool_input": {"file_path": "x"}})
    assert names.isdisjoint((*TOO_DEAR, "mcp_backend.guards", "mcp_backend.policy"))
