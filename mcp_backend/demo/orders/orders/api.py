"""The HTTP interface, as `api/openapi.yaml` says."""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from orders.domain import Order, total
from orders.storage import Orders


class NewOrder(BaseModel):
    """The body of POST /orders."""

    id: str = Field(min_length=1)
    customer: str = Field(min_length=1)
    quantity: int = Field(ge=1)
    price_cents: int = Field(ge=0)


def create_app(orders: Orders) -> FastAPI:
    """The application over a place where orders are kept."""
    app = FastAPI(title="orders", version="1.4.0")

    @app.post("/orders", status_code=201)
    def create(new: NewOrder) -> dict[str, str | int]:
        order = Order(new.id, new.customer, total(new.quantity, new.price_cents))
        if not orders.add(order):
            raise HTTPException(409, "an order with this id exists")
        return {"id": order.id, "total_cents": order.total_cents}

    @app.get("/orders/{identifier}")
    def read(identifier: str) -> dict[str, str | int]:
        order = orders.get(identifier)
        if order is None:
            raise HTTPException(404, "no such order")
        return {"id": order.id, "customer": order.customer, "total_cents": order.total_cents}

    return app
