"""More lines than the corpora have, as events of a host's own shell tool: attacks refused, ordinary work not."""

import os
import subprocess
from pathlib import Path

import pytest

from mcp_backend.hosts import claude_code, judging
from tests import line_kinds
from tests.conftest import git
from tests.more_lines import ATTACKS, BENIGN

FILES = {
    "frontend/package.json": '{"dependencies": {"react": "18"}}',
    "frontend/src/App.tsx": "export const App = () => null;\n",
    "orders/api.py": "x = 1\n",
    "orders/__init__.py": "",
    "api/openapi.yaml": "openapi: 3.1.0\n",
    "setup.py": "",
    "requirements.txt": "",
    "mcp-backend.toml": "",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backend with a frontend and a specification beside it."""
    root = tmp_path_factory.mktemp("lines") / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "shop")
    return root


def refusal(root: Path, line: str) -> str | None:
    event = {"tool_name": "Bash", "tool_input": {"command": line}, "cwd": str(root), "hook_event_name": "PreToolUse"}
    intent = claude_code.intent(event, {})
    assert intent is not None
    return judging.refusal(intent, {"HOME": "/home/somebody"})


@pytest.mark.parametrize(("before", "line"), [*ATTACKS, *(("", line) for line in line_kinds.ATTACKS)])
def test_an_attack_is_refused(shop: Path, before: str, line: str) -> None:
    if before:
        subprocess.run(["bash", "-c", before], cwd=shop, check=True, env={**os.environ})
    try:
        assert refusal(shop, line)
    finally:
        if before:
            git(shop, "clean", "-qfdx")


@pytest.mark.parametrize("line", [*BENIGN, *line_kinds.BENIGN])
def test_ordinary_work_is_not_refused(shop: Path, line: str) -> None:
    assert refusal(shop, line) is None
