"""All tables of a server in a few thousand characters: the most useful first, as much of each as fits.

Useful means large, feeding materialized views, and no view itself. https://clickhouse.com/docs/operations/system-tables/tables
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_backend.engines.ch.analysis import Asks
from mcp_backend.engines.ch.fingerprint import OURS
from mcp_backend.engines.ch.values import parameter
from mcp_backend.engines.listing import MOST_MATCHES, MOST_NAMES, key
from mcp_backend.errors import Json

LONGEST_TYPE = 90

BOOKKEEPING = (
    "'schema_migrations', 'schema_migrations_history', 'goose_db_version', 'atlas_schema_revisions', 'migrations'"
)
KINDS = {"View": "view", "MaterializedView": "materialized view", "LiveView": "live view", "Dictionary": "dictionary"}

_RELATIONS = f"""
WITH rel AS (
  SELECT database, name, engine, engine_full, total_rows, comment, sorting_key, partition_key,
    length(dependencies_table) AS feeds,
    round(if(name IN ({BOOKKEEPING}), 0, log(1 + ifNull(total_rows, 0)) + 3 * log(1 + feeds)
      + if(database = currentDatabase(), 2, 0) + if(endsWith(engine, 'View'), 0, 0.5)), 4) AS score
  FROM system.tables WHERE {OURS} AND NOT is_temporary AND NOT startsWith(name, '.inner'))"""
_SHOWN = """
SELECT database, name, engine, total_rows, feeds, toString(score), toInt32(count() OVER ()), comment, sorting_key,
  partition_key, {matched}, database = currentDatabase(), engine_full
FROM {source} WHERE {beyond} ORDER BY score DESC, database, name LIMIT """
_FOUND = f""", cols AS (
  SELECT database, table, groupArray(name) AS names,
    lower(arrayStringConcat(groupArray(concat(name, ' ', comment)), ' ')) AS about
  FROM system.columns WHERE {OURS} GROUP BY database, table
), found AS (
  SELECT rel.database AS database, rel.name AS name, engine, engine_full, total_rows, comment, sorting_key,
    partition_key, feeds,
    cols.names AS names, lower(concat(rel.database, '.', rel.name, ' ', comment)) AS hay,
    score + 100 * arrayCount(w -> position(lower(rel.name), w) > 0, {{words:Array(String)}}) AS score
  FROM rel LEFT JOIN cols ON cols.database = rel.database AND cols.table = rel.name
  WHERE arrayAll(w -> position(hay, w) > 0 OR position(cols.about, w) > 0, {{words:Array(String)}})
)"""
_MATCHED = "arrayFilter(c -> arrayExists(w -> position(lower(c), w) > 0, {words:Array(String)}), names)"
_SUMMARY = f"""
SELECT (SELECT groupArray((d, toInt32(n))) FROM (SELECT database AS d, count() AS n FROM system.tables
    WHERE {OURS} AND NOT is_temporary AND NOT startsWith(name, '.inner') GROUP BY d ORDER BY n DESC LIMIT 20)),
  (SELECT groupArray((p || '_*', toInt32(n))) FROM (SELECT splitByChar('_', name)[1] AS p, count() AS n
    FROM system.tables WHERE {OURS} AND position(name, '_') > 1 GROUP BY p HAVING n > 2 ORDER BY n DESC, p LIMIT 20))
"""
_COLUMNS = """
SELECT database || '.' || table, groupArray(line) FROM (
  SELECT database, table, concat(name, ' ', if(length(type) > {longest:UInt32}, substring(type, 1, {longest:UInt32}) || '…', type),
    if(is_in_sorting_key, ' key', ''),
    multiIf(default_kind = 'DEFAULT', ' = ' || substring(default_expression, 1, 40),
      default_kind IN ('MATERIALIZED', 'ALIAS'), ' ' || lower(default_kind) || ' ' || substring(default_expression, 1, 40),
      default_kind = 'EPHEMERAL', ' ephemeral', ''),
    if(comment != '', ' -- ' || substring(comment, 1, 60), '')) AS line
  FROM system.columns WHERE has({tables:Array(String)}, database || '.' || table) ORDER BY database, table, position)
