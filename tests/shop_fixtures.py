"""A small shop in a database of the test's own."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.asking import names_database

ORDERS = """
create type status as enum ('new', 'paid');
create table customers (id bigint primary key, name text not null, secret text);
create table orders (id bigint primary key, customer_id bigint references customers, state status default 'new',
  total numeric(12, 2), placed_at timestamptz, tags text[], body jsonb, raw bytea, note text);
insert into customers values (1, 'Ada', 'x'), (2, 'Grace', 'y');
insert into orders values (1, 1, 'paid', 12.50, '2026-01-02 03:04:05+00', '{a,b}', '{"n": 1.5}', '\\xdead', null);
create view paid as select id, total from orders where state = 'paid';
"""


@pytest.fixture
def shop(repository: Path, postgres_url: str) -> Path:
    """A workspace whose engine `main` is a database with customers and orders."""
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(ORDERS.encode())
    names_database(repository, postgres_url)
    return repository


@pytest.fixture
def owner(postgres_url: str) -> Generator[psycopg.Connection[Any]]:
    """The owner of the test's database, to prepare and to look."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection
