"""A host's own tools are judged before they run: its hook event on standard input, its own form of answer back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from mcp_backend.hosts import HOOKED, answering, claude_code, judging
from tests.conftest import CORPORA, Committed
from tests.shell_corpus import IDENTITY, Stage

Ask: TypeAlias = Callable[..., str | None]

NOT_IN_THE_EVENT = ("sh-075", "sh-077")
"""Attacks by variables of the host's own process: no event carries them."""
NOT_IN_THIS_TREE = ("wf-004",)
PROGRAMS_STARTED_ON_PURPOSE = ("sh-050", "sh-086")
"""They run a script of the agent's own outside any fence, which a hook can't prevent: the kernel fence does."""


SHOP = {
    "README.md": "# orders\n",
    "frontend/package.json": '{"dependencies": {"react": "18"}}',
    "frontend/src/App.tsx": "export const App = () => null;\n",
    "orders/api.py": "x = 1\n",
    "api/openapi.yaml": "openapi: 3.1.0\n",
}


@pytest.fixture
def shop(tmp_path: Path, committed: Committed) -> Path:
    """A backend with a frontend beside it."""
    return committed(tmp_path / "orders service", SHOP)


def asking(root: Path) -> Ask:
    """The reason why a call of Claude Code is refused there, or `None`."""

    def asked(tool: str, **given: Any) -> str | None:
        event = {"tool_name": tool, "tool_input": given, "cwd": str(root), "hook_event_name": "PreToolUse"}
        intent = claude_code.intent(event, {})
        return judging.refusal(intent, {"HOME": "/home/somebody"}) if intent else None

    return asked


@pytest.fixture
def ask(shop: Path) -> Ask:
    return asking(shop)


@pytest.fixture(scope="module")
def ask_of_a_line(tmp_path_factory: pytest.TempPathFactory, committed: Committed) -> Ask:
    """The same for lines that are judged and never run: one tree for all."""
    return asking(committed(tmp_path_factory.mktemp("lines") / "orders service", SHOP))


def run(host: str, event: object, **more: str) -> subprocess.CompletedProcess[str]:
    """The hook as a host runs it."""
    data = event if isinstance(event, str) else json.dumps(event)
    return subprocess.run(
        [sys.executable, "-m", "mcp_backend", "hook", host],
        input=data, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **more},
    )  # fmt: skip


READS = [
    "cat frontend/src/App.tsx", "grep -rn useState frontend/src | head", "ls -la frontend && git status --short",
    "sed -n 1,5p frontend/src/App.tsx", "cp frontend/src/App.tsx /var/tmp/look.tsx", "cd frontend && npm test",
    "python -c \"import json; print(json.load(open('frontend/package.json')))\"", "git log --oneline -- frontend",
    "find frontend -name '*.tsx'", "diff api/openapi.yaml <(python dump.py)", "wc -l < frontend/src/App.tsx",
    "git diff main -- frontend > /dev/null", "jq .dependencies frontend/package.json", "git config --get user.name",
]  # fmt: skip
WORKS = [
    "echo x >> orders/api.py", "mkdir -p orders/web && touch orders/web/routes.py", "pytest -q 2>&1 | tee out.log",
    "sed -i s/1/2/ orders/api.py", "git checkout -b feature/x", "git add -A && git stash", "make test",
    "for f in orders/*.py; do echo $f; done", "git restore -- orders/api.py", "uv run pytest", "git fetch --prune",
    "rm -rf build __pycache__", "cat > orders/new.py <<'E'\nimport os\nopen('x', 'w')\nE", "mcp-backend doctor",
    "docker compose up -d && sleep 1", "GIT_EDITOR=true git rebase --continue", "npx tsc --noEmit -p frontend",
]  # fmt: skip
STOPPED = [
    "echo x > frontend/src/App.tsx", "X=frontend; rm -r $X/src", "sudo -u me env A=1 sh -c 'tee frontend/a.ts'",
    "find frontend -name '*.tsx' -delete", "find . -name App.tsx -exec sed -i s/a/b/ frontend/src/App.tsx \\;",
    "ls frontend/src/*.tsx | xargs sed -i s/a/b/", "cp x.py api/openapi.yaml", "mv api old && mkdir api",
    "git checkout HEAD~1 -- frontend", "git reset --hard", "git clean -fdx", "git commit -qm x", "rm -rf .git",
    "python - <<'E'\nopen('frontend/a.ts', 'w').write('')\nE", "node -e \"fs.writeFileSync('frontend/a.ts','')\"",
    "cd frontend && npm install left-pad", "npm --prefix frontend install x", "touch mcp-backend.toml",
    "mcp-backend inbox answer ESC-1 --approve", "env -u CLAUDECODE python -m mcp_backend inbox answer ESC-1",
    "uvx --from 'mcp-backend[all]' mcp-backend audit seal", "mcp-backend engines stop",
    "mcp-backend render claude-code --write",
    "echo '{}' > .claude/settings.json", "echo x >> ~/.bashrc", "git config core.hooksPath x",
    "tee .github/workflows/a.yml",
    "echo 'open(\"frontend/a.ts\",\"w\")' > orders/g.py && python orders/g.py",
    "patch -p1 <<'E'\n--- a/frontend/a.ts\n"
    "+++ b/frontend/a.ts\n@@\nE", "echo x > 'front'\"end\"/a.ts",
    "cd frontend && ./generate.sh", "echo x | tee web/A.tsx",
]  # fmt: skip