GROUP BY database, table
"""  # noqa: E501 - one expression of SQL


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the listing. `rows` is `None` where the engine does not know. `matched` are the columns whose names
    a search found, `by_columns`: its own name was not; `full` is the name with its database, `name` as one would write
    it; `made` the engine with its arguments, which say what FINAL and merges do."""

    full: str
    name: str
    engine: str
    made: str
    rows: int | None
    feeds: int
    comment: str
    order_by: str
    partition_by: str
    matched: tuple[str, ...]
    by_columns: bool
    key: str


@dataclass(frozen=True, slots=True)
class Page:
    """Tables, the most useful first, with `total` that fit the search and come after."""

    entries: tuple[Entry, ...]
    total: int
    summary: dict[str, Json]


async def page(asks: Asks, search: str, after: str | None) -> Page:
    """The next tables after the key `after`. Raises `InvalidArgument` when that is not a key of a former answer."""
    words = [word.lower() for word in search.split()]
    asked: dict[str, Any] = {"words": words} if words else {}
    beyond = "1"
    if after is not None:
        beyond = "(score < {score:Float64} OR score = {score:Float64} AND (database, name) > ({d:String}, {n:String}))"
        asked |= dict(zip(("score", "d", "n"), key(after), strict=True))
    sql = (_RELATIONS + (_FOUND if words else "")) + _SHOWN.format(
        matched=_MATCHED if words else "[]", source="found" if words else "rel", beyond=beyond
    )
    rows = await asks.rows(sql + str(MOST_NAMES), {name: parameter(value) for name, value in asked.items()})
    summary: dict[str, Json] = {}
    if after is None and not words and rows and rows[0][6] > len(rows) // 2:
        ((databases, prefixes),) = await asks.rows(_SUMMARY)
        summary = {"databases": dict(databases), "prefixes": dict(prefixes)}
    return Page(tuple(_entry(row, words) for row in rows), int(rows[0][6]) if rows else 0, summary)


def named(entry: Entry) -> dict[str, Json]:
    """An entry as its name and size."""
    shown: dict[str, Json] = {"name": entry.name}
    if entry.engine in KINDS:
        shown["kind"] = KINDS[entry.engine]
    elif entry.engine != "MergeTree":
        shown["engine"] = entry.engine
    if entry.rows is not None and entry.engine not in KINDS:
        shown["rows"] = entry.rows
    if entry.feeds:
        shown["feeds"] = entry.feeds
    if entry.matched:
        shown["matched"] = [*entry.matched[:MOST_MATCHES]]
    return shown


async def columns(asks: Asks, entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The columns of each table by its full name, one short line each."""
    asked = {"tables": parameter([entry.full for entry in entries]), "longest": parameter(LONGEST_TYPE)}
    return {str(table): [str(line) for line in lines] for table, lines in await asks.rows(_COLUMNS, asked)}


def _entry(row: Sequence[Any], words: Sequence[str]) -> Entry:
    database, name, engine, rows, feeds, score, _, comment, order_by, partition_by, matched, current, made = row
    return Entry(
        f"{database}.{name}",
        name if current else f"{database}.{name}",
        engine,
        engine_name(made),
        None if rows is None else int(rows),
        int(feeds),
        comment,
        order_by,
        partition_by,
        tuple(matched),
        bool(matched) and not any(word in name.lower() for word in words),
        f"{score}/{database}.{name}",
    )


def engine_name(definition: str) -> str:
    """The engine with its arguments, without what a CREATE TABLE says of it beside them."""
    return re.split(r" (?:PARTITION|PRIMARY|ORDER|SAMPLE|TTL|SETTINGS|COMMENT) ", definition)[0]
