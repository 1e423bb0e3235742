"""What a target looks like before anything runs there: who is in the way, who copies it, and how much room it has."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import psycopg

from mcp_backend.engines.postgresql import Connection
from mcp_backend.errors import DeadlineExceeded, Json
from mcp_backend.migrations import history
from mcp_backend.migrations.statements import without_literals

Touched: TypeAlias = Sequence[tuple[str, str]]
"""Relations (`schema.name`) and the lock mode that a migration takes on each."""

_CONFLICTS: Mapping[str, tuple[str, ...]] = {
    "AccessShareLock": ("AccessExclusiveLock",),
    "RowShareLock": ("ExclusiveLock", "AccessExclusiveLock"),
    "RowExclusiveLock": ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"),
    "ShareUpdateExclusiveLock": (
        "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
    ),
    "ShareLock": (
        "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
    ),
    "ShareRowExclusiveLock": (
        "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock",
        "AccessExclusiveLock",
    ),
    "ExclusiveLock": (
        "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock",
        "ExclusiveLock", "AccessExclusiveLock",
    ),
    "AccessExclusiveLock": (
        "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
        "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
    ),
}  # fmt: skip
"""https://www.postgresql.org/docs/current/explicit-locking.html#TABLE-LOCK-COMPATIBILITY"""

_BEHIND = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), {})::int8"
_HOLDERS = """
select l.pid, a.application_name, a.state, extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8,
  pg_catalog.format('%I.%I', n.nspname, c.relname), l.mode, a.query
from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.pid <> pg_catalog.pg_backend_pid()
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and n.nspname !~ '^pg_' and a.xact_start < pg_catalog.clock_timestamp() - interval '{} s'
order by a.xact_start
"""


async def look(conn: Connection, touched: Touched, long: float) -> dict[str, Json]:
    """Replicas, slots and room, as far as the role may see them; what it may not see is `unknown`.

    Raises `DeadlineExceeded` naming the transaction when one that is older than `long` seconds holds a lock that
    conflicts with one of `touched`: to queue behind it would stop everybody else at that table.
    """
    wanted: dict[str, set[str]] = {}
    for relation, mode in touched:
        wanted.setdefault(relation, set()).update(_CONFLICTS.get(mode, ()))
    found: list[str] = []
    if wanted:
        for pid, name, state, age, relation, mode, query in await history.rows(conn, _HOLDERS.format(float(long))):
            if mode in wanted.get(relation, ()):
                ran = (
                    f", {'last ran' if 'idle' in (state or '') else 'runs'}: {without_literals(query)}" if query else ""
                )
                found.append(
                    f"process {pid}{f' ({name})' if name else ''}, {state or 'state unknown'}, in a transaction for "
                    f"{age:.0f} s, holds {mode} on {relation}{ran}"
                )
    if found:
        raise DeadlineExceeded(
            f"a long transaction is in the way: {'; '.join(found[:3])}. Queueing behind it would make every reader and "
            "writer of that table wait, so nothing was executed. Repeat the call when it is done",
            details={"blocked_by": list[Json](found[:10]), "applied": []},
        )
    return {"replicas": await _replicas(conn), "slots": await _slots(conn), "disk": await _disk(conn)}


async def _replicas(conn: Connection) -> Json:
    rows = await _try(
        conn,
        f"select application_name, state, {_BEHIND.format('replay_lsn')}, extract(epoch from replay_lag)::float8 "
        "from pg_catalog.pg_stat_replication where not pg_catalog.pg_is_in_recovery()",
    )
    if rows is None:
        return "unknown"
    return [
        {"name": name, "state": state or "unknown", "behind_bytes": behind, "behind_seconds": lag}
        for name, state, behind, lag in rows
    ]


async def _slots(conn: Connection) -> Json:
    status = "wal_status::text" if conn.info.server_version >= 130000 else "null::text"
    rows = await _try(
        conn,
        f"select slot_name::text, active, {status}, {_BEHIND.format('restart_lsn')} "
        "from pg_catalog.pg_replication_slots where not pg_catalog.pg_is_in_recovery()",
    )
    if rows is None:
        return "unknown"
    return [
        {"name": name, "active": active, "wal_status": said or "unknown", "retained_bytes": kept}
        for name, active, said, kept in rows
    ]


async def _disk(conn: Connection) -> Json:
    """PostgreSQL does not tell how much of its disk is free; what it uses is a lower bound for what it needs."""
    rows = await _try(conn, "select pg_catalog.pg_database_size(pg_catalog.current_database())::int8")
    return {"database_bytes": rows[0][0] if rows else "unknown", "free_bytes": "unknown"}


async def _try(conn: Connection, query: str) -> list[tuple[Json, ...]] | None:
    try:
        return await history.rows(conn, query)
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.ObjectNotInPrerequisiteState,
    ):
        return None
