"""Several catalog queries on a driver's connection in one round trip."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import tuple_row

Query: TypeAlias = tuple[str, Sequence[str | None]]
"""SQL with `$1`, `$2` …, and their values in text form."""


async def ask(conn: AsyncConnection[Any], *queries: Query) -> list[list[tuple[Any, ...]]]:
    """The rows of each query, in order."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(conn.pipeline())
        cursors = [await stack.enter_async_context(AsyncRawCursor(conn, row_factory=tuple_row)) for _ in queries]
        for cursor, (sql, parameters) in zip(cursors, queries, strict=True):
            await cursor.execute(sql.encode(), parameters)
        return [await cursor.fetchall() for cursor in cursors]
