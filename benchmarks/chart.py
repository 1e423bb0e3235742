"""The chart of `bench.json` as an SVG: bars, one panel a measure. Colours and text are readable on light and dark.

Drawn by hand: a plotting library would bring hundreds of kB of fonts and paths for forty rectangles.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, ROW, HEAD, GAP, LABEL, VALUE = 900, 17, 34, 20, 188, 70
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}rect{fill:#8c959f}.t{font-weight:600}"
    ".t,text.o{fill:#24292f}rect.o{fill:#1f883d}@media(prefers-color-scheme:dark){text{fill:#9198a1}"
    "rect{fill:#656c76}.t,text.o{fill:#e6edf3}rect.o{fill:#3fb950}}"
)
Row = tuple[str, float, str]
"""Whose, how much, and how it is written."""


def chart(data: Mapping[str, Any]) -> str:
    """The picture of the benchmark `peers`."""
    panels = _panels(data)
    half = (WIDTH - GAP) // 2
    drawn: list[str] = []
    heights = [0, 0]
    for number, (title, rows) in enumerate(panels):
        column = number % 2
        drawn.append(_panel(title, rows, column * (half + GAP), heights[column], half))
        heights[column] += HEAD + ROW * len(rows) + GAP
    height = max(heights)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img">\n<title>mcp-backend beside other MCP servers: start, first answer, calls, sizes, memory</title>\n'
        f"<style>{STYLE}</style>\n{''.join(drawn)}</svg>\n"
    )


def _panels(data: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    servers, questions = data["servers"], data["questions"]
    asked = questions.get("query", {})
    whole = {name: row["bytes"] for name, row in questions.get("tables 5000", {}).items()}
    first = {name: one["first_s"] for name, one in servers.items() if name in asked}

    def of(key: str) -> dict[str, float]:
        return {name: one[key] for name, one in servers.items()}

    return [
        ("start until the tools are listed, s", _rows(of("start_s"), "{:.2f}")),
        ("first answer of PostgreSQL after the start, s", _rows(first, "{:.2f}")),
        ("list of tools, bytes", _rows(of("list_bytes"), "{:,.0f}")),
        ("select 1 on PostgreSQL, p50 of a call, ms", _rows({n: row["p50"] for n, row in asked.items()}, "{:.1f}")),
        ("memory after the first answer, MB", _rows(of("memory_mb"), "{:.0f}")),
        ("which of 5,000 tables there are, bytes of the answer", _rows(whole, "{:,.0f}")),
    ]


def _rows(values: Mapping[str, float], shown: str) -> list[Row]:
    return [(name, value, shown.format(value)) for name, value in values.items()]


def _panel(title: str, rows: Sequence[Row], x: int, y: int, width: int) -> str:
    longest = max((value for _, value, _ in rows), default=1) or 1
    room = width - LABEL - VALUE
    names: list[str] = []
    bars: list[str] = []
    for number, (name, value, shown) in enumerate(rows):
        top, long = HEAD + ROW * number, max(1, round(value / longest * room))
        ours = ' class="o"' if name.startswith("mcp-backend") else ""
        names.append(f'<text{ours} x="{LABEL - 6}" y="{top + 10}">{escape(_short(name))}</text>\n')
        bars.append(
            f'<rect{ours} x="{LABEL}" y="{top}" width="{long}" height="11"/>'
            f'<text{ours} x="{LABEL + long + 5}" y="{top + 10}">{shown}</text>\n'
        )
    return (
        f'<g transform="translate({x} {y})"><text class="t" y="20">{escape(title)}</text>\n'
        f'<g text-anchor="end">{"".join(names)}</g>{"".join(bars)}</g>\n'
    )


def _short(name: str) -> str:
    return {"bare server of the Python SDK": "bare SDK server"}.get(name, name.rpartition("/")[2])
