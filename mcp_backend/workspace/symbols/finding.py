"""Finding definitions: the table is brought up to date first, as far as the question needs it.

A definition of a name has that name in its text, in one of few places. So of files that were never parsed only those
have to be, and the first question about a large repository is answered completely without parsing all of it; what is
left of the first second goes into the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from mcp_backend.errors import InvalidArgument
from mcp_backend.settings import Workspace
from mcp_backend.workspace import reading
from mcp_backend.workspace.symbols import languages, parsing, table
from mcp_backend.workspace.symbols.parsing import Symbol
from mcp_backend.workspace.symbols.sources import Sources
from mcp_backend.workspace.symbols.table import Parsed, Table

FILL_SECONDS = 1.0
FILL_LEAST = 0.2
"""Seconds a call gives to the rest in any case, so that a slow machine gets there too."""
BATCH = 200
AROUND = 60
"""Bytes around a name that tell whether it may be defined there."""
PAGE = 40
BODIES = 16_000
"""Bytes of source in one answer."""
SIMILAR = 5


@dataclass(frozen=True, slots=True)
class Place:
    """A definition in a file. `body` is its source, `None` where there was no room for it."""

    path: str
    symbol: Symbol
    body: str | None = None

    @property
    def key(self) -> str:
        """Where the next page begins after this one."""
        return f"{self.path}:{self.symbol.line}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of the definitions of a name, of `total`. `unclear` are files with the name in them that were not wholly
    understood or are too large; `similar` are names that are defined, where this one is not. `parsed` of `files` are
    in the table: only a guess at similar names needs all of them."""

    places: Sequence[Place]
    total: int
    unclear: Sequence[str]
    similar: Sequence[str]
    parsed: int
    files: int
    next: str | None


def definitions(
    workspace: Workspace, name: str, below: str = "", after: str | None = None, seconds: float = FILL_SECONDS
) -> Answer:
    """The definitions of a name, plain or qualified (`Order.total`), in the files below a path ("": everywhere).

    Raises `Unavailable` where the grammars are not installed.
    """
    plain = name.rpartition(".")[2]
    with table.opened(workspace.state) as known, Sources(workspace) as sources:
        unclear, left = _refresh(known, sources, plain, time.monotonic() + seconds)
        places = _places(known, plain, name, below)
        shown, following = _page(places, after)
        if changed := {place.path for place in shown if _source(sources, place) is None}:
            # Changed since the look at all files: what was parsed must not stand for what is there.
            known.put(filter(None, map(sources.parsed, changed)))
            places = _places(known, plain, name, below)
            shown, following = _page(places, after)
        similar = [] if places else get_close_matches(plain, known.names(), n=SIMILAR, cutoff=0.7)
        return Answer(
            places=_with_bodies(sources, shown),
            total=len(places),
            unclear=sorted(path for path in unclear if _below(path, below)),
            similar=similar,
            parsed=len(sources.stamps) - left,
            files=len(sources.stamps),
            next=following,
        )


def outline(workspace: Workspace, path: str) -> tuple[list[Symbol], bool]:
    """The definitions in one file as it is now, and whether all of it was understood.

    Raises `InvalidArgument` for a language that is not known or a file that is too large.
    """
    grammar = languages.of(path)
    if grammar is None:
        raise InvalidArgument(f"path: {path} is not {languages.KNOWN}; read_file shows it")
    content = reading.look(workspace, path)
    if isinstance(content, reading.Folder):
        raise InvalidArgument(f"path: {path} is a folder; expected a file")
    if len(content.data) > parsing.LARGEST:
        raise InvalidArgument(f"path: {path} has {len(content.data)} bytes, more than are parsed; read_file shows it")
    return parsing.symbols(content.data, grammar)


def _refresh(known: Table, sources: Sources, name: str, until: float) -> tuple[set[str], int]:
    """Brings the table up to date for one name. Returns the files with that name that are not wholly understood, and
    how many files without it were left for later."""
    stamps = known.stamps()
    if gone := [path for path in stamps if path not in sources.stamps]:
        known.drop(gone)
    later: list[str] = []
    batch: list[Parsed] = []
    for path in [path for path, stamp in sources.stamps.items() if stamps.get(path) != stamp]:
        data = sources.read(path)
        if data is None or not _may_define(path, data, name):
            later.append(path)
        elif parsed := sources.parsed(path, data):
            batch.append(parsed)
        if len(batch) >= BATCH:
            known.put(batch)
            batch = []
    until = max(until, time.monotonic() + FILL_LEAST)
    while later and time.monotonic() < until:
        if parsed := sources.parsed(later.pop()):
            batch.append(parsed)
    known.put(batch)
    return {path for path in known.unclear() if name.encode() in (sources.read(path) or b"")}, len(later)


def _may_define(path: str, data: bytes, name: str) -> bool:
    grammar, plain = languages.of(path), name.encode()
    place = data.find(plain) if grammar else -1
    while grammar and place >= 0:
        # A regular expression over the whole source costs as much as parsing it.
        if languages.hint(grammar, name).search(data[max(0, place - AROUND) : place + len(plain) + AROUND]):
            return True
        place = data.find(plain, place + len(plain))
    return False


def _places(known: Table, plain: str, name: str, below: str) -> list[Place]:
    found = [
        Place(path, symbol)
        for path, symbol in known.named(plain)
        if _below(path, below) and f".{symbol.qualified}".endswith(f".{name}")
    ]
    return sorted(found, key=lambda place: ("test" in place.path.lower(), place.path, place.symbol.begin))


def _page(places: Sequence[Place], after: str | None) -> tuple[Sequence[Place], str | None]:
    start = 0
    if after is not None:
        start = next((i + 1 for i, place in enumerate(places) if place.key == after), -1)
        if start < 0:
            raise InvalidArgument("after: there is no such definition any more; ask again without it")
    shown = places[start : start + PAGE]
    return shown, shown[-1].key if start + PAGE < len(places) else None


def _with_bodies(sources: Sources, places: Sequence[Place]) -> list[Place]:
    room = BODIES
    found: list[Place] = []
    for place in places:
        body = _source(sources, place) if place.symbol.end - place.symbol.begin <= room else None
        room -= len(body or "")
        found.append(replace(place, body=body))
    return found


def _source(sources: Sources, place: Place) -> str | None:
    """The source of a definition, if the file still has it there."""
    data = sources.read(place.path)
    part = data[place.symbol.begin : place.symbol.end] if data else b""
    return part.decode("utf-8", "replace") if part and parsing.digest(part) == place.symbol.digest else None


def _below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
