from fastapi.testclient import TestClient

from orders.api import create_app
from orders.domain import Order


class Kept:
    def __init__(self) -> None:
        self.rows: dict[str, Order] = {}

    def add(self, order: Order) -> bool:
        return self.rows.setdefault(order.id, order) is order

    def get(self, identifier: str) -> Order | None:
        return self.rows.get(identifier)


NEW = {"id": "o-1", "customer": "ada", "quantity": 3, "price_cents": 250}


def test_an_order_is_created_and_read_back() -> None:
    client = TestClient(create_app(Kept()))
    assert client.post("/orders", json=NEW).json() == {"id": "o-1", "total_cents": 750}
    assert client.get("/orders/o-1").json()["customer"] == "ada"


def test_an_id_is_used_once() -> None:
    client = TestClient(create_app(Kept()))
    client.post("/orders", json=NEW)
    assert client.post("/orders", json=NEW).status_code == 409


def test_an_unknown_order_is_not_found() -> None:
    assert TestClient(create_app(Kept())).get("/orders/none").status_code == 404
