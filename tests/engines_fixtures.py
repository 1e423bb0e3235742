"""Real engines for tests: one PostgreSQL cluster and one NATS server a session, the way a workspace runs them.

Their leases belong to the pytest process, so they end with it, also when it is killed.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace
from tests.conftest import memory

T = TypeVar("T")


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, from a test or fixture that is not asynchronous."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def with_database(url: str, name: str) -> str:
    """The URL with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def hasten(lease: embedded.Lease) -> None:
    """Has a cluster whose data may be lost not wait for the disk, and its passwords take one round to prove."""
    import psycopg

    assert lease.superuser_url
    with psycopg.connect(lease.superuser_url, autocommit=True) as admin:
        for setting in ("fsync = off", "full_page_writes = off", "scram_iterations = 1"):
            admin.execute(f"ALTER SYSTEM SET {setting}".encode())
        admin.execute("SELECT pg_reload_conf()")
    proven_in(1, lease)


def proven_in(rounds: int, lease: embedded.Lease) -> None:
    """Has the passwords of a cluster, which stay, take so many rounds to prove: each of thousands of connections does
    so, and the default is 4096, below which programs in Go prove none (RFC 7677 section 4)."""
    import psycopg

    assert lease.superuser_url
    with psycopg.connect(lease.superuser_url, autocommit=True) as admin:
        admin.execute(f"SET scram_iterations = {rounds}".encode())
        for user, password in ((at.username, at.password) for at in map(urlsplit, (lease.url, lease.superuser_url))):
            admin.execute(f"ALTER ROLE {user} PASSWORD '{password}'".encode())


@pytest.fixture(scope="session")
def session_workspace() -> Generator[Workspace]:
    """The workspace whose engines all tests of the session share."""
    with TemporaryDirectory(prefix="mcp-backend-tests-", dir=memory()) as folder:
        yield Workspace(Path(folder), Path(folder, "state"), False)


@pytest.fixture(scope="session")
def postgres_lease(session_workspace: Workspace) -> Generator[embedded.Lease]:
    """The session's PostgreSQL cluster. Its data may be lost, so it does not wait for the disk."""
    lease = wait_for(embedded.lease("postgresql", session_workspace))
    hasten(lease)
    yield lease
    lease.close()
    wait_for(embedded.stop("postgresql", session_workspace, force=True))


@pytest.fixture
def postgres_database(postgres_lease: embedded.Lease) -> Generator[str]:
    """The name of a new, empty database of this test, owned by the role `backend`, who is no superuser."""
    import psycopg

    assert postgres_lease.superuser_url
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_lease.superuser_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER backend STRATEGY file_copy".encode())
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_url(postgres_lease: embedded.Lease, postgres_database: str) -> str:
    """URL of this test's database as its owner."""
    return with_database(postgres_lease.url, postgres_database)


@pytest.fixture
def postgres_admin_url(postgres_lease: embedded.Lease, postgres_database: str) -> str:
    """URL of the same database as superuser, for what a test needs around it."""
    assert postgres_lease.superuser_url
    return with_database(postgres_lease.superuser_url, postgres_database)


@pytest.fixture(scope="session")
def nats_url(session_workspace: Workspace) -> Generator[str]:
    """URL of the session's NATS server with JetStream. Streams are shared: use names of the test's own."""
    lease = wait_for(embedded.lease("nats", session_workspace))
    yield lease.url
    lease.close()
    wait_for(embedded.stop("nats", session_workspace, force=True))
