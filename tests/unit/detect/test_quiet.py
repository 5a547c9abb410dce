import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from sentinel.demo.simulation import simulate
from sentinel.demo.wiring import read_interface
from sentinel.detect.calibrate import Budget
from sentinel.detect.quiet import BLOCK, MAX_STREAMS, Quiet
from sentinel.model.detection import Detection
from sentinel.model.tags import Tag, TagMap, TagRole
from tests.observations import readings, window

_TAGS = TagMap(
    (
        *(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in ("A", "B")),
        Tag(name="SP", role=TagRole.SETPOINT, unit="m", low=0, high=9),
    )
)


def _swing(at: int) -> float:
    return 4.0 + math.sin(at / 60.0)


def _noisy(seconds: Iterable[int], seed: int, noise: float = 0.05) -> list[float]:
    chance = np.random.default_rng(seed)
    return [round(_swing(at) + float(chance.normal(0, noise)), 3) for at in seconds]


def _said(detector: Quiet, begin: int, values: list[float], tag: str = "A") -> list[Detection]:
    every = [detector.score(window(at, readings=readings((at + 0.1, tag, value)))) for at, value in enumerate(values, start=begin)]
    return [found for each in every for found in each]


def _learnt(values: list[float], tag: str = "A") -> Quiet:
    detector = Quiet(_TAGS)
    for at, value in enumerate(values):
        seen = window(at, readings=readings((at + 0.1, tag, value)))
        assert detector.score(seen) == (), "nothing is said while learning"
        detector.learn(seen)
    detector.activate()
    return detector


@pytest.fixture
def watching() -> Quiet:
    return _learnt(_noisy(range(600), 1))


def test_what_has_the_right_course_and_no_noise_is_told_once(watching: Quiet) -> None:
    again = Quiet(_TAGS)
    again.restore(watching.state())
    for each in (watching, again):
        (found,) = _said(each, 1200, [_swing(at) for at in range(1200, 1800)])
        assert (found.feature, found.tags, found.techniques) == ("too quiet", ("A",), ("T1692.002",))
        assert found.score > found.threshold
        assert found.seen <= window(1200 + BLOCK).start, "with the first block"
        assert _said(each, 1800, _noisy(range(1800, 2000), 2)) == []
        assert len(_said(each, 2000, [_swing(at) for at in range(2000, 2200)])) == 1, "and once more when it comes back"


def test_a_third_of_the_noise_is_told_and_two_thirds_are_not(watching: Quiet) -> None:
    assert _said(watching, 1200, _noisy(range(1200, 1800), 3, 0.05 / 1.5)) == []
    assert len(_said(watching, 1800, _noisy(range(1800, 2400), 4, 0.05 / 4))) >= 1


def test_a_week_of_ordinary_life_is_quiet() -> None:
    """Ten plants, 17 hours each after ten minutes of learning: no false alarm; a plant may have a twentieth of one a week."""
    for seed in range(10):
        detector, values = _learnt(_noisy(range(600), 100 + seed)), _noisy(range(600, 61_800), 200 + seed)
        for begin in range(0, len(values), 600):
            rows = ((600 + begin + at + 0.1, "A", value) for at, value in enumerate(values[begin : begin + 600]))
            assert not detector.score(window(600 + begin, readings=readings(*rows)))


@pytest.mark.parametrize(
    ("learnt", "shown"),
    [
        (lambda at: 4.0 if at < 300 else _swing(at), _swing),
        (lambda at: round(_swing(at), 1), _swing),
        (lambda at: _swing(at) + 0.1 * math.sin(12.9 * at), lambda at: 8.0 + 0.01 * math.sin(at / 60.0)),
    ],
    ids=["it rested", "it is coarse", "elsewhere than it was learnt"],
)
def test_nothing_is_said_of_what_was_not_learnt(learnt: Callable[[int], float], shown: Callable[[int], float]) -> None:
    assert _said(_learnt([learnt(at) for at in range(600)]), 600, [shown(at) for at in range(600, 900)]) == []


def test_a_faster_poll_is_no_quieter_transmitter() -> None:
    """A slow process without noise: ten times as many readings differ a hundredth as much."""
    detector = _learnt([4.0 + math.sin(at / 5.0) for at in range(600)])
    for at in range(600, 900):
        rows = ((at + tenth / 10, "A", 4.0 + math.sin((at + tenth / 10) / 5.0)) for tenth in range(10))
        assert not detector.score(window(at, readings=readings(*rows)))


def test_too_little_learning_and_setpoints_say_nothing() -> None:
    assert _said(_learnt(_noisy(range(4 * BLOCK), 1)), 600, [_swing(at) for at in range(600, 900)]) == []
    assert _said(_learnt(_noisy(range(600), 1), "SP"), 600, [_swing(at) for at in range(600, 900)], "SP") == []


def test_late_doubled_and_broken_readings_are_no_silence(watching: Quiet) -> None:
    for at, value in enumerate(_noisy(range(1200, 1500), 5), start=1200):
        rows = readings((at + 0.1, "A", value), (at + 0.1, "A", value), (at + 0.2, "A", math.nan), (at - 9.0, "A", value))
        assert not watching.score(window(at, readings=rows))


def test_any_batching_learns_the_same() -> None:
    rows = [(at + 0.1, tag, value) for at, value in enumerate(_noisy(range(400), 5)) for tag in ("A", "B")]
    rows[50:50] = [rows[10], rows[11]]  # late, and a copy
    states = []
    for together in (1, 150, len(rows)):
        detector = Quiet(_TAGS)
        for begin in range(0, len(rows), together):
            detector.learn(window(begin, readings=readings(*rows[begin : begin + together])))
        detector.activate()
        states.append(detector.state())
    for state in states[1:]:
        assert state["tags"] == states[0]["tags"] == ["A", "B"]
        assert np.array_equal(state["limits"], states[0]["limits"])


def test_streams_are_bounded_and_what_is_beyond_is_counted() -> None:
    names = [f"T{i}" for i in range(MAX_STREAMS + 3)]
    detector = Quiet(TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in names)), Budget())
    detector.learn(window(0, readings=readings(*((0.1, name, 1.0) for name in names))))
    assert detector.unwatched == 3


def test_the_reference_plant_at_work_is_not_too_quiet_and_its_smoothed_readings_are() -> None:
    """A setpoint moves every five minutes; somebody shows averages of nine readings in place of them."""
    tags = read_interface().tags
    writes = [(float(at), "LIC101.SP", 1.0 + 0.3 * (at // 300 % 2)) for at in range(300, 3600, 300)]
    lived = simulate(3600, writes, seed=7, rate_hz=1.0)
    shown = {tag.name: lived.values[tag.name] for tag in tags.tags if tag.role is TagRole.PROCESS_VALUE}
    smooth = {name: np.convolve(values, np.ones(9) / 9, "same") for name, values in shown.items()}
    detector, found = Quiet(tags), list[Detection]()
    for at in range(900):
        detector.learn(window(at, readings=readings(*((at + 0.1, name, float(values[at])) for name, values in shown.items()))))
    detector.activate()
    for at in range(900, 3600):
        found += detector.score(window(at, readings=readings(*((at + 0.1, name, float(values[at])) for name, values in shown.items()))))
    assert found == []
    for at in range(3600, 3800):
        rows = ((at + 0.1, name, float(values[at - 1800])) for name, values in smooth.items())
        found += detector.score(window(at, readings=readings(*rows)))
    assert len({tag for each in found for tag in each.tags}) >= len(shown) / 2
