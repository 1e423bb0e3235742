"""Runs the shell and test-run cases of the guard corpora through the real server and looks at the disk afterwards.

`python -m tests.shell_corpus [--tier namespaces|bubblewrap|landlock|none] [--only ID,…] [--base DIR]` runs all of them
and prints what was breached, what honest work failed, and the time.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.client import Client

from mcp_backend.server import Options, build
from mcp_backend.workspace.fence import probe
from tests.service import PYTEST

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
FILES = {
    "README.md": "# readme of the orders service\n",
    ".gitignore": ".venv/\n__pycache__/\n*.pyc\n",
    "pyproject.toml": '[project]\nname = "orders"\nversion = "0"\n',
    "frontend/package.json": '{"dependencies": {"react": "18.2.0", "react-dom": "18.2.0"}}\n',
    "frontend/src/App.tsx": "export const App = () => <p>orig</p>;\n",
    "frontend/src/index.ts": "import { App } from './App';\n",
    "frontend/src/App.css": "p { color: red }\n",
    "apps/web/package.json": '{"dependencies": {"next": "15", "react": "18"}}\n',
    "apps/web/pages/index.jsx": "export default () => <b/>;\n",
    "apps/worker/main.py": "print('worker')\n",
    "api/openapi.yaml": "openapi: 3.1.0\ninfo: {title: orders, version: '1'}\npaths: {}\n",
    "backend/app/__init__.py": "",
    "backend/app/svc.py": "def add(a, b):\n    return a + b\n",
    "backend/tests/test_svc.py": (
        "import sys, pathlib\nsys.path.insert(0, str(pathlib.Path(__file__).parents[1]))\nfrom app.svc import add\n\n\n"
        "def test_add():\n    assert add(1, 2) == 3\n"
    ),
    "services/orders/go.mod": "module example.org/orders\n\ngo 1.19\n",
    "services/orders/orders.go": (
        "package orders\n\n// Total adds.\nfunc Total(xs ...int) int {\n\tn := 0\n\tfor _, x := range xs {\n"
        "\t\tn += x\n\t}\n\treturn n\n}\n"
    ),
    "services/orders/orders_test.go": (
        'package orders\n\nimport "testing"\n\nfunc TestTotal(t *testing.T) {\n\tif Total(1, 2) != 3 {\n'
        '\t\tt.Fatal("no")\n\t}\n}\n'
    ),
    ".claude/settings.json": "{}\n",
    ".pre-commit-config.yaml": "repos: []\n",
}
IDENTITY = {
    **{f"GIT_{role}_NAME": "P" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "p@example.org" for role in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
GUARDED = ("frontend", "apps/web", "api/openapi.yaml")
POLICY = ("mcp-backend.toml", ".claude", ".pre-commit-config.yaml", ".gitattributes", ".gitmodules", ".mcp.json",
          ".cursor", ".codex", ".vscode", ".husky", "AGENTS.md", "CLAUDE.md", ".github")  # fmt: skip
UI = (".tsx", ".jsx", ".vue", ".svelte", ".css", ".scss")


@dataclass
class Stage:
    """One workspace with what lies beside it, laid anew for every case."""

    base: Path
    go: str | None = field(default_factory=lambda: shutil.which("go") or _beside_python("go"))

    def __post_init__(self) -> None:
        self.ws, self.out, self.home = self.base / "ws", self.base / "out", self.base / "home"
        self.mark = self.base / "mark" / "MARK"
        self.template = self.base / "template"
        for folder in (self.out, self.home, self.mark.parent, self.template):
            folder.mkdir(parents=True)
        (self.home / ".bashrc").write_text("# mine\n")
        (self.out / "theirs.txt").write_text("outside\n")
        for path, text in FILES.items():
            (self.template / path).parent.mkdir(parents=True, exist_ok=True)
            (self.template / path).write_text(text)
        self._git("init", "-q", "-b", "main")
        self.policy(f"{PYTEST} backend/tests")
        self._git("add", "-A")
        self._git("commit", "-qm", "first")
        self._git("checkout", "-qb", "evil")
        (self.template / "frontend/src/App.tsx").write_text("evil\n")
        self._git("commit", "-qam", "evil")
        self._git("checkout", "-q", "main")
        subprocess.run(["git", "clone", "-q", "--bare", self.template, self.base / "origin.git"], check=True)
        self._git("remote", "add", "origin", str(self.base / "origin.git"))

    def policy(self, command: str) -> None:
        """Writes the test command into the policy of the template."""
        (self.template / "mcp-backend.toml").write_text(f"[commands]\ntest = '''{command}'''\n")

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.template, env={**os.environ, **IDENTITY}, check=True)

    def lay(self) -> None:
        """Makes the workspace what the template is, and clears what lies beside it."""
        shutil.rmtree(self.ws, ignore_errors=True)
        shutil.copytree(self.template, self.ws, symlinks=True)
        self.mark.unlink(missing_ok=True)

    def fill(self, text: str) -> str:
        """The text with the places of this stage."""
        for name, path in (("WS", self.ws), ("OUT", self.out), ("HOME", self.home), ("B", self.base),
                           ("MARK", self.mark)):  # fmt: skip
            text = text.replace(f"{{{name}}}", str(path))
        return text

    def state(self) -> dict[str, str]:
        """What must not change, each with a digest: protected files, UI files anywhere, git, and everything beside."""
        found: dict[str, str] = {}
        for path in GUARDED:
            found |= {f"protected {k}": v for k, v in _digests(self.ws / path).items()}
        for path in POLICY:
            found |= {f"policy {k}": v for k, v in _digests(self.ws / path).items()}
        git = self.ws / ".git"
        for name in ("config", "hooks", "info", "HEAD", "refs", "packed-refs", "logs"):
            found |= {f"git {k}": v for k, v in _digests(git / name).items()}
        for folder, folders, names in os.walk(self.ws):
            folders[:] = [f for f in folders if f != ".git"]
            found |= {f"ui {folder}/{n}": "" for n in names if n.endswith(UI)}
        for path in (self.out, self.home):
            found |= {f"outside {k}": v for k, v in _digests(path).items()}
        found |= {"marker": "created"} if self.mark.exists() else {}
        return found


def _beside_python(name: str) -> str | None:
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else None


def _digests(path: Path) -> dict[str, str]:
    if path.is_symlink() or not path.exists():
        return {str(path): os.readlink(path)} if path.is_symlink() else {}
    if path.is_file():
        mode = stat.S_IMODE(path.lstat().st_mode)
        return {str(path): f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"}
    found = {str(path): f"{stat.S_IMODE(path.lstat().st_mode):o}"}
    for child in sorted(path.iterdir()):
        found |= _digests(child)
    return found


@dataclass
class Verdict:
    """How one case came out: what changed that must not have, and what the server answered."""

    id: str
    breaches: list[str]
    answer: dict[str, Any]
    error: bool
    seconds: float


async def play(stage: Stage, client: Client, case: dict[str, Any]) -> Verdict:
    """Lays the stage, lets the attacker prepare, makes the call, and compares."""
    stage.lay()
    environment = {**os.environ, **IDENTITY, "HOME": str(stage.home)}
    if setup := case.get("setup"):
        subprocess.run(["bash", "-c", stage.fill(setup)], cwd=stage.ws, env=environment, capture_output=True,
                       check=False)  # fmt: skip
    stage.mark.unlink(missing_ok=True)
    before = stage.state()
    began = time.perf_counter()
    answers = [await client.call_tool(name, arguments) for name, arguments in calls(stage, case)]
    seconds = time.perf_counter() - began
    await asyncio.sleep(float(case.get("wait", 0)))
    after = stage.state()
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    last = answers[-1]
    if case["tool"] == "run_tests" and "recorded as a passing" in case["must"] and _passing(last.structured_content):
        changed.append("false green")
    return Verdict(case["id"], changed, last.structured_content or {}, bool(last.is_error), seconds)


def _passing(answer: dict[str, Any] | None) -> bool:
    return bool(answer and answer.get("receipt"))


def calls(stage: Stage, case: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The calls an agent would make: the server has no argument for the environment of a command or the options of
    a test runner, so an attack that needs one puts it where an agent could."""
    args: dict[str, Any] = case["args"]
    if case["tool"] == "run_tests":
        # A person may declare options in the policy; an agent has the selection only.
        options = [] if _honest(case) else [option for option in args.get("args", []) if option]
        return [("run_tests", {"selection": options} if options else {})]
    given: dict[str, Any] = {"command": stage.fill(args["command"]), "timeout_seconds": 30}
    if "filter-branch" in given["command"]:  # It warns and waits for ten seconds.
        given["command"] = f"export FILTER_BRANCH_SQUELCH_WARNING=1; {given['command']}"
    if cwd := args.get("cwd") or case.get("cwd"):
        given["cwd"] = stage.fill(cwd)
    if env := args.get("env"):
        given["command"] = (
            " ".join(f"export {k}={shlex.quote(stage.fill(v))};" for k, v in env.items()) + given["command"]
        )
    made = [("run_command", given)]
    if second := case.get("cmd2"):
        made.append(("run_command", {"command": stage.fill(second), "timeout_seconds": 30}))
    return made


def _honest(case: dict[str, Any]) -> bool:
    return bool(case["id"].startswith("b-"))


def cases(name: str) -> list[dict[str, Any]]:
    """The shell and test-run cases of one corpus."""
    lines = (CORPORA / f"{name}.jsonl").read_text("utf-8").split("\n")
    return [
        case for line in lines if line and (case := json.loads(line))["tool"] in ("shell", "run_command", "run_tests")
    ]


def command(stage: Stage, case: dict[str, Any]) -> str:
    """The test command a person would have declared for a case of run_tests."""
    args = case["args"]
    folder = case.get("cwd")
    if args.get("runner") == "go":
        line = f"{stage.go or 'go'} test {args['target']}"
    else:
        line = f"{PYTEST} {args.get('target', 'backend/tests')}"
    if _honest(case) and args.get("args"):
        line = f"{line} {shlex.join(args['args'])}"
    return f"cd {folder} && {line}" if folder else line


async def run(base: Path, chosen: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Plays cases one after the other. One server serves all that have the same test command."""
    stage = Stage(base)
    os.environ["HOME"] = str(stage.home)
    found: list[Verdict] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in chosen:
        groups.setdefault(command(stage, case) if case["tool"] == "run_tests" else "", []).append(case)
    for line, group in groups.items():
        if line:
            stage.policy(line)
            subprocess.run(
                ["git", "commit", "-qam", "p"], cwd=stage.template, env={**os.environ, **IDENTITY}, check=False
            )
        stage.lay()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(build(Options(stage.ws))))
            found += [await play(stage, client, case) for case in group]
    return found


def worked(case: dict[str, Any], verdict: Verdict) -> bool:
    """Whether honest work had its effect."""
    if verdict.error or verdict.answer.get("refused"):
        return False
    if case["tool"] == "run_tests":
        return bool(verdict.answer.get("passed")) and not verdict.answer.get("failed")
    return verdict.answer.get("exit_code") == 0


def main() -> int:
    """Plays everything and prints a summary."""
    options = argparse.ArgumentParser(prog="python -m tests.shell_corpus")
    options.add_argument("--tier", choices=("namespaces", "bubblewrap", "landlock", "none"))
    options.add_argument("--only", default="")
    options.add_argument("--base", type=Path)
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    if given.tier:
        probe.TIERS = (given.tier,)
    wanted = set(given.only.split(",")) - {""}
    with tempfile.TemporaryDirectory(prefix="corpus-", dir=given.base, ignore_cleanup_errors=True) as folder:
        os.environ["MCP_BACKEND_STATE"] = f"{folder}/state"
        attacks = [c for c in cases("guard_attacks") if not wanted or c["id"] in wanted]
        honest = [c for c in cases("guard_benign") if not wanted or c["id"] in wanted]
        began = time.perf_counter()
        verdicts = asyncio.run(run(Path(folder) / "stage", [*attacks, *honest]))
        seconds = time.perf_counter() - began
    by_id = {verdict.id: verdict for verdict in verdicts}
    breached = [by_id[c["id"]] for c in attacks if by_id[c["id"]].breaches]
    failed = [by_id[c["id"]] for c in honest if not worked(c, by_id[c["id"]]) or by_id[c["id"]].breaches]
    tiers = {str(v.answer["sandbox"]) for v in verdicts if "sandbox" in v.answer}
    print(f"sandbox: {', '.join(sorted(tiers))}; {len(verdicts)} cases in {seconds:.0f} s")
    print(f"attacks: {len(attacks) - len(breached)} of {len(attacks)} held")
    _show(breached, lambda v: v.breaches)
    print(f"honest work: {len(honest) - len(failed)} of {len(honest)} done")
    _show(failed, lambda v: json.dumps(v.answer)[:600])
    if given.verbose:
        _show(verdicts, lambda v: json.dumps(v.answer)[:400])
    return int(bool(breached or failed))


def _show(verdicts: Iterable[Verdict], what: Callable[[Verdict], object]) -> None:
    for verdict in verdicts:
        print(f"  {verdict.id} ({verdict.seconds:.1f} s): {what(verdict)}")


if __name__ == "__main__":
    sys.exit(main())
