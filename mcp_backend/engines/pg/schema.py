"""What db_schema and the schema resources show, and what is remembered between two calls."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from psycopg import AsyncConnection

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
from mcp_backend.engines.pg import overview, table
from mcp_backend.engines.pg.asking import ask
from mcp_backend.engines.pg.columns import LEGEND, columns
from mcp_backend.engines.pg.fingerprint import SEEN, Fingerprint, catalog, comparable, fingerprint
from mcp_backend.engines.pg.overview import Page, named
from mcp_backend.engines.pg.wire import Reply, Step
from mcp_backend.errors import Json

LONGEST_LABELS = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole answer, and what was true when it was given: the fingerprint, in which schemas names were looked for, and
    what else the caller depends on."""

    at: float
    taken: Fingerprint
    path: str
    stamp: object
    answer: dict[str, Json]


class Asks(Protocol):
    """What is needed of an engine to ask it whether something changed."""

    memory: "Memory"
    path: str

    async def look_up(self, steps: Sequence[Step]) -> list[Reply]:
        """The replies to catalog queries, in one round trip."""
        ...


@dataclass(slots=True)
class Memory:
    """What is known of one database: its fingerprint, listings that hold while its catalog does, and answers that hold
    while nothing at all has changed."""

    fingerprint: Fingerprint | None = None
    answers: dict[Question, Kept] = field(default_factory=dict["Question", Kept])
    pages: dict[tuple[str, str | None, Detail, int], tuple[float, dict[str, Json]]] = field(
        default_factory=dict[tuple[str, "str | None", Detail, int], tuple[float, dict[str, Json]]]
    )


async def repeated(engine: Asks, question: Question, stamp: object) -> tuple[Kept, bool] | None:
    """The answer to the same question from a moment ago when no definition changed since, and whether nothing at all
    did. Rows, sizes and what else moves without a change of the schema are as old as the answer; what is read from
    tables has to be read again and given to `renew`."""
    memory = engine.memory
    kept, known = memory.answers.get(question), memory.fingerprint
    if kept is None or known is None or kept.stamp != stamp or time.monotonic() - kept.at > PAGE_SECONDS:
        return None
    (reply,) = await engine.look_up([Step(SEEN.decode())])
    seen = str(reply.rows[0][0]) if reply.rows else ""
    if engine.path != kept.path or (known.catalog, known.since) != (kept.taken.catalog, kept.taken.since):
        return None
    if kept.taken.seen == seen:
        return kept, True
    if known.seen != seen:
        if not await _unchanged(engine, known, seen):
            return None
        if memory.fingerprint is known:
            memory.fingerprint = replace(known, seen=seen)
    return replace(kept, taken=replace(known, seen=seen)), False


def renew(memory: Memory, question: Question, kept: Kept, answer: dict[str, Json]) -> None:
    """Remembers an answer of `repeated` with what was read again."""
    memory.answers[question] = replace(kept, answer=dict(answer))


async def _unchanged(engine: Asks, known: Fingerprint, seen: str) -> bool:
    """Whether no definition changed: asked on several connections at once, each of which sees at least what `seen`
    names."""
    if not comparable(known, seen):
        return False
    wanted = [engine.look_up([Step("set local jit = off"), Step(query)]) for query in catalog(known.since)]
    replies = [reply for _, reply in await asyncio.gather(*wanted)]
    if any(reply.error is not None for reply in replies):
        return False
    return " ".join(str(reply.rows[0][0]) for reply in replies) == known.catalog


def keep(memory: Memory, question: Question, path: str, stamp: object, answer: dict[str, Json]) -> None:
    """Remembers an answer for `repeated`."""
    assert memory.fingerprint is not None, "prepare came before"
    if len(memory.answers) >= MOST_PAGES:
        memory.answers.clear()
    memory.answers[question] = Kept(time.monotonic(), memory.fingerprint, path, stamp, dict(answer))


async def prepare(conn: AsyncConnection[Any], memory: Memory) -> tuple[str, str]:
    """The fingerprint and the search path, inside the READ ONLY transaction of a session whose path is then empty:
    with an empty one, nobody can put an operator of his own into our queries."""
    ((path,),) = (await ask(conn, ("select pg_catalog.current_schemas(true)::text", ())))[0]
    await conn.execute(b"set local search_path = ''; set local jit = off")
    before = memory.fingerprint
    memory.fingerprint = await fingerprint(conn, before)
    if before is None or (before.catalog, before.since) != (memory.fingerprint.catalog, memory.fingerprint.since):
        memory.pages.clear()
    return memory.fingerprint.version, str(path)


