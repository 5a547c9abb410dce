"""Exact bounds, held against the definition; pairs, against hand counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sandbox.risk import bounds, compare


@given(st.integers(1, 400), st.floats(0.0, 1.0), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_are_those_of_clopper_and_pearson(trials: int, share: float, confidence: float) -> None:
    """At each bound the observed count is just as surprising as the tail allows."""
    hits = round(share * trials)
    low, high = bounds(hits, trials, confidence)
    tail = (1 - confidence) / 2
    assert 0.0 <= low <= hits / trials <= high <= 1.0
    assert low == 0.0 if hits == 0 else binom.sf(hits - 1, trials, low) == pytest.approx(tail, rel=1e-6)
    assert high == 1.0 if hits == trials else binom.cdf(hits, trials, high) == pytest.approx(tail, rel=1e-6)


def test_known_values() -> None:
    assert bounds(0, 256, 0.95)[1] == pytest.approx(0.01431, abs=1e-5)
    assert bounds(5, 10, 0.95) == pytest.approx((0.18709, 0.81291), abs=1e-5)
    assert bounds(0, 0, 0.95) == (0.0, 1.0)


def test_only_what_the_command_breaks_is_added() -> None:
    without = np.array([1.0, -1.0, 1.0, 1.0])
    lived = np.array([-2.0, -2.0, 0.5, 0.0])
    pair = compare(lived, without, np.array([30.0, 10.0, np.inf, np.inf]), 0.95)
    assert (pair.broken_with, pair.broken_without, pair.added, pair.members) == (2, 1, 1, 4)
    assert pair.time_s == 20.0
    assert not pair.breaks_all
    assert compare(without, without, np.full(4, np.inf), 0.95).added == 0
