"""The noise of an instrument is a habit of its own; what the plant does leaves it alone."""

import math
import random

import pytest

from sentinel.twin.noise import KNOWN, Noise

SPAN = 10.0
LONG = 4 * KNOWN
_LIE = 960  # readings: four times what it takes to forget


def told(noise: Noise, values: list[float], *, rests: bool = False) -> list[float]:
    """Every ratio that was complained of."""
    found = []
    for value in values:
        noise.heard(value, rests=rests)
        if noise.ratio is not None:
            found.append(noise.ratio)
    return found


def measured(seed: int, levels: list[float], floor: float = 0.01, share: float = 0.003) -> list[float]:
    chance = random.Random(seed)
    return [level + chance.gauss(0.0, floor + share * abs(level)) for level in levels]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("floor", "share"), [(0.01, 0.0), (0.0, 0.003), (0.01, 0.003)])
def test_steps_ramps_and_swings_of_the_plant_are_not_noise(seed: int, floor: float, share: float) -> None:
    chance = random.Random(1000 + seed)
    levels, level = [], 5.0
    for number in range(LONG):
        if chance.random() < 0.005:
            level = chance.uniform(1.0, 9.0)
        levels.append(level + 0.5 * math.sin(number / 40.0) + 0.002 * (number % 200))
    assert told(Noise(SPAN), measured(seed, levels, floor, share)) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("times", [0.3, 3.0])
def test_another_s_noise_is_heard_and_not_learnt(seed: int, times: float) -> None:
    noise = Noise(SPAN)
    assert told(noise, measured(seed, [5.0] * LONG)) == []
    lie = [5.0 + (value - 5.0) * times for value in measured(seed + 1, [5.0] * 8 * _LIE)]
    assert told(noise, lie[:_LIE])
    assert noise.ratio == pytest.approx(times, rel=0.3)
    told(noise, lie)
    assert noise.ratio is not None, "it is still remembered how the instrument was"
    told(noise, measured(seed + 2, [5.0] * _LIE))
    assert noise.ratio is None


def test_nothing_is_said_of_a_coarse_register_or_one_that_rests() -> None:
    noise = Noise(SPAN)
    coarse = [round(value) for value in measured(1, [5.4] * LONG, floor=0.1, share=0.0)]
    assert told(noise, [float(value) for value in coarse]) == []
    held = Noise(SPAN)
    told(held, measured(3, [5.0] * LONG))
    assert told(held, [10.0] * LONG, rests=True) == []
    assert told(held, measured(4, [5.0] * LONG)) == []


def test_a_value_that_is_none_of_a_plant_s_says_nothing() -> None:
    noise = Noise(SPAN)
    assert told(noise, [math.nan, 0.0, 0.0, math.nan, *[0.0] * LONG]) == []
