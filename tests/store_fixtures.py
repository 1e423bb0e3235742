"""The same test on both stores: a file of the workspace, and PostgreSQL shared by many servers."""

import os
from pathlib import Path

import pytest

from mcp_backend import store
from mcp_backend.engines import embedded
from mcp_backend.settings import sha256
from tests.engines_fixtures import with_database

STORE_DATABASE = "stores"
SWITCHED = os.environ.get("MCP_BACKEND_TESTS_STORE") == "postgresql"


@pytest.fixture(scope="session")
def store_url(postgres_lease: embedded.Lease) -> str:
    """URL of a database for stores, whose owner is no superuser."""
    import psycopg

    assert postgres_lease.superuser_url
    with psycopg.connect(postgres_lease.superuser_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {STORE_DATABASE} OWNER backend".encode())
    return with_database(postgres_lease.url, STORE_DATABASE)


@pytest.fixture(params=("sqlite", "postgresql"))
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test twice: what would be a file of a folder is a schema of its own on PostgreSQL the second time. Only
    in this process: a test that starts others says `store = "env:…"` in a policy."""
    if request.param == "postgresql":
        _on_postgresql(request, monkeypatch)
    return request.param


@pytest.fixture(autouse=True)
def _store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test on the store that MCP_BACKEND_TESTS_STORE=postgresql asks for."""
    if SWITCHED and "each_store" not in request.fixturenames:
        _on_postgresql(request, monkeypatch)


@pytest.fixture
def local_store() -> None:
    """Skips a test about the file, or one with other processes, where all run on PostgreSQL."""
    if SWITCHED:
        pytest.skip("the store is a file here")


def _on_postgresql(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    url: str = request.getfixturevalue("store_url")
    make = store.STORES["postgresql"]

    def opened(folder: Path) -> store.Store:
        return make(url, f"t_{sha256(os.fsencode(folder))[:16]}")

    monkeypatch.setattr(store, "open_sqlite", opened)
