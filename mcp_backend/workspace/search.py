"""Searching the text of a workspace: what git ignores is left out, results come in the order of paths, page by page.

ripgrep first counts matching lines per file, with all its threads; then only the files of the page are searched again,
one after the other. So the totals are known, the order is the same in every call, and a page costs little more than the
search itself.
"""

import asyncio
import base64
import json
import os
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from mcp_backend.errors import InvalidArgument
from mcp_backend.workspace import ripgrep

Event: TypeAlias = Mapping[str, Any]
PAGE_CHARACTERS = 24_000
LARGEST = 10_000_000
"""Bytes. Larger files are data; a match in one is a line nobody can read."""
LONGEST = 300
"""Characters of one line; of a longer one, what is around the match."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: plain text or a regular expression of ripgrep, in files that fit `glob`."""

    text: str
    regex: bool = False
    glob: str | None = None
    context: int = 0
    word: bool = False


@dataclass(slots=True)
class Match:
    """One matching line, with the lines around it that no other match shows."""

    line: int
    text: str
    column: int
    before: list[str] = field(default_factory=list[str])
    after: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Found:
    """The matches of one file that are on the page. `raw` is the path as the file system has it."""

    raw: str
    matches: list[Match] = field(default_factory=list[Match])


@dataclass(frozen=True, slots=True)
class Page:
    """Some matches, how many lines match in all, in how many files, and where the next page begins."""

    files: list[Found]
    lines: int
    total_files: int
    next: str | None


async def search(root: Path, query: Query, limit: int, after: str | None) -> Page:
    """One page of at most `limit` matching lines, from the one after `after` on.

    Raises `InvalidArgument` with ripgrep's words where it cannot read the pattern, `Unavailable` without ripgrep.
    """
    counts = await count(root, query)
    path, line = position(after)
    todo = [name for name in sorted(counts) if name > path or (name == path and line)]
    wanted: list[str] = []
    expected = 0
    for name in todo:
        wanted.append(name)
        expected += 0 if name == path else counts[name]
        if expected > limit:
            break
    files, following = await _page(root, query, wanted, limit, (path, line)) if wanted else ([], None)
    if following is None and len(wanted) < len(todo):
        following = _last(files) or f"{wanted[-1]}:0"
    return Page(files, sum(counts.values()), len(counts), following)


async def count(root: Path, query: Query) -> dict[str, int]:
    """How many lines match, by file. With a glob, what git ignores stays left out: ripgrep's own globs would add it."""
    if len(query.glob or "") > ripgrep.LONGEST:
        raise InvalidArgument(f"glob: is too long; at most {ripgrep.LONGEST} characters")
    arguments = ["--count", "--null", *_arguments(query)]
    if not query.glob:
        return _counts(root, await ripgrep.output(root, [*arguments, ripgrep.NOT_GIT, "./"]))
    globs = [f"--glob={query.glob}", ripgrep.NOT_GIT]
    counting = ripgrep.output(root, [*arguments, *globs, "./"])
    listing = ripgrep.output(root, ["--files", "--null", ripgrep.NOT_GIT, "./"])
    counted, listed = await asyncio.gather(counting, listing)
    known = set(listed.split(b"\0"))
    return _counts(root, counted, known)


def _arguments(query: Query) -> list[str]:
    return [*(("--word-regexp",) if query.word else ()), *ripgrep.pattern(query.text, regex=query.regex)]


def _counts(root: Path, output: bytes, known: set[bytes] | None = None) -> dict[str, int]:
    """`name NUL count LF`, again and again; a name may have line ends in it. Only files with matches are asked for
    their size: ripgrep's own limit asks every file, which costs a tenth of a search."""
    found: dict[str, int] = {}
    name, *rest = output.split(b"\0")
    for part in rest:
        number, _, following = part.partition(b"\n")
        path = os.fsdecode(name.removeprefix(b"./"))
        if (known is None or name in known) and _small(root, path):
            found[path] = int(number)
        name = following
    return found


