"""The chart and the table of the benchmarks are made of the figures, all of them and nothing else."""

import xml.etree.ElementTree as ElementTree

from benchmarks.chart import chart
from benchmarks.report import made

MACHINE = {
    "at": "2026-11-26T12:00:00+00:00", "system": "Debian, x86_64", "processor": "one", "cores": 2, "memory_gib": 24,
    "load": 0.1, "python": "CPython 3.11.7", "mcp-backend": "0.1.0", "mcp": "2.3.0",
}  # fmt: skip
SERVER = {"version": "1.0", "note": "a pool", "start_s": 0.05, "first_s": 1.61, "memory_mb": 93.4, "tools": 25,
          "list_bytes": 23531}  # fmt: skip
PEERS = {
    "machine": MACHINE,
    "servers": {"mcp-backend": SERVER, "<other> & more": {**SERVER, "list_bytes": 131, "note": ""}},
    "questions": {
        "query": {"mcp-backend": {"p50": 3.94, "p95": 5.2, "bytes": 700, "calls": 50}},
        "tables 5000": {"mcp-backend": {"p50": 4.0, "p95": 5.0, "bytes": 17065, "calls": 12}},
    },
    "left_out": {"gone": "did not start or answer here"},
}
LOAD = {"1": {"per_second": 201.4, "p50": 4.9, "p95": 7.1}}
HTTP = {"servers": {"mcp-backend": {"loads": LOAD, "memory_mb": 120}}, "left_out": {}}


def test_the_table_says_each_figure_and_who_was_left_out_and_why() -> None:
    text = made({"peers": PEERS, "http": HTTP}, "Quiet, ")
    assert "| mcp-backend | 1.0 | 0.05 | 1.61 | 93 | 25 | 23,531 |" in text
    assert "| which tables there are, PostgreSQL, of 5,000 | mcp-backend | 4.0 / 5.0 (12 calls) | 17,065 |" in text
    assert "| mcp-backend | 201 (4.9 / 7.1) | 120 |" in text
    assert "gone: did not start or answer here." in text
    assert text.startswith("Quiet, 2026-11-26, Debian, x86_64, one, 2 cores")


def test_the_chart_is_an_svg_whose_longest_bar_is_the_largest_value() -> None:
    text = chart(PEERS)
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    panels = [panel for panel in root.iter(f"{space}g") if panel.get("transform")]
    assert len(panels) == 6
    sizes = next(p for p in panels if "list of tools" in "".join(p.itertext()))
    ours, other = (float(bar.attrib["width"]) for bar in sizes.iter(f"{space}rect"))
    assert 0 < other / ours < 0.02
    assert len(text) < 12_000
