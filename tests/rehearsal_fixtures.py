"""A server for rehearsals that all tests of the session share, and databases to rehearse for."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from mcp_types import TextContent
from postgast import split

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace
from tests.conftest import Connect, Era
from tests.engines_fixtures import hasten, wait_for


@dataclass
class Case:
    """A database, its repository, and a way to call the tool."""

    root: Path
    url: str
    shadow: str
    connect: Connect
    admin: psycopg.Connection[tuple[Any, ...]] = field(repr=False)

    def policy(self, **more: str) -> None:
        """Writes the policy file."""
        settings = {"kind": "postgresql", "url": self.url, "environment": "development", "shadow": self.shadow, **more}
        lines = [f'{key} = "{value}"' for key, value in settings.items() if value]
        (self.root / "mcp-backend.toml").write_text("[engines.main]\n" + "\n".join(lines) + "\n")

    async def rehearse(self, *, era: Era = "auto", **arguments: Any) -> dict[str, Any]:
        """One call on a server of its own: its result, or its error."""
        async with self.connect(self.root, mode=era) as client:
            answer = await client.call_tool("rehearse_migration", arguments)
        body = answer.structured_content
        assert body is not None
        (content,) = answer.content
        assert isinstance(content, TextContent)
        assert json.loads(content.text) == body
        return body.get("error", body)

    def owner(self, sql: str) -> None:
        """Runs statements as the database's owner; what only a superuser may do, as one."""
        for statement in split(sql):
            try:
                self.admin.execute(b"set session authorization backend")
                self.admin.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                self.admin.execute(b"reset session authorization")
                self.admin.execute(statement.encode())
        self.admin.execute(b"reset session authorization")

    def sizes(self, statistics: Mapping[str, Mapping[str, float]]) -> None:
        """Makes the target's own statistics say so: `schema.table` to `rows` and `bytes`."""
        self.admin.execute(b"analyze")
        for name, size in statistics.items():
            schema, _, table = name.partition(".")
            self.admin.execute(
                "select pg_restore_relation_stats('schemaname', %s::text, 'relname', %s::text, "
                "'relpages', %s::int, 'reltuples', %s::real)",
                (schema, table, int(size.get("bytes", 0)) // 8192, float(size["rows"])),
            )

    def world(self) -> tuple[Any, ...]:
        """A hash of every catalog and every row of the database: what a rehearsal must leave as it is."""
        catalogs = [
            row[0] for row in self.admin.execute(
                "select relname::text from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' "
                "and relname !~ '^pg_(statistic|shdepend|database|authid|auth_members|db_role_setting|shdescription)' "
                "order by 1"
            )
        ]  # fmt: skip
        tables = [
            row[0] for row in self.admin.execute(
                "select oid::regclass::text from pg_class where relkind in ('r', 'm') "
                "and relnamespace::regnamespace::text !~ '^(pg_|information_schema)' order by 1"
            )
        ]  # fmt: skip
        told = "(to_jsonb(x) - array['relpages', 'reltuples', 'relallvisible', 'relallfrozen'])::text"
        queries = [
            f"select md5(string_agg({told}, ';' order by {told})) from {t} x"
            for t in (*catalogs, *tables, "pg_sequences")
        ]
        return tuple(self.admin.execute(query.encode()).fetchone() for query in queries)


@pytest.fixture(scope="session")
def shadow_url(session_workspace: Workspace) -> Generator[str]:
    """URL, as superuser, of the server on which all tests of the session rehearse."""
    place = replace(session_workspace, state=session_workspace.state / "rehearsals")
    lease = wait_for(embedded.lease("postgresql", place))
    hasten(lease)
    assert lease.superuser_url
    yield lease.superuser_url
    lease.close()
    wait_for(embedded.stop("postgresql", place, force=True))


@contextmanager
def database(lease: embedded.Lease, name: str) -> Generator[tuple[str, psycopg.Connection[tuple[Any, ...]]]]:
    """A new database of that name, its owner's URL and a superuser's connection."""
    assert lease.superuser_url
    with psycopg.connect(lease.superuser_url, autocommit=True) as server:
        server.execute(f"drop database if exists {name} with (force)".encode())
        server.execute(b"alter system set autovacuum = off")  # nothing else changes what statistics say
        server.execute(b"select pg_reload_conf()")
        server.execute(f"create database {name} owner backend strategy file_copy".encode())
        for role in ("app_rw", "app_ro"):
            with suppress(psycopg.errors.DuplicateObject):
                server.execute(f"create role {role}".encode())
    parts = urlsplit(lease.superuser_url)
    admin = psycopg.connect(parts._replace(path=f"/{name}").geturl(), autocommit=True)
    try:
        yield urlsplit(lease.url)._replace(path=f"/{name}").geturl(), admin
    finally:
        admin.close()
        with psycopg.connect(lease.superuser_url, autocommit=True) as server:
            server.execute(f"drop database if exists {name} with (force)".encode())


@pytest.fixture
def case(
    postgres_lease: embedded.Lease, shadow_url: str, repository: Path, connect: Connect, request: pytest.FixtureRequest
) -> Generator[Case]:
    """An empty database and a repository whose policy names it."""
    with database(postgres_lease, f"rehearse_{abs(hash(request.node.name)) % 10**8}") as (url, admin):
        made = Case(repository, url, shadow_url, connect, admin)
        made.policy()
        yield made
