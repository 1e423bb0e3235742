import pytest

from orders.domain import total


@pytest.mark.parametrize(("percent", "cents"), [(0, 750), (10, 675), (33, 502), (100, 0)])
def test_a_discount_is_a_percentage_rounded_down(percent: int, cents: int) -> None:
    assert total(3, 250, percent) == cents


@pytest.mark.parametrize("percent", [-1, 101])
def test_an_impossible_discount_is_refused(percent: int) -> None:
    with pytest.raises(ValueError, match="discount_percent"):
        total(3, 250, percent)
