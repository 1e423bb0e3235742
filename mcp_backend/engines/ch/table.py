"""One table in full, and finding it by the name a model gives."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_backend.engines import listing
from mcp_backend.engines.ch import definition
from mcp_backend.engines.ch.analysis import Asks
from mcp_backend.engines.ch.definition import Definition
from mcp_backend.engines.ch.errors import NOT_GRANTED, ServerError
from mcp_backend.engines.ch.fingerprint import OURS
from mcp_backend.engines.ch.overview import KINDS, engine_name
from mcp_backend.errors import InvalidArgument, Json, NotFound

MOST_STEPS = 5
LONGEST_DEFINITION = 6_000

_FIND = """
SELECT database, name, database = currentDatabase() FROM system.tables
WHERE lower(name) = lower({name:String}) AND ({database:String} = '' OR lower(database) = lower({database:String}))
  AND NOT is_temporary
"""
_NAMES = f"""
SELECT if(database = currentDatabase(), name, database || '.' || name) FROM system.tables
WHERE {OURS} AND NOT is_temporary AND NOT startsWith(name, '.inner') ORDER BY 1
"""
_TABLE = """
SELECT engine, engine_full, create_table_query, sorting_key, primary_key, partition_key, sampling_key, comment,
  as_select, total_rows, total_bytes, storage_policy, arrayZip(dependencies_database, dependencies_table)
FROM system.tables WHERE database = {database:String} AND name = {name:String}
"""
_COLUMNS = """
SELECT name, type, default_kind, default_expression, comment, compression_codec, is_in_sorting_key, is_in_primary_key,
  is_in_partition_key, data_compressed_bytes
