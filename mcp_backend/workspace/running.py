"""Runs test commands one after the other: progress while they run, one outcome and one log at the end."""

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from mcp_backend.errors import Json
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace, private
from mcp_backend.workspace import childenv, go_runner, process, pytest_runner
from mcp_backend.workspace.fence.around import around
from mcp_backend.workspace.fence.revert import Refused
from mcp_backend.workspace.process import Finished
from mcp_backend.workspace.runners import Command, Failure, Outcome, last_lines, merged

Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
LOGS = 20
"""How many logs of test runs are kept."""
LOOK_SECONDS = 0.25
COVERED_FILES = 200


@dataclass(frozen=True, slots=True)
class Run:
    """How the commands ended together. `tail` are the last lines printed."""

    outcome: Outcome
    log: Path
    seconds: float
    timed_out: bool
    tail: str
    sandbox: str
    refused: tuple[Refused, ...] = ()


async def run(
    commands: Sequence[Command],
    workspace: Workspace,
    policy: Policy,
    *,
    seconds: float,
    extra: Mapping[str, str],
    coverage: bool,
    complete: bool,
    progress: Progress,
) -> Run:
    """Runs the commands in the fence, within `seconds` altogether. `extra` is environment for all, `complete` says
    that nothing was selected.

    Raises `FailedPrecondition` when a program does not exist.
    """
    log = _log(workspace.state)
    outcomes: list[Outcome] = []
    began = time.monotonic()
    finished = Finished(0, False, 0.0, "", False)
    sandbox, refused = "", list[Refused]()
    for command in commands:
        left = seconds - (time.monotonic() - began)
        with tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as folder:
            one = _One(command, workspace, policy, Path(folder).resolve(), log, coverage, complete)
            outcome, finished = await one.run(max(left, 0.1), extra, progress)
        outcomes.append(outcome)
        sandbox = one.sandbox
        refused += one.refused
        if finished.timed_out:
            break
    return Run(merged(outcomes), log, time.monotonic() - began, finished.timed_out, finished.tail,
               sandbox, tuple(refused))  # fmt: skip


