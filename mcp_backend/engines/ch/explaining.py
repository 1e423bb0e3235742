"""How the server would read, as a tree of lines and findings in words: parts and granules by each index.

https://clickhouse.com/docs/sql-reference/statements/explain
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_backend.errors import Json
from mcp_backend.keeper.chdb.tokens import Token

MOST_LINES = 120
LONGEST_LINE = 200
MANY_GRANULES = 30
"""From which reading all of a table is worth a word: about 250,000 rows."""
MANY_PARTS = 300
MOST_FINDINGS = 12

TABLES = """
SELECT t.database || '.' || t.name, t.sorting_key, t.partition_key, ifNull(t.total_rows, 0), ifNull(t.active_parts, 0),
  c.columns
FROM system.tables AS t LEFT JOIN (
  SELECT database, table, groupArray((name, type)) AS columns FROM system.columns
  WHERE has({tables:Array(String)}, database || '.' || table) GROUP BY database, table
) AS c ON c.database = t.database AND c.table = t.name
WHERE has({tables:Array(String)}, t.database || '.' || t.name)
"""


@dataclass(frozen=True, slots=True)
class Explained:
    """`plan` is one line a node, indented; `findings` say what stands out and what to do about it."""

    plan: list[Json]
    findings: list[Json]
    elapsed_ms: float


@dataclass(slots=True)
class Index:
    """What one index left: of `parts` and `granules`, `(selected, of)`. `keys` are the columns it could use."""

    kind: str
    name: str = ""
    condition: str = ""
    keys: list[str] = field(default_factory=list[str])
    parts: tuple[int, int] = (0, 0)
    granules: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.kind, self.name, f"({', '.join(self.keys)})" if self.keys else "")))
        condition = "no condition" if self.condition in ("", "true") else self.condition
        condition = "" if self.kind == "Skip" else f": {condition}"
        return (
            f"{what}{condition} → parts {self.parts[0]}/{self.parts[1]}, granules {self.granules[0]}/{self.granules[1]}"
        )


@dataclass(slots=True)
class Read:
    """One reading of a table, or of a projection, which has no database in its name."""

    table: str
    indexes: list[Index] = field(default_factory=list[Index])

    @property
    def granules(self) -> tuple[int, int]:
        """How many are read, of how many."""
        counted = [index.granules for index in self.indexes if index.granules[1]]
        return (counted[-1][0], counted[0][1]) if counted else (0, 0)

    def index(self, *kinds: str) -> Index | None:
        """The first index of these kinds."""
        return next((index for index in self.indexes if index.kind in kinds), None)


@dataclass(frozen=True, slots=True)
class Table:
    """What the catalog knows about a table of the plan. `columns` have types."""

    name: str
    sorting_key: str
    partition_key: str
    rows: int
    parts: int
    columns: dict[str, str]


def parse(lines: Sequence[str]) -> tuple[list[str], list[Read]]:
    """The plan in fewer lines, and what it reads, from the lines of EXPLAIN indexes = 1."""
    shown: list[str] = []
    reads: list[Read] = []
    reading_at = -1
    for line in lines:
        depth, text = len(line) - len(line.lstrip()), line.strip()
        if not text:
            continue
        if reading_at >= 0 and depth >= reading_at and _detail(text, depth, reading_at):
            if text != "Indexes:":
                _index(reads[-1], text, depth - reading_at)
            continue
        if reading_at >= 0:
            shown += [f"{' ' * (reading_at + 2)}{index}" for index in reads[-1].indexes]
        found = re.match(r"ReadFromMergeTree \((.*)\)$", text)
        reading_at = depth if found else -1
        if found:
            reads.append(Read(found[1]))
        shown.append(f"{' ' * depth}{text}")
    if reading_at >= 0:
        shown += [f"{' ' * (reading_at + 2)}{index}" for index in reads[-1].indexes]
    return [line[:LONGEST_LINE] for line in shown], reads


def _detail(text: str, depth: int, reading_at: int) -> bool:
    return depth > reading_at or text == "Indexes:"


def _index(read: Read, text: str, depth: int) -> None:
    """One line below `Indexes:`, `depth` columns to the right of it: 2 the kind, 4 its facts, 6 its keys."""
    name, _, value = text.partition(": ")
    if depth == 2 and not value:
        read.indexes.append(Index(text.replace("Min-Max", "MinMax")))
    elif not read.indexes or depth == 2:
        return
    elif depth > 4:
        read.indexes[-1].keys.append(text)
    elif name == "Name":
        read.indexes[-1].name = value
    elif name == "Condition":
        read.indexes[-1].condition = value
    elif name in ("Parts", "Granules") and (found := re.fullmatch(r"(\d+)/(\d+)", value)):
        setattr(read.indexes[-1], name.lower(), (int(found[1]), int(found[2])))


def tables(rows: Iterable[Sequence[Any]]) -> dict[str, Table]:
    """The answer to `TABLES`, by name."""
    return {
        str(name): Table(str(name), str(key), str(partition), int(total), int(parts), dict(columns))
        for name, key, partition, total, parts, columns in rows
    }


def findings(reads: Sequence[Read], known: dict[str, Table], words: Sequence[Token]) -> list[Json]:
    """What stands out, each as `{finding, node, advice}`, the most read first."""
    found: list[tuple[int, dict[str, Json]]] = []
    filtered = _filtered(words)
    for read in reads:
        table = known.get(read.table)
        for finding, advice in _about(read, table, filtered) if table else ():
            entry: dict[str, Json] = {"finding": finding, "node": f"ReadFromMergeTree ({read.table})", "advice": advice}
            found.append((read.granules[0], entry))
    if any(word.upper == "FINAL" for word in words) and any(read.granules[0] > MANY_GRANULES for read in reads):
        advice = "aggregate with argMax, or add a filter on the leading columns of ORDER BY"
        found.append((0, {"finding": "FINAL merges rows while it reads", "node": "FINAL", "advice": advice}))
    ranked = sorted(found, key=lambda item: -item[0])
    return [entry for _, entry in ranked[:MOST_FINDINGS]]


def _about(read: Read, table: Table, filtered: frozenset[str]) -> Iterator[tuple[str, str]]:
    selected, total = read.granules
    if table.parts > MANY_PARTS:
        yield (
            f"{table.name} has {table.parts} active parts",
            "insert in fewer, larger batches (10,000 rows and more), or with async_insert = 1",
        )
    if total < MANY_GRANULES:
        return
    columns = [column for column in table.columns if column in filtered]
    leading = _columns(table.sorting_key)[:1]
    primary, partition = read.index("PrimaryKey"), read.index("Partition", "MinMax")
    if selected > total // 2:
        size = (
            f"{selected} of {total} granules, about {table.rows * selected // max(1, total):,} of {table.rows:,} rows"
        )
        by = ", ".join(columns)
        if primary is None or primary.condition in ("", "true"):
            why = f"none of its filter ({by}) is on ORDER BY ({table.sorting_key})" if by else "there is no filter"
            yield f"reads {size} of {table.name}: {why}", _remedy(table, columns)
        elif leading and leading[0] not in primary.keys:
            why = f"the filter ({by}) leaves out {leading[0]}, the first column of ORDER BY ({table.sorting_key})"
            yield f"reads {size} of {table.name}: {why}", _remedy(table, columns)
    pruned = partition is not None and partition.condition not in ("", "true")
    if table.partition_key and not pruned and selected > MANY_GRANULES and primary and primary.parts[1] > 1 and columns:
        yield (
            f"no partition of {table.name} is left out: there is no filter on {table.partition_key}",
            f"add a condition on {', '.join(_columns(table.partition_key))} where the question allows it",
        )
    for index in read.indexes:
        if index.kind == "Skip" and index.granules[0] == index.granules[1] and index.granules[1] > 1:
            yield (
                f"the skipping index {index.name} of {table.name} leaves no granule out",
                "its values are spread over all granules: sort by them (ORDER BY, a projection), or drop the index",
            )


def _remedy(table: Table, columns: Sequence[str]) -> str:
    if not columns:
        return "for totals asked often, keep them in a materialized view or an aggregating projection"
    first = columns[0]
    kind = table.columns[first]
    index = "bloom_filter" if "String" in kind or "UUID" in kind else "minmax"
    order = ", ".join(columns)
    leading = ", ".join(_columns(table.sorting_key)[:1]) or "the ORDER BY"
    return (
        f"filter on {leading} as well, or let a migration add a way to these rows: "
        f"ADD PROJECTION p (SELECT * ORDER BY {order}), or ADD INDEX i {first} TYPE {index} GRANULARITY 4"
    )


def _columns(expression: str) -> list[str]:
    """The columns that a key is made of, in order."""
    return [name for name in re.findall(r"[A-Za-z_]\w*(?!\w*\()", expression) if not name.isdigit()]


def _filtered(words: Sequence[Token]) -> frozenset[str]:
    """Every name in a WHERE or PREWHERE."""
    names: set[str] = set()
    inside = False
    for word in words:
        if word.upper in ("WHERE", "PREWHERE"):
            inside = True
        elif word.upper in ("GROUP", "ORDER", "LIMIT", "HAVING", "WINDOW", "UNION", "SETTINGS", "QUALIFY"):
            inside = False
        elif inside and word.name:
            names.add(word.name)
    return frozenset(names)


def measured(summary: dict[str, str], elapsed_ms: float) -> str:
    """What running the statement took, by the server's own count."""
    rows, size = int(summary.get("read_rows", 0)), int(summary.get("read_bytes", 0))
    line = f"ran in {elapsed_ms:g} ms, read {rows:,} rows, {size / 1e6:,.1f} MB"
    if memory := int(summary.get("memory_usage", 0)):
        line += f", used {memory / 1e6:,.1f} MB of memory"
    return line
