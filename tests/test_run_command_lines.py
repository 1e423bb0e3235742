"""The lines of more_lines.py through run_command: whatever they do, nothing of anybody else's changes.

Each tenth line runs here; MORE_LINES=1 runs them all.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.workspace.changes import shown
from tests.conftest import Connect, git
from tests.more_lines import ATTACKS, BENIGN
from tests.test_hook_lines import FILES

STEP = 1 if os.environ.get("MORE_LINES") else 10
WAITS = (
    "venv",
    "uvicorn",
    "flask",
    "curl",
    "wget",
    "docker",
    "kubectl",
    "gh ",
    "pip",
    "uv ",
    "npx",
    "npm",
    "ssh",
    "psql",
)
"""They wait for a network that is not there, or install."""
SECONDS = 20
KEPT = ("frontend", "api", "mcp-backend.toml", ".git", ".github", ".claude", ".cursor", "AGENTS.md", ".gitattributes")


def lay(root: Path) -> None:
    """The shop, committed."""
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "shop")


def picture(root: Path) -> dict[str, bytes | None]:
    """Every file that is not the backend's, what lies beside the workspace, and any new frontend file."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.parent.rglob("*")):
        relative = path.relative_to(root.parent)
        inside = path.is_relative_to(root) and relative.parts[1:2] and relative.parts[1] not in KEPT
        if path.is_dir() or (inside and path.suffix not in (".tsx", ".vue")):
            continue
        found[shown(str(relative))] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace of its own, with a folder beside it."""
    folder = tmp_path / "work" / "shop"
    folder.mkdir(parents=True)
    (tmp_path / "work" / "beside.txt").write_text("theirs\n")
    lay(folder)
    return folder


@pytest.mark.parametrize(("before", "line"), ATTACKS[::STEP])
async def test_an_attack_changes_nothing_of_anybody_elses(root: Path, connect: Connect, before: str, line: str) -> None:
    if before:
        subprocess.run(["bash", "-c", before], cwd=root, check=True)
    kept = picture(root)
    async with connect(root) as client:
        await client.call_tool("run_command", {"command": line, "timeout_seconds": SECONDS})
    assert picture(root) == kept


@pytest.mark.parametrize("line", [line for line in BENIGN if not any(word in line for word in WAITS)][::STEP])
async def test_ordinary_work_runs_and_nothing_is_taken_back(root: Path, connect: Connect, line: str) -> None:
    async with connect(root) as client:
        answer = await client.call_tool("run_command", {"command": line, "timeout_seconds": 5 * SECONDS})
    said: dict[str, Any] = answer.structured_content or {}
    assert not answer.is_error, said
    assert "refused" not in said