@pytest.mark.parametrize("line", READS)
def test_reading_is_never_refused(ask_of_a_line: Ask, line: str) -> None:
    assert ask_of_a_line("Bash", command=line) is None


@pytest.mark.parametrize("line", WORKS)
def test_the_backends_own_work_is_not_refused(ask_of_a_line: Ask, line: str) -> None:
    assert ask_of_a_line("Bash", command=line) is None


@pytest.mark.parametrize("line", STOPPED)
def test_a_line_that_writes_what_is_not_the_backends_is_refused(ask_of_a_line: Ask, line: str) -> None:
    assert ask_of_a_line("Bash", command=line)


def test_a_refusal_says_the_promise_and_what_to_do_instead(ask: Ask) -> None:
    reason = ask("Write", file_path="frontend/src/New.tsx", content="x") or ""
    assert reason.startswith("no-frontend: belongs to the frontend engineer: frontend/src/New.tsx")
    assert "Cannot write frontend code." in reason
    assert "Instead: leave these paths out; agree the contract" in reason


@pytest.mark.proves("no-frontend", "refused")
@pytest.mark.parametrize("tool", ["Write", "Edit", "MultiEdit"])
def test_an_edit_of_the_frontend_is_refused(ask: Ask, shop: Path, tool: str) -> None:
    path = str(shop / "frontend/src/App.tsx")
    assert ask(tool, file_path=path, old_string="a", new_string="b", edits=[{"old_string": "a", "new_string": "b"}])


@pytest.mark.proves("no-frontend", "allowed")
def test_an_edit_of_the_backend_is_not_refused(ask: Ask, shop: Path) -> None:
    assert ask("Edit", file_path=str(shop / "orders/api.py"), old_string="1", new_string="2") is None
    assert ask("Write", file_path=str(shop / "orders/new.py"), content="y = 2\n") is None


def test_a_link_is_judged_by_where_it_leads(ask: Ask, shop: Path) -> None:
    (shop / "orders/link").symlink_to("../frontend/src")
    assert "it leads to frontend/src/a.json" in (ask("Write", file_path="orders/link/a.json", content="x") or "")


def test_a_credential_is_refused_unless_git_ignores_the_file(ask: Ask, shop: Path) -> None:
    key = "AKIA" + "QYLPMN5HHHFPZAM2"
    text = f'AWS = "{key}"\n'
    assert "credential" in (ask("Write", file_path="orders/keys.py", content=text) or "")
    (shop / ".gitignore").write_text(".env\n")
    assert ask("Write", file_path=".env", content=f"AWS_ACCESS_KEY_ID={key}\n") is None


