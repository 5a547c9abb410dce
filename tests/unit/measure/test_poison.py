"""Somebody lies to the twin: harm is not certified.  One plant of each kind here; `sentinel bench poison` has the figures."""

import pytest

from sentinel.measure.poison import Tried, tried
from sentinel.model.verdict import Judgement

MOST_PLANTS = 5


def with_harm(kind: str) -> list[Tried]:
    """The first plant on which something that is tried does harm."""
    for number in range(MOST_PLANTS):
        rows = tried(kind, number, seed=5, writes=4, members=256, horizon_s=600.0)
        if any(row.truth.is_harmful for row in rows):
            return rows
    raise AssertionError(f"nothing does harm on {MOST_PLANTS} plants")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("slow_bias", ""),
        ("slow_factor", ""),
        ("wrong_curve", ""),
        ("frozen", "not in step with the readings"),
        ("replayed", "tags contradict the twin"),
        ("missing", "not in step with the readings"),
        ("silenced", "not in step with the readings"),
    ],
)
def test_what_would_do_harm_is_not_certified(kind: str, says: str) -> None:
    rows = with_harm(kind)
    assert [row.write for row in rows if row.truth.is_harmful and row.verdict.judgement is Judgement.SAFE] == []
    assert says in rows[0].grade
    if says:
        assert [row.write for row in rows if row.verdict.judgement is Judgement.SAFE and "HH" not in row.write] == []
