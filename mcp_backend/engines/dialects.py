"""What a statement in the SQL of another system would be in this engine's, for the error that refuses it."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["postgres", "clickhouse"]
OTHERS = ("mysql", "tsql", "postgres", "clickhouse", "oracle", "bigquery", "snowflake")
"""What people write from habit, the most frequent first. Names of sqlglot."""
MOST_CHARACTERS = 4_000


def translations(sql: str, target: Dialect) -> Iterator[str]:
    """Each way to write `sql` in `target`, read as the SQL of another system; all of it, or it is left out.

    sqlglot reads more than it understands: whether the engine's own grammar takes a translation is the caller's to ask.
    """
    if len(sql) > MOST_CHARACTERS:
        return
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, SqlglotError

    def names(tree: exp.Expr) -> set[str]:
        return {found.name.lower() for found in tree.find_all(exp.Column, exp.Table)}

    seen = {sql}
    for other in OTHERS:
        if other == target:
            continue
        try:
            meant = sqlglot.parse_one(sql, read=other)
            written = meant.sql(target, unsupported_level=ErrorLevel.RAISE)
            # A clause that the target does not have, such as PREWHERE, may be dropped without a word.
            lost = names(meant) - names(sqlglot.parse_one(written, read=target))
        except (SqlglotError, ValueError, RecursionError):  # ValueError: a node that the target has no words for
            continue
        if not lost and written not in seen:
            seen.add(written)
            yield written
