"""The shadow: a private cluster of this workspace, with a database for each schema that was rehearsed on.

A database is made once for a fingerprint (and the owners of its objects) and used by one rehearsal at a time. What is
one transaction is rolled back there and leaves nothing; what must commit runs in a copy that is dropped. The role that
migrates is never a superuser: it has the target role's name, memberships and attributes, and nothing beyond.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mcp_backend.engines.embedded import lease
from mcp_backend.engines.pg import address
from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import Unavailable
from mcp_backend.migrations.rehearsal import dump, following
from mcp_backend.migrations.rehearsal.target import Target
from mcp_backend.settings import Workspace, resolve
from mcp_backend.threads import patiently

MOST_KEPT = 12
"""Databases of other schemas that are kept."""
WAIT_SECONDS = 120
_TUNED = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum", "jit")
_UNCHANGED = ("lc_monetary", "search_path", "default_toast_compression")


@dataclass(slots=True)
class Shadow:
    """One database of the shadow, ours for one rehearsal. `admin` is a superuser's connection in it."""

    cluster: dict[str, str] = field(repr=False)
    database: str
    role: str
    password: str = field(repr=False)
    target: Target
    fingerprint: str
    version: str
    cached: bool
    missing: tuple[str, ...] = ()
    copies: int = 0

    async def connect(self, database: str = "", *, admin: bool = False) -> AsyncConnection[Any]:
        """A connection in autocommit mode, as the migrating role with the target's settings unless `admin`."""
        own = {} if admin else {"user": self.role, "password": self.password}
        place = {
            **self.cluster,
            **own,
            "dbname": database or self.database,
            "application_name": "mcp-backend rehearsal",
        }
        conn = await AsyncConnection[Any].connect(make_conninfo("", **place), autocommit=True, prepare_threshold=None)
        if not admin:
            await conn.execute("; ".join(self._session()).encode())
        return conn

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a session of the migrating role, as the target has them."""
        wanted = {"lock_timeout": "10s", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "120s"}
        wanted |= {"client_connection_check_interval": "1s"}
        wanted |= {k: v for k, v in self.target.settings.items() if k not in _UNCHANGED}
        return wanted

    def _session(self) -> list[str]:
        lines = [f"set {sql.Identifier(k).as_string(None)} = {_literal(v)}" for k, v in self.settings.items()]
        path = self.target.settings.get("search_path", "")
        return [*lines, f"select pg_catalog.set_config('search_path', {_literal(path)}, false)"]

    @asynccontextmanager
    async def copy(self) -> AsyncGenerator["Shadow"]:
        """A copy of the database that may be changed for good; dropped at the end. Nobody may be connected to it."""
        self.copies += 1
        name = f"c{self.copies}_{self.database}"[:60]
        admin = await self.connect("postgres", admin=True)
        try:
            await admin.execute(f"drop database if exists {name} with (force)".encode())
            await admin.execute(f"create database {name} template {self.database} strategy file_copy".encode())
            await admin.execute(_owned(name, self.target, self.role))
            yield replace(self, database=name)
        finally:
            await admin.execute(f"drop database if exists {name} with (force)".encode())
            await admin.close()

    @asynccontextmanager
    async def used(self) -> AsyncGenerator["Shadow"]:
        """The database itself, for what commits: it is kept only when it is in the end what it was, without indexes
        that were made. Quicker than a copy of many files."""
        admin = await self.connect("postgres", admin=True)
        try:
            await admin.execute(f"comment on database {self.database} is null".encode())
            inner = await self.connect(admin=True)
            try:
                row = await (await inner.execute(b"select max(oid::bigint) from pg_catalog.pg_class")).fetchone()
            finally:
                await inner.close()
            yield self
            inner = await self.connect(admin=True)
            try:
                await inner.execute(_DROP_INDEXES.replace("{oid}", str(row[0] if row else 0)).encode())
                same = await schema_version(inner) == self.fingerprint
            finally:
                await inner.close()
            if same:
                await admin.execute(f"comment on database {self.database} is 'made'".encode())
        finally:
            await admin.close()


_DROP_INDEXES = """
do $$ declare r record; begin
  for r in select i.indexrelid::regclass as name from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where i.indexrelid::bigint > {oid} and n.nspname !~ '^pg_' and not exists (
      select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid) loop
    execute 'drop index ' || r.name;
  end loop;
