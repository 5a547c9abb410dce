"""The ramp bench on a short life of the plant: a point of the curve for each time between false alarms, and the attacker's best choice."""

import numpy as np

from sentinel.measure.detection.ramp import LEAD_S, RAMP_S, STEEPNESS, _Cusum, _furthest, as_text, measure
from sentinel.model.columns import Array


def test_a_point_for_each_time_between_false_alarms() -> None:
    found = measure(3, learn_s=1500, fresh_s=LEAD_S + RAMP_S, apart_s=(3600.0,))
    (point,) = found["curve"]
    assert point["between_false_alarms_s"] == 3600.0
    assert 0.0 < point["deviation"] <= STEEPNESS[-1] * RAMP_S
    assert point["ratio"] < 1.0
    assert len(found["tags"]) == 17
    assert "LT101" in as_text(found)


def _noise(rows: int, seed: int) -> Array:
    found: Array = np.random.default_rng(seed).normal(size=(rows, 2))
    return found


def test_more_time_between_false_alarms_lets_a_ramp_get_further() -> None:
    learnt, fresh = _noise(4000, 1), _noise(LEAD_S + RAMP_S, 2)
    near, far = (_furthest(_Cusum(learnt, apart), fresh, 0, 100.0) for apart in (3600.0, 1e12))
    assert near < far < STEEPNESS[-1] * RAMP_S


def test_what_is_never_found_counts_as_far_as_it_came() -> None:
    still = _Cusum(_noise(4000, 1) * 1e9, 3600.0)
    assert _furthest(still, _noise(LEAD_S + RAMP_S, 2), 0, 1.0) == STEEPNESS[-1] * (RAMP_S - 1)
