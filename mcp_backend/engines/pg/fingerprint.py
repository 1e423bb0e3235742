"""The fingerprint of a database's structure."""

from functools import cache
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row


@cache
def query() -> bytes:
    """The statement that computes it, inside the database."""
    return Path(__file__).with_suffix(".sql").read_bytes()


async def schema_version(conn: AsyncConnection[Any]) -> str:
    """The fingerprint of the database's structure, hex: equal for equal schemas, whoever made them and in whatever
    order; different for any difference that a migration could make, comments and grants included.

    Never part of it: rows, statistics, sizes, OIDs, owners, roles, and what belongs to an extension beyond its version.
    Works inside a transaction or outside; leaves the session as it was.
    """
    async with conn.transaction(force_rollback=True), conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(b"set local search_path = ''; set local jit = off")
        await cursor.execute(query())
        row = await cursor.fetchone()
        assert row is not None, "an aggregate has one row"
        return str(row[0])
