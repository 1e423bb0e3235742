"""Hazards of a table that a migration makes: choices that cannot be taken back."""

from collections.abc import Iterator

from mcp_backend.errors import Json
from mcp_backend.migrations.clickhouse import probing
from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.observing import Seen
from mcp_backend.migrations.clickhouse.target import Table, Target
from mcp_backend.migrations.rehearsal.report import Hazard


def of_made(seen: Seen, there: Target, count: int | None) -> Iterator[Hazard]:
    number = seen.number
    before = seen.before.schema.tables
    for name, table in seen.after.schema.tables.items():
        if name in before or name in there.schema.tables or _renamed(seen, table):
            continue
        if table.engine in ("Memory", "Buffer"):
            yield hazard(
                "silent_data_loss", number, "warn",
                f"{shown(name)} keeps rows in memory (engine {table.engine}): a crash of the server loses them",
                "use MergeTree, unless the rows can be made again", "catalog",
            )  # fmt: skip
        if not table.stored:
            continue
        called = shown(name) if not name[1].startswith(".inner") else shown(seen.statement.name or name)
        keys = [c for c in table.columns.values() if c.sorting]
        sorted_by = table.sorting if table.sorting not in ("", "tuple()") else ""
        evidence: dict[str, Json] = {"order_by": table.sorting, "partition_by": table.partition}
        yield hazard(
            "order_by_choice", number, "needs_approval",
            f"{called} is sorted by ({table.sorting}), which cannot be changed later: only filters on its first "
            f"columns are fast",
            "say which questions the table answers, and let a person agree to the key", "catalog", **evidence,
        )  # fmt: skip
        if not sorted_by:
            yield hazard(
                "no_sorting_key", number, "needs_approval", f"{called} has no sorting key: every question reads "
                    f"all of it",
                "ORDER BY the columns that questions filter on, the one with the fewest values first", "catalog",
            )  # fmt: skip
        if any(probing.nullable(column.type) for column in keys):
            yield hazard(
                "nullable_key", number, "needs_approval", f"{called} is sorted by a nullable column: NULLs sort "
                                                          f"last and cost reads",
                "give the column a default instead of NULL", "catalog",
            )  # fmt: skip
        if table.partition:
            yield hazard(
                "partitioning_choice", number, "needs_approval",
                f"{called} is partitioned by {table.partition}, which cannot be changed later",
                "partition by month, or not at all, unless partitions are dropped as a whole", "catalog", **evidence,
            )  # fmt: skip
            yield from _partitions(number, called, table, count)
        if " TTL " in table.ddl:
            yield hazard(
                "ttl_deletes_rows", number, "needs_approval", f"{called} deletes rows by its TTL",
                "a person decides how long rows are kept", "catalog",
            )  # fmt: skip


def _partitions(number: int, called: str, table: Table, count: int | None) -> Iterator[Hazard]:
    raw = [c for c in table.columns.values() if c.partition and _many(c.type, c.name, table.partition)]
    if (count is not None and count > 1000) or raw:
        why = (
            f"about {count} partitions with the rows of today"
            if count is not None and count > 1000
            else (f"one partition for each value of {', '.join(c.name for c in raw)}")
        )
        yield hazard(
            "too_many_partitions", number, "needs_approval",
            f"{called}: {why}; an INSERT makes at most 100, and every part costs memory and time of start",
            "partition by toYYYYMM(…) at most, and put the other columns into ORDER BY", "catalog", partitions=count,
        )  # fmt: skip


def _many(kind: str, column: str, expression: str) -> bool:
    """Whether a column stands in a partition key by itself with a type of many values."""
    kind = probing.bare(kind)
    alone = any(part.strip(" ()`") == column for part in expression.replace("(", ",").replace(")", ",").split(","))
    inside = f"({column})" in expression and not any(
        f"{function}({column})" in expression for function in ("", "tuple")
    )
    return alone and not inside and kind.startswith(("String", "UUID", "UInt64", "Int64", "DateTime", "Float", "IPv"))


def _renamed(seen: Seen, table: Table) -> bool:
    return any(table.uuid == old.uuid for old in seen.before.schema.tables.values()) and not table.uuid.startswith(
        "00000000"
    )
