"""Disturbances do what they say to the values, from a seed, and leave labels, shapes and the original tables alone."""

import numpy as np
import pytest

from sentinel.measure.detection.datasets import Table
from sentinel.measure.detection.robustness import DISTURBANCES, MISSING, POISON


def _table(values: np.ndarray, labels: np.ndarray) -> Table:
    tags = tuple(f"T{i}" for i in range(values.shape[1]))
    return Table(name="made", tags=tags, values=values, labels=labels, row_s=3600.0, digits=np.full(len(tags), 2))


def tables(rows: int = 1000, tags: int = 4) -> tuple[Table, Table]:
    chance = np.random.default_rng(1)
    learnt, tested = (np.round(chance.normal(0, 1, (rows, tags)), 2) for _ in range(2))
    labels = np.arange(rows) >= rows - 50
    return _table(learnt, np.zeros(rows, bool)), _table(tested, labels)


@pytest.mark.parametrize("run_in", [0, 400])
@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbance_is_repeatable_and_leaves_what_it_was_given(name: str, run_in: int) -> None:
    learnt, tested = tables()
    before = learnt.values.copy(), tested.values.copy()
    first, again = (DISTURBANCES[name]([learnt], [tested], run_in) for _ in range(2))
    assert all(
        np.array_equal(a.values, b.values, equal_nan=True)
        for one, other in zip(first, again, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert (learnt.values == before[0]).all()
    assert (tested.values == before[1]).all()
    assert (first[1][0].labels == tested.labels).all()
    changed = (first[0][0].values != before[0]).any() or (first[1][0].values != before[1]).any()
    assert changed


def test_how_much_is_as_declared() -> None:
    learnt, tested = tables()
    gappy = DISTURBANCES["missing"]([learnt], [tested], 0)[1][0]
    assert gappy.missing == np.isnan(gappy.values).sum() == pytest.approx(MISSING * tested.values.size, rel=0.2)
    poisoned = DISTURBANCES["poisoned"]([learnt], [tested], 0)[0][0]
    assert (poisoned.values != learnt.values).any(axis=1).sum() == round(POISON * 1000)
    stuck = DISTURBANCES["dead"]([learnt], [tested], 400)[1][0]
    assert (np.ptp(stuck.values[400:], axis=0) == 0).sum() == 1
    assert (stuck.values[:400] == tested.values[:400]).all()
    week = DISTURBANCES["drift"]([learnt], [tested], 0)[1][0].values - tested.values
    assert np.abs(week).max() <= 0.01 * np.ptp(learnt.values, axis=0).max() * 1000 * tested.row_s / (7 * 86_400)
