"""The plant in machine code is the plant: every bit of it, whatever is written and whatever breaks."""

import random
from typing import Any

import pytest

from sentinel.demo.leap import leap
from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.week import BANDS, DAY_S, week

# What opens every path: loops in manual, stops, starts, limits, the bypass, and values that end in damage.
WRITES = (
    *((tag, value) for tag, (low, high, _) in BANDS.items() for value in (low, high)),
    *((f"{loop}.AUTO", value) for loop in ("LIC101", "LIC102", "TIC201", "TIC301") for value in (0.0, 1.0)),
    *((f"{loop}.OP", value) for loop in ("LIC101", "LIC102", "TIC201", "TIC301") for value in (0.0, 100.0)),
    *((f"{pump}.RUN", value) for pump in ("P101", "P102", "P201", "P301", "SP301", "H201") for value in (0.0, 1.0)),
    ("LIC101.HH", 1.25), ("LIC101.HH", 3.0), ("BYPASS", 1.0), ("BYPASS", 0.0), ("SIC301.SP", 12_000.0), ("TIC201.SP", 99.0),
)  # fmt: skip


def picture(plant: ReferencePlant) -> dict[str, Any]:
    """All that the plant holds, in values that can be compared."""
    physics, instruments, controller = plant.physics, plant._instruments, plant.controller
    held = {name: value for name, value in vars(physics).items() if name not in ("_chance", "_doses", "parameters")}
    return held | {
        "doses": (physics._doses.winding_k, physics._doses.air_s, physics._doses.soak_k_s),
        "chances": (physics._chance.getstate(), instruments._chance.getstate()),
        "seen": instruments._seen,
        "pipes": {tag: list(pipe) for tag, pipe in instruments._pipes.items()},
        "controller": (controller._sums, controller.tripped),
        "registers": plant.registers.tables,
        "actuators": plant.actuators,
        "truth": plant.truth,
    }


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_plant_bit_for_bit_through_whatever_is_written(seed: int) -> None:
    chance, noise = random.Random(seed), seed != 3
    slow, fast = ReferencePlant(seed=seed, noise=noise), ReferencePlant(seed=seed, noise=noise)
    for _ in range(60):
        tag, value = chance.choice(WRITES)
        until_s = slow.time_s + chance.uniform(0.05, 30.0)
        for plant in (slow, fast):
            plant.registers.put(tag, value)
        while slow.time_s < until_s:
            slow.step()
        leap(fast, until_s)
        assert picture(fast) == picture(slow), f"after {tag} = {value:g}, at {slow.time_s:.1f} s"
    assert slow.outcomes, "nothing broke: what ends a leap was not tried"


def test_where_nothing_may_break_it_goes_on() -> None:
    slow, fast = ReferencePlant(seed=1), ReferencePlant(seed=1)
    for plant in (slow, fast):
        plant.physics.breaks = False
        plant.registers.put("SIC301.SP", 12_000.0)
    while slow.time_s < 60.0:
        slow.step()
    leap(fast, 60.0)
    assert picture(fast) == picture(slow)
    assert slow.truth["ST301"] > 10_500.0


def test_a_morning_of_routine_is_the_same_morning() -> None:
    slow, fast = ReferencePlant(seed=2), ReferencePlant(seed=2)
    until_s = DAY_S * 8 / 24
    first = DAY_S * 7.5 / 24
    writes = sorted((doing.at_s + after_s, tag, value) for doing in week(2, 1) for after_s, tag, value in doing.writes)
    leap(slow, first)
    leap(fast, first)
    for at_s, tag, value in [*(one for one in writes if first <= one[0] < until_s), (until_s, "LIC101.SP", 1.15)]:
        while slow.time_s < at_s:
            slow.step()
        leap(fast, at_s)
        assert picture(fast) == picture(slow)
        for plant in (slow, fast):
            plant.registers.put(tag, value)


def test_it_goes_as_far_as_stepping_would() -> None:
    """The plant's time is counted in scans, and a product of a tenth is not always the number that was asked for."""
    for until_s in (0.0, 0.1, 0.3, 0.30000000000000004, 0.7, 1.1, 2.3, 4.05, 4.1):
        slow, fast = ReferencePlant(seed=5, noise=False), ReferencePlant(seed=5, noise=False)
        while slow.time_s < until_s:
            slow.step()
        leap(fast, until_s)
        assert fast.time_s == slow.time_s, until_s