async def listing(
    conn: AsyncConnection[Any], memory: Memory, search: str, after: str | None, detail: Detail, most_bytes: int
) -> dict[str, Json]:
    """`tables`, `truncated`, `next` and what helps to read them; the most useful tables first, in at most so many bytes
    as compact JSON."""
    key = (search, after, detail, most_bytes)
    kept = memory.pages.get(key)
    if kept and time.monotonic() - kept[0] < PAGE_SECONDS:
        return dict(kept[1])
    page = await overview.page(conn, search, after)
    result = await _fitted(conn, page, detail, most_bytes, whole=after is None and not search)
    if len(memory.pages) >= MOST_PAGES:
        memory.pages.clear()
    memory.pages[key] = (time.monotonic(), result)
    return dict(result)


async def _fitted(
    conn: AsyncConnection[Any], page: Page, detail: Detail, most_bytes: int, *, whole: bool
) -> dict[str, Json]:
    """Names first, because a table that is not named cannot be asked for; then columns while there is room."""
    if detail == "full":
        return await _full(conn, page, most_bytes)
    room = most_bytes - ENDING_BYTES
    if detail == "columns":
        return await _with_columns(conn, page, room)
    room -= size(page.summary) if whole and len(page.entries) < page.total else 0
    tables, left = fitting(page.entries, named, room)
    result = ended(page.entries, page.total, tables)
    if result["truncated"]:
        return result | (page.summary if whole else {})
    return result | (await _columns_added(conn, page, tables, left) if detail == "auto" else {})


async def _columns_added(
    conn: AsyncConnection[Any], page: Page, tables: list[dict[str, Json]], left: int
) -> dict[str, Json]:
    """Adds columns and comments to the first tables while they fit; what a reader needs to understand them. Tables that
    a search found by some columns show only those: their own names say that they are about something else."""
    left -= size(LEGEND) + 12
    entries = page.entries[:MOST_WITH_COLUMNS]
    if left <= 0 or not entries:
        return {}
    lines, comments, enums = await columns(conn, [entry.oid for entry in entries])
    used: dict[str, Json] = {}
    added = False
    for entry, shown in zip(entries, tables, strict=False):
        if entry.by_columns:
            continue
        more: dict[str, Json] = {"columns": [*lines.get(entry.oid, [])]}
        if entry.oid in comments:
            more["comment"] = comments[entry.oid][:LONGEST_COMMENT]
        labels = _labels(enums, used, lines.get(entry.oid, []))
        left -= size(more) + size(labels)
        if left < 0:
            break
        shown.pop("matched", None)
        shown |= more
        used |= labels
        added = True
    return {"legend": LEGEND, **({"enums": used} if used else {})} if added else {}


async def _with_columns(conn: AsyncConnection[Any], page: Page, room: int) -> dict[str, Json]:
    """As many tables as fit with all their columns."""
    entries = page.entries[:MOST_WITH_COLUMNS]
    lines, comments, enums = await columns(conn, [entry.oid for entry in entries])
    room -= size(LEGEND) + 12
    tables: list[dict[str, Json]] = []
    used: dict[str, Json] = {}
    for entry in entries:
        shown = named(entry)
        shown["columns"] = [*lines.get(entry.oid, [])]
        if entry.oid in comments:
            shown["comment"] = comments[entry.oid][:LONGEST_COMMENT]
        labels = _labels(enums, used, lines.get(entry.oid, []))
        room -= size(shown) + size(labels) + 1
        if room < 0 and tables:
            break
        tables.append(shown)
        used |= labels
    result = ended(page.entries, page.total, tables)
    result["legend"] = LEGEND
    if used:
        result["enums"] = used
    return result


async def _full(conn: AsyncConnection[Any], page: Page, room: int) -> dict[str, Json]:
    """As many tables as fit with everything about them, at least one."""
    tables: list[dict[str, Json]] = []
    for entry in page.entries[:MOST_WITH_COLUMNS]:
        shown, _ = await table.describe(conn, entry.oid, None)
        room -= size(shown) + 1
        if room < 0 and tables:
            break
        tables.append(shown)
    return ended(page.entries, page.total, tables)


def _labels(enums: dict[str, str], used: dict[str, Json], lines: list[str]) -> dict[str, Json]:
    """The labels of enums that these columns use and nobody has shown yet."""
    words = " ".join(lines)
    fresh: dict[str, Json] = {}
    for name, labels in enums.items():
        if name not in used and name in words:
            fresh[name] = labels[:LONGEST_LABELS]
    return fresh
