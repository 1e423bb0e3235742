"""Replacing pieces of a text that are quoted as a reader saw them: line ends as `\\n`, credentials hidden.

What is quoted must be there exactly once, unless all places are meant. Nothing else of the file changes: its other
line ends, its encoding, the credentials nobody has seen.
"""

import difflib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.workspace import masking
from mcp_backend.workspace.textfile import Text

SHOWN = 10
NEAR = 0.5
"""How alike two pieces must be (0 to 1) before one is shown as what may have been meant."""
LOOKED_AT = 5_000
"""Lines among which the nearest is looked for."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement: `old` is quoted from the file, `all` means every place."""

    old: str
    new: str
    all: bool = False


class _View:
    """A text as it is shown, and where each place of it is in the text as it is."""

    def __init__(self, path: str, text: str, *, hidden: bool) -> None:
        replaced = [(m, m + 2, "\n") for m in _places("\r\n", text)] if "\r\n" in text else []
        if hidden:
            secret = masking.hidden(path, text)
            replaced = sorted([*secret, *(r for r in replaced if not any(b < r[1] and r[0] < e for b, e, _ in secret))])
        parts: list[str] = []
        self._shown: list[int] = [0]
        self._real: list[int] = [0]
        position = length = 0
        for begin, end, text_shown in replaced:
            parts += [text[position:begin], text_shown]
            length += begin - position
            self._shown += [length, length + len(text_shown)]
            self._real += [begin, end]
            length += len(text_shown)
            position = end
        self.text = "".join((*parts, text[position:]))

    def real(self, place: int) -> int | None:
        """The place in the real text; `None` inside a replaced piece."""
        index = bisect_right(self._shown, place) - 1
        ahead = place - self._shown[index]
        if index % 2 and ahead:
            return None
        return self._real[index] + ahead


def apply(path: str, source: Text, edits: Sequence[Edit]) -> str:
    """The text after all edits, each made on what the ones before it left.

    Raises `InvalidArgument` naming the edit and why: not found (with the nearest lines), found several times (with
    their lines), or without effect. Then nothing is changed.
    """
    text = source.text
    for index, edit in enumerate(edits):
        text = _applied(path, replace(source, text=text), edit, f"edits.{index}", later=index > 0)
    return text


def _applied(path: str, source: Text, edit: Edit, field: str, *, later: bool) -> str:
    if not edit.old:
        raise InvalidArgument(f"{field}.old: is empty; quote what is to be replaced. write_file creates files")
    old, new = edit.old.replace("\r\n", "\n"), edit.new.replace("\r\n", "\n")
    if old == new:
        raise InvalidArgument(f"{field}: old and new are the same")
    if masking.MASK in new:
        raise InvalidArgument(
            f"{field}.new: has {masking.MASK}, which stands for a credential that was hidden from you; leave that line "
            "out of the edit, or replace it by a reference to the environment"
        )
    view = _View(path, source.text, hidden=masking.MASK in old)
    places = _places(old, view.text)
    if not places:
        raise _missing(path, view.text, old, field, later=later)
    if len(places) > 1 and not edit.all:
        lines = [view.text.count("\n", 0, place) + 1 for place in places[:SHOWN]]
        raise InvalidArgument(
            f"{field}.old: is in the file {len(places)} times (lines {', '.join(map(str, lines))}"
            f"{' …' if len(places) > SHOWN else ''}); quote more of what is around it, or set all to true",
            details={"edit": field, "occurrences": len(places), "lines": [*lines]},
        )
    written = new.replace("\n", source.newline) if source.newline != "\n" else new
    parts: list[str] = []
    position = 0
    for place in _separate(places, len(old)):
        begin, end = view.real(place), view.real(place + len(old))
        if begin is None or end is None:
            raise InvalidArgument(f"{field}.old: ends inside a hidden credential; quote {masking.MASK} whole")
        parts += [source.text[position:begin], written]
        position = end
    return "".join((*parts, source.text[position:]))


def _places(piece: str, text: str) -> list[int]:
    """Every place of a piece, also those that overlap."""
    found: list[int] = []
    place = text.find(piece)
    while place >= 0:
        found.append(place)
        place = text.find(piece, place + 1)
    return found


def _separate(places: Sequence[int], length: int) -> list[int]:
    """Of places that overlap, from the first on those that do not."""
    kept: list[int] = []
    for place in places:
        if not kept or place >= kept[-1] + length:
            kept.append(place)
    return kept


def _missing(path: str, text: str, old: str, field: str, *, later: bool) -> InvalidArgument:
    before = " after the edits before it" if later else ""
    lines = text.split("\n")
    wanted = old.strip("\n").split("\n")
    details: dict[str, Json] = {"edit": field, "occurrences": 0}
    place, alike = _nearest(lines, wanted)
    if place is None:
        return InvalidArgument(
            f"{field}.old: is not in the file{before}, nor anything like it; read_file shows what is there",
            details=details,
        )
    there = [masking.masked(path, line)[0][:200] for line in lines[place : place + min(len(wanted), SHOWN)]]
    how = "differs only in white space from" if alike == 1.0 else "the nearest is at"
    return InvalidArgument(
        f"{field}.old: is not in the file{before}; {how} line {place + 1}: {there[0].strip()[:120]!r}. "
        "Quote it exactly as read_file shows it",
        details={**details, "nearest": [f"{place + 1 + i}: {line}" for i, line in enumerate(there)]},
    )


def _nearest(lines: Sequence[str], wanted: Sequence[str]) -> tuple[int | None, float]:
    """Where the lines are most like the wanted ones, and how much (1.0: equal but for white space)."""
    bare = [" ".join(line.split()) for line in lines[:LOOKED_AT]]
    piece = [" ".join(line.split()) for line in wanted]
    for place in range(len(bare) - len(piece) + 1):
        if bare[place] == piece[0] and bare[place : place + len(piece)] == piece:
            return place, 1.0
    key = max(range(len(piece)), key=lambda i: len(piece[i]))
    close = difflib.get_close_matches(piece[key], dict.fromkeys(bare), n=1, cutoff=NEAR) if piece[key] else []
    if not close:
        return None, 0.0
    return max(0, bare.index(close[0]) - key), difflib.SequenceMatcher(None, piece[key], close[0]).ratio()
