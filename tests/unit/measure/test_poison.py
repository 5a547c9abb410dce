"""Somebody lies to the twin: harm is not certified.  One plant of each kind here; `sentinel bench poison` has the figures."""

import pytest

from sentinel.measure.poison import tried
from sentinel.model.verdict import Judgement


@pytest.mark.parametrize(("kind", "plant"), [("slow_bias", 3), ("slow_factor", 0), ("wrong_curve", 0)])
def test_what_would_do_harm_is_not_certified_for_a_filter_that_is_fed_or_a_plant_file_that_is_wrong(kind: str, plant: int) -> None:
    rows = tried(kind, plant, seed=5, writes=3, members=256, horizon_s=600.0)
    harmful = [row for row in rows if row.truth.is_harmful]
    assert harmful
    assert [f"{row.says}: {row.write}" for row in harmful if row.verdict.judgement is Judgement.SAFE] == []


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("frozen", "not in step with the readings"),
        ("replayed", "tags contradict the twin"),
        ("missing", "not in step with the readings"),
        ("silenced", "not in step with the readings"),
    ],
)
def test_a_lie_that_is_seen_certifies_nothing_in_its_section(kind: str, says: str) -> None:
    rows = tried(kind, 0, seed=5, writes=4, members=256, horizon_s=120.0)
    assert says in rows[0].grade
    assert [row.write for row in rows if row.verdict.judgement is Judgement.SAFE] == []
