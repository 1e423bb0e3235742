"""What an order is. Money is in minor units (cents), never in floats."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """An order as it was accepted."""

    id: str
    customer: str
    total_cents: int
    discount_percent: int = 0


def total(quantity: int, price_cents: int, discount_percent: int = 0) -> int:
    """The price of `quantity` pieces less a whole-number percentage, in cents, rounded down for the customer.

    Raises `ValueError` for an impossible order.
    """
    if quantity < 1 or price_cents < 0:
        raise ValueError("quantity must be at least 1 and price_cents not negative")
    if not 0 <= discount_percent <= 100:
        raise ValueError("discount_percent must be between 0 and 100")
    return quantity * price_cents * (100 - discount_percent) // 100
