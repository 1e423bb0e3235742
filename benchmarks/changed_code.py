"""What judging changed code costs: a commit of 20 files, and one write, warm; beside starting ruff for nothing.

The files are sources of this interpreter's packages of 100 to 600 lines, each with five lines taken out of the middle
of its earlier version. The minimum is what the work costs, the median what was met on this machine.
"""

import statistics
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from mcp_backend.workspace.code import judging, matching
from mcp_backend.workspace.code.judging import Version

FILES, ROUNDS = 20, 15


async def measure() -> list[str]:
    """Milliseconds, and the budget of each."""
    versions = _versions()
    lines = sum((version.after or b"").count(b"\n") for version in versions)
    program = matching.program()
    judging.changed(versions)
    return [
        f"changed code, {len(versions)} files, {lines} lines",
        "what | min/p50 ms | budget ms",
        _row("ruff --version", "-", lambda: subprocess.run([program, "--version"], capture_output=True, check=True)),
        _row("commit of 20 files", "150", lambda: judging.changed(versions)),
        *[
            _row(f"write, {what}", "20", lambda chosen=chosen: judging.changed([chosen]))
            for what, chosen in _writes(versions)
        ],
    ]


def _versions() -> list[Version]:
    found: list[Version] = []
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        data = path.read_bytes()
        lines = data.split(b"\n")
        if 100 <= len(lines) <= 600 and "test" not in str(path) and len(found) < FILES * 20:
            middle = len(lines) // 2
            found.append(Version(f"shop/{path.name}", b"\n".join(lines[:middle] + lines[middle + 5 :]), data))
    return found[::20]


def _writes(versions: list[Version]) -> list[tuple[str, Version]]:
    """One file no rule looks at, and one with exception handlers, which ruff reads too."""
    quiet = next(v for v in versions if b"except" not in (v.after or b""))
    loud = next(v for v in versions if b"except Exception" in (v.after or b""))
    return [("no rule fits", quiet), ("ruff and ast-grep", loud)]


def _row(what: str, budget: str, work: Callable[[], object]) -> str:
    taken: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return f"{what} | {min(taken):.1f}/{statistics.median(taken):.1f} | {budget}"