end $$
"""


@asynccontextmanager
async def opened(
    engine: Postgresql, workspace: Workspace, target: Target, target_url: dict[str, str], fingerprint: str
) -> AsyncGenerator[Shadow]:
    """The shadow of a target whose schema has this fingerprint, ours until the block ends.

    Raises `Unavailable` when no local server can be run, or the target is of a newer major version than it.
    """
    async with _server(engine, workspace) as cluster:
        control = await _connected(cluster)
        try:
            version = control.info.server_version // 10000
            if target.version // 10000 > version:
                raise Unavailable(
                    f"the target runs PostgreSQL {target.version // 10000} and the server for rehearsals is {version}: "
                    "nothing was rehearsed. Set MCP_BACKEND_POSTGRESQL_BIN to the bin folder of one at least as new, "
                    f"or engines.{engine.settings.name}.shadow to such a server"
                )
            said = f"{version}.{control.info.server_version % 10000}"
            known = f"{fingerprint}\0{target.owners}\0{target.role}\0{target.superuser}"
            key = hashlib.sha256(known.encode()).hexdigest()[:24]
            await control.execute(b"set lock_timeout = '%d s'" % WAIT_SECONDS)
            await control.execute(f"select pg_advisory_lock({int(key[:12], 16)})".encode())
            found = await _database(control, cluster, said, target, target_url, fingerprint, f"s_{key}")
            following.used(fingerprint, found.database)
            yield found
        finally:
            await control.close()


@asynccontextmanager
async def _server(engine: Postgresql, workspace: Workspace) -> AsyncGenerator[dict[str, str]]:
    """Connection parameters of a superuser: of the policy's own server, or of a local one."""
    settings = engine.settings
    if settings.migrating.shadow:
        where = f"engines.{settings.name}.shadow"
        found = dict(address.parse(resolve(settings.migrating.shadow, field=where), where=where).parameters)
        yield _cluster(found)
        return
    held = await lease("postgresql", replace(workspace, state=workspace.state / "shadow"))
    try:
        if not held.superuser_url:
            raise Unavailable("the local PostgreSQL for rehearsals gives no superuser; nothing was rehearsed")
        yield _cluster(conninfo_to_dict(held.superuser_url))
    finally:
        held.close()


async def _connected(cluster: dict[str, str]) -> AsyncConnection[Any]:
    conn = await AsyncConnection[Any].connect(make_conninfo("", **cluster, dbname="postgres"), autocommit=True)
    found = await (await conn.execute(b"select setting from pg_settings where name = 'jit'")).fetchone()
    if found and found[0] == "on":  # its data can be made anew: it never waits for the disk
        for name in _TUNED:
            await conn.execute(f"alter system set {name} = off".encode())
        await conn.execute(b"alter system set max_wal_size = '256MB'")
        await conn.execute(b"select pg_reload_conf()")
    return conn


