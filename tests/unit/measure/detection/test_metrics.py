"""Against cases that were worked out by hand, and against what must hold for any labels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.measure.detection.metrics import (
    Series,
    average_precision,
    batadal_score,
    buffered,
    event_figures,
    point_f1,
    poisson_interval,
    range_precision,
    runs,
    volume_under_surface,
)


def _rows(text: str) -> np.ndarray:
    return np.array([each == "1" for each in text])


def test_runs() -> None:
    assert runs(_rows("0110010")) == [(1, 3), (5, 6)]
    assert runs(_rows("1")) == [(0, 1)]
    assert runs(_rows("")) == []


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (10, 4.7954, 18.3904)])
def test_the_poisson_interval_is_the_tabulated_one(count: int, low: float, high: float) -> None:
    assert poisson_interval(count, 1.0) == pytest.approx((low, high), abs=1e-3)
    assert poisson_interval(count, 2.0) == pytest.approx((low / 2, high / 2), abs=1e-3)


def test_average_precision_by_hand() -> None:
    # descending: hit (1/1), miss, hit (2/3): 0.5 * 1 + 0.5 * 2/3
    assert average_precision(_rows("101"), np.array([3.0, 2.0, 1.0])) == pytest.approx(0.5 + 1 / 3)
    assert average_precision(_rows("1000"), np.zeros(4)) == pytest.approx(0.25)  # all tied: the base rate
    assert math.isnan(average_precision(_rows("000"), np.zeros(3)))


def test_a_buffer_falls_with_the_root_of_the_distance() -> None:
    soft = buffered(_rows("0001000"), 4)
    assert soft == pytest.approx([0, math.sqrt(0.5), math.sqrt(0.75), 1, math.sqrt(0.75), math.sqrt(0.5), 0])
    assert buffered(_rows("0110"), 0).tolist() == [0, 1, 1, 0]


def test_range_precision_by_hand() -> None:
    labels = _rows("00100")
    # no buffer: as average precision, times the share of events that were reached
    assert range_precision(labels, np.array([0.0, 0, 1, 0, 0]), 0) == pytest.approx(1.0)
    assert range_precision(labels, np.array([1.0, 0, 0, 0, 0]), 0) == pytest.approx(1 / 5)
    # buffer 2: slopes of sqrt(1/2); positives (1 + 1 + 2 sqrt(1/2)) / 2 = 1 + sqrt(1/2) = 1.7071
    # one row on the slope first: hits 0.7071, recall 0.4142, precision 0.7071; then all five: hits 2.4142, recall 1, precision 0.48284
    assert range_precision(labels, np.array([0.0, 1, 0, 0, 0]), 2) == pytest.approx(0.41421 * 0.70711 + 0.58579 * 0.48284, abs=1e-4)


def test_an_event_that_nothing_reached_costs_recall() -> None:
    labels = _rows("1100000011")
    one, both = np.zeros(10), np.zeros(10)
    one[:2] = 1.0
    both[[0, 9]] = 1.0
    # `one`: recall 1/2 * existence 1/2 at precision 1, the rest at the base rate
    assert range_precision(labels, one, 0) == pytest.approx(0.25 + 0.75 * 0.4)
    assert range_precision(labels, both, 0) == pytest.approx(0.5 + 0.5 * 0.4)


def test_the_surface_of_a_perfect_score_is_one_only_without_buffer() -> None:
    labels = _rows("0000111100000000")
    perfect = volume_under_surface(labels, labels.astype(float))
    late = volume_under_surface(labels, np.roll(labels, 2).astype(float))
    noise = volume_under_surface(labels, np.random.default_rng(1).random(16))
    assert 1.0 >= perfect > late > noise


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 1000))
def test_areas_are_shares_and_depend_on_the_order_of_scores_alone(labels: list[bool], seed: int) -> None:
    rows, scores = np.array(labels), np.random.default_rng(seed).integers(0, 9, len(labels)).astype(float)
    for area in (average_precision, volume_under_surface):
        value = area(rows, scores)
        assert math.isnan(value) == (not rows.any())
        if rows.any():
            assert 0.0 <= value <= 1.0 + 1e-9
            assert value == pytest.approx(area(rows, np.exp(scores)))


def test_events_episodes_and_delays_by_hand() -> None:
    one = Series(labels=_rows("0011100110"), alarms=_rows("1000110000"), scores=np.zeros(10), row_s=3600.0)
    quiet = Series(labels=_rows("0000000000"), alarms=_rows("0000000000"), scores=np.zeros(10), row_s=3600.0)
    figures = event_figures([one, quiet])
    assert (figures["event_recall"], figures["event_precision"], figures["event_f1"]) == pytest.approx((0.5, 0.5, 0.5))
    assert (figures["delay_p50_s"], figures["delay_p90_s"]) == (7200.0, 7200.0)
    assert figures["false_alarms_per_day"] == pytest.approx(1 / (15 / 24))
    assert figures["false_alarms_ci"] == pytest.approx([0.0253 * 24 / 15, 5.5716 * 24 / 15], abs=1e-2)
    assert figures["time_in_alarm"] == pytest.approx(3 / 20)


def test_nothing_to_divide_by_is_unknown_and_not_zero() -> None:
    figures = event_figures([Series(labels=_rows("11"), alarms=_rows("00"), scores=np.zeros(2), row_s=1.0)])
    assert figures["event_recall"] == 0.0
    assert figures["event_precision"] is None
    assert figures["false_alarms_per_day"] is None
    assert figures["delay_p50_s"] is None


def test_the_batadal_score_of_the_trivial_alarms_is_the_published_one() -> None:
    labels = _rows("0001111000")
    assert batadal_score(labels, np.ones(10, bool)) == pytest.approx(0.75)
    assert batadal_score(labels, np.zeros(10, bool)) == pytest.approx(0.25)
    # found after one of four rows: 0.5 * 0.75 + 0.25 * (3/4 + 1)
    assert batadal_score(labels, _rows("0000111000")) == pytest.approx(0.8125)


def test_point_figures() -> None:
    f1, far = point_f1(_rows("1100"), _rows("1010"))
    assert (f1, far) == pytest.approx((0.5, 0.5))
