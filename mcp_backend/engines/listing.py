"""What listings of tables have in common, whatever the database: budget, pages, keys, and names that are near."""

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from mcp_backend.actions import listed
from mcp_backend.errors import InvalidArgument, Json

Detail: TypeAlias = Literal["auto", "names", "columns", "full"]
Question: TypeAlias = tuple[str | None, str, str | None, Detail]
"""Table, search, after, detail."""

MOST_NAMES = 400
MOST_MATCHES = 8
MOST_INSTEAD = 8
MOST_WITH_COLUMNS = 60
MOST_COLUMNS = 120
ENDING_BYTES = 250
"""Room for what follows the tables: the total, the key of the next page."""
LONGEST_COMMENT = 120
MOST_PAGES = 32
PAGE_SECONDS = 30.0
"""How long a listing of an unchanged schema is shown again: row counts move without a change of the schema."""


class Entry(Protocol):
    """One table of a listing; `key` is what the next page begins after."""

    @property
    def key(self) -> str:
        """Its score, schema and name."""
        ...


E = TypeVar("E", bound=Entry)


def fitting(
    entries: Sequence[E], named: Callable[[E], dict[str, Json]], room: int
) -> tuple[list[dict[str, Json]], int]:
    """The first entries that fit as names, and how many bytes are left; fewer than none when not all fit."""
    tables: list[dict[str, Json]] = []
    for entry in entries:
        shown = named(entry)
        room -= size(shown) + 1
        if room < 0:
            break
        tables.append(shown)
    return tables, room


def ended(entries: Sequence[Entry], total: int, tables: list[dict[str, Json]]) -> dict[str, Json]:
    """The first of `total` tables, and how to get the rest."""
    left = total - len(tables)
    following = entries[len(tables) - 1].key if left > 0 and tables else None
    return {"tables": [*tables], "total": total, "truncated": left > 0, "next": following}


def key(after: str) -> tuple[str, str, str]:
    """Score, schema and table of a key. Raises `InvalidArgument` when it is none."""
    score, _, name = after.partition("/")
    schema, _, table = name.partition(".")
    if not (score.replace(".", "", 1).isdigit() and schema and table):
        raise InvalidArgument('after: expected the value of "next" of a former answer')
    return score, schema, table


def paged(columns: list[dict[str, Any]], after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """The columns of one answer about a table, and the name of the one to go on after."""
    order = [column["name"] for column in columns]
    if after is not None and after not in order:
        raise InvalidArgument('after: expected the value of "next" of a former answer about this table')
    start = order.index(after) + 1 if after is not None else 0
    shown = columns[start : start + MOST_COLUMNS]
    return shown, str(shown[-1]["name"]) if start + MOST_COLUMNS < len(columns) else None


def near(names: Iterable[str], table: str) -> list[str]:
    """Those of the names of all tables that somebody who wrote `table` may have meant."""
    by_table: dict[str, list[str]] = {}
    for full in names:
        by_table.setdefault(full.rpartition(".")[2].strip('"').lower(), []).append(full)
    low = table.lower()
    close = difflib.get_close_matches(low, by_table, n=5, cutoff=0.6)
    close += [t for t in by_table if low.rstrip("s") in t and t not in close][:5]
    return [full for t in close for full in by_table[t]][:8]


def instead(names: Sequence[str], table: str) -> tuple[str, list[str]]:
    """What there is where no table is called `table`, in words, and the names near it."""
    if close := near(names, table):
        return f"near it: {', '.join(close)}", close
    if names:
        return f"there are {listed(sorted(names), MOST_INSTEAD)}", []
    return "there is no table at all: db_schema names pending migrations, run_migration applies them", []


def size(value: object) -> int:
    """Bytes as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
