"""One local ClickHouse a session, and a database of each test's own in it."""

import json
import secrets
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace
from tests.engines_fixtures import wait_for, with_database

Sql: TypeAlias = Callable[..., str]
"""`sql("select 1", max_threads=1)`: what the server answers as text, without any of our own code in between."""


class Refused(Exception):
    """The server's own words, with its code."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


def speaking(url: str) -> Sql:
    """Statements over HTTP, to prepare and to look."""
    at = urlsplit(url)

    def sql(statement: str | bytes, **settings: object) -> str:
        database = at.path.strip("/")
        place = f"http://{at.hostname}:{at.port}/?{urlencode({'database': database, **settings})}"
        headers = {"X-ClickHouse-User": at.username or "", "X-ClickHouse-Key": at.password or ""}
        body = statement.encode() if isinstance(statement, str) else statement
        try:
            with urlopen(Request(place, data=body, headers=headers), timeout=60) as answer:
                return answer.read().decode()
        except HTTPError as error:
            with error:
                raise Refused(int(error.headers["X-ClickHouse-Exception-Code"]), error.read().decode()) from None

    return sql


@pytest.fixture(scope="session")
def clickhouse_lease(session_workspace: Workspace) -> Generator[embedded.Lease]:
    """The session's local ClickHouse."""
    if find_spec("chdb") is None:
        pytest.skip("chdb is not installed: the extra embedded-clickhouse brings it")
    lease = wait_for(embedded.lease("clickhouse", session_workspace))
    yield lease
    lease.close()
    wait_for(embedded.stop("clickhouse", session_workspace, force=True))


@pytest.fixture
def clickhouse_url(clickhouse_lease: embedded.Lease) -> Generator[str]:
    """URL of a new, empty database of this test."""
    name = f"test_{secrets.token_hex(4)}"
    sql = speaking(clickhouse_lease.url)
    sql(f"CREATE DATABASE {name} ENGINE = Atomic")
    yield with_database(clickhouse_lease.url, name)
    sql(f"DROP DATABASE {name}")


@pytest.fixture
def clickhouse(clickhouse_url: str) -> Sql:
    """Statements in the test's database, past everything that is under test."""
    return speaking(clickhouse_url)


def names_clickhouse(root: Path, url: str) -> None:
    """Writes the policy of a workspace with one engine, `main`, on ClickHouse."""
    (root / "mcp-backend.toml").write_text(
        f'[engines.main]\nkind = "clickhouse"\nurl = {json.dumps(url)}\nenvironment = "development"\n'
    )


@pytest.fixture(scope="session")
def many_events(clickhouse_lease: embedded.Lease) -> str:
    """A table with 300,000 events of 50 tenants in five months. A test that clones it shares its parts."""
    sql = speaking(clickhouse_lease.url)
    sql("CREATE DATABASE kept ENGINE = Atomic")
    sql(
        "CREATE TABLE kept.events (tenant UInt32, at DateTime('UTC'), kind LowCardinality(String), value Float64, "
        "note String, INDEX note_index note TYPE bloom_filter GRANULARITY 1) ENGINE = MergeTree "
        "PARTITION BY toYYYYMM(at) ORDER BY (tenant, at) SETTINGS index_granularity = 1024"
    )
    sql(
        "INSERT INTO kept.events SELECT number % 50, toDateTime('2026-01-01 00:00:00', 'UTC') + number * 40, "
        "['a', 'b', 'c'][number % 3 + 1], number, toString(number) FROM numbers(300000)"
    )
    return "kept.events"


@pytest.fixture
def analytics(repository: Path, clickhouse_url: str, clickhouse: Sql, many_events: str) -> Path:
    """A workspace whose engine `main` has many events in a table, and their users."""
    clickhouse(f"CREATE TABLE events CLONE AS {many_events}")
    clickhouse("CREATE TABLE users (id UInt32, name String) ENGINE = MergeTree ORDER BY id")
    clickhouse("INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
    names_clickhouse(repository, clickhouse_url)
    return repository
