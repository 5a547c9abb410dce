"""What is followed over weeks outlives the process that follows it: each life ends with kill -9, the next begins from the files."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.brain.anchors import Anchors
from sentinel.brain.learning import CHECKPOINT_S, Learning
from sentinel.clock import ManualClock
from sentinel.detect.change import Change
from sentinel.detect.spectrum import Spectrum
from sentinel.detect.strokes import Strokes
from sentinel.model.observation import SLOT_NS
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.pipeline import Analysis
from sentinel.settings import Learning as Settings
from tests.unit.access.test_seal import an_authority
from tests.unit.detect.test_spectrum import detector, heard, learnt
from tests.unit.detect.test_strokes import _TAGS, _learnt, _operated

__all__ = ["detector", "learnt"]  # fixtures of the detector's own tests
_LIVES, _STROKES = 4, 2
_FASTER_S = 10.0 / 1.015  # a valve that is 1.5 % faster


def _analysis() -> Analysis:
    return Analysis(tag_map=_TAGS, detectors=[Strokes(_TAGS)])


async def _unused(*_: object) -> None:
    raise AssertionError("nothing is asked of this life")


def _begun(directory: Path, now: Instant) -> tuple[Analysis, Learning, ManualClock]:
    """A life as the composition root begins it: what judges, then what was left."""
    clock = ManualClock(now)
    anchors = Anchors(directory, an_authority(directory / "authority", clock))
    analysis, anchor = _analysis(), anchors.at_start(now)
    assert anchor is not None
    analysis.restore(anchor[0])
    learning = Learning(analysis, anchors, Settings(), clock, _unused, anchor)
    assert learning.begin() == (None, [])
    return analysis, learning, clock


def _heard(analysis: Analysis, windows: list[Window]) -> int:
    for window in windows:
        analysis.readings("poll", window.readings, Instant(int(window.readings.seen.max()) + SLOT_NS))
    return len(analysis.findings)


def _life(directory: Path, now: Instant, windows: list[Window]) -> None:
    """Its strokes, five minutes, then kill -9; 9 = it told."""
    analysis, learning, clock = _begun(directory, now)
    told = _heard(analysis, windows)
    clock.advance(CHECKPOINT_S)
    learning.tick()
    if told:
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_valve_that_is_a_little_faster_is_told_although_every_life_is_short(tmp_path: Path) -> None:
    chance, clock = np.random.default_rng(11), ManualClock()
    first = _analysis()
    first.restore(Baseline(detectors={"strokes": _learnt(chance).state(), **_levels()}))
    lives = [list(_operated(_STROKES, _FASTER_S, chance, 3600 * (1 + number))) for number in range(_LIVES)]
    assert sum(_alone(first.baseline(), windows) for windows in lives) == 0, "no life is long enough by itself"
    Anchors(tmp_path, an_authority(tmp_path / "authority", clock)).keep(first.baseline(), "rita", clock.now())
    ends = []
    for number, windows in enumerate(lives):
        now = Instant(clock.now() + (1 + number) * 3600 * SLOT_NS)
        child = multiprocessing.get_context("fork").Process(target=_life, args=(tmp_path, now, windows))
        child.start()
        child.join(60)
        ends.append(child.exitcode)
    assert set(ends) == {-signal.SIGKILL, 9}
    assert ends[0] == ends[1] == -signal.SIGKILL


def _levels() -> dict[str, dict[str, object]]:
    return {"levels": dict(_analysis().baseline().detectors["levels"])}


def _alone(anchor: Baseline, windows: list[Window]) -> int:
    analysis = _analysis()
    analysis.restore(anchor)
    return _heard(analysis, windows)


def test_the_offsets_of_a_sound_outlive_a_restart(detector: Spectrum) -> None:
    detector.score(heard(5000, 60.0, 77))
    kept = from_octets(to_octets(Baseline(detectors={"lasting": detector.lasting()}))).detectors["lasting"]
    assert any(np.any(np.array(offset)) for offset, _ in kept["modes"].values())
    again = Spectrum()
    again.restore(detector.state())
    assert again.lasting() == {"modes": {}}
    again.go_on(kept)
    assert again.lasting() == detector.lasting()


def test_a_standing_that_nothing_can_have_led_to_is_refused(detector: Spectrum) -> None:
    strokes = _learnt(np.random.default_rng(4))
    (good, *_) = strokes.lasting()["actuators"]
    for place, wrong in ((2, -1), (2, 10_000), (4, float("nan")), (5, -0.1), (7, float("inf"))):
        with pytest.raises(ValueError, match="cannot stand"):
            strokes.go_on({"actuators": [[*good[:place], wrong, *good[place + 1 :]]]})
    with pytest.raises(ValueError, match="no mode"):
        detector.go_on({"modes": {"0 VT999": [[0.0], [0.0]]}})
    with pytest.raises(ValueError, match="other tags"):
        detector.go_on({"modes": {"0 VT301": [[0.0], [0.0]]}})


def test_a_change_goes_on_where_it_stood() -> None:
    chance, whole = np.random.default_rng(3), Change(0.02)
    for value in 0.01 * chance.normal(size=150):
        whole.take(float(value), 1000.0)
    cut = Change(0.02).going_on(whole.standing())
    for value in 0.01 + 0.01 * chance.normal(size=40):
        assert whole.take(float(value), 1000.0) == cut.take(float(value), 1000.0)
