"""`python -m benchmarks.report`: the table and the chart of `RESULTS.md`, made from `build/bench.json`.

No figure between the marks is typed by hand. `--check` fails where the file's figures are not those of the JSON.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.chart import chart
from benchmarks.peer_list import QUESTIONS
from benchmarks.results import load

RESULTS = Path(__file__).with_name("RESULTS.md")
CHART = Path(__file__).with_name("peers.svg")
BEGIN, END = "<!-- made by python -m benchmarks.report -->", "<!-- until here -->"


def made(found: Mapping[str, Any], state: str) -> str:
    """What stands between the marks. Raises `SystemExit` when the benchmark `peers` was not run."""
    if "peers" not in found:
        raise SystemExit("no figures of the peers: python -m benchmarks peers http")
    peers, http = found["peers"], found.get("http", {})
    parts = [_machine(peers["machine"], state), "![the table below as bars](peers.svg)", _servers(peers)]
    parts += [_questions(peers), *([_http(http)] if http else []), _notes(peers, http)]
    return "\n\n".join(parts)


def _machine(machine: Mapping[str, Any], state: str) -> str:
    return _filled(
        f"{state}{machine['at'][:10]}, {machine['system']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['python']}, SDK {machine['mcp']}, load {machine['load']} at the "
        "beginning."
    )


def _servers(peers: Mapping[str, Any]) -> str:
    rows = [
        (name, one["version"], f"{one['start_s']:.2f}", f"{one['first_s']:.2f}", f"{one['memory_mb']:.0f}",
         str(one["tools"]), f"{one['list_bytes']:,}")
        for name, one in peers["servers"].items()
    ]  # fmt: skip
    return _table(("server", "version", "start s", "first answer s", "MB", "tools", "list bytes"), rows)


def _questions(peers: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for question, answers in peers["questions"].items():
        name, _, size = question.partition(" ")
        title = QUESTIONS[name] + (f", of {int(size):,}" if size else "")
        for server, row in answers.items():
            fewer = "" if row["calls"] >= 50 else f" ({row['calls']} calls)"
            rows.append((title, server, f"{row['p50']:.1f} / {row['p95']:.1f}{fewer}", f"{row['bytes']:,}"))
            title = ""
    return _table(("question", "server", "p50 / p95 ms", "bytes of the answer"), rows)


def _http(http: Mapping[str, Any]) -> str:
    clients = list(next(iter(http["servers"].values()))["loads"]) if http["servers"] else []
    rows = [
        (name, *(f"{one['per_second']:.0f} ({one['p50']:.1f} / {one['p95']:.1f})" for one in found["loads"].values()),
         str(found["memory_mb"]))
        for name, found in http["servers"].items()
    ]  # fmt: skip
    words = "`select 1` over streamable HTTP, calls a second (p50 / p95 ms); the clients take their part of the cores:"
    head = ("server", *(f"{number} client{'s' if number != '1' else ''}" for number in clients), "MB after it")
    return f"{words}\n\n{_table(head, rows)}"


def _notes(peers: Mapping[str, Any], http: Mapping[str, Any]) -> str:
    whose: dict[str, list[str]] = {}
    for name, one in peers["servers"].items():
        whose.setdefault(one["note"], []).append(name)
    notes = [f"{' and '.join(names)}: {note}" for note, names in whose.items() if note]
    left = {**peers["left_out"], **http.get("left_out", {})}
    return (
        _filled(f"What they do for an answer: {'. '.join(notes)}.")
        + "\n\n"
        + _filled(f"Not measured: {'. '.join(f'{name}: {why}' for name, why in left.items())}.")
    )


def _filled(text: str) -> str:
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Writes, or looks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="Makes the table and the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something differs")
    parser.add_argument("--state", default="", help="what to say first of the run, such as 'Quiet, '")
    options = parser.parse_args()
    found, text = load(), RESULTS.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{RESULTS.name}: expected the lines {BEGIN} and {END} once each")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    wanted = {RESULTS: f"{before}{BEGIN}\n\n{made(found, options.state)}\n\n{END}{after}", CHART: chart(found["peers"])}
    for path, content in wanted.items():
        if options.check and (not path.exists() or path.read_text("utf-8") != content):
            raise SystemExit(f"{path.name} is not what {found['peers']['machine']['at']} measured")
        if not options.check:
            path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
