"""What run_tests and git_commit add to the wall time of the same work done bare, on checkouts of real projects.

`python -m benchmarks.projects PATH…`: each is cloned into a folder of its own. Bare is the same command in a shell, and
`git add` with `git commit`. The target is 1.05 times bare and half a second. The minimum of `ROUNDS` rounds counts.
Processor time (of this process, where the server is, and of all it starts) says what other work on the machine hides.
`PROJECTS_VENV` is an environment that holds what the tests of Python need: each clone gets a copy as its `.venv`.
"""

import asyncio
import os
import resource
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from mcp.client import Client

from mcp_backend.server import Options, build

Cost: TypeAlias = tuple[float, float]
ROUNDS = int(os.environ.get("ROUNDS", "3"))
VENV = os.environ.get("PROJECTS_VENV", "")
GO = Path(sysconfig.get_paths()["purelib"]) / "go/bin"
IDENTITY = {f"GIT_{role}_{part}": "bench@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}


async def measure(source: Path, folder: Path) -> str:
    """One row of the table."""
    root = folder / source.name.removesuffix(".git")
    _run(folder, f"git clone --quiet {shlex.quote(str(source))} {shlex.quote(str(root))}")
    go = (root / "go.mod").is_file()
    python = str(root / ".venv/bin/python") if VENV else sys.executable
    if VENV and not go:
        shutil.copytree(VENV, root / ".venv", symlinks=True)
        (root / ".git/info/exclude").write_text(".venv\n")
    command = (
        "go test -count=1 ./..." if go else f"PYTHONPATH=src:. {shlex.quote(python)} -m pytest -q -p no:cacheprovider"
    )
    (root / "mcp-backend.toml").write_text(f"[commands]\ntest = '''{command}'''\n")
    _run(root, "git add . && git commit --quiet -m policy")
    bare: list[Cost] = []
    ours: list[Cost] = []
    commits: list[Cost] = []
    plain: list[Cost] = []
    said: dict[str, Any] = {}
    async with Client(build(Options(root))) as client:

        async def test() -> None:
            said.update(await _call(client, "run_tests"))

        for number in range(ROUNDS):
            bare.append(await _timed(lambda: _bare(root, f"{command} > /dev/null 2>&1 || true")))
            ours.append(await _timed(test))
            note = root / f"NOTES-{number}.md"
            note.write_text("ours\n")
            arguments = {"message": f"Note {number}", "paths": [note.name]}
            commits.append(await _timed(lambda arguments=arguments: _call(client, "git_commit", **arguments)))
            note.write_text("bare\n")
            line = f"git add {note.name} && git commit --quiet -m bare"
            plain.append(await _timed(lambda line=line: _bare(root, line)))
    return f"{root.name} ({said['passed']} passed, {said['failed'] + said['errors']} failed) | " + " | ".join(
        f"{best(of_bare):.2f} | {best(of_ours):.2f} | {best(of_ours) - 1.05 * best(of_bare):+.2f}"
        for of_bare, of_ours in ((bare, ours), (plain, commits))
        for best in (_wall, _processor)
    )


def _wall(costs: list[Cost]) -> float:
    return min(wall for wall, _ in costs)


def _processor(costs: list[Cost]) -> float:
    return min(processor for _, processor in costs)


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    if answer.is_error or answer.structured_content is None:
        raise SystemExit(f"{tool}: {answer.structured_content}")
    return answer.structured_content


async def _timed(work: Callable[[], Awaitable[object]]) -> Cost:
    """Seconds of wall and of processor time."""
    began, used = time.perf_counter(), _used()
    await work()
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


async def _bare(folder: Path, line: str) -> None:
    await asyncio.to_thread(_run, folder, line)


def _run(folder: Path, line: str) -> None:
    environment = {**os.environ, **IDENTITY, "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    subprocess.run(["bash", "-c", line], cwd=folder, check=True, env=environment)


async def main(sources: list[str]) -> None:
    """Prints the table."""
    os.environ |= {**IDENTITY, "PATH": f"{GO}{os.pathsep}{os.environ['PATH']}"}
    print(
        "project | tests: wall bare, ours, over 1.05x | processor … | commit: wall … | processor … (seconds; 0.5 over)"
    )
    with tempfile.TemporaryDirectory(prefix="projects-") as folder:
        os.environ["MCP_BACKEND_STATE"] = f"{folder}/state"
        for source in sources:
            print(await measure(Path(source), Path(folder)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
