"""Attacks and honest work from the corpora, as far as they concern git and test runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from tests.conftest import CORPORA, Connect, git, long_proof
from tests.service import GO, PYTEST, shell, write

pytest_plugins = ("tests.service_fixtures",)
pytestmark = pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not here")

FILES = {
    "mcp-backend.toml": f"[commands]\ntest = '''{PYTEST}'''\n",
    ".gitignore": "__pycache__/\n",
    "backend/app/__init__.py": "",
    "backend/app/svc.py": "def add(a, b):\n    return a + b\n",
    "backend/app/ui_events.py": "EVENTS = []\n",
    "backend/tests/test_svc.py": "def test_add():\n    assert 1 + 1 == 2\n",
    "frontend/package.json": '{"dependencies": {"react": "19"}}\n',
    "frontend/src/App.tsx": "export const App = () => <p/>;\n",
    "api/openapi.yaml": "openapi: 3.1.0\n",
    ".husky/pre-commit": "#!/bin/sh\nexit 0\n",
    "services/orders/go.mod": "module example.org/orders\n\ngo 1.21\n",
    "services/orders/orders.go": "package orders\n\nfunc Total(a, b int) int { return a + b }\n",
    "services/orders/total_test.go": 'package orders\n\nimport "testing"\n\nfunc TestTotal(t *testing.T) {}\n',
}


TWINS = ("rt-001", "rt-002", "rt-005", "rt-014", "rt-015", "b-rt-002", "b-rt-011")
"""Test runs that test_guard_corpora_shell.py plays, too, or that do what another one here does."""


def cases(name: str) -> list[Any]:
    file = CORPORA / name
    tools = ("git_commit", "git_add", "git_status", "git_diff", "git_show", "git_log", "run_tests")
    found = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line] if file.exists() else []
    return [
        pytest.param(case, id=case["id"], marks=[long_proof] if case["id"] in TWINS else [])
        for case in found
        if case["tool"] in tools
    ]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the corpora, committed, with its remote."""
    folder = tmp_path_factory.mktemp("template")
    root = folder / "ws"
    write(root, FILES)
    git(folder, "init", "-q", "--bare", "-b", "main", "--template=", "origin.git")
    git(root, "init", "-q", "-b", "main", "--template=")
    (root / ".git" / "hooks").mkdir()
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    git(root, "remote", "add", "origin", str(folder / "origin.git"))
    git(root, "push", "-qu", "origin", "main")
    return folder


@pytest.fixture
def place(tmp_path: Path, template: Path, person: Path) -> Path:
    """A copy of the repository, and the folder beside it."""
    for name in ("ws", "origin.git"):
        shutil.copytree(template / name, tmp_path / name, symlinks=True)
    (tmp_path / "outside").mkdir()
    git(tmp_path / "ws", "config", "remote.origin.url", str(tmp_path / "origin.git"))
    return tmp_path / "ws"


def filled(text: str, root: Path) -> str:
    places = {
        "WS": root,
        "B": root.parent,
        "OUT": root.parent / "outside",
        "MARK": root.parent / "mark",
        "HOME": root.parent,
    }
    return re.sub(r"\{(WS|B|OUT|MARK|HOME)\}", lambda m: str(places[m[1]]), text)


async def played(client: Client, case: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The call that a host would make for this case: whether it did what it was asked, and its answer."""
    arguments = case["args"]
    match case["tool"]:
        case "git_commit" | "git_add":
            name, call = "git_commit", {"message": arguments.get("message", "x"), "paths": arguments["paths"]}
        case "run_tests" if case.get("cwd"):
            name, call = "run_tests", {"selection": [case["cwd"]]} if arguments["runner"] == "go" else {}
        case "run_tests":
            chosen = arguments["args"]
            words = [chosen[1]] if chosen[:1] == ["-k"] else [" ".join(chosen)] if chosen[:1] == ["-c"] else []
            name, call = "run_tests", {"selection": words} if words else {}
        case _:
            base = arguments.get("target") or arguments.get("revision")
            name, call = "git_status", {"diff": True, **({"base": base} if base else {})}
    answer = await client.call_tool(name, call)
    return not answer.is_error, answer.structured_content or {}


@pytest.mark.parametrize("case", cases("guard_attacks.jsonl"))
async def test_an_attack_has_no_effect(
    place: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]
) -> None:
    if case.get("needs") == "go" and not GO.exists():
        pytest.skip("needs a Go toolchain")
    monkeypatch.setenv("PATH", f"{GO.parent}:/usr/bin:/bin")
    for name, value in case["args"].get("env", {}).items():
        monkeypatch.setenv(name, value)
    if case.get("cwd") and case["args"].get("runner") == "pytest":
        write(place, {"mcp-backend.toml": f"[commands]\ntest = '''cd {case['cwd']} && {PYTEST} tests'''\n"})
    shell(place, filled(case["setup"] or "true", place))
    (place.parent / "mark").unlink(missing_ok=True)
    frontend = {p: p.read_bytes() for p in (place / "frontend").rglob("*") if p.is_file()}
    config = (place / ".git/config").read_bytes()
    head = git(place, "rev-parse", "HEAD")
    async with connect(place) as client:
        _, answer = await played(client, case)
    assert not (place.parent / "mark").exists()
    assert head in git(place, "rev-list", "main").splitlines()
    assert git(place, "diff", "--name-only", head, "main", "--", "frontend", "api", ".husky", "mcp-backend.toml") == ""
    assert not answer.get("receipt") or "false green" not in case["source"]
    assert {p: p.read_bytes() for p in (place / "frontend").rglob("*") if p.is_file()} == frontend
    assert (place / ".git/config").read_bytes() == config


@pytest.mark.parametrize("case", cases("guard_benign.jsonl"))
async def test_honest_work_is_done(
    place: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]
) -> None:
    if case.get("needs") == "go" and not GO.exists():
        pytest.skip("needs a Go toolchain")
    monkeypatch.setenv("PATH", f"{GO.parent}:/usr/bin:/bin")
    shell(place, filled(case["setup"] or "true", place))
    async with connect(place) as client:
        done, answer = await played(client, case)
    assert done, answer
    if case["tool"] == "run_tests":
        assert (answer["passed"] > 0, answer["failed"]) == (True, 0)
    if case["tool"] == "git_commit":
        assert git(place, "rev-parse", "HEAD") == answer["commit"]
