"""The shadow of a target: a ClickHouse of this rehearsal alone, shut in by the kernel, thrown away after.

Definitions are the target's, rows are a small sample of the tables that the migration touches, nothing else.
"""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mcp_backend.engines import embedded
from mcp_backend.engines.ch import address, errors, reading, values
from mcp_backend.engines.ch.address import Address
from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.engines.ch.standing import Catalog, Standing
from mcp_backend.engines.ch.values import Parameters
from mcp_backend.errors import BackendError, Unavailable
from mcp_backend.keeper.chdb.tokens import identifier
from mcp_backend.migrations.clickhouse import mapping, target
from mcp_backend.migrations.clickhouse.language import Name
from mcp_backend.migrations.clickhouse.mapping import quoted
from mcp_backend.migrations.clickhouse.target import Schema, Table, Target
from mcp_backend.settings import Workspace, private
from mcp_backend.threads import patiently

if TYPE_CHECKING:
    from mcp_backend.engines.ch.transport import Transport
    from mcp_backend.engines.clickhouse import Clickhouse

SECONDS = 30.0
"""For one statement on the shadow."""
SAMPLE = 2_000
"""Rows of a touched table."""
MOST_SAMPLE = 8_000_000
"""Bytes of one sample."""
MANY = 150
"""Tables. Beyond that only those that the migration names, and what is chained to them, are made."""
STALE_SECONDS = 3600.0
SYNCHRONOUS: Mapping[str, str] = {"mutations_sync": "2", "alter_sync": "2"}


@dataclass(slots=True)
class Shadow:
    """The running shadow. `sampled` are rows by table, `left_out` what could not be made, in words."""

    transport: "Transport"
    version: str
    database: str
    sampled: dict[Name, int] = field(default_factory=dict[Name, int])
    left_out: list[str] = field(default_factory=list[str])
    whole: bool = True

    async def run(self, sql: str, settings: Mapping[str, str] | None = None) -> None:
        """Runs a statement. Raises `ServerError`; one of code 159 when it took too long."""
        await self._sent(sql, _ignored, settings or {}, "Null")

    async def rows(
        self, sql: str, parameters: Parameters | None = None, settings: Mapping[str, str] | None = None
    ) -> list[list[Any]]:
        """The rows of a query."""
        asked = {name: value for name, value in reading.ALWAYS.items() if name.startswith(("output_", "date_time"))}
        return await self._sent(sql, _rows, asked | dict(settings or {}), "JSONCompactEachRow")

    async def line(self, sql: str) -> str:
        """The first row of a query as one line of JSONEachRow, as the server writes it; empty when there is none."""
        return await self._sent(sql, _line, {}, "JSONEachRow")

    async def standing(self) -> Standing:
        """Enough of it for what asks for the current database."""
        return Standing(self.version, "UTC", self.database, "backend", 0, frozenset(), 0, "")

    async def catalog(self) -> Catalog:
        """Nothing: the shadow is not judged by it."""
        return Catalog({}, frozenset())

    async def schema(self) -> Schema:
        """Its tables now."""
        return await target.schema(self)

    async def _sent(self, sql: str, take: Callable[..., Any], settings: Mapping[str, str], form: str) -> Any:
        from mcp_backend.engines.ch.transport import Lost

        try:
            return await self.transport.run(
                sql, take, settings={"log_comment": "shadow", **settings}, parameters={}, form=form, seconds=SECONDS
            )
        except TimeoutError:
            raise ServerError(159, "TIMEOUT_EXCEEDED", f"it took longer than {SECONDS:g} s on the shadow") from None
        except Lost as lost:
            raise Unavailable(f"the local ClickHouse of the rehearsal ended: {str(lost)[:200]}; call again") from None


