"""A repository with a folder of migrations and a database, for the tests of run_migration."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mcp.client import Client
from mcp_types import TextContent

from mcp_backend.engines.embedded import Lease
from tests.conftest import Connect, Era
from tests.engines_fixtures import with_database

MIGRATING = (
    "from pg_stat_activity where application_name = 'mcp-backend run_migration' and datname = current_database()"
)
WAITING = f"select count(*) {MIGRATING} and wait_event_type = 'Lock'"
"""How many migrations of this database wait for a lock."""
QUEUED = f"select count(*) {MIGRATING} and query like '%pg_try_advisory_lock%'"
"""How many of them ask for the turn of migrating this database."""
UNREHEARSED = {"unrehearsed_because": "these tests are about applying"}
NOBODY = f"select (count(*) = 0)::int {MIGRATING}"
"""1 once no migration runs in this database any more."""


@dataclass
class Project:
    """The repository, its database as a person reaches it, and a way to call the tool."""

    root: Path
    url: str
    superuser_url: str
    connect: Connect
    admin: psycopg.Connection[tuple[Any, ...]] = field(repr=False)
    shadow: str = ""
    """Where migrations are rehearsed; without it the workspace starts a server of its own, which takes seconds."""

    def policy(self, environment: str = "development", **more: str) -> None:
        """Writes the policy file."""
        settings = {"kind": "postgresql", "url": self.url, "environment": environment, "shadow": self.shadow}
        settings |= {**UNREHEARSED, **more}
        settings = {key: value for key, value in settings.items() if value}
        lines = [f'{key} = "{value}"' for key, value in settings.items()]
        (self.root / "mcp-backend.toml").write_text("[engines.main]\n" + "\n".join(lines) + "\n")

    def write(self, name: str, up: str, down: str = "", option: str = "") -> Path:
        """Writes a migration file."""
        path = self.root / "db" / "migrations" / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"-- migrate:up{option}\n{up}\n-- migrate:down{option}\n{down}\n")
        return path

    @asynccontextmanager
    async def server(self, era: Era = "auto") -> AsyncGenerator[Client]:
        """A server of the repository, in memory."""
        async with self.connect(self.root, mode=era) as client:
            yield client

    async def run(self, **arguments: Any) -> dict[str, Any]:
        """One call on a server of its own: its result, or its error."""
        async with self.server() as client:
            return await call(client, **arguments)

    def ask(self, sql: str) -> list[Any]:
        """The first column of a query."""
        return [row[0] for row in self.admin.execute(sql.encode())]

    @property
    def applied(self) -> list[str]:
        """What the history says."""
        return self.ask("select version from schema_migrations order by version")

    @property
    def tables(self) -> list[str]:
        """The tables without the history."""
        return self.ask(
            "select tablename from pg_tables where schemaname = 'public' "
            "and tablename <> 'schema_migrations' order by 1"
        )

    @property
    def half_way(self) -> dict[str, Any] | None:
        """The note on the history table about a migration that was interrupted."""
        (comment,) = self.ask("select obj_description('schema_migrations'::regclass, 'pg_class')")
        if comment is None:
            return None
        note = json.loads(comment.removeprefix("[mcp-backend at ").removesuffix("]"))
        return {key: value for key, value in note.items() if key != "sha256"}

    async def reconnect(self) -> None:
        """Connects `admin` anew once the server has recovered from a crash."""
        self.admin.close()
        async with asyncio.timeout(60):
            while self.admin.closed:
                try:
                    self.admin = psycopg.connect(self.superuser_url, autocommit=True)
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)

    async def until(self, sql: str) -> None:
        """Returns once the query is not zero any more, and fails when that does not happen."""
        async with asyncio.timeout(60):
            while self.ask(sql) == [0]:
                await asyncio.sleep(0.01)


async def call(client: Client, **arguments: Any) -> dict[str, Any]:
    """Calls run_migration: its result, or its error with `code`."""
    answer = await client.call_tool("run_migration", arguments)
    body = answer.structured_content
    assert body is not None
    assert answer.is_error == ("error" in body)
    (content,) = answer.content
    assert isinstance(content, TextContent)
    assert json.loads(content.text) == body
    return body.get("error", body)


@pytest.fixture(scope="module")
def emptied(postgres_lease: Lease) -> Generator[tuple[str, str]]:
    """URLs, as its owner and as superuser, of a database that the tests of a module empty one after the other: that
    takes less time than making one."""
    assert postgres_lease.superuser_url
    name = f"migrations_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_lease.superuser_url, autocommit=True) as admin:
        admin.execute(f"create database {name} owner backend".encode())
    yield with_database(postgres_lease.url, name), with_database(postgres_lease.superuser_url, name)
    with psycopg.connect(postgres_lease.superuser_url, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def project(
    repository: Path, emptied: tuple[str, str], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> Generator[Project]:
    """An empty database in development and a repository without migrations."""
    monkeypatch.delenv("DBMATE_MIGRATIONS_TABLE", raising=False)
    url, superuser_url = emptied
    made = Project(repository, url, superuser_url, connect, psycopg.connect(superuser_url, autocommit=True))
    try:
        made.policy()
        yield made
        made.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        own = "nspname !~ '^pg_' and nspname <> 'information_schema'"
        for schema in made.ask(f"select nspname from pg_namespace where {own}"):
            made.admin.execute(f'drop schema "{schema}" cascade'.encode())
        made.admin.execute(
            b"create schema public authorization pg_database_owner; grant usage on schema public to public"
        )
    finally:
        made.admin.close()
