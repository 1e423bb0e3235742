"""Who sits at this command line: a person, or an agent's shell. Standard library only.

A fence, not a boundary. Hosts mark the shells they give to an agent with environment variables; those of this
process and of the processes above it are looked at, so that clearing the own environment is not enough. A process
that takes pains (a daemon without those ancestors, an imitated terminal) is not told apart from the person whose
operating-system user it shares. Where that matters the approver has a user, or a machine, of their own.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

MARKERS: Mapping[str, str] = {
    "AI_AGENT": "an agent",
    "CLAUDECODE": "Claude Code",
    "CLAUDE_CODE": "Claude Code",
    "CLAUDE_CODE_ENTRYPOINT": "Claude Code",
    "CLAUDE_CODE_SESSION_ID": "Claude Code",
    "CLAUDE_CODE_CHILD_SESSION": "Claude Code",
    "CODEX_SANDBOX": "Codex",
    "CODEX_SANDBOX_NETWORK_DISABLED": "Codex",
    "CODEX_THREAD_ID": "Codex",
    "CODEX_CI": "Codex",
    "GEMINI_CLI": "Gemini CLI",
    "QWEN_CODE": "Qwen Code",
    "CURSOR_AGENT": "Cursor",
    "COPILOT_CLI": "Copilot",
    "COPILOT_AGENT": "Copilot",
    "COPILOT_AGENT_JOB_ID": "Copilot",
    "COPILOT_AGENT_SESSION_ID": "Copilot",
    "OPENCODE": "OpenCode",
    "OPENCODE_CLIENT": "OpenCode",
    "CLINE_ACTIVE": "Cline",
    "ROO_ACTIVE": "Roo Code",
    "AUGMENT_AGENT": "Augment",
    "AMP_THREAD_ID": "Amp",
    "ANTIGRAVITY_AGENT": "Antigravity",
    "GOOSE_TERMINAL": "Goose",
    "OPENCLAW_SHELL": "OpenClaw",
    "PI_CODING_AGENT": "Pi",
    "TRAE_AI_SHELL_ID": "Trae",
}
"""Variables that hosts set in the shells of their agents. Settings that people keep in their own shell profile
(`CODEX_HOME`, `CLAUDE_CODE_USE_BEDROCK`, `COPILOT_MODEL`, `AIDER_MODEL` …) are left out on purpose."""
PROGRAMS = frozenset(
    ("claude", "codex", "gemini", "cursor-agent", "copilot", "opencode", "aider", "goose", "amp", "qwen", "crush")
)
"""Names under which agents run, for those that mark nothing (Aider) or whose marks were cleared."""


def agent() -> str | None:
    """The agent in whose shell this process runs and how that is known, or `None`."""
    if found := marked(os.environ):
        return found
    for identifier, program, environment in ancestors():
        if program in PROGRAMS:
            return f"{program} (process {identifier})"
        if serves(identifier):
            return f"this server (process {identifier})"
        if found := marked(environment):
            return f"{found}, of process {identifier}"
    return None


def marked(environment: Mapping[str, str]) -> str | None:
    """The agent that marked an environment, with the variable that says so."""
    name = next((name for name in MARKERS if environment.get(name)), None)
    return f"{MARKERS[name]} ({name})" if name else None


def serves(identifier: int) -> bool:
    """Whether a process is a server of ours: what runs under it was started for its agent."""
    try:
        words = (Path("/proc") / str(identifier) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return False
    names = [word.rpartition("/")[2] for word in words]
    pairs = pairwise(names)
    return any(name in ("mcp-backend", "mcp_backend") and command == "serve" for name, command in pairs)


def ancestors(start: int | None = None) -> Iterator[tuple[int, str, Mapping[str, str]]]:
    """The processes above this one, without the first of the machine: number, program, and the environment they
    started with (empty where it cannot be read). Nothing where there is no `/proc`. See proc(5)."""
    current = os.getppid() if start is None else start
    while current > 1:
        folder = Path("/proc") / str(current)
        try:
            program = (folder / "comm").read_text("utf-8", "replace").strip()
            status = (folder / "stat").read_text("utf-8", "replace")
        except OSError:
            return
        try:
            raw = (folder / "environ").read_bytes().decode("utf-8", "replace")
        except OSError:
            raw = ""
        pairs = (pair.partition("=") for pair in raw.split("\0") if "=" in pair)
        yield current, program, {name: value for name, _, value in pairs}
        current = int(status.rpartition(")")[2].split()[1])
