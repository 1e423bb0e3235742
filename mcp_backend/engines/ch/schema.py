"""What db_schema shows of a ClickHouse server, and what is remembered between two calls."""

import time
from dataclasses import dataclass, field
from typing import TypeAlias

from mcp_backend.engines.ch import overview, table
from mcp_backend.engines.ch.analysis import Asks
from mcp_backend.engines.ch.fingerprint import Fingerprint, fingerprint
from mcp_backend.engines.ch.overview import Entry, Page, named
from mcp_backend.engines.listing import (
    ENDING_BYTES,
    LONGEST_COMMENT,
    MOST_PAGES,
    MOST_WITH_COLUMNS,
    PAGE_SECONDS,
    Detail,
    Question,
    ended,
    fitting,
    size,
)  # fmt: skip
from mcp_backend.errors import Json

LEGEND = "engine MergeTree unless said; key: in ORDER BY; = default; feeds: materialized views that read it"
_Key: TypeAlias = tuple[str, str | None, Detail, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole answer, and the server's word of changes from before it was made."""

    at: float
    word: str
    answer: dict[str, Json]


@dataclass(slots=True)
class Memory:
    """What is known of one server: its fingerprint, and listings that hold while its catalog does."""

    fingerprint: Fingerprint | None = None
    answers: dict[Question, Kept] = field(default_factory=dict[Question, Kept])
    pages: dict[_Key, tuple[float, dict[str, Json]]] = field(default_factory=dict[_Key, tuple[float, dict[str, Json]]])


def repeated(memory: Memory, question: Question, word: str) -> dict[str, Json] | None:
    """The answer to the same question from a moment ago, when the server says that nothing has changed since."""
    kept = memory.answers.get(question)
    if kept is None or not word or kept.word != word or time.monotonic() - kept.at > PAGE_SECONDS:
        return None
    return dict(kept.answer)


def keep(memory: Memory, question: Question, word: str, answer: dict[str, Json]) -> None:
    """Remembers an answer for `repeated`. `word` is what the server said before the answer was made."""
    if len(memory.answers) >= MOST_PAGES:
        memory.answers.clear()
    if word:
        memory.answers[question] = Kept(time.monotonic(), word, dict(answer))


async def version(asks: Asks, memory: Memory) -> str:
    """The fingerprint; listings of another schema are forgotten."""
    before = memory.fingerprint
    memory.fingerprint = await fingerprint(asks, before)
    if before is None or before.version != memory.fingerprint.version:
        memory.pages.clear()
    return memory.fingerprint.version


async def listing(
    asks: Asks, memory: Memory, search: str, after: str | None, detail: Detail, most_bytes: int
) -> dict[str, Json]:
    """`tables`, `truncated`, `next` and what helps to read them; the most useful tables first, in at most so many bytes
    as compact JSON."""
    key = (search, after, detail, most_bytes)
    kept = memory.pages.get(key)
    if kept and time.monotonic() - kept[0] < PAGE_SECONDS:
        return dict(kept[1])
    page = await overview.page(asks, search, after)
    room = most_bytes - ENDING_BYTES
    if detail == "full":
        result = await _full(asks, page, room)
    elif detail == "columns":
        result = await _with_columns(asks, page, room)
    else:
        result = await _names_first(asks, page, room, columns=detail == "auto")
    if len(memory.pages) >= MOST_PAGES:
        memory.pages.clear()
    memory.pages[key] = (time.monotonic(), result)
    return dict(result)


async def _names_first(asks: Asks, page: Page, room: int, *, columns: bool) -> dict[str, Json]:
    """Names first, because a table that is not named cannot be asked for; then columns while there is room, but for
    tables that a search found only by some: those say that they are about something else."""
    room -= (size(page.summary) if page.summary and len(page.entries) < page.total else 0) + size(LEGEND)
    tables, left = fitting(page.entries, named, room)
    result = ended(page.entries, page.total, tables) | {"legend": LEGEND}
    if result["truncated"]:
        return result | page.summary
    entries = page.entries[:MOST_WITH_COLUMNS]
    if columns and entries and left > 0:
        lines = await overview.columns(asks, entries)
        for entry, shown in zip(entries, tables, strict=False):
            if entry.by_columns:
                continue
            more = _detailed(entry, lines.get(entry.full, []))
            left -= size(more)
            if left < 0:
                break
            shown.pop("matched", None)
            shown |= more
    return result


async def _with_columns(asks: Asks, page: Page, room: int) -> dict[str, Json]:
    """As many tables as fit with all their columns, at least one."""
    entries = page.entries[:MOST_WITH_COLUMNS]
    lines = await overview.columns(asks, entries) if entries else {}
    tables: list[dict[str, Json]] = []
    room -= size(LEGEND)
    for entry in entries:
        shown = named(entry) | _detailed(entry, lines.get(entry.full, []))
        room -= size(shown) + 1
        if room < 0 and tables:
            break
        tables.append(shown)
    return ended(page.entries, page.total, tables) | {"legend": LEGEND}


async def _full(asks: Asks, page: Page, room: int) -> dict[str, Json]:
    """As many tables as fit with everything about them, at least one."""
    tables: list[dict[str, Json]] = []
    for entry in page.entries[:MOST_WITH_COLUMNS]:
        shown, _ = await table.describe(asks, await table.find(asks, entry.full), None)
        room -= size(shown) + 1
        if room < 0 and tables:
            break
        tables.append(shown)
    return ended(page.entries, page.total, tables)


def _detailed(entry: Entry, lines: list[str]) -> dict[str, Json]:
    more: dict[str, Json] = {"columns": [*lines]}
    if "(" in entry.made:
        more["engine"] = entry.made[:LONGEST_COMMENT]
    if entry.order_by:
        more["order_by"] = entry.order_by
    if entry.partition_by:
        more["partition_by"] = entry.partition_by
    if entry.comment:
        more["comment"] = entry.comment[:LONGEST_COMMENT]
    return more
