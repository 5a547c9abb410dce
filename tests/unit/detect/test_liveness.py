import math

import numpy as np
import pytest

from sentinel.detect.liveness import MAX_STREAMS, Liveness
from sentinel.model.detection import Detection, Severity
from sentinel.model.tags import Tag, TagMap, TagRole
from tests.observations import readings, window

_TAGS = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in ("A", "B")))


def _noise(seconds: int, seed: int) -> list[float]:
    """A slow swing in steps of an instrument's resolution, with noise."""
    chance = np.random.default_rng(seed)
    swing = 4.0 + np.sin(np.arange(seconds) / 60.0)
    return [round(float(value), 2) for value in swing + chance.normal(0, 0.05, seconds)]


def _said(detector: Liveness, begin: int, a: list[float], b: list[float]) -> list[Detection]:
    return [
        found
        for at, (one, other) in enumerate(zip(a, b, strict=True), start=begin)
        for found in detector.score(window(at, readings=readings((at + 0.1, "A", one), (at + 0.2, "B", other))))
    ]


@pytest.fixture
def watching() -> Liveness:
    detector = Liveness(_TAGS)
    for at, (a, b) in enumerate(zip(_noise(600, 1), _noise(600, 2), strict=True)):
        detector.learn(window(at, readings=readings((at + 0.1, "A", a), (at + 0.2, "B", b))))
    detector.activate()
    return detector


def test_ordinary_readings_are_no_news(watching: Liveness) -> None:
    assert _said(watching, 600, _noise(1200, 3), _noise(1200, 4)) == []


def test_a_recording_that_is_played_is_told_once_without_any_learning() -> None:
    detector, recording = Liveness(_TAGS), _noise(300, 5)
    assert _said(detector, 0, recording, _noise(300, 6)) == []
    said = _said(detector, 300, recording, _noise(300, 7))
    assert [(found.tags, found.severity, found.techniques) for found in said] == [(("A",), Severity.HIGH, ("T1692.002",))]
    assert "repeats, reading by reading" in said[0].why


def test_a_frozen_transmitter_is_told_once_and_again_after_it_lived(watching: Liveness) -> None:
    frozen = [4.0] * 200
    said = _said(watching, 600, frozen, _noise(200, 8))
    assert [found.feature for found in said] == ["signs of life"]
    assert said[0].tags == ("A",)
    assert _said(watching, 800, _noise(100, 9), _noise(100, 10)) == []
    assert [found.tags for found in _said(watching, 900, frozen, _noise(200, 11))] == [("A",)]


def test_all_that_stand_still_together_are_one_detection(watching: Liveness) -> None:
    said = _said(watching, 600, [4.0] * 100, [5.0] * 100)
    assert sorted(tag for found in said for tag in found.tags) == ["A", "B"]
    assert len(said) <= 2


def test_a_stand_as_long_as_those_learnt_is_rest() -> None:
    detector = Liveness(_TAGS)
    for at, value in enumerate([*_noise(300, 1), *([4.0] * 100), *_noise(200, 2)]):
        detector.learn(window(at, readings=readings((at + 0.1, "A", value))))
    detector.activate()
    again = Liveness(_TAGS)
    again.restore(detector.state())
    for each in (detector, again):
        assert _said(each, 600, [*_noise(200, 3), *([4.0] * 250)], _noise(450, 4)) == []
        assert [found.tags for found in _said(each, 1050, [4.0] * 100, _noise(100, 5))] == [("A",)]


def test_late_duplicated_and_broken_readings_are_no_repetition(watching: Liveness) -> None:
    live = _noise(300, 3)
    for at, value in enumerate(live, start=600):
        rows = readings((at + 0.1, "A", value), (at + 0.1, "A", value), (at + 0.2, "A", math.nan), (at + 0.3, "B", math.inf))
        assert watching.score(window(at, readings=rows)) == []
        assert watching.score(window(at, readings=readings((at - 30.0, "A", live[max(at - 630, 0)])))) == []


def test_streams_are_bounded_and_what_is_beyond_is_counted() -> None:
    names = [f"T{i}" for i in range(MAX_STREAMS + 3)]
    tags = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in names))
    detector = Liveness(tags)
    detector.score(window(0, readings=readings(*((0.1, name, 1.0) for name in names))))
    assert detector.unwatched == 3
