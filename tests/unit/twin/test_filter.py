import numpy as np
import pytest

from sentinel.twin.filter import blocks, correct
from sentinel.twin.plant import Plant


def test_a_reading_corrects_as_the_kalman_filter_does() -> None:
    """Two correlated quantities, one of them read: mean and covariance against the closed form."""
    chance = np.random.default_rng(3)
    rows = chance.multivariate_normal([1.0, 5.0], [[4.0, 3.0], [3.0, 9.0]], 4000).T
    covariance, mean = np.cov(rows), rows.mean(axis=1)
    value, variance = 3.0, 2.0
    gain = covariance[:, 0] / (covariance[0, 0] + variance)
    correct(rows, np.ones(2), 0, value, variance)
    assert rows.mean(axis=1) == pytest.approx(mean + gain * (value - mean[0]), rel=1e-9)
    assert np.cov(rows) == pytest.approx(covariance - np.outer(gain, covariance[0]), rel=1e-9)


def test_what_is_barred_is_not_moved() -> None:
    rows = np.random.default_rng(4).standard_normal((3, 50))
    before = rows.copy()
    correct(rows, np.array([1.0, 0.0, 1.0]), 0, 2.0, 1.0)
    assert np.array_equal(rows[1], before[1])
    assert not np.array_equal(rows[2], before[2])


def test_the_sections_of_the_reference_plant_do_not_touch(plant: Plant) -> None:
    states, controllers, parameters, outputs = blocks(plant, [sensor.expression for sensor in plant.sensors])
    of_state = dict(zip((one.name for one in plant.states), states, strict=True))
    assert of_state["T101.level"] == of_state["T102.level"] == of_state["P101.speed"]
    assert of_state["H201.temperature"] == of_state["T201.temperature"] == of_state["P201.flow"]
    assert of_state["SP301.speed"] == of_state["B301.temperature"] == of_state["CL301.position"]
    assert len({of_state["T101.level"], of_state["T201.temperature"], of_state["B301.temperature"]}) == 3
    assert len(set(states) | set(controllers) | set(parameters) | set(outputs)) == 3
