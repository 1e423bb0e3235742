"""What an order is. Money is in minor units (cents), never in floats."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """An order as it was accepted."""

    id: str
    customer: str
    total_cents: int


def total(quantity: int, price_cents: int) -> int:
    """The price of `quantity` pieces, in cents. Raises `ValueError` for an impossible order."""
    if quantity < 1 or price_cents < 0:
        raise ValueError("quantity must be at least 1 and price_cents not negative")
    return quantity * price_cents
