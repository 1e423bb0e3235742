import pytest

from orders.domain import total


def test_a_total_is_in_cents() -> None:
    assert total(3, 250) == 750


def test_nothing_cannot_be_ordered() -> None:
    with pytest.raises(ValueError, match="quantity"):
        total(0, 250)