@asynccontextmanager
async def opened(workspace: Workspace, database: str) -> AsyncGenerator[Shadow]:
    """A new, empty shadow whose current database is `database`; its files are gone afterwards.

    Raises `Unavailable` with what to install when there is no local ClickHouse.
    """
    from mcp_backend.engines.ch.transport import Transport

    folder = private(private(workspace.state) / "shadows")
    await asyncio.to_thread(_clear, folder)
    own = Workspace(workspace.root, private(folder / f"clickhouse-{secrets.token_hex(6)}"), workspace.repository)
    lease = None
    transport = None
    try:
        lease = await embedded.lease("clickhouse", own)
        at = replace(address.parse(lease.url, where="the shadow"), database=database)
        if database != "default":
            await patiently(_posted, at, f"CREATE DATABASE {identifier(database)} ENGINE = Atomic", b"")
        transport = Transport(at)
        shadow = Shadow(transport, lease.version, database)
        yield shadow
    finally:
        if transport is not None:
            await transport.close()
        if lease is not None:
            lease.close()
            with suppress(BackendError):
                await embedded.stop("clickhouse", own, force=True)
        await asyncio.to_thread(shutil.rmtree, own.state, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Removes shadows that a server which was killed left behind."""
    for place in folder.glob("clickhouse-*"):
        with suppress(OSError):
            if time.time() - place.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(place, ignore_errors=True)


async def fill(shadow: Shadow, engine: "Clickhouse", there: Target, touched: Iterable[Name], *, rows: bool) -> None:
    """Makes the target's tables, with rows in the touched ones and in what is chained to them."""
    wanted = _wanted(there, {*touched})
    for database in {name[0] for name in wanted} | {n for n, e in there.databases.items() if e in _LOCAL}:
        if database not in ("default", shadow.database):
            await shadow.run(f"CREATE DATABASE IF NOT EXISTS {identifier(database)} ENGINE = Atomic")
    for sql in there.functions:
        with suppress(ServerError):
            await shadow.run(sql)
    chosen = [t for name, t in there.schema.tables.items() if name in wanted and not name[1].startswith(".inner")]
    shadow.whole = len(wanted) == len(there.schema.tables)
    if not shadow.whole:
        shadow.left_out.append(
            f"only {len(chosen)} of {len(there.schema.tables)} tables were made: what the migration names"
        )
    plain = [table for table in chosen if "View" not in table.engine]
    await _made(shadow, plain)
    if rows:
        near = _chained(there.schema, {*touched})
        for table in plain:
            if table.name in near and table.rows and table.stored:
                await _sampled(shadow, engine, table)
    await _made(shadow, [table for table in chosen if "View" in table.engine])


async def insert(shadow: Shadow, engine: "Clickhouse", table: Table, query: str) -> int:
    """Copies rows that `query` finds in the target into a table of the shadow; how many the table has then."""
    data = await engine.dump(query, "Native", MOST_SAMPLE)
    columns = ", ".join(identifier(c.name) for c in table.columns.values() if c.default_kind in ("", "DEFAULT"))
    if data:
        into = f"INSERT INTO {quoted(*table.name)} ({columns}) FORMAT Native"
        await patiently(_posted, shadow.transport.address, into, data)
    ((count,),) = await shadow.rows(f"SELECT count() FROM {quoted(*table.name)}")
    return int(count)


def _posted(at: Address, sql: str, data: bytes) -> None:
    """Sends the data of an INSERT, which the driver takes as text only. Raises `ServerError`."""
    connection = HTTPConnection(at.host, at.port, timeout=SECONDS)
    headers = {"X-ClickHouse-User": at.user, "X-ClickHouse-Key": at.password}
    try:
        connection.request("POST", f"/?{urlencode({'query': sql})}", data, headers)
        answer = connection.getresponse()
        said = answer.read()
    except OSError as error:
        raise ServerError(210, "NETWORK_ERROR", str(error)) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise errors.read(said.decode(errors="replace"))


_LOCAL = ("Atomic", "Ordinary", "Lazy", "Replicated", "Memory", "Shared")


def _wanted(there: Target, touched: set[Name]) -> set[Name]:
    every = {name for name in there.schema.tables if there.databases.get(name[0], "Atomic") in _LOCAL}
    if len(every) <= MANY:
        return every
    near = _chained(there.schema, touched)
    words = {part for name in near for part in name}
    return {name for name in every if name in near or (name[1] in words)}


def _chained(schema: Schema, touched: set[Name]) -> set[Name]:
    """The touched tables, and everything that materialised views chain to them."""
    found = set(touched)
    steps = schema.views()
    for _ in range(8):
        more = {name for step in steps if found & set(step) for name in step} - found
        if not more:
            break
        found |= more
    return found


async def _made(shadow: Shadow, tables: list[Table]) -> None:
    """Makes tables in whatever order they need."""
    waiting = tables
    while waiting:
        failed: list[Table] = []
        said: dict[Name, str] = {}
        for table in waiting:
            try:
                await _one(shadow, table)
            except ServerError as error:
                failed.append(table)
                said[table.name] = error.message
        if len(failed) == len(waiting):
            shadow.left_out += [f"{'.'.join(name)} could not be made: {text[:160]}" for name, text in said.items()][:20]
            shadow.whole = False
            return
        waiting = failed


async def _one(shadow: Shadow, table: Table) -> None:
    sql, notes = mapping.mapped(table.ddl)
    try:
        await shadow.run(sql)
    except ServerError:
        if (plainer := mapping.without_ttl(sql)) == sql:
            raise
        await shadow.run(plainer)
        notes += ("its TTL was left out",)
    if notes:
        shadow.whole = False
        shadow.left_out += [f"{'.'.join(table.name)}: {note}" for note in notes]


async def _sampled(shadow: Shadow, engine: "Clickhouse", table: Table) -> None:
    columns = ", ".join(identifier(c.name) for c in table.columns.values() if c.default_kind in ("", "DEFAULT"))
    try:
        count = await insert(shadow, engine, table, f"SELECT {columns} FROM {quoted(*table.name)} LIMIT {SAMPLE}")
        shadow.sampled[table.name] = count
    except (ServerError, BackendError) as error:
        shadow.left_out.append(f"no rows of {'.'.join(table.name)} were sampled: {str(error)[:160]}")


def _ignored(pieces: Iterator[bytes], headers: Mapping[str, str]) -> None:
    for _ in pieces:
        pass


def _line(pieces: Iterator[bytes], headers: Mapping[str, str]) -> str:
    return b"".join(pieces).partition(b"\n")[0].decode(errors="replace")


def _rows(pieces: Iterator[bytes], headers: Mapping[str, str]) -> list[list[Any]]:
    return [values.parsed(line) for line in reading.lines(pieces)]
