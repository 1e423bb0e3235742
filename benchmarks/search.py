"""What search_code costs beside ripgrep itself, and find_symbol with nothing known, with all known, after an edit.

The repository: 4,000 Python sources of this interpreter and its packages. Both searches run in turn in the same
minute, so that whatever else the machine does meets both alike; the minimum is what the work costs, the median what was
met.
"""

import itertools
import os
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mcp_backend.settings import Workspace, workspace
from mcp_backend.workspace import ripgrep, search
from mcp_backend.workspace.symbols import finding

FILES = 4000
ROUNDS = 15
QUERIES = (
    ("class Request(", False),
    ("return self", False),
    (r"def \w+_path\w*\(", True),
    ("nowhere to be found", False),
)


async def measure() -> list[str]:
    """Milliseconds of both searches and their ratio; of the first, the full, a warm and an edited symbol look-up."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root = Path(name, "work")
        made = repository(root, FILES)
        place = workspace(root)
        lines = [
            f"search_code and find_symbol, {made} files",
            "query | ripgrep min/p50 ms | search_code min/p50 ms | ratio",
        ]
        lines += [await _searched(place, text, regex=regex) for text, regex in QUERIES]
        return [*lines, *_symbols(place)]


def repository(root: Path, files: int) -> int:
    """A git repository of so many Python sources, added to its index; how many were found."""
    sources = itertools.islice(_sources(), files)
    count = 0
    for count, path in enumerate(sources, 1):
        target = root / f"part{count // 100}" / f"{count}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    return count


def _sources() -> Iterator[Path]:
    for folder in (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")):
        yield from (path for path in sorted(Path(folder).rglob("*.py")) if path.stat().st_size < 200_000)


async def _searched(place: Workspace, text: str, *, regex: bool) -> str:
    query = search.Query(text, regex)
    command = [ripgrep.program(place.root), "--hidden", "--glob=!.git", "-n", *([] if regex else ["-F"]), "-e", text]
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([*command, "./"], cwd=place.root, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        bare.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        await search.search(place.root, query, 50, None)
        ours.append((time.perf_counter() - began) * 1000)
    shown = " | ".join(f"{min(times):.0f}/{statistics.median(times):.0f}" for times in (bare, ours))
    return f"{text} | {shown} | {min(ours) / min(bare):.2f}"


def _symbols(place: Workspace) -> list[str]:
    def timed(name: str, seconds: float = 1.0) -> str:
        began, used = time.perf_counter(), time.process_time()
        answer = finding.definitions(place, name, seconds=seconds)
        wall, work = (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000
        parsed = f"{answer.parsed} of {answer.files} files parsed"
        return f"{wall:.0f} ms ({work:.0f} ms processor), {answer.total} found, {parsed}"

    lines = [f"first answer: {timed('Request')}", f"whole table: {timed('Request', 1e6)}", f"warm: {timed('Request')}"]
    edited = next(place.root.glob("part0/*.py"))
    edited.write_bytes(edited.read_bytes() + b"\n\ndef just_written(): ...\n")
    return [*lines, f"after an edit: {timed('just_written')}"]
