"""A shadow that follows its target: what was rehearsed and then applied is played on the database of the shadow that is
there already, which takes a fraction of the time of dumping and making the whole schema.

What comes out of it is used only when it is, by fingerprint and owners, exactly what the target is. Kept in memory: a
server that starts anew makes its first shadow from the target.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import AsyncConnection

from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.migrations.rehearsal import proofs, sample, target
from mcp_backend.migrations.rehearsal.play import Unit

if TYPE_CHECKING:
    from mcp_backend.migrations.rehearsal.report import Report
    from mcp_backend.migrations.rehearsal.shadow import Shadow
    from mcp_backend.migrations.rehearsal.subject import Subject

T = TypeVar("T")
MOST = 8


@dataclass(frozen=True, slots=True)
class Way:
    """What leads from one schema to another."""

    before: str
    units: tuple[Unit, ...]


_WAYS: dict[str, Way] = {}
"""By the fingerprint that it leads to; the newest last."""
_DATABASES: dict[str, str] = {}
"""The shadow's databases by the fingerprint of their schema."""


def used(fingerprint: str, database: str) -> None:
    """This database of the shadow has that schema."""
    _newest(_DATABASES, fingerprint, database)


def remember(subject: "Subject", report: "Report") -> None:
    """A rehearsal that ended well: the next one may be of the schema that it ended with."""
    before, after = subject.at_version.partition("@")[0], report.version_after.partition("@")[0]
    if after and after != before:
        _newest(_WAYS, after, Way(before, subject.units))


def _newest(kept: dict[str, T], key: str, value: T) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > MOST:
        kept.pop(next(iter(kept)))


async def follow(control: AsyncConnection[Any], shadow: "Shadow") -> tuple[str, ...] | None:
    """Makes the shadow's database from one whose schema was the target's before; returns what is missing in it, None
    when it has to be made from the target. Nobody else has that database then, and it is no longer there."""
    way = _WAYS.get(shadow.fingerprint)
    old = _DATABASES.get(way.before) if way else None
    if way is None or old is None or not await _taken(control, old):
        return None
    try:
        row = await (
            await control.execute(
                b"select shobj_description(oid, 'pg_database') from pg_database where datname = %s", (old,)
            )
        ).fetchone()
        if row is None or row[0] is None:
            return None
        said = str(row[0])
        await control.execute(b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (old,))
        await control.execute(f"comment on database {old} is null".encode())
        await control.execute(f"drop database if exists {shadow.database} with (force)".encode())
        await control.execute(f"alter database {old} rename to {shadow.database}".encode())
        _DATABASES.pop(way.before, None)
        if await _played(shadow, way):
            comment = "'" + said.replace("'", "''") + "'"
            await control.execute(f"comment on database {shadow.database} is {comment}".encode())
            return tuple(line for line in said.split("\n")[1:] if line)
    except psycopg.Error:
        pass  # made from the target then, which needs nothing of this
    finally:
        await control.execute(f"select pg_advisory_unlock({_key(old)})".encode())
    return None


async def _taken(control: AsyncConnection[Any], database: str) -> bool:
    got = await (await control.execute(f"select pg_try_advisory_lock({_key(database)})".encode())).fetchone()
    return bool(got and got[0])


def _key(database: str) -> int:
    return int(database[2:14], 16)


async def _played(shadow: "Shadow", way: Way) -> bool:
    """Whether the way was gone to its end, and that is the target's schema."""
    admin = await shadow.connect(admin=True)
    try:
        await sample.clear(admin)
        conn = await shadow.connect()
        try:
            for unit in way.units:
                for sql in unit.create:
                    await conn.execute(sql.encode())
                if await proofs.run_plainly(conn, unit) is not None:
                    return False
        finally:
            await conn.close()
        if await schema_version(admin) != shadow.fingerprint:
            return False
        async with admin.transaction():
            return (await target.read(admin)).owners == shadow.target.owners
    finally:
        await admin.close()
