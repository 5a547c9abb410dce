"""A machine is learnt by its sound in two modes; a worn bearing is heard, another mode and a louder day of the same are not news."""

import numpy as np
import pytest

from collectors.waveform import bands
from collectors.waveform.read import Waveform
from collectors.waveform.watch import rows_of
from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect.spectrum import Spectrum
from sentinel.detect.spectrum_model import SpectrumModel
from sentinel.model.observation import Readings
from sentinel.model.spectrum import is_feature, measured, sensor_and_feature
from sentinel.model.window import Window
from tests.observations import START, at, readings, window
from tests.unit.collectors.waveform.machine import FAST, RATE_HZ, SLOW, sound

LEARNT = [(number, SLOW if number % 2 else FAST) for number in range(6)]


def heard(second: int, seconds: float, seed: int, **machine: float) -> Window:
    samples = sound(seconds, seed, **machine)  # type: ignore[arg-type]
    rows = rows_of(Waveform(rate_hz=RATE_HZ, samples=samples[:, None]), "VT301", 1.0, at(second))
    names = list(dict.fromkeys(tag for _, tag, _, _ in rows))
    told = Readings.of(
        names=tuple(names),
        time=[time for time, _, _, _ in rows],
        seen=[at(second + seconds)] * len(rows),
        tag=[names.index(tag) for _, tag, _, _ in rows],
        value=[value for _, _, value, _ in rows],
        quality=[0] * len(rows),
    )
    return window(second, readings=told)


@pytest.fixture(scope="module")
def learnt() -> Spectrum:
    detector = Spectrum()
    for number, rpm in LEARNT:
        detector.learn(heard(number * 150, 125.0, number, rpm=rpm))
    detector.activate()
    return detector


@pytest.fixture
def detector(learnt: Spectrum) -> Spectrum:
    again = Spectrum()
    again.restore(from_octets(to_octets(Baseline(detectors={"spectrum": learnt.state()}))).detectors["spectrum"])
    return again


def test_the_modes_are_found() -> None:
    rows = [bands.features(sound(125.0, number, rpm=rpm), RATE_HZ, 1.0) for number, rpm in LEARNT]
    model = SpectrumModel()
    model.fit(np.concatenate(rows), 0.1, 1.0)
    assert len(model.models) == 2
    modes = [set(model.modes(part).tolist()) for part in rows]
    assert all(len(each) == 1 for each in modes)
    assert modes[0] == modes[2] != modes[1] == modes[3]


@pytest.mark.parametrize("rpm", [SLOW, FAST])
def test_an_ordinary_day_is_no_news(detector: Spectrum, rpm: float) -> None:
    assert detector.score(heard(5000, 240.0, 77, rpm=rpm)) == []


@pytest.mark.parametrize(("rpm", "worn"), [(SLOW, 0.01), (FAST, 0.03)])
def test_a_worn_bearing_is_heard_while_it_wears(detector: Spectrum, rpm: float, worn: float) -> None:
    assert detector.score(heard(5000, 60.0, 78, rpm=rpm)) == []
    (found,) = detector.score(heard(6000, 60.0, 79, rpm=rpm, worn=worn, begins_s=0.0))
    assert found.tags == ("VT301",)
    assert found.cause == "process:VT301"
    assert found.score > 1.0
    assert "VT301 does not sound as usual: " in found.title


def test_what_is_not_whole_is_not_judged(detector: Spectrum) -> None:
    whole = heard(7000, 2.0, 80, worn=0.1, begins_s=-30.0).readings
    broken = whole.value.copy()
    broken[::7] = np.nan
    cut = Readings.of(names=whole.names, time=whole.time, seen=whole.seen, tag=whole.tag, value=broken, quality=whole.quality)
    assert detector.score(window(7000, readings=cut)) == []
    assert detector.score(window(7001, readings=readings((7001.0, "LT101", 1.2)))) == []
    strange = readings((7002.0, "VT301~1 kHz", 1.0))
    assert detector.score(window(7002, readings=strange)) == [], "another list of features than was learnt"


def test_features_are_told_from_tags() -> None:
    both = readings((1.0, "LT101", 1.2), (1.0, "VT301~1 kHz", -40.0))
    assert measured(both).decoded("tag") == ["LT101"]
    assert sensor_and_feature("VT301~1 kHz") == ("VT301", "1 kHz")
    assert not is_feature("LT101")
    assert at(0) == START
