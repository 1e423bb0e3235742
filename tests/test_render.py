"""Rendered files: complete, merged into what people wrote, stale when something changed, never written by an agent."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import __version__, persona, policy
from mcp_backend.cli import main
from mcp_backend.hosts import HOOKED, HOSTS, host, placing
from mcp_backend.hosts.site import Rendered, site
from mcp_backend.settings import workspace
from tests.conftest import git

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shop(repository: Path) -> Path:
    for path, text in {
        "web/package.json": '{"dependencies": {"react": "18", "react-dom": "18"}}',
        "web/src/App.tsx": "export const App = () => null;\n",
        "api/openapi.yaml": "openapi: 3.1.0\n",
    }.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "shop")
    return repository


def rendered(name: str, root: Path) -> list[Rendered]:
    place = workspace(root)
    return host(name).files(site(place, policy.load(policy.find(place.root), persona.load().constraints)))


def write(name: str, root: Path) -> list[str]:
    files = placing.placed(rendered(name, root), root)
    for file in files:
        if file.text is not None:
            placing.write(file, root)
    return [conflict for file in files for conflict in file.conflicts]


def check(name: str, root: Path) -> int:
    return main(["render", name, "--check", "--workspace", str(root)])


def content(files: list[Rendered], path: str) -> Any:
    return next(file.content for file in files if file.path == path)


@pytest.mark.parametrize("name", HOSTS)
def test_what_was_written_is_not_stale(shop: Path, name: str) -> None:
    assert write(name, shop) == []
    assert check(name, shop) == 0


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "claude-desktop"])
def test_what_is_not_there_is_stale(shop: Path, name: str) -> None:
    assert check(name, shop) == 1


@pytest.mark.parametrize("name", HOOKED)
def test_every_host_with_hooks_gets_its_hook(shop: Path, name: str) -> None:
    assert f"mcp-backend-hook {name}" in json.dumps([file.content for file in rendered(name, shop)]).replace("'", "")


def test_claude_code_gets_native_rules_for_what_is_guarded_here(shop: Path) -> None:
    (shop / "mcp-backend.toml").write_text('[paths]\nfrontend = ["legacy/**"]\nprotected = ["deploy/**"]\n')
    settings = content(rendered("claude-code", shop), ".claude/settings.json")
    deny = settings["permissions"]["deny"]
    for glob in ("web/**", "legacy/**", "deploy/**", "mcp-backend.toml", ".claude/**"):
        assert f"Edit(/{glob})" in deny
    assert "Edit(/api/openapi.yaml)" not in deny, "the hook knows what the architect decided, the host's rules do not"
    assert settings["hooks"]["PreToolUse"][0]["hooks"][0]["onFailure"] == "block"


def test_a_host_with_tools_of_its_own_gets_no_second_set(shop: Path) -> None:
    arguments = content(rendered("claude-code", shop), ".mcp.json")["mcpServers"]["backend"]["args"]
    assert "workspace" not in arguments[arguments.index("--toolsets") + 1].split(",")
    agent = content(rendered("claude-code", shop), ".claude/agents/backend-engineer.md")
    assert "`edit_file`" not in agent
    assert "The host's own file tools." in agent
    assert "--toolsets" not in str(rendered("claude-desktop", shop)[0].content)


def test_the_agent_has_every_promise_and_the_model_of_the_moment(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ".claude/agents/backend-engineer.md"
    agent = content(rendered("claude-code", shop), path)
    assert "model: sonnet" in agent
    assert all(constraint.statement in agent for constraint in persona.load().constraints)
    write("claude-code", shop)
    monkeypatch.setenv("CODING_AGENT_MODEL", "opus")
    assert "model: opus" in content(rendered("claude-code", shop), path)
    assert check("claude-code", shop) == 1


def test_what_people_wrote_in_a_settings_file_stays(shop: Path) -> None:
    mine: dict[str, Any] = {
        "model": "opus",
        "permissions": {"allow": ["Bash(ls)"], "deny": ["Read(/secrets/**)"]},
        "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./mine.sh"}]}]},
    }
    (shop / ".claude").mkdir()
    (shop / ".claude/settings.json").write_text(json.dumps(mine))
    assert write("claude-code", shop) == []
    found = json.loads((shop / ".claude/settings.json").read_text())
    assert found["model"] == "opus"
    assert found["permissions"]["allow"] == ["Bash(ls)"]
    assert found["permissions"]["deny"][0] == "Read(/secrets/**)"
    assert found["hooks"]["PreToolUse"][0] == mine["hooks"]["PreToolUse"][0]
    assert len(found["hooks"]["PreToolUse"]) == 2


def test_rendering_again_replaces_only_our_own_hook(shop: Path) -> None:
    write("claude-code", shop)
    path = shop / ".claude/settings.json"
    path.write_text(path.read_text().replace('"timeout": 30', '"timeout": 5'))
    assert check("claude-code", shop) == 1
    write("claude-code", shop)
    assert len(json.loads(path.read_text())["hooks"]["PreToolUse"]) == 1
    assert check("claude-code", shop) == 0


def test_a_conflict_is_said_and_theirs_stays(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / ".cursor").mkdir()
    (shop / ".cursor/hooks.json").write_text('{"version": 2}')
    assert any("version is 2 there and stays" in conflict for conflict in write("cursor", shop))
    assert json.loads((shop / ".cursor/hooks.json").read_text())["version"] == 2
    assert check("cursor", shop) == 1
    assert ".cursor/hooks.json: version is 2" in capsys.readouterr().err


def test_a_file_that_is_somebody_elses_is_left_alone(shop: Path) -> None:
    theirs = shop / ".claude/agents/backend-engineer.md"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine\n")
    assert write("claude-code", shop) == ["is there and not from mcp-backend: rename it, then render again"]
    assert theirs.read_text() == "mine\n"


def test_settings_that_are_not_plain_json_are_left_alone(shop: Path) -> None:
    (shop / ".vscode").mkdir()
    (shop / ".vscode/mcp.json").write_text("// mine\n{}\n")
    assert any("is not plain JSON" in conflict for conflict in write("vscode", shop))
    assert (shop / ".vscode/mcp.json").read_text() == "// mine\n{}\n"


def test_only_the_block_in_agents_md_is_ours(shop: Path) -> None:
    (shop / "AGENTS.md").write_text("# Rules of the house\n\nBe kind.\n")
    write("agents-md", shop)
    text = (shop / "AGENTS.md").read_text()
    assert text.startswith("# Rules of the house\n\nBe kind.\n")
    (shop / "AGENTS.md").write_text(text + "\nLast words.\n")
    assert check("agents-md", shop) == 0
    (shop / "web2").mkdir()
    (shop / "AGENTS.md").write_text(
        (shop / "AGENTS.md").read_text().replace("## Backend Engineer", "## Something else")
    )
    assert check("agents-md", shop) == 1
    write("agents-md", shop)
    assert (shop / "AGENTS.md").read_text().endswith("Last words.\n")


def test_an_image_of_the_persons_own_is_left_alone(shop: Path) -> None:
    image = shop / "backend-engineer-mcpb/icon.png"
    write("mcpb", shop)
    assert image.read_bytes().startswith(b"\x89PNG")
    image.write_bytes(b"\x89PNG mine")
    assert write("mcpb", shop) == ["is there and not from mcp-backend: rename it, then render again"]
    assert image.read_bytes() == b"\x89PNG mine"


def test_a_link_is_not_written_through(shop: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.json"
    outside.write_text("{}")
    (shop / ".mcp.json").symlink_to(outside)
    assert any("symbolic link" in conflict for conflict in write("claude-code", shop))
    assert outside.read_text() == "{}"


def test_an_agents_shell_does_not_write(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    assert main(["render", "claude-code", "--write", "--workspace", str(shop)]) == 1
    assert "decided by a person" in capsys.readouterr().err
    assert not (shop / ".claude").exists()


def test_a_hook_that_cannot_be_started_refuses(shop: Path) -> None:
    line = content(rendered("codex", shop), ".codex/hooks.json")["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    gone = line.replace("mcp-backend", "no-such-program")
    done = subprocess.run(gone, shell=True, input="{}", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr


def test_the_rendered_hook_command_runs(shop: Path) -> None:
    settings = content(rendered("claude-code", shop), ".claude/settings.json")
    line = settings["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    event = {"tool_name": "Write", "tool_input": {"file_path": "web/a.ts", "content": "x"}, "cwd": str(shop)}
    done = subprocess.run(line, shell=True, input=json.dumps(event), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny"


def test_codex_waits_for_the_server_and_hands_it_the_variables_of_the_engines(shop: Path) -> None:
    (shop / "mcp-backend.toml").write_text('[engines.main]\nkind = "postgresql"\nurl = "env:SHOP_URL"\n')
    lines = tomllib.loads(content(rendered("codex", shop), "~/.codex/config.toml"))["mcp_servers"]["backend"]
    assert (lines["required"], lines["env_vars"]) == (True, ["SHOP_URL"])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_plugin_of_opencode_refuses_what_the_hook_refuses_and_what_cannot_be_judged(shop: Path) -> None:
    write("opencode", shop)
    (shop / "try.mjs").write_text(
        'import { readFileSync } from "node:fs";\n'
        'const text = readFileSync(".opencode/plugin/mcp-backend.js");\n'
        'const { BackendEngineer } = await import("data:text/javascript;base64," + text.toString("base64"));\n'
        "const hooks = await BackendEngineer({ directory: process.cwd(), worktree: process.cwd() });\n"
        "const calls = [['write', { filePath: 'web/a.ts', content: 'x' }],"
        " ['write', { filePath: 'a.py', content: 'x' }],"
        "  ['write', {}], ['read', { filePath: 'web/a.ts' }]];\n"
        "for (const [tool, args] of calls)\n"
        '  console.log(await hooks["tool.execute.before"]({ tool }, { args }).then(() => "runs", (e) => e.message));\n'
    )
    done = subprocess.run(["node", "try.mjs"], cwd=shop, capture_output=True, text=True, check=True)
    frontend, backend, unclear, reading = done.stdout.splitlines()
    assert frontend.startswith("no-frontend: belongs to the frontend engineer: web/a.ts")
    assert (backend, reading) == ("runs", "runs")
    assert "refuses it" in unclear


def test_the_entry_of_the_registry_is_of_this_version() -> None:
    entry = json.loads((ROOT / "server.json").read_text("utf-8"))
    (package,) = entry["packages"]
    assert {entry["version"], package["version"], *re.findall(r"==(\S+?)\"", json.dumps(package))} == {__version__}
    assert len(entry["description"]) <= 100, "the registry takes no more"
    assert f"mcp-name: {entry['name']}" in (ROOT / "README.md").read_text("utf-8"), "how the registry knows the owner"
