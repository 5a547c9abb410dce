"""Identification against the reference plant of the demo: other physics, noise, friction, parameters that were moved."""

import re

import numpy as np
import pytest

from sentinel.demo.parameters import Parameters
from sentinel.demo.simulation import Recording, simulate
from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S
from sentinel.twin.engine import Model, compile_model
from sentinel.twin.identify import Identification, Identified, identify
from sentinel.twin.plant import load_plant

BEGIN = 1_700_000_000 * NS_PER_S
BUILT = Parameters(area1=0.26, c12=2.98, fv102=4.2, t201_loss=428.0, h201_power=30_900.0, p201_flow=1.03, cl301_flow=9.75)
# what the twin and the plant's own physics mean alike: truth in the plant file's unit, and how near it must be found, relative
ALIKE = {
    "T101.area": (0.26, 0.02),
    "C12.coefficient": (2.98, 0.003),
    "FV102.coefficient": (4.2, 0.01),
    "H201.max_power": (30.9, 0.01),
    "T201.loss": (428.0, 0.025),
    "P201.rated": (1.03, 0.005),
    "CL301.rated": (9.75, 0.01),
}
ROUNDS = [
    (60, "LIC101.SP", 1.35), (120, "TIC201.SP", 66.0), (180, "SIC301.SP", 7200.0), (240, "LIC102.SP", 0.95), (330, "LIC101.SP", 1.15),
    (400, "TIC301.SP", 48.0), (460, "SIC301.SP", 5200.0), (520, "TIC201.SP", 57.0), (600, "LIC102.SP", 0.8), (700, "TIC301.SP", 45.0),
]  # fmt: skip


def readings(recording: Recording, keep: slice = slice(None)) -> Readings:
    names = tuple(recording.values)
    seen = BEGIN + np.rint(recording.time_s[keep] * NS_PER_S).astype(np.int64)
    values = np.concatenate([recording.values[name][keep] for name in names])
    times, tags = np.tile(seen, len(names)), np.repeat(np.arange(len(names)), len(seen))
    return Readings.of(names, time=times, seen=times, tag=tags, value=values, quality=[Quality.GOOD] * len(values))


@pytest.fixture(scope="module")
def worked() -> Recording:
    """An hour of an operator at work on a plant that was built otherwise than engineered."""
    writes = [(900 * quarter + at, tag, value) for quarter in range(4) for at, tag, value in ROUNDS]
    return simulate(3600.0, writes, rate_hz=1.0, seed=11, parameters=BUILT)


@pytest.fixture(scope="module")
def found(model: Model, worked: Recording) -> Identification:
    return identify(model, readings(worked))


def of(found: Identification, name: str) -> Identified:
    return next(one for one in found.parameters if one.name == name)


@pytest.mark.parametrize("name", ALIKE)
def test_what_was_moved_is_found(found: Identification, name: str) -> None:
    truth, tolerance = ALIKE[name]
    assert of(found, name).value == pytest.approx(truth, rel=tolerance)
    assert abs(of(found, name).declared / truth - 1.0) > tolerance  # what is declared would not pass


def test_stretches_that_were_held_out_are_followed_better(found: Identification) -> None:
    assert found.converged
    assert found.is_held_out
    assert found.is_better
    level = next(one for one in found.fits if one.tag == "FT102")
    assert level.identified < 0.25 * level.declared


def test_a_plant_at_rest_tells_nothing_of_its_capacities(model: Model) -> None:
    quiet = identify(model, readings(simulate(1200.0, rate_hz=1.0, seed=3, noise=False)))
    for name in ("T101.area", "B301.capacity", "H201.capacity"):
        assert of(quiet, name).verdict == "not seen in the data"
        assert of(quiet, name).spread == pytest.approx(of(quiet, name).declared_spread, rel=0.1)
    assert of(quiet, "P201.rated").verdict == "determined"
    assert not {"T101.area", "B301.capacity"} & {one.name for one in quiet.adoptable}


def test_what_only_shows_together_is_said(model: Model) -> None:
    """Of a loss at one temperature only the product of coefficient and difference to the surroundings is seen."""
    quiet = identify(model, readings(simulate(1200.0, rate_hz=1.0, seed=3, noise=False)))
    assert of(quiet, "T201.loss").together == "T201.ambient"


def test_an_unread_section_keeps_what_was_declared(model: Model, worked: Recording) -> None:
    heard = readings(worked, slice(0, 900))
    codes = [code for code, name in enumerate(heard.names) if "301" not in name and "302" not in name]
    partly = identify(model, heard.take(np.isin(heard.tag, codes)))
    for name in ("B301.friction", "B301.capacity", "CL301.supply"):
        assert of(partly, name).value == pytest.approx(of(partly, name).declared, abs=0.01 * of(partly, name).declared_spread)
        assert of(partly, name).verdict == "not seen in the data"


def test_the_same_recording_gives_the_same_bits(model: Model, worked: Recording) -> None:
    heard = readings(worked, slice(0, 900))
    chance = np.random.default_rng(5)
    shuffled = heard.take(chance.permutation(len(heard)))
    first, second = identify(model, heard), identify(model, shuffled)
    assert [(one.value, one.spread) for one in first.parameters] == [(one.value, one.spread) for one in second.parameters]


def test_a_broken_transmitter_is_left_out(model: Model, worked: Recording) -> None:
    heard = readings(worked, slice(0, 900))
    lying = heard.tag == heard.names.index("FT112")
    value = np.where(lying, 6.0, heard.value)
    broken = identify(model, Readings.of(heard.names, time=heard.time, seen=heard.seen, tag=heard.tag, value=value, quality=heard.quality))
    assert broken.left_out == ("FT112",)
    assert of(broken, "C12.coefficient").value == pytest.approx(2.98, rel=0.01)


def test_another_plant_is_refused(model: Model) -> None:
    other = Parameters(area1=0.6, area2=0.1, t201_loss=1200.0, b301_per_flow=40.0, p201_flow=1.6, p101_flow=3.0)
    with pytest.raises(InputError, match="another one"):
        identify(model, readings(simulate(900.0, ROUNDS, rate_hz=1.0, parameters=other)))


def test_values_that_are_no_numbers_and_gaps_are_bounded(model: Model, worked: Recording) -> None:
    heard = readings(worked, slice(0, 1200))
    second = (heard.seen - BEGIN) // NS_PER_S
    value = np.where(second % 7 == 0, np.nan, heard.value)
    away = heard.take(np.asarray((second < 400) | (second > 700), bool))
    found = identify(model, Readings.of(
        away.names, time=away.time, seen=away.seen, tag=away.tag, value=value[(second < 400) | (second > 700)], quality=away.quality
    ))  # fmt: skip
    assert found.stretches == 2
    assert of(found, "C12.coefficient").value == pytest.approx(2.98, rel=0.01)


def test_what_cannot_be_fitted_is_refused(model: Model, plant_text: str, worked: Recording) -> None:
    with pytest.raises(InputError, match="no usable value"):
        identify(model, Readings.empty())
    with pytest.raises(InputError, match="no stretch"):
        identify(model, readings(worked, slice(0, 10)))
    with pytest.raises(InputError, match="20 samples"):
        identify(model, readings(worked, slice(0, 100)), longest_s=10.0)
    with pytest.raises(InputError, match="shorter ones"):
        identify(model, readings(worked, slice(0, 100)), longest_s=1e6)
    certain = compile_model(load_plant(re.sub(r" \+- [0-9.]+ [%K]", "", plant_text)))
    with pytest.raises(InputError, match="nothing to identify"):
        identify(certain, readings(worked, slice(0, 100)))
