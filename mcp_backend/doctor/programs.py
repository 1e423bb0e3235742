"""What `doctor` says about programs of the repository: whether its tests can start, and which fence they run in."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mcp_backend.doctor.checks import Finding, State
from mcp_backend.errors import BackendError, Json
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace

SECONDS = 10.0


def tests(settings: Policy, place: Workspace) -> Finding:
    """Whether the programs of the test command are there, and which environment they run in."""
    from mcp_backend.workspace import childenv, process, runners
    from mcp_backend.workspace.fence import probe

    written = settings.commands.get("test", "")
    if not written:
        return Finding("tests", "note", 'none found: set [commands] test = "…"; commits of backend code wait for a run')
    facts: dict[str, Json] = {"command": written}
    try:
        commands = runners.commands(written, place.root)
    except BackendError as error:
        return Finding("tests", "bad", error.reason, facts)
    environment = childenv.for_tests(place.root, os.environ)
    notes: list[str] = []
    for command in commands:
        program = command.argv[0]
        if not process.found(program, command.cwd, environment):
            return Finding("tests", "bad", f"{written}: {program} is not found (on the PATH of this server)", facts)
        problem = _out_of_sight(program, command.cwd, environment, place.root)
        if problem and probe.found(place).tier in ("namespaces", "bubblewrap"):
            return Finding("tests", "bad", f"{written}: {problem}", facts)
        if command.kind != "pytest":
            continue
        if problem := _without_pytest(command.argv, command.cwd, environment):
            return Finding("tests", "bad", f"{written}: {problem}", facts)
        notes += _strange(program, command.cwd, place.root)
    return Finding("tests", "note" if notes else "ok", "; ".join([written, *notes]), facts)


def _out_of_sight(program: str, cwd: Path, environment: dict[str, str], root: Path) -> str:
    """Why a program that is there is not seen in the fence; empty when it is."""
    there = cwd / program if "/" in program else Path(shutil.which(program, path=environment.get("PATH")) or program)
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        real = there.resolve()
        if real.is_relative_to(folder) and not real.is_relative_to(root):
            return f"{program} is {real}, and the fence has a {folder} of its own: install it elsewhere"
    return ""


def _without_pytest(argv: Sequence[str], cwd: Path, environment: dict[str, str]) -> str:
    """Why the program of a command cannot run pytest; empty when it can, or is none that can be asked quickly."""
    if argv[1:3] == ("-m", "pytest"):
        asked = [argv[0], "-I", "-c", "import importlib.util as u; raise SystemExit(u.find_spec('pytest') is None)"]
        problem = f"{argv[0]} has no pytest; install it there"
    elif argv[0].rpartition("/")[2] in ("pytest", "py.test"):
        asked, problem = [argv[0], "--version"], f"{argv[0]} does not run"
    else:
        return ""
    try:
        done = subprocess.run(asked, cwd=cwd, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{argv[0]} does not run: {type(error).__name__}"
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{problem}{f': {said[-1][:200]}' if said and 'version' in asked[-1] else ''}" if done.returncode else ""


def _strange(program: str, cwd: Path, root: Path) -> Iterator[str]:
    """What a person should know when tests run in another environment than the project's own."""
    from mcp_backend.workspace import environments

    if "/" in program or (project := environments.project(cwd, root)) is None:
        return
    where = project.relative_to(root).as_posix()
    if (own := next(environments.near(cwd, root), None)) is not None:
        yield f"run by {program} of the PATH: {own.relative_to(root)} has no pytest, install it there"
    elif program in ("pytest", "py.test", "python3", "python"):
        yield (
            f"run by {shutil.which(program) or program}, not by an environment of the project: there is no .venv in "
            f"{where}, so imports of its packages may fail (`uv sync` there, or python3 -m venv .venv and pip install)"
        )


async def sandbox(settings: Policy, place: Workspace) -> Finding:
    """Which layer of the kernel fences programs in, and why no better one does."""
    from mcp_backend.workspace.fence import probe
    from mcp_backend.workspace.fence.around import words

    found = await asyncio.to_thread(probe.found, place)
    facts: dict[str, Json] = {"tier": found.tier, "not": dict(found.failed)}
    elsewhere = await asyncio.to_thread(_elsewhere, place, found.tier) if found.failed else ""
    if found.tier != "none":
        text = f"programs of the repository run in a fence: {words(found, settings)}"
        why = f" (not {found.why()})" if found.failed else ""
        state: State = "note" if found.tier == "landlock" or elsewhere else "ok"
        return Finding("sandbox", state, f"{text}{why}{elsewhere}", facts)
    if reason := settings.sandbox.unfenced_because:
        return Finding("sandbox", "note", f"none holds ({found.why()}); programs run unfenced: {reason}", facts)
    return Finding(
        "sandbox", "bad",
        f"none holds ({found.why()}), so run_command and run_tests refuse{elsewhere}"
        + ("" if elsewhere else ": allow user namespaces, install bubblewrap, or run where Landlock is on"),
        facts,
    )  # fmt: skip


def _elsewhere(place: Workspace, tier: str) -> str:
    """Where the state folder is what stands in the way of a better layer: said when the layer holds from a folder of
    the system's temporary ones, which are on another file system."""
    from mcp_backend.workspace.fence import probe

    better = probe.TIERS[: probe.TIERS.index(tier)] if tier in probe.TIERS else probe.TIERS
    with tempfile.TemporaryDirectory(prefix="mcp-backend-doctor-", ignore_cleanup_errors=True) as folder:
        trial = Workspace(place.root, Path(folder).resolve(), place.repository)
        if os.stat(folder).st_dev == os.stat(place.state).st_dev:
            return ""
        for layer in better:
            for program in probe.programs(place.root) if layer == "bubblewrap" else [""]:
                if not probe.attempt(trial, layer, program):
                    return (
                        f"; with its state in {tempfile.gettempdir()} instead of {place.state} {layer} would hold: set "
                        "MCP_BACKEND_STATE to a folder on a disk of this machine"
                    )
    return ""
