"""The plant's physics: rest is rest, nothing is created or lost, and what cannot be undone happens where it should."""

import math
import random
from dataclasses import fields, replace

import pytest

from sentinel.demo.parameters import Parameters, draw
from sentinel.demo.physics import RIM_M, STEP_S, Actuators, Physics


def physics(seed: int | None = None) -> Physics:
    parameters = Parameters() if seed is None else draw(random.Random(seed))
    return Physics(parameters, chance=random.Random(0), noise=False)


def advance(plant: Physics, actuators: Actuators, seconds: float) -> None:
    for _ in range(round(seconds / STEP_S)):
        plant.advance(actuators)


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4])
def test_the_plant_starts_at_rest(seed: int | None) -> None:
    plant = physics(seed)
    before = plant.state
    advance(plant, plant.start, 120)
    for name, value, was in zip(before._fields, plant.state, before, strict=True):
        assert value == pytest.approx(was, rel=2e-3), name
    assert not plant.outcomes


@pytest.mark.parametrize("seed", range(6))
def test_its_parameters_are_near_the_nominal_ones_and_its_rest_near_the_plant_file(seed: int) -> None:
    drawn = draw(random.Random(seed))
    for field in fields(Parameters):
        ratio = getattr(drawn, field.name) / getattr(Parameters(), field.name)
        assert 0.5 <= ratio <= 1.5, field.name
    for name in ("area1", "c12", "fv102", "h201_power", "t201_loss", "b301_friction", "p101_flow"):
        assert abs(getattr(drawn, name) / getattr(Parameters(), name) - 1) <= 0.03 + 1e-12, name
    assert drawn != draw(random.Random(seed + 1))
    start = physics(seed).start
    assert start.p101_speed == pytest.approx(0.50, abs=0.05)
    assert start.fv102 == pytest.approx(0.439, abs=0.05)
    assert start.h201 == pytest.approx(0.533, abs=0.06)
    assert start.fv301 == pytest.approx(0.61, abs=0.1)


@pytest.mark.parametrize("speed", [0.0, 0.3, 0.5, 1.0])
def test_water_is_neither_made_nor_lost(speed: float) -> None:
    plant = physics(5)
    p = plant.parameters
    moved = replace(plant.start, p101_speed=speed, fv102=0.2)
    held = plant.state.level1 * p.area1 + plant.state.level2 * p.area2
    through = 0.0
    for _ in range(3000):
        flows = plant.inflow(plant.state) - plant.outflow(plant.state)
        plant.advance(moved)
        through += STEP_S * (flows + plant.inflow(plant.state) - plant.outflow(plant.state)) / 2
    now = plant.state.level1 * p.area1 + plant.state.level2 * p.area2
    assert (now - held) * 1000 + sum(plant.spilled_l) == pytest.approx(through, abs=0.5)


def test_heat_is_neither_made_nor_lost() -> None:
    plant = physics(6)
    p = plant.parameters
    moved = replace(plant.start, h201=0.9, sp301_rpm=8000.0, fv301=0.3)

    def stored() -> float:
        s = plant.state
        return s.element * p.h201_capacity + s.water * p.t201_capacity + s.bearing * p.b301_capacity + s.coolant * p.cl301_capacity

    def power() -> float:
        s = plant.state
        chilled = p.cl301_chiller * (s.coolant - p.cl301_supply)
        return plant.heating(s, moved) - plant.consumed(s) + plant.friction(s) - chilled

    before, taken_in = stored(), 0.0
    for _ in range(1500):
        earlier = power()
        plant.advance(moved)
        taken_in += STEP_S * (earlier + power()) / 2
    change = stored() - before
    assert abs(change) > 200_000
    assert change == pytest.approx(taken_in, rel=0.02)


def test_a_stem_sticks_within_its_dead_band_and_moves_no_faster_than_its_actuator() -> None:
    plant = physics()
    rest = plant.stem102
    advance(plant, replace(plant.start, fv102=rest + 0.002), 5)
    assert plant.stem102 == rest
    advance(plant, replace(plant.start, fv102=rest + 0.2), 0.8)
    assert plant.stem102 == pytest.approx(rest + 0.1, abs=1e-6)
    advance(plant, replace(plant.start, fv102=0.0), 8)
    assert plant.stem102 == 0.0


@pytest.mark.parametrize(
    ("name", "change", "within_s"),
    [
        ("T101.spill", {"p101_speed": 1.0, "fv102": 0.0}, 300),
        ("T102.spill", {"p101_speed": 1.0, "fv102": 0.0}, 400),
        ("P102.dry", {"p101_on": False, "fv102": 1.0}, 400),
        ("T201.boil", {"h201": 1.0}, 600),
        ("H201.burn-out", {"p201_on": False}, 120),
        ("SP301.seized", {"p301_on": False}, 600),
        ("SP301.burst", {"sp301_rpm": 12000.0}, 10),
    ],
)
def test_every_damage_happens_once_and_stays(name: str, change: dict[str, float], within_s: float) -> None:
    parameters = replace(Parameters(), t201_loss=330.0) if name == "T201.boil" else Parameters()  # a consumer that takes less
    plant = Physics(parameters, chance=random.Random(0), noise=False)
    moved = replace(plant.start, **change)
    advance(plant, moved, within_s)
    assert [outcome.name for outcome in plant.outcomes].count(name) == 1
    assert all(math.isfinite(value) for value in plant.state)


def test_restart_after_restart_burns_the_winding_and_ordinary_ones_do_not() -> None:
    patient, hasty = physics(), physics()
    for _ in range(40):
        for plant, off_s, on_s in ((patient, 1.0, 12.0), (hasty, 2.0, 1.0)):
            advance(plant, replace(plant.start, p101_speed=0.9, p101_on=False), off_s)
            advance(plant, replace(plant.start, p101_speed=0.9), on_s)
    assert "P101.burnt" in {outcome.name for outcome in hasty.outcomes}
    assert "P101.burnt" not in {outcome.name for outcome in patient.outcomes}
    assert hasty.inflow(hasty.state) == 0


def test_what_is_broken_stays_broken() -> None:
    plant = physics()
    advance(plant, replace(plant.start, sp301_rpm=12000.0), 10)
    advance(plant, plant.start, 30)
    assert plant.state.spindle < 10


def test_levels_stay_between_bottom_and_rim() -> None:
    plant = physics()
    advance(plant, replace(plant.start, p101_on=False, fv102=1.0), 600)
    assert 0 <= plant.state.level2 <= plant.state.level1 + 0.05 < 0.3
    advance(plant, replace(plant.start, p101_speed=1.0, fv102=0.0), 900)
    assert plant.state.level1 == RIM_M
    assert plant.spilled_l[0] > 0
