"""run_command: a shell line, run where the kernel refuses writes to what is not the backend's."""

import asyncio
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mcp_backend.actions import RunCommand as Run
from mcp_backend.app import App
from mcp_backend.errors import DeadlineExceeded, InvalidArgument, Json
from mcp_backend.facts import Facts
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.fence.around import Inside
    from mcp_backend.workspace.terminal import Ended

SHOWN = 100
INPUT_BYTES = 1_000_000
_MEANT: Mapping[str, str] = {
    "frontend": "the frontend engineer's: agree the contract with them (escalate, kind frontend_contract)",
    "spec": "the architect's: ask for a change (escalate, kind spec_clarification)",
    "policy": "a person's, it decides what this server and its host may do: tell them what you would change",
    "git": "git's own: use git_commit, git_branch, git_push and git_rebase",
}
_READ_ONLY = re.compile(
    r"read-only file system|device or resource busy|permission denied|invalid cross-device", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@]*:)[^\s@/]+@")
_REMOTE = re.compile(r"could not read from remote|does not appear to be a git repository", re.IGNORECASE)
_NETWORK = re.compile(
    r"network is unreachable|connection refused|could not resolve|name resolution|name or service not known"
    r"|no such host|dial tcp",
    re.IGNORECASE,
)


class RunCommand(Tool):
    """Run a shell line (install, build, format, lint, generate, rm, git blame …) in the workspace, inside a kernel
    fence: reading is free, writing is limited to backend files, a private /tmp and build caches; the network is
    loopback as the policy names it.

    A non-zero exit is a result. Frontend, specification, policy and .git are read-only here; use the git tools to
    commit, `git show HEAD:FILE > FILE` to take a change back. Whatever still runs ends with the call, so nothing stays
    in the background. Tests count for a commit only through run_tests.
    """

    name = "run_command"
    title = "Run a command"
    toolset = "workspace"
    read_only = False
    destructive = True
    open_world = True
    output = {
        "exit_code": {"type": "integer"},
        "stdout": {"type": "string"},
        "stderr": {"type": "string"},
        "truncated": {"type": "boolean"},
        "sandbox": {"type": "string"},
        "changed": {"type": "array"},
    }

    command: Annotated[str, Field(min_length=1, max_length=100_000)]
    cwd: str | None = Field(default=None, max_length=4000, description="folder, relative to the workspace")
    timeout_seconds: float = Field(default=120, gt=0, le=3600)
    input: str | None = Field(default=None, max_length=INPUT_BYTES, description="standard input; empty by default")

    async def plan(self, app: App) -> Plan:
        from mcp_backend.workspace import shell_words
        from mcp_backend.workspace.ownership import owners

        if not self.command.strip():
            raise InvalidArgument("command: expected a shell line, got blank space")
        folder = _folder(app.workspace.root, self.cwd or ".")
        relative = folder.relative_to(app.workspace.root).as_posix()
        writes = shell_words.written(self.command, relative)
        found = await asyncio.to_thread(owners, writes, app.workspace, app.policy) if writes else {}
        shell = "bash" if _has_bash() else "sh"
        action = Run((shell, "-c", self.command), relative, tuple(writes))
        return Plan(actions=(action,), facts=Facts(owners=found), preview=f"run in {relative}: {self.command}",
                    prepared=folder, recorded=app.policy.sandbox.loosened())  # fmt: skip

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import childenv, terminal
        from mcp_backend.workspace.fence.around import around

        (action,) = plan.actions
        assert isinstance(action, Run), "planned above"
        environment = childenv.for_commands(app.workspace.root, os.environ, app.policy.sandbox.environment)

        async def told(seconds: float, line: str) -> None:
            await app.progress(round(seconds, 1), self.timeout_seconds, _shown(line) or "running")

        async with around(app.workspace, app.policy, cwd=plan.prepared) as inside:
            ended = await terminal.run(
                action.argv, app.workspace, inside, cwd=plan.prepared, environment=environment,
                seconds=self.timeout_seconds, given=(self.input or "").encode(), told=told,
            )  # fmt: skip
            if not ended.timed_out:
                inside.confirm()
        result = _result(ended, inside)
        if ended.timed_out:
            raise DeadlineExceeded(
                f"the command did not end within {self.timeout_seconds:g} s and was stopped with all it had started; "
                "what it wrote until then stays (details.changed). Give more time, or run less",
                details=result,
            )
        return result


