"""The compiled filter against closed forms, and against itself in numpy."""

import numpy as np
import pytest

from sentinel.twin import correction
from sentinel.twin.correction import BLOCK, correct, padded

ALL = np.inf


def laid_out(rows: np.ndarray) -> np.ndarray:
    """As the filter wants them; what stands in the lanes that do not count must not matter."""
    lanes = np.full((len(rows), padded(rows.shape[1])), 1e9)
    lanes[:, : rows.shape[1]] = rows
    return lanes


def corrected(rows: np.ndarray, gains: np.ndarray, forecast: int, value: float, variance: float) -> np.ndarray:
    lanes = laid_out(rows)
    correct(lanes, rows.shape[1], gains[None, :], np.array([forecast]), np.array([value]), np.array([variance]), ALL)
    return lanes[:, : rows.shape[1]]


def plainly(
    rows: np.ndarray, gains: np.ndarray, forecasts: np.ndarray, values: np.ndarray, variances: np.ndarray, outlier: float
) -> list[bool]:
    """Whitaker and Hamill (2002), equations 10 to 13, one reading after the other."""
    used = []
    for gain, forecast, value, variance in zip(gains, forecasts, values, variances, strict=True):
        mean, anomaly = rows[forecast].mean(), rows[forecast] - rows[forecast].mean()
        used.append(abs(value - mean) <= outlier * np.sqrt(variance + rows[forecast].var()))
        if used[-1]:
            spread = anomaly @ anomaly / (rows.shape[1] - 1)
            shrink = 1.0 / (1.0 + np.sqrt(variance / (spread + variance)))
            kalman = gain * (rows @ anomaly / (rows.shape[1] - 1)) / (spread + variance)
            rows += np.outer(kalman, (value - mean) - shrink * anomaly)
    return used


def test_a_reading_corrects_as_the_kalman_filter_does() -> None:
    """Two correlated quantities, one of them read: mean and covariance against the closed form."""
    chance = np.random.default_rng(3)
    rows = chance.multivariate_normal([1.0, 5.0], [[4.0, 3.0], [3.0, 9.0]], 4000).T
    covariance, mean = np.cov(rows), rows.mean(axis=1)
    value, variance = 3.0, 2.0
    gain = covariance[:, 0] / (covariance[0, 0] + variance)
    rows = corrected(rows, np.ones(2), 0, value, variance)
    assert rows.mean(axis=1) == pytest.approx(mean + gain * (value - mean[0]), rel=1e-9)
    assert np.cov(rows) == pytest.approx(covariance - np.outer(gain, covariance[0]), rel=1e-9)


def test_what_is_barred_is_not_moved() -> None:
    rows = np.random.default_rng(4).standard_normal((3, 50))
    after = corrected(rows, np.array([1.0, 0.0, 1.0]), 0, 2.0, 1.0)
    assert np.array_equal(rows[1], after[1])
    assert not np.array_equal(rows[2], after[2])


@pytest.mark.parametrize("members", [2, 31, 32, 33, 256])
def test_many_readings_correct_one_after_the_other(members: int) -> None:
    chance = np.random.default_rng(members)
    rows = chance.standard_normal((9, members)).cumsum(axis=0) + 3.0
    gains = np.where(chance.random((6, 9)) < 0.3, 0.0, chance.random((6, 9)))
    forecasts = np.array([0, 3, 3, 8, 5, 1])
    values, variances = rows[forecasts].mean(axis=1) + chance.standard_normal(6), chance.uniform(0.05, 2.0, 6)
    values[2] += 1000.0
    lanes = laid_out(rows)
    used = correct(lanes, members, gains, forecasts, values, variances, 6.0)
    assert used.tolist() == plainly(rows, gains, forecasts, values, variances, 6.0)
    assert used.tolist() == [True, True, False, True, True, True]
    assert lanes[:, :members] == pytest.approx(rows, rel=1e-12, abs=1e-12)


def test_a_reading_that_is_no_number_corrects_nothing() -> None:
    rows = laid_out(np.random.default_rng(5).standard_normal((2, 40)))
    before = rows.copy()
    assert not correct(rows, 40, np.ones((1, 2)), np.array([0]), np.array([np.nan]), np.array([1.0]), 6.0).any()
    assert np.array_equal(rows, before)


def test_plain_instructions_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(6).standard_normal((5, 100)).cumsum(axis=0)
    asked = (np.ones((3, 5)), np.array([4, 0, 2]), np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.4, 0.3]), 6.0)
    here, there = laid_out(rows), laid_out(rows)
    correct(here, 100, *asked)
    portable = correction._code(portable=True)
    assert portable.processor == "portable"
    monkeypatch.setattr(correction, "_code", lambda: portable)
    correct(there, 100, *asked)
    assert np.array_equal(here, there)


@pytest.mark.parametrize(
    ("lanes", "members", "gains", "forecasts"),
    [
        (BLOCK + 8, 20, (1, 2), [0]),  # not whole blocks
        (BLOCK, BLOCK + 1, (1, 2), [0]),
        (BLOCK, 1, (1, 2), [0]),  # one member has no spread
        (BLOCK, 20, (1, 3), [0]),
        (BLOCK, 20, (2, 2), [0]),
        (BLOCK, 20, (1, 2), [2]),
        (BLOCK, 20, (1, 2), [-1]),
    ],
)
def test_what_does_not_fit_is_refused(lanes: int, members: int, gains: tuple[int, int], forecasts: list[int]) -> None:
    readings = len(forecasts)
    with pytest.raises(ValueError, match="do not fit"):
        correct(np.zeros((2, lanes)), members, np.ones(gains), np.array(forecasts), np.zeros(readings), np.ones(readings), 6.0)
