import pytest

from sentinel.model.detection import Severity
from sentinel.model.tags import TagRole
from sentinel.twin.envelope import envelope
from sentinel.twin.plant import Plant


def test_every_tag_has_its_range_and_the_invariants_over_it(plant: Plant) -> None:
    by_tag = envelope(plant)
    assert set(by_tag) == {tag.name for tag in plant.tags.tags}
    level = by_tag["LT101"]
    assert (level.role, level.unit, level.low, level.high, level.is_writable) == (TagRole.PROCESS_VALUE, "m", 0.0, 2.0, False)
    assert [bound.invariant for bound in level.bounds] == ["T101-overfill", "T101-empty"]
    assert level.bounds[0].severity is Severity.CRITICAL
    assert level.contains(2.0)
    assert not level.contains(2.1)
    assert by_tag["LIC101.SP"].is_writable
    assert by_tag["LIC101.SP"].nearest(1.0) is None


def test_the_nearest_bound_and_its_distance(plant: Plant) -> None:
    level = envelope(plant)["LT101"]
    high, low, broken = level.nearest(1.5), level.nearest(0.35), level.nearest(1.7)
    assert high is not None
    assert low is not None
    assert broken is not None
    assert (high[0].invariant, low[0].invariant, broken[0].invariant) == ("T101-overfill", "T101-empty", "T101-overfill")
    assert high[1] == pytest.approx(0.1)
    assert low[1] == pytest.approx(0.05)
    assert broken[1] == pytest.approx(-0.1)