def _has_bash() -> bool:
    return any(os.access(f"{folder}/bash", os.X_OK) for folder in ("/bin", "/usr/bin", "/usr/local/bin"))


def _folder(root: Path, cwd: str) -> Path:
    """The folder to run in, beneath the workspace and reached without a symbolic link."""
    parts = Path(cwd).parts
    if Path(cwd).is_absolute():
        if not Path(cwd).is_relative_to(root):
            raise InvalidArgument(f"cwd: expected a folder in the workspace, got {cwd[:200]!r}")
        parts = Path(cwd).relative_to(root).parts
    if ".." in parts:
        raise InvalidArgument(f"cwd: expected a folder in the workspace without `..`, got {cwd[:200]!r}")
    folder = root
    for part in parts:
        folder = folder / part
        try:
            mode = os.lstat(folder).st_mode
        except OSError:
            raise InvalidArgument(f"cwd: there is no folder {cwd[:200]!r} in the workspace") from None
        if stat.S_ISLNK(mode):
            raise InvalidArgument(f"cwd: {cwd[:200]!r} goes through a symbolic link; name the folder itself")
        if not stat.S_ISDIR(mode):
            raise InvalidArgument(f"cwd: {cwd[:200]!r} is not a folder")
    return folder


def _result(ended: "Ended", inside: "Inside") -> Result:
    from mcp_backend.workspace.changes import shown
    from mcp_backend.workspace.fence.revert import told

    left_out = ended.stdout.left_out + ended.stderr.left_out
    result: Result = {
        "exit_code": ended.exit_code,
        "stdout": _shown(ended.stdout.text),
        "stderr": _shown(ended.stderr.text),
        "truncated": left_out > 0,
        "sandbox": inside.sandbox,
        "changed": [shown(path) for path in inside.changed[:SHOWN]],
        "duration_s": round(ended.seconds, 2),
    }
    if len(inside.changed) > SHOWN:
        result["changed_left_out"] = len(inside.changed) - SHOWN
    if ended.log:
        result["log"] = str(ended.log)
    if inside.refused:
        result["refused"] = told(inside.refused)
    if notes := [*_notes(ended, inside)]:
        result["notes"] = notes
    return result


def _shown(text: str) -> str:
    """Without passwords in URLs. `name = value` stays: most of what a command prints is source code."""
    return _URL_PASSWORD.sub(r"\1***@", text)


def _notes(ended: "Ended", inside: "Inside") -> Iterable[Json]:
    """What helps to understand an outcome that the fence had a part in."""
    for owner in sorted({item.owner for item in inside.refused}):
        yield f"taken back: {owner} files are {_MEANT.get(owner, owner)}"
    words = ended.stderr.text + ended.stdout.text
    if inside.sandbox != "none" and ended.exit_code and _READ_ONLY.search(words):
        yield ("frontend, specification, policy and .git are read-only in the fence, and so is everything outside the "
               "workspace but /tmp; write_file and the git tools do what they may do there"
               + ("; Landlock alone also refuses new names beside protected ones, as in the root of the workspace"
                  if inside.sandbox.startswith("landlock") else ""))  # fmt: skip
    if inside.sandbox != "none" and ended.exit_code and _NETWORK.search(words):
        yield ("the fence has no network but its own loopback and the ports of the policy's development engines; a "
               "person opens more in mcp-backend.toml: [sandbox] ports = […], or network_because")  # fmt: skip
        yield from inside.notes
    elif inside.sandbox != "none" and ended.exit_code and _REMOTE.search(words):
        yield "a git remote is not reached from the fence: git_push pushes, git_branch (action fetch) fetches"
    elif inside.sandbox == "none":
        yield from inside.notes
