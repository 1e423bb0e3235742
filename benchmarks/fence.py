"""What the fence costs: a program behind each layer against the same program started bare, and the look before and
after a command on a repository of 20,000 files."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mcp_backend.app import read_policy
from mcp_backend.settings import Workspace, workspace
from mcp_backend.workspace.fence import layout, probe, revert, scan
from mcp_backend.workspace.fence.spec import Handed, Request, Tier, build

STARTS, LOOKS = 15, 5
PROTECTED, FILES = 6_000, 20_000


async def measure() -> list[str]:
    """Median and minimum in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(_repository(Path(name) / "work"))
        policy = read_policy(place, place.root)
        seen = layout.look(place, policy)
        lines = ["", f"fence: one start of `true`, {len(seen.places)} mounts, median (minimum) ms"]
        lines.append(f"  bare                      {_timed(lambda: _bare(place), STARTS)}")
        supervised = [sys.executable, "-I", "-S", str(Path(probe.__file__).parents[1] / "supervise.py")]
        lines.append(
            f"  supervised, not fenced    {_timed(lambda: _run([*supervised, str(os.getpid())], place), STARTS)}"
        )
        for tier in probe.TIERS:
            program = next(iter(probe.programs(place.root)), "") if tier == "bubblewrap" else ""
            if not probe.attempt(place, tier, program):
                lines.append(f"  {tier:<25} {_timed(lambda t=tier, p=program: _fenced(place, seen, t, p), STARTS)}")
        lines.append(f"fence: looks at {FILES} files ({PROTECTED} protected), median (minimum) ms")
        lines.append(f"  layout before             {_timed(lambda: layout.look(place, policy), LOOKS)}")
        before = scan.before(place, seen, "namespaces")
        lines.append(f"  scan after                {_timed(lambda: scan.after(place, before), LOOKS)}")
        found = scan.after(place, before)
        lines.append(
            f"  nothing to take back      {_timed(lambda: revert.revert(place, policy, before, found), LOOKS)}"
        )
        return lines


def _repository(root: Path) -> Path:
    for number in range(FILES):
        if number < PROTECTED:
            path = root / f"frontend/src/d{number // 30}/c{number}.tsx"
        else:
            path = root / f"backend/p{number % 70}/q{number // 20}/m{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" * 50)
    (root / "frontend/package.json").write_text('{"dependencies": {"react": "18"}}')
    (root / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (root / "openapi.yaml").write_text("openapi: 3.1.0\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=root, check=True, capture_output=True)
    return root


def _bare(place: Workspace) -> None:
    subprocess.run(["true"], cwd=place.root, check=True)


def _run(start: list[str], place: Workspace, descriptors: tuple[int, ...] = ()) -> None:
    subprocess.run([*start, "true"], cwd=place.root, check=True, pass_fds=descriptors)


def _fenced(place: Workspace, seen: layout.Layout, tier: Tier, program: str) -> None:
    handed = Handed(build(tier, program, Request(place, seen, place.root)))
    try:
        _run([sys.executable, "-I", "-S", *handed.arguments], place, handed.descriptors)
    finally:
        handed.given()
        handed.close()


def _timed(what: Callable[[], object], times: int) -> str:
    what()
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        found.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(found):7.1f} ({min(found):.1f})"


if __name__ == "__main__":
    import asyncio

    assert shutil.which("git")
    print("\n".join(asyncio.run(measure())))
