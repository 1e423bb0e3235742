"""What db_schema and the schema resources show, and what is remembered between two calls."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from mcp_backend.engines.pg import overview, table
from mcp_backend.engines.pg.asking import ask
from mcp_backend.engines.pg.columns import LEGEND, columns
from mcp_backend.engines.pg.fingerprint import Fingerprint, fingerprint
from mcp_backend.engines.pg.overview import Detail, Page, named
from mcp_backend.errors import Json

MOST_WITH_COLUMNS = 60
ENDING_BYTES = 250
"""Room for what follows the tables: the total, the key of the next page."""
MOST_PAGES = 32
PAGE_SECONDS = 30.0
"""How long a listing of an unchanged schema is shown again: row estimates move without a change of the schema."""


@dataclass(slots=True)
class Memory:
    """What is known of one database: its fingerprint, and listings that hold while its catalog does."""

    fingerprint: Fingerprint | None = None
    pages: dict[tuple[str, str | None, Detail, int], tuple[float, dict[str, Json]]] = field(
        default_factory=dict[tuple[str, "str | None", Detail, int], tuple[float, dict[str, Json]]]
    )


async def prepare(conn: AsyncConnection[Any], memory: Memory) -> tuple[str, str]:
    """The fingerprint and the search path, inside the READ ONLY transaction of a session whose path is then empty:
    with an empty one, nobody can put an operator of his own into our queries."""
    ((path,),) = (await ask(conn, ("select pg_catalog.current_schemas(true)::text", ())))[0]
    await conn.execute(b"set local search_path = ''; set local jit = off")
    before = memory.fingerprint
    memory.fingerprint = await fingerprint(conn, before)
    if before is None or before.catalog != memory.fingerprint.catalog:
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
    if detail in ("columns", "full") or (detail == "auto" and page.total <= MOST_WITH_COLUMNS):
        shown = await _with_columns(conn, page, most_bytes, full=detail == "full")
        if detail != "auto" or len(shown["tables"]) == page.total:  # type: ignore[arg-type]
            return shown
    budget = most_bytes - ENDING_BYTES - (size(page.summary) if whole else 0)
    tables: list[Json] = []
    for entry in page.entries:
        budget -= size(named(entry)) + 1
        if budget < 0:
            break
        tables.append(named(entry))
    result = _ended(page, tables)
    if whole and result["truncated"]:
        result |= page.summary
    return result


async def _with_columns(conn: AsyncConnection[Any], page: Page, most_bytes: int, *, full: bool) -> dict[str, Json]:
    entries = page.entries[:MOST_WITH_COLUMNS]
    lines, comments, enums = await columns(conn, [entry.oid for entry in entries])
    budget = most_bytes - ENDING_BYTES - size(LEGEND)
    tables: list[Json] = []
    used: dict[str, Json] = {}
    for entry in entries:
        if full:
            shown, _ = await table.describe(conn, entry.oid, None)
        else:
            shown = named(entry)
            shown["columns"] = [*lines.get(entry.oid, [])]
            if entry.oid in comments:
                shown["comment"] = comments[entry.oid][:120]
        words = " ".join(lines.get(entry.oid, []))
        more: dict[str, Json] = {n: v[:200] for n, v in enums.items() if n not in used and n in words}
        budget -= size(shown) + (size(more) if more else 0) + 1
        if budget < 0 and tables:
            break
        tables.append(shown)
        used |= more
    result = _ended(page, tables)
    if not full:
        result["legend"] = LEGEND
    if used and not full:
        result["enums"] = used
    return result


def _ended(page: Page, tables: list[Json]) -> dict[str, Json]:
    left = page.total - len(tables)
    result: dict[str, Json] = {"tables": tables, "total": page.total, "truncated": left > 0}
    if left > 0:
        result["next"] = page.entries[len(tables) - 1].key
    return result


def size(value: object) -> int:
    """Bytes as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
