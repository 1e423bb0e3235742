"""The lock timeline: one lane for each relation, drawn over the statements that hold its locks."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mcp_backend.web.page import spoken_ms, text

LEAST = 0.05
"""The share of the width that the shortest statement gets, so that it can be seen."""
WIDTH = 100.0
"""The drawing is as wide as the page: places are percentages, so that nothing in it is stretched."""
NUMBERED = 2.0
"""A statement that is narrower, in percent, has no room for its number."""
_COLOURS = {"reads+writes": "b-rw", "writes": "b-w", "ddl": "b-ddl"}
_STRICT = {"reads+writes": 3, "writes": 2, "ddl": 1}


def edges(statements: Sequence[Mapping[str, Any]]) -> list[float]:
    """Where each statement begins, and where the last one ends, in units of the drawing: wide as its time on the
    target, or on the shadow where that is not known, short ones wider than that."""
    times = [max(float(expected(s)), 0.01) for s in statements]
    total = sum(times) or 1
    least = min(LEAST, 1 / max(1, len(times)))
    shares = [max(least, one / total) for one in times]
    scale = WIDTH / sum(shares) if shares else 1
    found = [0.0]
    for share in shares:
        found.append(found[-1] + share * scale)
    return found


def drawn(about: Mapping[str, Any]) -> str:
    """The lanes of a rehearsal; a sentence when nothing was blocked."""
    statements: Sequence[Mapping[str, Any]] = about["statements"]
    holds: Sequence[Mapping[str, Any]] = about["timeline"]
    if not holds:
        return "<p class='soft'>No lock that holds anybody up was seen on a relation that was there before.</p>"
    places = edges(statements)
    numbers = {int(s.get("number", index)): index - 1 for index, s in enumerate(statements, 1)}
    lanes: dict[str, list[Mapping[str, Any]]] = {}
    for hold in holds:
        lanes.setdefault(str(hold["relation"]), []).append(hold)
    cuts = "".join(f'<line class="cut" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>' for x in places[1:-1])
    ordered = sorted(lanes.items(), key=lambda lane: -max(_STRICT.get(str(h["blocks"]), 0) for h in lane[1]))
    drawn_lanes = "".join(_lane(name, own, places, numbers, cuts) for name, own in ordered)
    return f"{_axis(statements, places)}{drawn_lanes}{_KEY}"


_KEY = (
    "<div class='key'><span><i class='k-rw'></i>blocks reads and writes</span>"
    "<span><i class='k-w'></i>blocks writes</span>"
    "<span><i class='k-ddl'></i>blocks other changes of the schema only</span></div>"
    "<p class='soft small'>Wide as the time that is expected on the target; short statements are drawn wider, to be "
    "seen.</p>"
)


def _axis(statements: Sequence[Mapping[str, Any]], places: list[float]) -> str:
    slots: list[str] = []
    for i, statement in enumerate(statements):
        begin, width = places[i], places[i + 1] - places[i]
        shade = " bad" if statement.get("error") else " odd" if i % 2 else ""
        slots.append(
            f'<rect class="slot{shade}" x="{begin:.2f}%" y="0" width="{width:.2f}%" height="100%">'
            f"<title>{text(statement['sql'])}</title></rect>"
        )
        if width >= NUMBERED:
            number = text(statement.get("number", i + 1))
            slots.append(f'<text x="{begin + width / 2:.2f}%" y="68%" text-anchor="middle">{number}</text>')
    total = sum(float(expected(s)) for s in statements)
    named = f"Statements 1 to {len(statements)}" if len(statements) > 1 else "Statement 1"
    return (
        f"<div class='lane axis'><div class='head'><b>{named}</b><span class='soft'>{text(spoken_ms(total))} in "
        f"all</span></div>"
        f'<svg role="img" aria-label="{named}">{"".join(slots)}</svg></div>'
    )


def _lane(
    name: str, holds: Sequence[Mapping[str, Any]], places: list[float], numbers: Mapping[int, int], cuts: str
) -> str:
    bars: list[str] = []
    said: list[str] = []
    for hold in sorted(holds, key=lambda h: _STRICT.get(str(h["blocks"]), 0)):
        first, last = numbers.get(int(hold["from"]), 0), numbers.get(int(hold["to"]), len(places) - 2)
        begin, end = places[first], places[min(last, len(places) - 2) + 1]
        colour = _COLOURS.get(str(hold["blocks"]), "b-none")
        about = f"{hold['mode']} from statement {hold['from']} to {hold['to']}, {spoken_ms(held(hold))}"
        bars.append(
            f'<rect class="{colour}" x="{begin:.2f}%" y="5" width="{max(end - begin, 0.4):.2f}%" height="14" rx="3">'
            f"<title>{text(about)}</title></rect>"
        )
        said.append(f"{hold['mode']} {spoken_ms(held(hold))}")
    shown = ", ".join(dict.fromkeys(reversed(said)))
    return (
        f"<div class='lane'><div class='head'><code>{text(name)}</code><span class='soft'>{text(shown)}</span></div>"
        f'<svg role="img" aria-label="{text(f"{name}: {shown}")}">'
        f"{cuts}{''.join(bars)}</svg></div>"
    )


def estimate(of: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is estimated for the target: `low`, `expected`, `high` in milliseconds, or nothing."""
    return cast("Mapping[str, Any]", of.get("estimate_ms") or {})


def expected(statement: Mapping[str, Any]) -> float:
    """Milliseconds that a statement takes on the target, or took on the shadow."""
    return float(estimate(statement).get("expected") or statement.get("elapsed_ms") or 0)


def held(hold: Mapping[str, Any]) -> float:
    """Milliseconds that a lock is held on the target, or was held on the shadow."""
    return float(estimate(hold).get("expected") or hold.get("held_ms") or 0)
