"""What a register's readings say of the transmitter behind it."""

import random
from itertools import cycle, islice

import pytest

from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.vitality import KNOWN_MOVES, LEAST_STILL_S, REMEMBERED, Vitality

POLL_S = 0.5


def told(life: Vitality, values: list[float], begin: int = 0) -> str | None:
    """One reading each half second; the last complaint."""
    for number, value in enumerate(values, start=begin):
        life.heard(value, Instant(round(number * POLL_S * NS_PER_S)))
    return life.complaint(Instant(round((begin + len(values)) * POLL_S * NS_PER_S)))


def noisy(seed: int, count: int, level: float = 1.2, sigma: float = 0.0008) -> list[float]:
    chance = random.Random(seed)
    return [round(level + chance.gauss(0.0, sigma), 3) for _ in range(count)]


def wandering(seed: int, count: int) -> list[float]:
    chance, value, path = random.Random(seed), 1.0, []
    for _ in range(count):
        value += chance.choice((-0.001, 0.0, 0.001))
        path.append(round(value, 3))
    return path


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("signal", [noisy, wandering])
def test_a_living_transmitter_is_believed(seed: int, signal: object) -> None:
    life, values = Vitality(0.0, 2.0), signal(seed, 4 * REMEMBERED)  # type: ignore[operator]
    assert [told(life, [value], number) for number, value in enumerate(values)] == [None] * len(values)


def test_a_recording_that_is_played_again_is_found_and_forgiven_later() -> None:
    life, recording = Vitality(0.0, 2.0), noisy(1, 240)
    assert told(life, recording) is None
    complaint = told(life, list(islice(cycle(recording), 240)), 240)
    assert complaint is not None
    assert "repeats" in complaint
    assert told(life, noisy(2, 240), 480) is None


def test_a_short_repetition_is_chance() -> None:
    life, recording = Vitality(0.0, 2.0), noisy(1, 240)
    told(life, recording)
    assert told(life, recording[:20], 240) is None


def test_a_register_that_stands_still_is_found() -> None:
    life = Vitality(0.0, 2.0)
    told(life, noisy(1, 2 * KNOWN_MOVES))
    few = int(LEAST_STILL_S / POLL_S) - 2
    assert told(life, [1.2] * few, 2 * KNOWN_MOVES) is None
    complaint = told(life, [1.2] * 60, 2 * KNOWN_MOVES + few)
    assert complaint is not None
    assert "stood still" in complaint
    assert told(life, noisy(2, 2), 400) is None


@pytest.mark.parametrize("rest", [0.0, 2.0, 0.005])
def test_at_an_end_of_its_range_it_may_rest(rest: float) -> None:
    life = Vitality(0.0, 2.0)
    told(life, noisy(1, 200))
    assert told(life, [rest] * 600, 200) is None


def test_what_hardly_ever_moves_may_stand_for_long_and_steps_are_no_replay() -> None:
    """A coarse register in a quiet plant: a step every minute, between two values."""
    life = Vitality(0.0, 100.0)
    values = [50.0 + 1.0 * (number // 120 % 2) for number in range(120 * (KNOWN_MOVES + 10))]
    assert told(life, values) is None
