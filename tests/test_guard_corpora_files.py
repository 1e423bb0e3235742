"""The shown corpora of attacks and of honest work, through write_file and edit_file of a real server."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CORPORA, Connect, git
from tests.service import write

pytestmark = pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not here")
REACT = json.dumps({"dependencies": {"react": "19", "react-dom": "19"}})
FILES = {
    "README.md": "# Shop\n",
    ".gitignore": "__pycache__/\n",
    "frontend/package.json": REACT,
    "frontend/src/App.tsx": "export const App = () => 'orig'\n",
    "apps/web/package.json": REACT,
    "apps/web/src/page.tsx": "export {}\n",
    "apps/api/pyproject.toml": "[project]\nname = 'api'\n",
    "packages/ui/package.json": json.dumps({"peerDependencies": {"react": "19"}}),
    "packages/ui/Button.tsx": "export {}\n",
    "api/openapi.yaml": "openapi: 3.1.0\ninfo: {title: shop, version: '1'}\npaths: {}\n",
    "backend/pyproject.toml": "[project]\nname = 'shop'\n",
    "backend/app/svc.py": "def add(a, b):\n    return a + b\n",
    "backend/tests/test_svc.py": "def test_add():\n    assert True\n",
    "services/orders/go.mod": "module example.test/orders\n",
    "services/orders/orders.go": 'package orders\n\nvar Message = "negative"\n',
}


@dataclass(frozen=True)
class Case:
    """One line of a corpus, with its placeholders filled in."""

    id: str
    tool: str
    arguments: dict[str, Any]
    setup: str


def cases(name: str, base: Path) -> Iterator[Case]:
    file = CORPORA / name
    places = {"{WS}": base / "ws", "{OUT}": base / "out", "{HOME}": base / "home", "{B}": base, "{MARK}": base / "mark"}
    for line in file.read_text("utf-8").split("\n") if file.exists() else ():
        if not line or (case := json.loads(line))["tool"] not in ("write_file", "edit_file"):
            continue
        text = json.dumps([case["args"], case.get("setup") or ""])
        for placeholder, place in places.items():
            text = text.replace(placeholder, str(place))
        arguments, setup = json.loads(text)
        if case["tool"] == "edit_file":
            arguments = {"path": arguments["path"], "edits": [{"old": arguments["old"], "new": arguments["new"]}]}
        yield Case(case["id"], case["tool"], arguments, setup)


def prepared(base: Path, template: Path, case: Case) -> Path:
    """A fresh world for one case: the workspace with the attacker's preparation, a folder outside, a home."""
    shutil.rmtree(base, ignore_errors=True)
    for folder in ("out", "home"):
        (base / folder).mkdir(parents=True)
    shutil.copytree(template, base / "ws", symlinks=True)
    if case.setup:
        subprocess.run(["bash", "-ec", case.setup], cwd=base / "ws", check=True, capture_output=True)
    return base / "ws"


def world(base: Path) -> dict[str, tuple[int, str]]:
    """Everything below a folder: kind, permissions and content, links by what they say."""
    found: dict[str, tuple[int, str]] = {}
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = Path(folder, name)
            state = path.lstat()
            content = os.readlink(path) if path.is_symlink() else ""
            if stat.S_ISREG(state.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(base).as_posix()] = (state.st_mode, content)
    return found


@pytest.fixture
def template(tmp_path: Path) -> Path:
    root = tmp_path / "template"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    write(root, FILES)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def grouped(known: Sequence[Case]) -> list[list[Case]]:
    """Cases that can share a world: those that prepare nothing and edit nothing. The others have one each."""
    alone = [case for case in known if case.setup or case.tool == "edit_file"]
    return [[case for case in known if case not in alone], *([case] for case in alone)]


async def test_every_attack_is_refused_and_changes_nothing_anywhere(
    template: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "b"
    known = list(cases("guard_attacks.jsonl", base))
    assert len(known) > 20
    for group in grouped(known):
        root = prepared(base, template, group[0])
        monkeypatch.chdir(root)
        before = world(base)
        async with connect(root) as client:
            for case in group:
                answer = await client.call_tool(case.tool, case.arguments)
                assert answer.structured_content is not None
                assert answer.is_error, (case.id, answer.structured_content)
                assert answer.structured_content["error"]["code"] in ("permission_denied", "invalid_argument"), case.id
                assert world(base) == before, case.id


async def test_honest_work_is_done(template: Path, tmp_path: Path, connect: Connect) -> None:
    base = tmp_path / "b"
    known = list(cases("guard_benign.jsonl", base))
    assert len(known) > 20
    for group in grouped(known):
        root = prepared(base, template, group[0])
        async with connect(root) as client:
            for case in group:
                path = root / case.arguments["path"]
                expected = case.arguments.get("content")
                if expected is None:
                    [edit] = case.arguments["edits"]
                    expected = path.read_text().replace(edit["old"], edit["new"])
                answer = await client.call_tool(case.tool, case.arguments)
                assert not answer.is_error, (case.id, answer.structured_content)
                assert path.read_text() == expected, case.id
