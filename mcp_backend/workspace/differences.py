"""Which lines differ between two versions of a file."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias, TypeVar

Line = TypeVar("Line", str, bytes)
Range: TypeAlias = tuple[int, int, int, int]
"""`old[a:b]` was replaced by `new[c:d]`."""
LARGEST = 4_000
"""Lines between the first and the last difference; where there are more, all of them count as different."""
CONTEXT = 2


def ranges(old: Sequence[Line], new: Sequence[Line]) -> list[Range]:
    """What was replaced by what, in order."""
    start, before, after = _middle(old, new)
    if max(before, after) - start > LARGEST:
        return [(start, before, start, after)]
    matcher = SequenceMatcher(None, old[start:before], new[start:after], autojunk=False)
    return [(start + a, start + b, start + c, start + d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def added(before: bytes | None, after: bytes) -> set[int] | None:
    """The numbers (from 1) of the lines of `after` that are not in `before`; `None` for all of them."""
    if before is None:
        return None
    return {line for _, _, c, d in ranges(before.split(b"\n"), after.split(b"\n")) for line in range(c + 1, d + 1)}


def count(before: bytes | None, after: bytes) -> int:
    """How many lines a change takes away and adds."""
    if before is None:
        return len(after.splitlines())
    return sum(b - a + d - c for a, b, c, d in ranges(before.split(b"\n"), after.split(b"\n")))


def unified(old: Sequence[str], new: Sequence[str], *, lines: int, characters: int) -> tuple[str, bool]:
    """The difference in the unified format, cut after so many lines or characters, and whether it was cut."""
    taken: list[str] = []
    for line in _unified(old, new):
        characters -= len(line) + 1
        if len(taken) == lines or characters < 0:
            return "\n".join(taken), True
        taken.append(line)
    return "\n".join(taken), False


def _unified(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    start, before, after = _middle(old, new)
    if max(before, after) - start > LARGEST:
        yield f"@@ -{start + 1},{before - start} +{start + 1},{after - start} @@"
        yield from (f"-{line}" for line in old[start:before])
        return
    start = max(0, start - CONTEXT)
    left, right = old[start : before + CONTEXT], new[start : after + CONTEXT]
    for group in SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(CONTEXT):
        a, b, c, d = group[0][1], group[-1][2], group[0][3], group[-1][4]
        yield f"@@ -{start + a + 1},{b - a} +{start + c + 1},{d - c} @@"
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (f" {line}" for line in left[a:b])
            else:
                yield from (f"-{line}" for line in left[a:b])
                yield from (f"+{line}" for line in right[c:d])


def _middle(old: Sequence[Line], new: Sequence[Line]) -> tuple[int, int, int]:
    """Where the first difference begins, and where the last one ends in either; what is equal at both ends is most of
    a file and costs nothing."""
    shorter = min(len(old), len(new))
    start = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = shorter - start
    end = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    return start, len(old) - end, len(new) - end
