"""What people read on a terminal: text that shows all it holds, colours and wrapping only where a person looks."""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from mcp_backend.settings import hide_credentials

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that print as nothing, beside the categories below."""
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def plain(text: str) -> str:
    """`text` without what a reader does not see: control, bidirectional, zero-width and other format characters
    (they can make a statement look like another one), and without credentials. Lines and tabs stay.

    https://www.unicode.org/reports/tr36/ (security considerations), https://trojansource.codes
    """
    lines = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return hide_credentials("".join(character for character in lines if _visible(character)))


def hidden(text: str) -> int:
    """How many characters of `text` a reader would not have seen."""
    return sum(not _visible(character) for character in text.replace("\r\n", "\n"))


def _visible(character: str) -> bool:
    if character in "\n\t" or character.isascii():
        return character in "\n\t" or character.isprintable()
    variation = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return not (variation or character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn"))


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """`text` in colours when the stream is a terminal. https://no-color.org"""
    where = stream or sys.stdout
    if not where.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> str:
    """Aligned columns. The last one is wrapped on a terminal; elsewhere each row is one line."""
    where = stream or sys.stdout
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads) - 1)]
    left = sum(widths) + 2 * len(widths)
    room = shutil.get_terminal_size((100, 24)).columns - left if where.isatty() else 0
    lines: list[str] = []
    for row in (heads, *rows):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        wrapped = textwrap.wrap(row[-1], max(room, 30)) if room else [row[-1].replace("\n", " ")]
        first, *more = wrapped or [""]
        lines.append(f"{cells}  {first}".rstrip())
        lines += [" " * left + line for line in more]
    lines[0] = paint(lines[0], "bold", stream=where)
    return "\n".join(lines)
