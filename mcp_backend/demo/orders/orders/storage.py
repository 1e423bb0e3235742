"""Where orders are kept."""

from typing import Protocol

import psycopg

from orders.domain import Order


class Orders(Protocol):
    """Keeps orders."""

    def add(self, order: Order) -> bool: ...

    def get(self, identifier: str) -> Order | None: ...


class PostgresOrders:
    """Orders in PostgreSQL. One statement each: adding the same id twice changes nothing and says so."""

    def __init__(self, url: str) -> None:
        self._url = url

    def add(self, order: Order) -> bool:
        with psycopg.connect(self._url) as connection:
            added = connection.execute(
                "insert into orders (id, customer, total_cents) values (%s, %s, %s) on conflict (id) do nothing",
                (order.id, order.customer, order.total_cents),
            )
            return added.rowcount == 1

    def get(self, identifier: str) -> Order | None:
        with psycopg.connect(self._url) as connection:
            row = connection.execute(
                "select id, customer, total_cents from orders where id = %s", (identifier,)
            ).fetchone()
        return Order(*row) if row else None