def test_a_manifest_cannot_found_a_frontend(ask: Ask) -> None:
    assert ask("Write", file_path="portal/package.json", content='{"dependencies": {"react": "18", "react-dom": "18"}}')


def test_a_new_frontend_is_seen_before_git_knows_it(ask: Ask, shop: Path) -> None:
    assert ask("Write", file_path="shopfront/main.ts", content="x") is None
    (shop / "shopfront").mkdir()
    (shop / "shopfront/package.json").write_text('{"dependencies": {"vue": "3"}}')
    (shop / "shopfront/main.vue").write_text("<template/>")
    assert ask("Write", file_path="shopfront/main.ts", content="x")


def test_a_changed_policy_counts_at_once(ask: Ask, shop: Path) -> None:
    assert ask("Write", file_path="orders/api.py", content="x = 2\n") is None
    (shop / "mcp-backend.toml").write_text('[paths]\nprotected = ["orders/**"]\n')
    assert 'the policy protects "orders/**"' in (ask("Write", file_path="orders/api.py", content="x = 2\n") or "")


EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("claude-code", {"tool_name": "Bash", "tool_input": {"command": "rm frontend/src/App.tsx"}}, "hookSpecificOutput"),
    ("codex", {"tool_name": "apply_patch", "turn_id": "1", "tool_input": {
        "command": "*** Begin Patch\n*** Update File: frontend/src/App.tsx\n@@\n-a\n+b\n*** End Patch"}},
     "hookSpecificOutput"),
    ("codex", {"tool_name": "Bash", "tool_input": {"command": ["bash", "-lc", "echo x > frontend/a.ts"]}},
     "hookSpecificOutput"),
    ("codex", {"tool_name": "Bash", "tool_input": {"command": ["bash", "-lc",
        "apply_patch <<'E'\n*** Begin Patch\n*** Add File: frontend/a.ts\n+x\n*** End Patch\nE"]}},
     "hookSpecificOutput"),
    ("gemini-cli", {"tool_name": "write_file", "tool_input": {"file_path": "frontend/a.ts"}}, "decision"),
    ("gemini-cli", {"tool_name": "run_shell_command", "tool_input": {"command": "touch a.ts", "directory": "frontend"}},
     "decision"),
    ("cursor", {"hook_event_name": "beforeShellExecution", "command": "echo x > frontend/a.ts"}, "permission"),
    ("cursor", {"hook_event_name": "preToolUse", "tool_name": "Write", "tool_input": '{"file_path": "frontend/a.ts"}'},
     "permission"),
    ("vscode", {"tool_name": "editFiles", "tool_input": {"files": ["orders/api.py", "frontend/a.ts"]}},
     "hookSpecificOutput"),
    ("qwen", {"tool_name": "write_file", "tool_input": {"file_path": "frontend/a.ts"}}, "hookSpecificOutput"),
    ("qwen", {"tool_name": "monitor", "tool_input": {"command": "touch a.ts", "directory": "frontend"}},
     "hookSpecificOutput"),
    ("opencode", {"tool": "edit", "args": {"filePath": "frontend/a.ts", "oldString": "a", "newString": "b"}}, "deny"),
    ("opencode", {"tool": "bash", "args": {"command": "touch a.ts", "workdir": "frontend"}}, "deny"),
    ("opencode", {"tool": "apply_patch", "args": {
        "patchText": "*** Begin Patch\n*** Add File: frontend/a.ts\n+x\n*** End Patch"}}, "deny"),
    ("vscode", {"toolName": "bash", "toolArgs": '{"command": "echo x > frontend/a.ts"}'}, "permissionDecision"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "event", "key"), EVENTS)
def test_each_host_gets_a_refusal_in_its_own_form(shop: Path, host: str, event: dict[str, Any], key: str) -> None:
    placed = {**event, "cwd": str(shop), "workspace_roots": [str(shop)]}
    said = answering.answer(host, json.dumps(placed).encode(), answering.left) or ""
    answer = json.loads(said)
    assert key in answer
    assert "allow" not in said.partition("no-frontend")[0]
    assert "deny" in json.dumps(answer)
    assert "no-frontend" in json.dumps(answer)


