"""What run_tests and git_commit add to the wall time of the same work done bare, on checkouts of real projects.

`python -m benchmarks.projects PATH…`: each is cloned into a folder of its own. Bare is the same command in a shell, and
`git add` with `git commit`. The target is 1.05 times bare and half a second. The minimum of some rounds counts.
"""

import asyncio
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp.client import Client

from mcp_backend.server import Options, build

ROUNDS = 3
GO = Path(sysconfig.get_paths()["purelib"]) / "go/bin"
IDENTITY = {f"GIT_{role}_{part}": "bench@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}


async def measure(source: Path, folder: Path) -> str:
    """One row of the table."""
    root = folder / source.name.removesuffix(".git")
    _run(folder, f"git clone --quiet {shlex.quote(str(source))} {shlex.quote(str(root))}")
    go = (root / "go.mod").is_file()
    command = (
        "go test ./..." if go else f"PYTHONPATH=src:. {shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider"
    )
    (root / "mcp-backend.toml").write_text(f"[commands]\ntest = '''{command}'''\n")
    _run(root, "git add . && git commit --quiet -m policy")
    bare_command = f"{command} -count=1" if go else command
    bare = min(_timed(root, f"{bare_command} > /dev/null 2>&1 || true") for _ in range(ROUNDS))
    async with Client(build(Options(root))) as client:
        took: list[float] = []
        said: dict[str, Any] = {}
        for _ in range(ROUNDS):
            began = time.perf_counter()
            said = await _call(client, "run_tests")
            took.append(time.perf_counter() - began)
        ours = min(took)
        commits: list[float] = []
        plain: list[float] = []
        for number in range(ROUNDS):
            (root / "NOTES-bench.md").write_text(f"{number}\n")
            began = time.perf_counter()
            await _call(client, "git_commit", message=f"Note {number}", paths=["NOTES-bench.md"])
            commits.append(time.perf_counter() - began)
            (root / "NOTES-bench.md").write_text(f"{number} bare\n")
            plain.append(_timed(root, "git add NOTES-bench.md && git commit --quiet -m bare"))
    return (
        f"{root.name} ({said['passed']} passed, {said['failed'] + said['errors']} failed) | {bare:.2f} | {ours:.2f} | "
        f"{ours - 1.05 * bare:+.2f} | {min(plain):.3f} | {min(commits):.3f} | {min(commits) - 1.05 * min(plain):+.3f}"
    )


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    if answer.is_error or answer.structured_content is None:
        raise SystemExit(f"{tool}: {answer.structured_content}")
    return answer.structured_content


def _timed(folder: Path, line: str) -> float:
    began = time.perf_counter()
    _run(folder, line)
    return time.perf_counter() - began


def _run(folder: Path, line: str) -> None:
    environment = {**os.environ, **IDENTITY, "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    subprocess.run(["bash", "-c", line], cwd=folder, check=True, env=environment)


async def main(sources: list[str]) -> None:
    """Prints the table."""
    os.environ |= {**IDENTITY, "PATH": f"{GO}{os.pathsep}{os.environ['PATH']}"}
    print(
        "project | tests bare s | run_tests s | over 1.05x | commit bare s | git_commit s | over 1.05x (allowed: 0.5)"
    )
    with tempfile.TemporaryDirectory(prefix="projects-") as folder:
        os.environ["MCP_BACKEND_STATE"] = f"{folder}/state"
        for source in sources:
            print(await measure(Path(source), Path(folder)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
