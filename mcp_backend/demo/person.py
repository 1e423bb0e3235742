"""A person at a real terminal: answers an escalation with the `inbox` command, on a pseudo-terminal of their own."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

AGENT_MARKERS = re.compile(r"^(CLAUDE|CODEX|GEMINI|CURSOR|COPILOT|OPENCODE|AIDER|AI_AGENT|AGENT)")
DIGEST = re.compile(rb"digest\s+([0-9a-f]{64})\b")
ENDED = re.compile(r"\[exit (\d+)\]\s*\Z")
LEAVE = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
os.close(os.open(sys.argv[1], os.O_RDWR))
os.execvp("sh", ["sh", "-c", 'trap : INT; "$@"; echo "[exit $?]"', "sh", *sys.argv[2:]])
"""
"""Starts a program on a terminal in a session without parents. The demo may itself be run by an agent, and `inbox
answer` looks at the processes above it, too."""
ESCAPES = re.compile(r"\033\[[0-9;?]*[A-Za-z]")


def answer(workspace: Path, *arguments: str, retype: bool = False) -> tuple[int, str]:
    """Runs `mcp-backend inbox answer …` on a new terminal and types what it asks for.

    Returns its exit code and everything the terminal showed. The person's shell is not the agent's: neither its
    environment nor a process above it has an agent's marks.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mcp_backend", "inbox", "answer", *arguments, "--workspace", str(workspace)]
    leaving = [sys.executable, "-c", LEAVE, os.ttyname(theirs), *command]
    environment = {k: v for k, v in os.environ.items() if not AGENT_MARKERS.match(k)} | {"NO_COLOR": "1"}
    process = subprocess.Popen(leaving, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=workspace)
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
    process.wait()
    text = ESCAPES.sub("", shown.decode("utf-8", "replace")).replace("\r", "")
    ended = ENDED.search(text)
    return int(ended[1]) if ended else 1, ENDED.sub("", text)


def _read(descriptor: int) -> bytes:
    """The next bytes of a terminal, or nothing when its other end is closed (Linux says EIO then)."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
