"""Runs one statement on the shadow and sees what it does: locks, rewrites, scans, rows, WAL, the catalog.

The session that migrates reads its own transaction's catalog; its locks are read from a second connection, because
what it holds at the end of a statement it holds until the end of the transaction.
https://www.postgresql.org/docs/current/view-pg-locks.html, …/monitoring-stats.html
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from mcp_backend.migrations.rehearsal.catalog import WATCHED, Catalog, Changes, Counts, Watch, wrote
from mcp_backend.migrations.rehearsal.kinds import Parsed
from mcp_backend.migrations.rehearsal.report import Blocks
from mcp_backend.migrations.waits import execute

BLOCKS: Mapping[str, Blocks] = {
    "AccessShareLock": "", "RowShareLock": "", "RowExclusiveLock": "", "ShareUpdateExclusiveLock": "ddl",
    "ShareLock": "writes", "ShareRowExclusiveLock": "writes", "ExclusiveLock": "writes",
    "AccessExclusiveLock": "reads+writes",
}  # fmt: skip
"""What an application cannot do while somebody holds the mode.
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES"""
GATE_SECONDS = 3.0

Rows: TypeAlias = tuple[int, int, int, int, int]
"""Sequential scans, rows they read, rows inserted, updated, deleted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of the server. `detail` may hold values of rows."""

    sqlstate: str
    message: str
    detail: str = ""
    constraint: str = ""
    table: str = ""
    column: str = ""
    position: int = 0
    context: str = ""
    hint: str = ""


@dataclass(slots=True)
class Seen:
    """One statement as it ran. OIDs are the shadow's. `locks` are those it took itself; `held` those its transaction
    held before it, with the number of the statement that took them."""

    number: int
    parsed: Parsed
    file: str
    transaction: int
    before: Catalog
    after: Catalog = field(default_factory=dict[Any, Any])
    elapsed_ms: float = 0
    locks: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    held: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    rows: dict[int, Rows] = field(default_factory=dict[int, Rows])
    wal: int = 0
    changes: Changes = field(default_factory=Changes)
    notices: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    failed: Failed | None = None
    rewritten: set[int] = field(default_factory=set[int])
    emptied: set[int] = field(default_factory=set[int])
    """Those of the rewritten whose new file holds nothing."""


_XACT = """
select c.oid::bigint, coalesce(pg_catalog.pg_stat_get_xact_numscans(c.oid), 0),
  coalesce(pg_catalog.pg_stat_get_xact_tuples_returned(c.oid), 0),
  coalesce(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), 0),
  coalesce(pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), 0),
  coalesce(pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), 0)
from pg_catalog.pg_class c where c.oid >= 16384 and c.relkind in ('r', 'm', 'p')
"""
"""What pg_stat_xact_user_tables is made of, without its joins."""
_CATALOGS = """
select pg_catalog.pg_stat_get_xact_tuples_inserted(c) + pg_catalog.pg_stat_get_xact_tuples_updated(c)
  + pg_catalog.pg_stat_get_xact_tuples_deleted(c), pg_catalog.pg_stat_get_xact_tuples_deleted(c)