FROM system.columns WHERE database = {database:String} AND table = {name:String} ORDER BY position
"""
_PARTS = """
SELECT count(), uniqExact(partition), sum(bytes_on_disk), sum(data_uncompressed_bytes), max(modification_time)
FROM system.parts WHERE active AND database = {database:String} AND table = {name:String}
"""
_VIEWS = """
SELECT database, name, create_table_query FROM system.tables WHERE engine = 'MaterializedView'
"""
_READ_BY = """
SELECT database, name, arrayZip(dependencies_database, dependencies_table) FROM system.tables
WHERE notEmpty(dependencies_table)
"""
_MUTATIONS = """
SELECT mutation_id, command, parts_to_do, latest_fail_reason FROM system.mutations
WHERE NOT is_done AND database = {database:String} AND table = {name:String} ORDER BY create_time LIMIT 10
"""
_DICTIONARY = """
SELECT toString(status), type, source, lifetime_min, lifetime_max, element_count, bytes_allocated, last_exception
FROM system.dictionaries WHERE database = {database:String} AND name = {name:String}
"""


@dataclass(frozen=True, slots=True)
class Name:
    """A table that exists. `shown` is how one would write it."""

    database: str
    table: str
    shown: str


async def find(asks: Asks, name: str) -> Name:
    """The table that `name` means: `table` or `database.table`, either quoted.

    The database of our URL wins over others, an exact name over one that differs in case. Raises `NotFound` naming what
    is near, `InvalidArgument` when several fit.
    """
    database, table = _parts(name)
    rows = await asks.rows(_FIND, {"name": table, "database": database})
    for fits in (
        [r for r in rows if r[1] == table and r[2]],
        [r for r in rows if r[1] == table],
        [r for r in rows if r[2]],
        rows,
    ):
        if len(fits) == 1:
            found, current = fits[0], fits[0][2]
            return Name(found[0], found[1], found[1] if current else f"{found[0]}.{found[1]}")
        if fits:
            raise InvalidArgument(f"table: {name} can mean {', '.join(f'{r[0]}.{r[1]}' for r in fits[:10])}; name one")
    there, close = await instead(asks, table)
    raise NotFound(f"table: there is no {name}; {there}", details={"near": [*close]})


async def names(asks: Asks) -> list[str]:
    """The names of all tables, as a model would write them."""
    return [str(row[0]) for row in await asks.rows(_NAMES)]


async def instead(asks: Asks, table: str) -> tuple[str, list[str]]:
    """What there is where no table is called `table`, in words, and the names that somebody may have meant."""
    return listing.instead(await names(asks), table)


async def describe(asks: Asks, name: Name, after: str | None) -> tuple[dict[str, Json], str | None]:
    """Everything about a table, and the column to go on after when there are too many for one answer."""
    asked = {"database": name.database, "name": name.table}
    withheld: list[Json] = []
    about, columns, parts, views, read_by, mutations, dictionary = await asyncio.gather(
        asks.rows(_TABLE, asked), asks.rows(_COLUMNS, asked), _granted(asks, _PARTS, asked, withheld),
        asks.rows(_VIEWS), asks.rows(_READ_BY), _granted(asks, _MUTATIONS, asked, withheld),
        _granted(asks, _DICTIONARY, asked, withheld),
    )  # fmt: skip
    if not about:
        raise NotFound("table: it was dropped just now")
    (engine, full, query, order, primary, partition, sample, comment, select, rows, size, policy, feeds) = about[0]
    found = definition.parse(str(query))
    shown_columns, following = listing.paged([_column(column, found) for column in columns], after)
    if after is not None:
        return {"name": name.shown, "columns": [*shown_columns]}, following
    current = (await asks.standing()).database
    flow = _Flow(current, read_by, views)
    own = found.clauses if engine == "MaterializedView" else {}
    sections: dict[str, Json] = {
        "name": name.shown,
        "kind": KINDS.get(engine, "table"),
        "engine": own.get("ENGINE") or engine_name(str(full)) or engine,
        "comment": comment,
        "columns": [*shown_columns],
        "order_by": order or own.get("ORDER", ""),
        "primary_key": primary if primary.strip("()") != order else "",
        "partition_by": partition or own.get("PARTITION", ""),
        "sample_by": sample,
        "ttl": found.clauses.get("TTL", ""),
        "settings": _settings(found.clauses.get("SETTINGS", "")),
        "storage_policy": policy if policy != "default" else "",
        "indexes": [{"name": n, "definition": text} for kind, n, text in found.items if kind == "INDEX"],
        "projections": [{"name": n, "query": text} for kind, n, text in found.items if kind == "PROJECTION"],
        "constraints": [{"name": n, "definition": text} for kind, n, text in found.items if kind == "CONSTRAINT"],
        "rows": None if rows is None else int(rows),
        "bytes": None if size is None else int(size),
        "parts": _parts_shown(parts[0]) if parts and int(parts[0][0]) else None,
        "definition": str(select)[:LONGEST_DEFINITION],
        "reads": [*flow.sources(name.database, name.table)] if engine == "MaterializedView" else [],
        "writes_to": flow.targets.get((name.database, name.table)) or "",
        "feeds": [flow.onward(str(d), str(n), MOST_STEPS) for d, n in feeds],
        "fed_by": flow.feeders(name.database, name.table),
        "dictionary": _dictionary(dictionary[0], found) if dictionary else None,
        "mutations": [
            {"id": i, "command": command, "parts_left": left, "failed": str(reason)[:300] or None}
            for i, command, left, reason in mutations
        ],
        "not_granted": sorted(withheld, key=str),
    }
    always = ("columns", "order_by", "rows") if KINDS.get(engine, "table") == "table" else ("columns",)
    return {k: v for k, v in sections.items() if v not in (None, "", [], {}) or k in always}, following


async def _granted(asks: Asks, sql: str, asked: dict[str, str], withheld: list[Json]) -> list[list[Any]]:
    """The rows of a system table beside the catalog, which many users may not read: none then, and its name is
    `withheld`."""
    try:
        return await asks.rows(sql, asked)
    except ServerError as error:
        if error.code not in NOT_GRANTED:
            raise
        withheld.extend(re.findall(r"FROM (system\.\w+)", sql)[:1])
        return []


def _parts(name: str) -> tuple[str, str]:
    """Database, or `""`, and table."""
    pattern = r'"((?:[^"])+)"|`((?:[^`])+)`|([^."`\s]+)'
    given = ["".join(groups) for groups in re.findall(pattern, name.strip())]
    if re.sub(pattern, "x", name.strip()) not in ("x", "x.x"):
        raise InvalidArgument(f'table: expected "table" or "database.table", got {name!r}')
    return (given[0] if len(given) > 1 else "", given[-1])


def _column(row: Sequence[Any], found: Definition) -> dict[str, Json]:
    name, kind, default_kind, default, comment, codec, sorting, primary, partition, size = row
    column: dict[str, Json] = {"name": name, "type": kind}
    if default_kind:
        column["default" if default_kind == "DEFAULT" else str(default_kind).lower()] = default or True
    if keys := [k for k, on in (("order_by", sorting), ("primary_key", primary), ("partition_by", partition)) if on]:
        column["in"] = [*keys]
    if codec:
        column["codec"] = str(codec).removeprefix("CODEC(").removesuffix(")")
    if name in found.column_ttl:
        column["ttl"] = found.column_ttl[name]
    if comment:
        column["comment"] = comment
    if int(size):
        column["bytes"] = int(size)
    return column


def _parts_shown(row: Sequence[Any]) -> dict[str, Json]:
    count, partitions, size, uncompressed, newest = row
    shown: dict[str, Json] = {"active": int(count), "partitions": int(partitions), "newest": newest}
    if int(uncompressed) > 1_000_000:
        shown["compression"] = round(int(uncompressed) / int(size), 1)
    return shown


def _settings(text: str) -> str:
    return "" if text == "index_granularity = 8192" else text.removeprefix("index_granularity = 8192, ")


class _Flow:
    """Which materialized views read which tables, and where they write. Names in `current` go without it."""

    def __init__(self, current: str, read_by: list[list[Any]], views: list[list[Any]]) -> None:
        self._current = current
        self._readers = {(str(d), str(n)): [(str(a), str(b)) for a, b in readers] for d, n, readers in read_by}
        self._into = {(str(d), str(n)): _target(definition.parse(str(q)), str(d)) for d, n, q in views}
        self.targets = {view: self._short(*into) if into else "" for view, into in self._into.items()}

    def sources(self, database: str, view: str) -> list[str]:
        """What the view reads."""
        return [self._short(*table) for table, readers in self._readers.items() if (database, view) in readers]

    def feeders(self, database: str, table: str) -> list[Json]:
        """The views that write to the table."""
        return [
            {"view": self._short(*view), "reads": [*self.sources(*view)]}
            for view, into in self._into.items()
            if into == (database, table)
        ]

    def onward(self, database: str, view: str, steps: int) -> Json:
        """A reader of a table, and what its own target feeds."""
        if (database, view) not in self._into:
            return {"reader": self._short(database, view)}
        into = self._into[database, view]
        shown: dict[str, Json] = {"view": self._short(database, view), "into": "a table of its own"}
        if into:
            shown["into"] = self._short(*into)
            following = [self.onward(*reader, steps - 1) for reader in self._readers.get(into, ())] if steps else []
            if following:
                shown["feeds"] = following
        return shown

    def _short(self, database: str, name: str) -> str:
        return name if database == self._current else f"{database}.{name}"


def _target(found: Definition, database: str) -> tuple[str, str] | None:
    if not found.target:
        return None
    before, dot, table = found.target.rpartition(".")
    return (before, table) if dot else (database, table)


def _dictionary(row: Sequence[Any], found: Definition) -> dict[str, Json]:
    status, kind, source, low, high, elements, size, failed = row
    shown: dict[str, Json] = {
        "status": status,
        "key": found.clauses.get("PRIMARY", ""),
        "layout": kind or found.clauses.get("LAYOUT", ""),
        "source": source or found.clauses.get("SOURCE", ""),
    }
    shown["lifetime"] = f"{low} to {high} s" if int(high) else found.clauses.get("LIFETIME", "")
    if int(elements):
        shown |= {"elements": int(elements), "bytes": int(size)}
    if failed:
        shown["last_exception"] = str(failed)[:300]
    return shown
