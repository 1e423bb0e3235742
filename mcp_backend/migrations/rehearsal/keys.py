"""Sequences that a migration leaves behind the keys they give: the next INSERT takes a key that is there already.

RESTART, `setval`, an identity for a column that is there, rows inserted with their own keys, OVERRIDING SYSTEM VALUE:
what counts is the next value afterwards.
https://www.postgresql.org/docs/current/functions-sequence.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection, sql

from mcp_backend.migrations.rehearsal.catalog import Catalog
from mcp_backend.migrations.rehearsal.effects import World
from mcp_backend.migrations.rehearsal.observe import Seen
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

MOST = 24
NEAR_END = 0.7
_LAST = b"""
select (pg_catalog.quote_ident(schemaname) || '.' || pg_catalog.quote_ident(sequencename))::pg_catalog.regclass::bigint,
  last_value from pg_catalog.pg_sequences
"""
FEEDING = """
select x.attrelid::bigint, x.attname, x.seq::bigint, n.nspname, c.relname, q.seqmax from (
  select a.attrelid, a.attname, d.objid as seq
  from pg_catalog.pg_depend d join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.deptype in ('a', 'i')
  union
  select a.attrelid, a.attname, d.refobjid
  from pg_catalog.pg_depend d join pg_catalog.pg_attrdef f on f.oid = d.objid
  join pg_catalog.pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
  where d.classid = 'pg_catalog.pg_attrdef'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
) x join pg_catalog.pg_class c on c.oid = x.seq and c.relkind = 'S'
join pg_catalog.pg_sequence q on q.seqrelid = c.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
"""The columns that sequences fill, by ownership or by a default."""
_STANDS = """
select s.next, exists (select from {table} where {column} = s.next), (select max({column}) from {table})
from (select v.last_value + case when v.is_called then q.seqincrement else 0 end as next
      from {sequence} v, pg_catalog.pg_sequence q
      where q.seqrelid = {oid} and q.seqincrement > 0 and not q.seqcycle) s
"""


async def last_values(conn: AsyncConnection[Any]) -> dict[int, int | None]:
    """What each sequence gave last, by OID; nothing for one that never gave a value."""
    return {int(oid): last for oid, last in await (await conn.execute(_LAST)).fetchall()}


async def behind(
    conn: AsyncConnection[Any], world: World, before: Mapping[int, int | None], end: Catalog, seen: Sequence[Seen]
) -> list[Hazard]:
    """What the next INSERTs meet, for each sequence that the migration moved or whose table it filled.

    To be asked before anything else is written: a value that is given is not given back.
    """
    now = await last_values(conn)
    filled = {oid: s.number for s in seen for oid, rows in s.rows.items() if rows[2] + rows[3]}
    bounded = [s.parsed for s in seen if s.parsed.node == "AlterSeqStmt" or s.parsed.has("AT_SetIdentity")]
    if now == before and not filled and not bounded:
        return []
    found: list[Hazard] = []
    feeding = await (await conn.execute(FEEDING.encode())).fetchall()
    for table, column, oid, schema, name, most in feeding:
        rows = world.size(former).rows if (former := world.name(table)) else 0
        if bounded and oid in before and (last := now.get(oid) or 0) >= NEAR_END * most:
            reason = f"{schema}.{name} ends at {most:,} now, and has given {last:,}"
            number = next((s.number for s in seen if s.parsed in bounded and str(name) in s.parsed.sql), 0)
            found.append(hazard("sequence_exhaustion", number, "warn", reason))
        elif most < rows and (oid not in before or bounded):
            reason = f"{schema}.{name} ends at {most:,}, and {former} has about {rows:,} rows"
            found.append(hazard("sequence_exhaustion", 0, "warn", reason, source="target_data"))
        there = ("col", int(table), _place(end, int(table), str(column))) in world.start
        moved = now.get(oid) != before[oid] if oid in before else there
        doc = end.get(("rel", int(table), 0))
        if not (moved or table in filled) or doc is None or doc["kind"] not in ("r", "p"):
            continue
        if not _unique(end, int(table), str(column)) or len(found) >= MOST:
            continue
        query = sql.SQL(_STANDS).format(
            table=sql.Identifier(*str(doc["name"]).split(".", 1)), column=sql.Identifier(str(column)),
            sequence=sql.Identifier(str(schema), str(name)), oid=sql.Literal(oid),
        )  # fmt: skip
        row = await (await conn.execute(query)).fetchone()
        if row is None or row[2] is None or row[2] < row[0]:
            continue
        following, taken, highest = row
        number = filled.get(table) or next((s.number for s in seen if _names(s, str(name), str(doc["name"]))), 0)
        reason = f"{schema}.{name} gives {following} next, and {doc['name']}.{column} holds keys up to {highest}: "
        reason += "the next INSERT fails as a duplicate" if taken else f"inserts fail as duplicates from {highest} on"
        level = "reject" if taken and oid in before else "warn"
        found.append(hazard("breaks_writes", number, level, reason, evidence={"table": str(doc["name"])}))
    return found


def _place(catalog: Catalog, table: int, column: str) -> int:
    """The number of a column of that name, 0 for none."""
    return next((k[2] for k, d in catalog.items() if k[:2] == ("col", table) and d["name"] == column), 0)


def _unique(catalog: Catalog, table: int, column: str) -> bool:
    place = _place(catalog, table, column)
    return any(
        key[0] == "idx" and doc["rel"] == table and doc["unique"] and [int(n) for n in doc["keys"]] == [place]
        for key, doc in catalog.items()
    )


def _names(seen: Seen, sequence: str, table: str) -> bool:
    return sequence in seen.parsed.sql or table.partition(".")[2] in seen.parsed.sql
