"""Runs a program at a pseudo-terminal, as a person does: in a session of its own, not below the tests' own process.

The tests may themselves be run by an agent, whose shell an answer is refused in; so the program is started by a
process that has left its parents.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcp_backend.demo.person import LEAVE
from mcp_backend.people.seat import MARKERS

SECONDS = 100.0


def run(
    arguments: Sequence[str], *, typed: Mapping[str, str], cwd: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The exit code and what was printed by `mcp-backend` with these arguments. Each key of `typed` is waited for on
    the terminal, then its value is typed."""
    ours, theirs = pty.openpty()
    own = {name: value for name, value in os.environ.items() if name not in MARKERS}
    command = [sys.executable, "-c", LEAVE, os.ttyname(theirs), sys.executable, "-m", "mcp_backend", *arguments]
    try:
        variables = {**own, "TERM": "xterm", **(environment or {})}
        subprocess.run(command, cwd=cwd, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, check=True)
        return _talk(ours, dict(typed))
    finally:
        os.close(ours)
        os.close(theirs)


def _talk(terminal: int, typed: dict[str, str]) -> tuple[int, str]:
    seen, deadline = "", time.monotonic() + SECONDS
    while True:
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError(f"the program waits; so far: {seen}")
        seen += os.read(terminal, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        for wanted in [wanted for wanted in typed if wanted in seen]:
            os.write(terminal, typed.pop(wanted).encode())
        if ended := re.search(r"\[exit (\d+)\]", seen):
            return int(ended[1]), seen
