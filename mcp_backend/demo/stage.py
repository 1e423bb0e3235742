"""What the demo prints: who says what, coloured on a terminal, plain elsewhere."""

import json
import os
import sys
import textwrap
import time
from typing import Any

from mcp_backend.busy import Busy

WIDTH = 100
COLOURS = {
    "step": "1;36",
    "host": "34",
    "server": "32",
    "refused": "33",
    "person": "35",
    "proof": "1;32",
    "wrong": "1;31",
}


class DemoFailed(Exception):
    """A step did not come out as told."""


class Stage:
    """Prints the session; `expect` ends the demo when a step does not come out as told."""

    def __init__(self, busy: Busy) -> None:
        self.busy = busy
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self._steps = 0

    def step(self, title: str) -> None:
        """A new step, with the seconds since the start."""
        self._steps += 1
        self.busy.words(title)
        self.busy.print(f"\n{self._paint('step', f'{self._steps}. {title}')}  [{time.monotonic() - self._began:.1f} s]")

    def say(self, who: str, text: str) -> None:
        """One line of somebody's, wrapped under their name."""
        body = textwrap.fill(text, WIDTH - 11, break_long_words=False, break_on_hyphens=False)
        indented = textwrap.indent(body, " " * 11).strip()
        self.busy.print(f"  {self._paint(who, f'{who:<8}')}{indented}")

    def screen(self, text: str) -> None:
        """What a person's terminal showed, set off from the rest."""
        for line in text.strip().splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            for part in textwrap.wrap(line, WIDTH - 13, subsequent_indent=indent, break_on_hyphens=False) or [""]:
                self.busy.print(f"           {self._paint('person', '│')} {part}".rstrip())

    def asked(self, tool: str, arguments: dict[str, Any]) -> None:
        """The host's call, as it goes over the wire, long values shortened."""
        shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
        self.say("host", f"{tool}({shown})")
        self.busy.words(f"{tool} …")

    def expect(self, truth: bool, told: str, found: object = "") -> None:
        """Raises `DemoFailed` unless the told thing is true."""
        if not truth:
            raise DemoFailed(f"expected {told}; found {found!r}" if found != "" else f"expected {told}")

    def _paint(self, who: str, text: str) -> str:
        return f"\033[{COLOURS[who]}m{text}\033[0m" if self._colour else text


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 220 else text[:217] + "…"