class _One:
    """One command with its private folder."""

    def __init__(
        self, command: Command, workspace: Workspace, policy: Policy, folder: Path, log: Path, coverage: bool,
        complete: bool,
    ) -> None:  # fmt: skip
        self.sandbox = ""
        self.refused: tuple[Refused, ...] = ()
        self._command = command
        self._workspace = workspace
        self._policy = policy
        self._folder = folder
        self._log = log
        self._coverage = coverage
        self._complete = complete
        self._cache = private(workspace.state / "pytest-cache")
        self._events = go_runner.Events()
        self._reported, self._records = pytest_runner.prepare(folder)

    async def run(self, seconds: float, extra: Mapping[str, str], progress: Progress) -> tuple[Outcome, Finished]:
        command = self._command
        await progress(0, None, f"running {command.written[:200]}")
        environment = self._environment(extra)
        own = {*dict(command.environment), *extra}
        root = self._workspace.root
        listing = bytearray()
        async with around(self._workspace, self._policy, cwd=command.cwd, shared=(self._folder, self._cache)) as inside:
            environment |= {name: value for name, value in inside.environment.items() if name not in own}
            following = asyncio.create_task(self._follow(progress))
            try:
                finished = await process.run(
                    self._arguments(), cwd=command.cwd, environment=environment, seconds=seconds, log=self._log,
                    lines=self._events.take if command.kind == "go" else None, fence=inside,
                )  # fmt: skip
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
            if not finished.timed_out:
                inside.confirm()
            if command.kind == "go" and self._events.packages:
                await process.run(
                    go_runner.list_command(command), cwd=command.cwd, environment=environment,
                    seconds=go_runner.LIST_SECONDS, log=self._folder / "list.log",
                    lines=lambda line: listing.extend(line + b"\n"), fence=await inside.another(),
                )  # fmt: skip
        self.sandbox, self.refused = inside.sandbox, inside.refused
        if command.kind == "go":
            outcome = await asyncio.to_thread(
                go_runner.outcome, self._events, finished, command, bytes(listing), root, complete=self._complete
            )
        else:
            outcome = pytest_runner.outcome(self._records, finished, root, command)
            if command.kind != "pytest" and not outcome.runner:
                outcome = _as_one_test(command, finished)
        if self._coverage:
            outcome = replace(outcome, coverage=_covered(self._folder))
        return outcome, finished

    def _arguments(self) -> tuple[str, ...]:
        command = self._command
        if command.kind == "pytest":
            return pytest_runner.arguments(command, self._folder, self._cache, coverage=self._coverage)
        if command.kind == "go":
            return go_runner.arguments(command, self._folder, coverage=self._coverage)
        return command.argv

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        command = self._command
        own = dict(command.environment)
        found = {**childenv.for_tests(self._workspace.root, os.environ), **own, **extra}
        if command.kind == "go":
            return found
        found |= self._reported
        if path := own.get("PYTHONPATH"):
            found["PYTHONPATH"] = os.pathsep.join((self._reported["PYTHONPATH"], path))
        if command.kind != "pytest":
            found["PYTEST_ADDOPTS"] = f"{own.get('PYTEST_ADDOPTS', '')} -p {pytest_runner.PLUGIN}".strip()
        program = command.cwd / command.argv[0]
        if "/" in command.argv[0] and (program.parent.parent / "pyvenv.cfg").is_file():
            found["VIRTUAL_ENV"] = str(program.parent.parent)
            found["PATH"] = os.pathsep.join((str(program.parent), found["PATH"]))
        return found

    async def _follow(self, progress: Progress) -> None:
        told = -1
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._records.read()
            source = self._events if self._command.kind == "go" else self._records
            if source.done != told and (source.done or self._records.total):
                told = source.done
                total = self._records.total
                words = f"{told}{f' of {total}' if total else ''} tests done" + (
                    f", {source.failed} failed" if source.failed else ""
                )
                await progress(told, total, words)


def _as_one_test(command: Command, finished: Finished) -> Outcome:
    """A program that reports no tests counts as one: a person declared it to be the test of this repository."""
    runner = f"`{command.written}`, counted as one test"
    if finished.exit_code == 0:
        return Outcome(passed=1, runner=runner)
    message = f"exit code {finished.exit_code}: {last_lines(finished.tail)}"
    failure = Failure(command.written, message, excerpt=finished.tail[-4000:])
    return Outcome(failed=1, failures=(failure,), exit_code=finished.exit_code, runner=runner)


def _covered(folder: Path) -> dict[str, Json]:
    """What was covered, in percent of statements: of everything, and of each file, lowest first."""
    if (report := folder / "coverage.json").is_file():
        data: Any = json.loads(report.read_bytes())
        files = sorted((round(about["summary"]["percent_covered"], 1), path) for path, about in data["files"].items())
        return {"percent": round(data["totals"]["percent_covered"], 1),
                "files": [{"file": path, "percent": percent, "missing": data["files"][path]["missing_lines"][:50]}
                          for percent, path in files[:COVERED_FILES] if percent < 100]}  # fmt: skip
    if (profile := folder / "coverage.out").is_file():
        # https://pkg.go.dev/golang.org/x/tools/cover#Profile: `file:from,to statements count`
        blocks = [line.rsplit(" ", 2) for line in profile.read_text("utf-8").splitlines()[1:]]
        statements = sum(int(block[1]) for block in blocks)
        hit = sum(int(block[1]) for block in blocks if block[2] != "0")
        return {"percent": round(100 * hit / statements, 1) if statements else 0.0}
    return {}


def _log(state: Path) -> Path:
    folder = private(state / "logs")
    for old in sorted(folder.glob("tests-*.log"), key=lambda path: path.stat().st_mtime)[: -LOGS + 1]:
        old.unlink(missing_ok=True)
    return folder / f"tests-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}.log"
