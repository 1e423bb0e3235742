"""What the rounds of `benchmarks.surface_fuzz` and `benchmarks.soak_day` left: kept in a file, read, summed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TITLES = ("memory kB", "descriptors", "threads", "children", "temporary files", "database connections")
WARM = 2_000
"""Calls until a server has all it keeps: every tool was used, every module is loaded."""


@dataclass(frozen=True, slots=True)
class Row:
    """One round; `life` tells the servers of one wire apart, `held` has what `TITLES` names."""

    wire: str
    life: str
    calls: int
    seconds: float
    kinds: dict[str, int]
    faults: list[str]
    held: list[int]


def add(path: Path, row: Row) -> None:
    """Writes one round; what is written stays when the run is ended."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read(paths: Sequence[Path]) -> list[Row]:
    """The rounds of all files; none of one that is not there yet."""
    lines = [line for path in paths if path.exists() for line in path.read_text("utf-8").splitlines()]
    return [Row(**json.loads(line)) for line in lines]


def faults(rows: Sequence[Row]) -> list[str]:
    """All that is wrong."""
    return [fault for row in rows for fault in row.faults]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: by how much the second grows with one of the first; 0 where nothing can be told."""
    count = len(points)
    if count < 2:
        return 0.0
    middle, mean = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - mean) for x, y in points) / spread if spread else 0.0


def report(rows: Sequence[Row]) -> list[str]:
    """What was sent over each wire and what came back; of each server what it held at first, later and at its end."""
    lines = [f"{sum(row.calls for row in rows):,} calls, {len(faults(rows))} faults"]
    for wire in dict.fromkeys(row.wire for row in rows):
        here = [row for row in rows if row.wire == wire]
        kinds = sum((Counter(row.kinds) for row in here), Counter[str]())
        calls, seconds = sum(row.calls for row in here), sum(row.seconds for row in here)
        lines.append(f"{wire}: {calls:,} in {seconds:.0f} s: {dict(kinds.most_common())}")
        for life in dict.fromkeys(row.life for row in here):
            lines += _life([row for row in here if row.life == life and row.held])
        distinct = Counter(fault[:160] for fault in faults(here))
        shown = {fault[:160]: fault for fault in faults(here)}
        lines += [f"  WRONG ({times}x) {shown[fault]}" for fault, times in distinct.most_common(40)]
    return lines


def _life(rows: Sequence[Row]) -> list[str]:
    """One server: four points of its life, the most, and the slope once it is warm."""
    if not rows:
        return []
    at = 0
    sent: list[int] = []
    for row in rows:
        at += row.calls
        sent.append(at)
    lines = [f"  a server of {at:,} calls"]
    for index, title in enumerate(TITLES[: len(rows[0].held)]):
        values = [row.held[index] for row in rows]
        quarters = [values[min(len(values) * part // 4, len(values) - 1)] for part in (1, 2, 3, 4)]
        warm = [(x / 1000, float(y)) for x, y in zip(sent, values, strict=True) if x > WARM]
        grows = f"; {slope(warm):+.1f} per 1,000 calls after {WARM:,}" if len(warm) > 2 else ""
        lines.append(f"    {title}: {values[0]}, then {', '.join(map(str, quarters))}; most {max(values)}{grows}")
    return lines