@pytest.mark.parametrize("host", HOOKED)
def test_silence_is_the_only_answer_to_what_is_not_refused(shop: Path, host: str) -> None:
    done = run(host, {"tool_name": "Read", "toolName": "view", "tool_input": {}, "cwd": str(shop)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("event", ["", "no json", "[]", "{}", '{"tool_name": "Bash", "tool_input": {}}',
                                   '{"tool_name": "Write", "tool_input": {"content": "x"}}'])  # fmt: skip
def test_an_event_that_is_not_understood_is_refused(event: str) -> None:
    done = run("claude-code", event)
    assert done.returncode == 2
    assert "refuses it" in done.stderr
    assert done.stdout == ""


def test_a_policy_that_is_wrong_refuses_and_names_the_key(shop: Path) -> None:
    (shop / "mcp-backend.toml").write_text("[paths]\nfrontned = []\n")
    done = run("claude-code", {"tool_name": "Bash", "tool_input": {"command": "ls"}, "cwd": str(shop)})
    assert done.returncode == 2
    assert "paths.frontned" in done.stderr


def test_a_host_whose_events_are_those_of_another_goes_by_its_own_name(shop: Path) -> None:
    asked = {"toolName": "create", "toolArgs": {"path": "frontend/a.ts", "file_text": "x"}, "cwd": str(shop)}
    assert json.loads(run("copilot", asked).stdout)["permissionDecision"] == "deny"


def test_a_host_that_is_not_known_is_refused() -> None:
    assert run("emacs", {}).returncode == 2


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("corpus"))


def cases(name: str) -> Iterable[Any]:
    path = CORPORA / f"{name}.jsonl"
    for line in path.read_text("utf-8").split("\n") if path.exists() else ():
        if line and (row := json.loads(line))["tool"] in ("write_file", "edit_file", "shell"):
            yield pytest.param(line, id=row["id"])


def staged(line: str, stage: Stage) -> dict[str, Any]:
    """The event of a case, on its stage."""
    row = json.loads(stage.fill(line))
    given = row["args"]
    if row.get("setup") or stage.mark.exists() or not stage.ws.exists():
        stage.lay()
    if row.get("setup"):
        stage.mark.touch()  # The next case needs a fresh tree.
        subprocess.run(["bash", "-c", row["setup"]], cwd=stage.ws, env={**os.environ, **IDENTITY}, capture_output=True,
                       check=False)  # fmt: skip
    tool, arguments = {
        "write_file": lambda: ("Write", {"file_path": given["path"], "content": given["content"]}),
        "edit_file": lambda: (
            "Edit",
            {"file_path": given["path"], "old_string": given["old"], "new_string": given["new"]},
        ),
        "shell": lambda: ("Bash", {"command": given["command"]}),
    }[row["tool"]]()
    return {"tool_name": tool, "tool_input": arguments, "cwd": str(stage.ws)}


def answered(line: str, stage: Stage) -> str | None:
    intent = claude_code.intent(staged(line, stage), {})
    assert intent is not None
    return judging.refusal(intent, {"HOME": str(stage.home)})


@pytest.mark.parametrize("line", [*cases("guard_attacks")])
def test_an_attack_through_the_hosts_own_tools_is_refused(
    line: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = json.loads(line)["id"]
    if identifier in (*NOT_IN_THE_EVENT, *NOT_IN_THIS_TREE, *PROGRAMS_STARTED_ON_PURPOSE):
        pytest.skip("not a matter of this event")
    monkeypatch.chdir(stage.base)
    assert answered(line, stage)


@pytest.mark.parametrize("line", [*cases("guard_benign")])
def test_honest_work_through_the_hosts_own_tools_is_not_refused(line: str, stage: Stage) -> None:
    assert answered(line, stage) is None