def _small(root: Path, path: str) -> bool:
    try:
        return os.stat(f"{root}/{path}").st_size <= LARGEST
    except OSError:
        return False


def position(after: str | None) -> tuple[str, int]:
    """The path and line that a page ended with; a page begins after them."""
    if after is None:
        return "", 0
    path, _, line = after.rpartition(":")
    if not path or not line.isdigit():
        raise InvalidArgument("after: expected the `next` of an earlier answer, such as src/app.py:120")
    return path, int(line)


def _last(files: list[Found]) -> str | None:
    return f"{files[-1].raw}:{files[-1].matches[-1].line}" if files else None


async def _page(
    root: Path, query: Query, names: list[str], limit: int, begin: tuple[str, int]
) -> tuple[list[Found], str | None]:
    """The matches in these files, in their order, and where to go on when there are more than fit."""
    most = [] if begin[1] else [f"--max-count={limit + 1}"]
    arguments = ["--json", "--threads=1", f"--context={query.context}", *most, *_arguments(query), "--"]
    files: list[Found] = []
    room, left = PAGE_CHARACTERS, limit
    following: str | None = None
    current: Found | None = None
    around: list[tuple[int, str]] = []
    async with (
        ripgrep.running(root, [*arguments, *(f"./{name}" for name in names)]) as chunks,
        aclosing(_events(chunks)) as events,
    ):
        async for event in events:
            kind, data = event["type"], event["data"]
            if kind == "begin":
                current, around = Found(os.fsdecode(_bytes(data["path"])).removeprefix("./")), []
            elif kind == "context" and current:
                around.append((data["line_number"], _line(data)[0]))
            elif kind == "match" and current:
                number = data["line_number"]
                if current.raw == begin[0] and number <= begin[1]:
                    around = []
                    continue
                if left == 0 or room < 0:
                    _share(around, current.matches, None, query.context)
                    following = _last(files)
                    break
                text, column = _line(data)
                match = Match(number, text, column)
                _share(around, current.matches, match, query.context)
                around = []
                if not current.matches:
                    files.append(current)
                current.matches.append(match)
                left -= 1
                room -= sum(map(len, (text, *match.before))) + (40 if current.matches[1:] else 60 + len(current.raw))
            elif kind == "end" and current:
                if current.matches:
                    _share(around, current.matches, None, query.context)
                if data["binary_offset"] is not None and files and files[-1] is current:
                    files.pop()
                current, around = None, []
        async for _ in chunks:  # The rest, unread: it ends soon, and a process that is not stopped needs no care.
            pass
    return files, following


def _share(around: list[tuple[int, str]], earlier: list[Match], match: Match | None, context: int) -> None:
    """Gives each line of context to the match before it, where it is near enough, or else to the one after it."""
    for number, text in around:
        if earlier and number - earlier[-1].line <= context:
            earlier[-1].after.append(text)
        elif match:
            match.before.append(text)


async def _events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[Event]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _bytes(data: Mapping[str, str]) -> bytes:
    """Text of ripgrep's JSON: as it is, or in base64 where it is not UTF-8."""
    return data["text"].encode() if "text" in data else base64.b64decode(data["bytes"])


def _line(data: Event) -> tuple[str, int]:
    """A line as it is shown, and the column (from 1, in characters) of the first match in it."""
    whole = _bytes(data["lines"])
    start = int(data["submatches"][0]["start"]) if data.get("submatches") else 0
    ahead = whole[:start].decode("utf-8", "replace")
    text = whole.decode("utf-8", "replace").rstrip("\r\n")
    if len(text) <= LONGEST:
        return text, len(ahead) + 1
    first = max(0, min(len(ahead) - LONGEST // 3, len(text) - LONGEST))
    cut = text[first : first + LONGEST]
    return f"{'…' if first else ''}{cut}{'…' if first + LONGEST < len(text) else ''}", len(ahead) + 1
