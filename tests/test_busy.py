"""What a terminal shows while a command works, and that nothing else ever sees it."""

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mcp_backend import busy
from mcp_backend.busy import ERASE, Busy
from mcp_backend.telling import tell


class Screen(io.StringIO):
    """A terminal in memory; `drawn` is set when a text was written to it."""

    encoding = "utf-8"

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted, self.drawn = wanted, threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.wanted in text:
            self.drawn.set()
        return super().write(text)


def test_a_terminal_shows_what_is_done_and_is_clean_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(busy, "AFTER", 0.0)
    screen = Screen("counting\ttwo things")
    with Busy("beginning", screen) as line:
        line.words("counting\ttwo\u202e things")
        assert screen.drawn.wait(60), screen.getvalue()
        screen.wanted = "[##########..........] half"
        screen.drawn.clear()
        line._total, line._done = 2, 1  # pyright: ignore[reportPrivateUsage]
        line._words = "half"  # pyright: ignore[reportPrivateUsage]
        assert screen.drawn.wait(60), screen.getvalue()
    assert screen.getvalue().endswith(ERASE)


def test_what_is_quick_or_piped_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async def work() -> int:
        await tell("not seen")
        return 7

    assert busy.run(work(), "waiting") == 7
    assert capfd.readouterr() == ("", "")
    screen = Screen("quick")
    with Busy("quick", screen):
        pass
    assert screen.getvalue() == ""


def test_ctrl_c_ends_a_command_with_its_line(tmp_path: Path) -> None:
    code = (
        # who runs the tests in the background has them ignore SIGINT, which is inherited
        "import asyncio, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mcp_backend import busy, cli\nbusy.AFTER = 0.0\n"
        "async def work():\n    print('begun', flush=True)\n    await asyncio.Event().wait()\n"
        "try:\n    busy.run(work(), 'waiting for nothing')\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    ours, theirs = pty.openpty()
    term = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=term
    ) as program:
        os.close(theirs)
        assert program.stdout is not None
        assert program.stdout.readline() == b"begun\n"
        seen = b""
        while b"waiting for nothing" not in seen:
            seen += os.read(ours, 4096)
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130
    while not seen.endswith(ERASE.encode()):
        seen += os.read(ours, 4096)
    os.close(ours)
