"""`python docs/picture.py RECORDING > docs/demo.svg`: what a terminal showed, as a picture.

The recording is made by `script -qec "mcp-backend demo 2>/dev/null" RECORDING`, without the line on standard error that
says what goes on. Only lines and colours are drawn: the demo does not move its cursor.
"""

import re
import sys
from html import escape
from pathlib import Path

COLOURS = {"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "34": "#7aa2f7", "35": "#bb9af7", "36": "#7dcfff"}
PAPER, INK, LINE, CHARACTER, MARGIN = "#1a1b26", "#c0caf5", 18, 8.4, 16
CODE = re.compile(r"\x1b\[([0-9;]*)m")
OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b\][^\x07]*\x07|\r")
PLACE = re.compile(r"/tmp/mcp-backend-demo-\w+")


def spans(line: str) -> str:
    """One line with its colours."""
    out, style, at = "", "", 0
    for match in [*CODE.finditer(line), None]:
        text = escape(line[at : match.start() if match else len(line)])
        out += f"<tspan{style}>{text}</tspan>" if style and text else text
        if match is None:
            break
        at, codes = match.end(), match[1].split(";")
        fill = next((f' fill="{COLOURS[code]}"' for code in codes if code in COLOURS), "")
        style = fill + (' font-weight="bold"' if "1" in codes else "")
    return out


def picture(recording: str, title: str) -> str:
    """The SVG of a recording."""
    text = PLACE.sub("/tmp/demo", OTHER.sub("", recording))
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("Script ")]
    while lines and not lines[0]:
        lines.pop(0)
    width = round(max(len(CODE.sub("", line)) for line in lines) * CHARACTER + 2 * MARGIN)
    height = len(lines) * LINE + 2 * MARGIN + LINE
    rows = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE * (number + 1)}" xml:space="preserve">{spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="ui-monospace, monospace" font-size="14" fill="{INK}">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n{rows}\n</svg>\n'
    )


if __name__ == "__main__":
    sys.stdout.write(picture(Path(sys.argv[1]).read_text("utf-8"), "mcp-backend demo, as a terminal shows it"))
