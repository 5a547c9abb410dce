"""Who knocks without end is told of now and then, and what he calls himself breaks nothing."""

import pytest

from collectors.turned_away import EVERY_S, MAX_ADDRESSES, MAX_TEXT, Knocks, plain
from sentinel.model.ids import AssetId

ONE, OTHER = AssetId("192.0.2.7"), AssetId("192.0.2.8")


def test_each_address_is_told_of_once_in_a_while_with_the_count_since() -> None:
    knocks = Knocks()
    assert [knocks.count(ONE, at_s) for at_s in (0.0, 1.0, EVERY_S - 0.1)] == [1, 0, 0]
    assert knocks.count(OTHER, 1.0) == 1
    assert knocks.count(ONE, EVERY_S) == 3
    assert knocks.count(ONE, 3 * EVERY_S) == 1


def test_a_crowd_of_addresses_costs_bounded_memory() -> None:
    knocks = Knocks()
    for number in range(3 * MAX_ADDRESSES):
        assert knocks.count(AssetId(str(number)), 0.0) == 1
    assert len(knocks._kept) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("said", "shown"),
    [("CN=HMI 1", "CN=HMI 1"), ("CN=\x1b[2J\u202eevil\n", "CN=\ufffd[2J\ufffdevil\ufffd"), ("x" * 5000, "x" * MAX_TEXT), ("", "")],
)
def test_a_subject_is_cut_and_printable(said: str, shown: str) -> None:
    assert plain(said) == shown
