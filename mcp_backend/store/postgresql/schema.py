"""The schema of the store: files `NNNN_*.sql`, applied in their order, once, forward only.

Every server brings the schema up to date when it first connects. One does so at a time, under an advisory lock, in one
transaction: a server that dies in it leaves what was there.
"""

import re
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from mcp_backend.errors import Unavailable


def files() -> list[tuple[int, Path]]:
    """The migrations by number."""
    return [(int(path.name[:4]), path) for path in sorted(Path(__file__).parent.glob("[0-9][0-9][0-9][0-9]_*.sql"))]


async def bring(conn: AsyncConnection[dict[str, Any]], name: str) -> None:
    """Brings the schema `name` up to date.

    Raises `Unavailable` when it belongs to a newer release, or may not be made.
    """
    known = files()
    if await _version(conn, name) == known[-1][0]:
        return
    # Locked before the transaction begins: one that waited inside would not see the tables that were made meanwhile.
    await conn.execute("select pg_advisory_lock(hashtextextended(%s, 1))", [name])
    try:
        await _apply(conn, name, known)
    finally:
        if not conn.closed:
            await conn.execute("select pg_advisory_unlock(hashtextextended(%s, 1))", [name])


async def _apply(conn: AsyncConnection[dict[str, Any]], name: str, known: list[tuple[int, Path]]) -> None:
    async with conn.transaction():
        await conn.execute("set local statement_timeout = 0")
        version = await _version(conn, name)
        if version > known[-1][0]:
            raise Unavailable(
                f"the store {name} belongs to a newer mcp-backend (version {version} of its schema, this one knows "
                f"{known[-1][0]}): upgrade this one"
            )
        if version == 0:
            await _make(conn, name)
        for number, path in known:
            if number > version:
                await conn.execute(re.sub(r"^--.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).encode())
                await conn.execute("insert into version (number) values (%s)", [number])


async def _version(conn: AsyncConnection[dict[str, Any]], name: str) -> int:
    """The newest migration that is applied, 0 when there is no schema yet."""
    there = await (await conn.execute("select to_regclass(%s) as it", [f"{name}.version"])).fetchone()
    if there is None or there["it"] is None:
        return 0
    row = await (await conn.execute("select coalesce(max(number), 0) as newest from version")).fetchone()
    return int(row["newest"]) if row else 0


async def _make(conn: AsyncConnection[dict[str, Any]], name: str) -> None:
    found = await (await conn.execute("select 1 from pg_namespace where nspname = %s", [name])).fetchone()
    try:
        if found is None:  # `if not exists` asks for the right to create one also where there is one.
            await conn.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
        await conn.execute(
            "create table version (number integer primary key, applied timestamptz not null default clock_timestamp())"
        )
    except psycopg.errors.InsufficientPrivilege:
        raise Unavailable(
            f"the store's role may not create the schema {name}: create it for that role "
            f"(create schema {name} authorization ROLE), or grant it CREATE on the database"
        ) from None
