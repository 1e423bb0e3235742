"""The hosts that run without a login: where npm puts each, how it is started against a model on the loopback, how its
own tools write and run a line. Versions that this was tried with are in docs/hosts/README.md."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scripted_model import NAME, Json, Use
from mcp_backend.hosts import host
from mcp_backend.hosts.site import Site

KEY = "placeholder-not-a-key"
PROMPT = "go"
CLAUDE = "mcp__backend__"
DEFERRED = ("db_schema", "git_commit", "run_tests", "escalate", "check_escalation", "run_migration")
SELECT = "select:" + ",".join(CLAUDE + name for name in DEFERRED)


@dataclass(frozen=True, slots=True)
class Start:
    """How a session of a host is started in `root`, with `home` as the person's own folder."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `write` and `line` are calls of its own tools; `prepared` puts what the person's own settings need."""

    package: str
    program: str
    render: str
    start: Callable[[int], Start]
    write: Callable[[str, str], Use]
    line: Callable[[str], Use]
    prepared: Callable[[Site, Path, int], None] = lambda site, home, port: None
    first: tuple[Use, ...] = ()
    """What a model does before it can call a tool that the host has deferred."""
    prefix: str = ""
    """What stands before the names of deferred tools."""


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _claude(port: int) -> Start:
    quiet = ("DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER",
             "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC")  # fmt: skip
    return Start(
        ("-p", PROMPT, "--allowedTools", "mcp__backend", "Write", "Bash", "ToolSearch", "--mcp-config", ".mcp.json"),
        {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": KEY, **dict.fromkeys(quiet, "1")},
    )


def _codex_home(site: Site, home: Path, port: int) -> None:
    """The lines that `render codex` shows, a model, trust in the folder."""
    shown = next(f.content for f in host("codex").files(site) if f.kind == "shown")
    config = (
        'model = "gpt-5-codex"\nmodel_provider = "scripted"\napproval_policy = "never"\n'
        'sandbox_mode = "danger-full-access"\n'
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        f'wire_api = "responses"\n[projects.{json.dumps(str(site.root))}]\ntrust_level = "trusted"\n{shown}'
    )
    _put(home / ".codex/config.toml", config)


def _codex(port: int) -> Start:
    return Start(("exec", "--json", "--dangerously-bypass-hook-trust", PROMPT))


def _gemini(port: int) -> Start:
    return Start(
        ("-p", PROMPT, "--approval-mode", "yolo", "--model", "gemini-2.5-flash"),
        {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}",
         "GEMINI_CLI_TRUST_WORKSPACE": "true", "GEMINI_TELEMETRY_ENABLED": "false"},
    )  # fmt: skip


def _gemini_home(site: Site, home: Path, port: int) -> None:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
    }
    _put(home / ".gemini/settings.json", json.dumps(settings))


def _qwen(port: int) -> Start:
    return Start(
        ("-p", PROMPT, "--approval-mode", "yolo", "--auth-type", "openai", "--model", NAME),
        {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_MODEL": NAME},
    )


def _copilot(port: int) -> Start:
    return Start(
        ("-p", PROMPT, "--allow-all-tools", "--disable-builtin-mcps", "--no-auto-update"),
        {"COPILOT_OFFLINE": "true", "COPILOT_PROVIDER_BASE_URL": f"http://127.0.0.1:{port}/v1", "COPILOT_MODEL": NAME},
    )


def _copilot_home(site: Site, home: Path, port: int) -> None:
    """Trust in the folder, which its hooks and servers need."""
    _put(home / ".copilot/config.json", json.dumps({"trustedFolders": [str(site.root)]}))


def _opencode(port: int) -> Start:
    return Start(
        ("run", "--format", "json", PROMPT),
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    )


def _opencode_home(site: Site, home: Path, port: int) -> None:
    options = {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": KEY}
    models = {NAME: {"name": NAME, "tool_call": True, "limit": {"context": 200_000, "output": 8000}}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "scripted", "options": options, "models": models}
    config: Json = {"provider": {"scripted": provider}, "model": f"scripted/{NAME}", "permission": "allow"}
    config |= {"small_model": f"scripted/{NAME}"}
    _put(home / ".config/opencode/opencode.json", json.dumps(config))
    # Beside every plugin it installs this package before it begins; without a network it waits for it for minutes.
    for folder in (site.root / ".opencode", home / ".config/opencode"):
        modules = Path(os.environ.get("OPENCODE_MODULES", ""), "node_modules")
        if (modules / "@opencode-ai/plugin").is_dir():
            shutil.copytree(modules, folder / "node_modules")
            shutil.copy(modules.with_name("package.json"), folder)
            shutil.copy(modules.with_name("package-lock.json"), folder)


def _patch(path: str, text: str) -> str:
    return f"*** Begin Patch\n*** Add File: {path}\n+{text}\n*** End Patch\n"


HOSTS: Mapping[str, Host] = {
    "claude-code": Host(
        "@anthropic-ai/claude-code", "claude", "claude-code", _claude,
        lambda path, text: Use("Write", {"file_path": f"{os.getcwd()}/{path}", "content": text}),
        lambda line: Use("Bash", {"command": line, "description": "a line"}),
        first=(Use("ToolSearch", {"query": SELECT, "max_results": 20}),),
        prefix=CLAUDE,
    ),
    "codex": Host(
        "@openai/codex", "codex", "codex", _codex,
        lambda path, text: Use("exec_command", {"cmd": f"apply_patch <<'EOF'\n{_patch(path, text)}EOF"}),
        lambda line: Use("exec_command", {"cmd": line}), _codex_home,
    ),
    "gemini-cli": Host(
        "@google/gemini-cli", "gemini", "gemini-cli", _gemini,
        lambda path, text: Use("write_file", {"file_path": path, "content": text}),
        lambda line: Use("run_shell_command", {"command": line}), _gemini_home,
    ),
    "copilot": Host(
        "@github/copilot", "copilot", "copilot", _copilot,
        lambda path, text: Use("create", {"path": f"{os.getcwd()}/{path}", "file_text": text}),
        lambda line: Use("bash", {"command": line, "description": "a line"}), _copilot_home,
    ),
    "opencode": Host(
        "opencode-ai", "opencode", "opencode", _opencode,
        lambda path, text: Use("write", {"filePath": f"{os.getcwd()}/{path}", "content": text}),
        lambda line: Use("bash", {"command": line, "description": "a line"}), _opencode_home,
    ),
    "qwen": Host(
        "@qwen-code/qwen-code", "qwen", "qwen", _qwen,
        lambda path, text: Use("write_file", {"file_path": f"{os.getcwd()}/{path}", "content": text}),
        lambda line: Use("run_shell_command", {"command": line, "is_background": False}),
        first=(Use("tool_search", {"query": SELECT}),),
        prefix=CLAUDE,
    ),
}  # fmt: skip
