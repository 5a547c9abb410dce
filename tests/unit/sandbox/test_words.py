"""Numbers as an operator reads them."""

import pytest

from sandbox.words import amount, duration, listed, number


@pytest.mark.parametrize(("value", "text"), [(1.6, "1.60"), (-0.25, "-0.25"), (70.04, "70.0"), (9000.0, "9000")])
def test_digits_follow_the_size(value: float, text: str) -> None:
    assert number(value) == text


def test_units_and_times() -> None:
    assert (amount(1.6, "m"), amount(1.0, "1")) == ("1.60 m", "1.00")
    assert (duration(0.4), duration(74.4)) == ("at once", "after 74 s")


def test_long_lists_are_cut_and_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