from pg_catalog.unnest(array[{catalogs}]::pg_catalog.regclass[]) with ordinality x(c, n)
where pg_catalog.current_setting('track_counts') = 'on' order by n
""".replace("{catalogs}", ", ".join(f"'pg_catalog.{name}'" for name in WATCHED))
"""What the transaction has written to the catalogs. Taken back or not, it counts."""
_XID = "select case when {assign} then pg_catalog.pg_current_xact_id()::text::bigint else " \
    "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint end, " \
    "pg_catalog.pg_current_wal_insert_lsn()::text"  # fmt: skip
_LOCKS = (
    b"select relation::bigint, mode, granted from pg_catalog.pg_locks where pid = %s and locktype = 'relation' "
    b"and relation >= 16384"
)
_EMPTY = b"select o from unnest(%s::bigint[]) o where pg_catalog.pg_relation_size(o::oid) = 0"


class Observer:
    """The session that migrates, and the connection that watches it."""

    def __init__(self, conn: AsyncConnection[Any], admin: AsyncConnection[Any]) -> None:
        self.conn, self.admin = conn, admin
        self.watch = Watch()
        self.held: dict[tuple[int, str], int] = {}
        self.base: dict[int, Rows] = {}
        self.begun: Counts = ()
        self.catalogs: Counts = ()
        self.xid = 0
        self._notices: list[tuple[str, str]] = []
        conn.add_notice_handler(lambda d: self._notices.append((d.sqlstate or "", d.message_primary or "")))

    @property
    def idle(self) -> bool:
        """Whether no transaction is open."""
        return self.conn.info.transaction_status == TransactionStatus.IDLE

    async def begin(self) -> None:
        """Opens a transaction."""
        await self.conn.execute(b"begin read write")
        await self.began()

    async def began(self) -> None:
        """Notes that a transaction was opened."""
        self.held = {}
        self.xid, _ = await self._position(assign=True)
        self.base = await self._rows()
        self.begun = self.catalogs = await self._counts()

    async def silently(self, statements: Sequence[str], *, takes_back: bool = False) -> None:
        """Runs statements and takes what they did for granted: no reported statement is told to have done it."""
        inside = not self.idle
        xid = self.xid if inside else (await self._position(assign=False))[0]
        for sql in statements:
            await execute(self.conn, sql)
        await self._look(xid, counted=inside and not self.idle, takes_back=takes_back)
        if not self.idle:
            self.base = await self._rows()
            self.held |= {(r, m): 0 for r, m, granted in await self._locks() if granted and (r, m) not in self.held}

    async def end(self, how: str) -> Failed | None:
        """Ends the transaction that is open, if one is; the error of a commit that fails."""
        self.held = {}
        try:
            await self.conn.execute(how.encode())
        except psycopg.Error as error:
            with suppress(psycopg.Error):
                await self.conn.execute(b"rollback")
            return failure(error)
        return None

    async def run(self, seen: Seen) -> None:
        """Runs the statement of `seen` and fills it. After an error the transaction is rolled back."""
        inside = not self.idle
        seen.held = dict(self.held)
        self._notices = seen.notices
        xid, start = await self._position(assign=inside)
        xid = self.xid if inside else xid
        gate = await self._gate(seen) if not inside and seen.parsed.apart else None
        done = asyncio.Event()
        watching = asyncio.create_task(self._through(gate, seen, done)) if gate else None
        began = time.perf_counter()
        try:
            await execute(self.conn, seen.parsed.sql)
        except psycopg.Error as error:
            seen.failed = failure(error)
        seen.elapsed_ms = (time.perf_counter() - began) * 1000
        done.set()
        if watching is not None:
            await watching
        if seen.failed:
            if not self.idle:
                await self.conn.execute(b"rollback")
            self.held = {}
            if not inside:
                seen.changes = await self.watch.step(self.conn, xid)
                seen.after = self.watch.now
            return
        counted = inside and not self.idle
        if counted:
            locks = {(r, m) for r, m, granted in await self._locks() if granted}
            if seen.parsed.takes_back:  # locks that were taken since the savepoint are let go
                self.held = {lock: number for lock, number in self.held.items() if lock in locks}
            seen.locks |= locks - set(self.held)
            for lock in seen.locks:
                self.held.setdefault(lock, seen.number)
            now = await self._rows()
            seen.rows = {o: _minus(rows, self.base.get(o)) for o, rows in now.items() if rows != self.base.get(o)}
            self.base = now
        changes = await self._look(xid, counted=counted, takes_back=seen.parsed.takes_back)
        seen.changes = Changes() if seen.parsed.takes_back else changes  # what comes back was not made
        seen.after = self.watch.now
        _, end = await self._position(assign=False)
        seen.wal = max(0, _lsn(end) - _lsn(start))
        seen.rewritten = {
            c.oid for c in seen.changes.changed("rel")
            if c.before and c.after and c.before["file"] != c.after["file"] and c.before["file"] is not None
        }  # fmt: skip
        if seen.rewritten:
            cursor = await self.conn.execute(_EMPTY, (list(seen.rewritten),))
            seen.emptied = {int(row[0]) for row in await cursor.fetchall()}

    async def _gate(self, seen: Seen) -> AsyncConnection[Any]:
        """A writer's lock on the tables of a CONCURRENTLY form, which it will wait for while it holds its own."""
        names = set(seen.parsed.relations)
        relations = {
            key[1]: doc for key, doc in seen.before.items()
            if key[0] == "rel" and (doc["name"] in names or str(doc["name"]).partition(".")[2] in names)
        }  # fmt: skip
        tables = {oid for oid, doc in relations.items() if doc["kind"] in ("r", "p", "m")}
        tables |= {int(doc["rel"]) for key, doc in seen.before.items() if key[0] == "idx" and key[1] in relations}
        gate = await AsyncConnection[Any].connect(self.admin.info.dsn, password=self.admin.info.password)
        for oid in tables:
            name = str(seen.before["rel", oid, 0]["name"]).split(".", 1)
            quoted = ".".join('"' + part.replace('"', '""') + '"' for part in name)
            with suppress(psycopg.Error):
                await gate.execute(f"lock table {quoted} in row exclusive mode nowait".encode())
        return gate

    async def _through(self, gate: AsyncConnection[Any], seen: Seen, done: asyncio.Event) -> None:
        """Reads the locks of the statement while it is held up, then opens the gate."""
        deadline = time.monotonic() + GATE_SECONDS
        try:
            while time.monotonic() < deadline and not done.is_set():
                seen.locks |= {(r, m) for r, m, granted in await self._locks() if granted}
                cursor = await self.admin.execute(
                    b"select wait_event_type from pg_catalog.pg_stat_activity where pid = %s",
                    (self.conn.info.backend_pid,),
                )
                row = await cursor.fetchone()
                if row is None or row[0] == "Lock":
                    break
                await asyncio.sleep(0.002)
            seen.locks |= {(r, m) for r, m, granted in await self._locks() if granted}
        finally:
            await gate.close()

    async def _locks(self) -> list[tuple[int, str, bool]]:
        async with self.admin.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_LOCKS, (self.conn.info.backend_pid,))
            return [(int(r), str(m), bool(g)) for r, m, g in await cursor.fetchall()]

    async def _rows(self) -> dict[int, Rows]:
        async with self.conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_XACT.encode())
            rows = await cursor.fetchall()
        found = {int(r[0]): (int(r[1]), int(r[2]), int(r[3]), int(r[4]), int(r[5])) for r in rows}
        return {o: r for o, r in found.items() if r[0] or any(r[2:])}

    async def _counts(self) -> Counts:
        async with self.conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_CATALOGS.encode())
            return [(int(written), int(deleted)) for written, deleted in await cursor.fetchall()]

    async def _look(self, xid: int, *, counted: bool, takes_back: bool) -> Changes:
        """What changed since the last look; `counted` in the transaction that is still open."""
        if takes_back:
            return await self.watch.again(self.conn)
        if not counted:
            return await self.watch.step(self.conn, xid)
        before, self.catalogs = self.catalogs, await self._counts()
        return await self.watch.step(self.conn, xid, wrote(self.begun, before, self.catalogs))

    async def _position(self, *, assign: bool) -> tuple[int, str]:
        async with self.conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_XID.replace("{assign}", "true" if assign else "false").encode())
            row = await cursor.fetchone()
            assert row is not None, "a select without a table has one row"
            return int(row[0]) & 0xFFFFFFFF, str(row[1])


def failure(error: psycopg.Error) -> Failed:
    """The parts of a driver's error."""
    d = error.diag
    return Failed(
        error.sqlstate or "", d.message_primary or str(error), d.message_detail or "", d.constraint_name or "",
        d.table_name or "", d.column_name or "", int(d.statement_position or 0), d.context or "",
        d.message_hint or "",
    )  # fmt: skip


def _minus(now: Rows, before: Rows | None) -> Rows:
    old = before or (0, 0, 0, 0, 0)
    return (now[0] - old[0], now[1] - old[1], now[2] - old[2], now[3] - old[3], now[4] - old[4])


def _lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
