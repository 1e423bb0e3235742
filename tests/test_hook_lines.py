"""More lines than the corpora have, as events of a host's own shell tool: attacks refused, ordinary work not."""

import os
import subprocess
from pathlib import Path

import pytest

from mcp_backend.hosts import claude_code, judging, late_programs
from tests import line_kinds, program_lines
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


@pytest.mark.parametrize(("before", "line"), [case for case in ATTACKS if case[0]])
def test_an_attack_that_was_prepared_is_refused(shop: Path, before: str, line: str) -> None:
    subprocess.run(["bash", "-c", before], cwd=shop, check=True, env={**os.environ})
    try:
        assert refusal(shop, line)
    finally:
        git(shop, "clean", "-qfdx")


def test_an_attack_is_refused(shop: Path) -> None:
    lines = [*(line for before, line in ATTACKS if not before), *line_kinds.ATTACKS]
    assert [line for line in lines if refusal(shop, line) is None] == []


def test_ordinary_work_is_not_refused(shop: Path) -> None:
    assert {line: why for line in (*BENIGN, *line_kinds.BENIGN) if (why := refusal(shop, line))} == {}


def test_what_programs_do_with_their_operands_is_judged(shop: Path) -> None:
    let_through = [line for line in program_lines.ATTACKS if refusal(shop, line) is None]
    stopped = {line: why for line in program_lines.ORDINARY if (why := refusal(shop, line))}
    assert (let_through, stopped) == ([], {})


def test_work_that_a_person_has_not_committed_is_left_where_it_is(shop: Path) -> None:
    """A stash takes it away; a branch that is made or switched to does not."""
    (shop / "frontend/src/App.tsx").write_text("export const App = () => 1;\n")
    (shop / "orders/api.py").write_text("x = 2\n")
    try:
        takes = ["git stash", "git stash -u", "git stash push -m x", "git restore :/",
                 "git restore '*.tsx'", "git checkout -- ':(glob)frontend/**'", "git checkout-index -a -f",
                 "git add -A && git stash"]  # fmt: skip
        leaves = ["git checkout -b mine", "git switch -c mine", "git stash push -- orders/api.py", "git restore orders",
                  "git stash list", "git restore --staged .", "git checkout -- orders/api.py"]  # fmt: skip
        assert [line for line in takes if refusal(shop, line) is None] == []
        assert {line: why for line in leaves if (why := refusal(shop, line))} == {}
    finally:
        git(shop, "checkout", "--quiet", "--", ".")


def test_powershell_is_judged_by_its_cmdlets(shop: Path) -> None:
    def refused(line: str) -> str | None:
        intent = claude_code.intent({"tool_name": "PowerShell", "tool_input": {"command": line}, "cwd": str(shop)}, {})
        assert intent is not None
        return judging.refusal(intent, {"HOME": "/home/somebody"})

    attacks = [
        "Set-Content frontend/src/App.tsx x", "'x' | Out-File -FilePath frontend\\src\\App.tsx", "ri -Recurse frontend",
        "[IO.File]::WriteAllText('frontend/src/App.tsx','x')", "cd frontend; New-Item -Name a.ts -Path src/a.ts",
        "Copy-Item README.md -Destination frontend\\a.ts", "iwr http://localhost/x -OutFile frontend/x.js",
        "Get-ChildItem frontend | Remove-Item", "Move-Item frontend ui",
    ]  # fmt: skip
    honest = [
        "Get-ChildItem frontend -Recurse | Measure-Object", "Get-Content frontend\\src\\App.tsx", "pytest -q",
        "Set-Content orders/a.py 'x = 1'", "Select-String -Path frontend/src/*.tsx -Pattern 'Remove-Item'",
        "Copy-Item frontend/src/App.tsx -Destination orders/App.txt", "Test-Path frontend/package.json",
    ]  # fmt: skip
    assert [line for line in attacks if refused(line) is None] == []
    assert {line: why for line in honest if (why := refused(line))} == {}


def test_programs_that_are_read_about_late_are_all_found() -> None:
    from mcp_backend.hosts import archives, building, containers, editors, forges, more_programs, node_programs

    files = {
        "archives": archives.ARCHIVES, "building": building.BUILDERS, "containers": containers.CONTAINERS,
        "editors": editors.EDITORS, "forges": forges.FORGES, "more_programs": more_programs.MORE_PROGRAMS,
        "node_programs": node_programs.NODE,
    }  # fmt: skip
    assert {place: set(table) for place, table in files.items()} == {k: set(v) for k, v in late_programs.NAMES.items()}
