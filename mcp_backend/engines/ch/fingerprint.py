"""The fingerprint of a server's structure: equal for equal schemas, whoever made them and in whatever order."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from mcp_backend.engines.ch.analysis import Asks
from mcp_backend.engines.ch.definition import canonical

OURS = "database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')"
RECENT_SECONDS = 5
"""Times of changes are whole seconds: one that is so fresh could be followed by another in the same second."""
FUNCTIONS = "SELECT name, create_query FROM system.functions WHERE origin = 'SQLUserDefined'"
_TABLES = f"""
SELECT database, name, create_table_query FROM system.tables
WHERE {OURS} AND NOT is_temporary AND NOT startsWith(name, '.inner')
"""
_CHANGED = f"""
SELECT toString(sum(cityHash64(database, name, uuid, engine, comment, metadata_modification_time))),
  toString(count()), toInt32(max(metadata_modification_time) > now() - {RECENT_SECONDS}),
  (SELECT toString(sum(cityHash64(name, create_query))) FROM ({FUNCTIONS}))
FROM system.tables WHERE {OURS} AND NOT is_temporary AND NOT startsWith(name, '.inner')
"""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`version` is for comparing; `catalog` tells cheaply whether it is still right, when it is not empty."""

    version: str
    catalog: str


async def fingerprint(asks: Asks, known: Fingerprint | None) -> Fingerprint:
    """The fingerprint of all tables, views, dictionaries and SQL functions that our user can see, hex.

    Different for any difference that a migration could make, comments, codecs, TTL and settings included. Never part
    of it: rows, parts, UUIDs, the tables behind materialized views, definers; nor the name of the database of our URL,
    so that a copy of it under another name is equal.
    """
    ((tables, count, recent, functions),) = await asks.rows(_CHANGED)
    catalog = "" if recent else f"{tables}/{count}/{functions}"
    if known is not None and catalog and known.catalog == catalog:
        return known
    return Fingerprint(await digest(asks), catalog)


async def digest(asks: Asks, left_out: Collection[tuple[str, str]] = ()) -> str:
    """The fingerprint, without some tables by their database and name. Raises `ServerError`."""
    current = (await asks.standing()).database
    entries = [
        f"{'' if database == current else database}.{name}: {canonical(str(query), current)}"
        for database, name, query in await asks.rows(_TABLES)
        if (database, name) not in left_out
    ]
    entries += [f"function {name}: {query}" for name, query in await asks.rows(FUNCTIONS)]
    return hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()[:32]