async def _database(
    control: AsyncConnection[Any],
    cluster: dict[str, str],
    version: str,
    target: Target,
    target_url: dict[str, str],
    fingerprint: str,
    name: str,
) -> Shadow:
    role = f"{target.role} (rehearsal)" if target.role == "postgres" else target.role
    secret = hmac.digest(cluster.get("password", "shadow").encode(), role.encode(), "sha256").hex()
    shadow = Shadow(cluster, name, role, secret, target, fingerprint, version, cached=True)
    await _roles(control, target, role, secret)
    row = await (
        await control.execute(
            b"select shobj_description(oid, 'pg_database') from pg_database where datname = %s", (name,)
        )
    ).fetchone()
    if row is not None and row[0] is not None:
        # Whoever had it before and was killed may still have a statement running there.
        await control.execute(b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        missing = tuple(line for line in str(row[0]).split("\n")[1:] if line)
        return replace(shadow, missing=missing)
    if (left := await following.follow(control, shadow)) is not None:
        return replace(shadow, missing=left)
    await _forget(control)
    text, _ = await asyncio.gather(
        patiently(dump.schema, target_url),
        control.execute(f"drop database if exists {name} with (force)".encode()),
    )
    await control.execute(f"create database {name} template template0 strategy file_copy".encode())
    await control.execute(_owned(name, target, role))
    admin = await shadow.connect(admin=True)
    try:
        missing = await dump.restore(admin, text, target, role)
        now = await schema_version(admin)
    finally:
        await admin.close()
    if now != fingerprint and not missing:
        missing = ("the shadow's schema is not wholly the target's: some property was not carried over by pg_dump",)
    said = sql.Literal("\n".join(["made", *missing])).as_string(None)
    await control.execute(f"comment on database {name} is {said}".encode())
    return replace(shadow, cached=False, missing=missing)


def _owned(name: str, target: Target, role: str) -> bytes:
    mine = target.owner == target.role or target.superuser
    owner = sql.Identifier(role if mine else target.owner).as_string(None)
    create = f"; grant create on database {name} to {sql.Identifier(role).as_string(None)}" if target.create else ""
    return f"alter database {name} owner to {owner}{create}".encode()


async def _roles(control: AsyncConnection[Any], target: Target, role: str, secret: str) -> None:
    """Makes the target's roles: none may log in but the one that migrates, none is a superuser."""
    cursor = await control.execute(b"select rolname from pg_roles")
    there = {str(row[0]) for row in await cursor.fetchall()}
    lines: list[str] = []
    for about in target.roles:
        name = str(about["name"])
        if name not in there and name != "postgres":
            lines.append(f"create role {sql.Identifier(name).as_string(None)} nologin")
    if role not in there and role != target.role:
        lines.append(f"create role {sql.Identifier(role).as_string(None)}")
    own = next(about for about in target.roles if about["name"] == target.role)
    flags = ["" if own.get(flag) else "no" for flag in ("createrole", "createdb", "bypassrls", "inherit")]
    words = " ".join(
        f"{no}{f}" for no, f in zip(flags, ("createrole", "createdb", "bypassrls", "inherit"), strict=True)
    )
    lines.append(
        f"alter role {sql.Identifier(role).as_string(None)} login nosuperuser {words} password {_literal(secret)}"
    )
    for granted, member in target.members:
        unsafe = re.match("pg_(execute|read|write)_server|pg_signal|pg_create_sub|pg_checkpoint|pg_maintain", granted)
        if not unsafe and "postgres" not in (granted, member):
            lines.append(f"grant {sql.Identifier(granted).as_string(None)} to {sql.Identifier(member).as_string(None)}")
    if target.superuser:  # it may act as every owner, still without being a superuser
        lines += [
            f"grant {sql.Identifier(str(about['name'])).as_string(None)} to {sql.Identifier(role).as_string(None)}"
            for about in target.roles
            if about["name"] not in ("postgres", target.role)
        ]
    for line in lines:
        try:
            await control.execute(line.encode())
        except psycopg.errors.DuplicateObject:
            continue
        except psycopg.errors.InvalidGrantOperation:
            continue  # a circle of memberships, by way of another target's roles


async def _forget(control: AsyncConnection[Any]) -> None:
    """Drops the oldest databases that nobody uses, when there are too many."""
    cursor = await control.execute(b"select datname from pg_database where datname ~ '^s_' order by oid desc")
    for row in (await cursor.fetchall())[MOST_KEPT:]:
        name = str(row[0])
        number = int(name[2:14], 16)
        got = await (await control.execute(f"select pg_try_advisory_lock({number})".encode())).fetchone()
        if got and got[0]:
            await control.execute(f"drop database if exists {name} with (force)".encode())
            await control.execute(f"select pg_advisory_unlock({number})".encode())


def _cluster(parameters: Mapping[str, Any]) -> dict[str, str]:
    dropped = ("dbname", "application_name", "options")
    found = {k: str(v) for k, v in parameters.items() if v is not None and k not in dropped}
    return {**found, "connect_timeout": "5", "client_encoding": "UTF8"}


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
