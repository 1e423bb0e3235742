"""A person at a real terminal: answers an escalation with the `inbox` command, on a pseudo-terminal of their own."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

AGENT_MARKERS = re.compile(r"^(CLAUDE|CODEX|GEMINI|CURSOR|COPILOT|OPENCODE|AIDER|AI_AGENT|AGENT)")
DIGEST = re.compile(rb"\b[0-9a-f]{64}\b")
ESCAPES = re.compile(r"\033\[[0-9;?]*[A-Za-z]")


def answer(workspace: Path, *arguments: str, retype: bool = False) -> tuple[int, str]:
    """Runs `mcp-backend inbox answer …` on a new terminal and types what it asks for.

    Returns its exit code and everything the terminal showed. The person's shell is not the agent's: its
    environment has no agent's marks.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mcp_backend", "inbox", "answer", *arguments, "--workspace", str(workspace)]
    environment = {k: v for k, v in os.environ.items() if not AGENT_MARKERS.match(k)} | {"NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=workspace)
    os.close(theirs)
    shown = b""
    typed = not retype
    try:
        while chunk := _read(ours):
            shown += chunk
            tail = DIGEST.findall(shown)
            if not typed and tail and shown.rstrip().endswith(b":"):
                os.write(ours, tail[-1][-4:] + b"\n")
                typed = True
    finally:
        os.close(ours)
    code = process.wait()
    return code, ESCAPES.sub("", shown.decode("utf-8", "replace")).replace("\r", "")


def _read(descriptor: int) -> bytes:
    """The next bytes of a terminal, or nothing when its other end is closed (Linux says EIO then)."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
