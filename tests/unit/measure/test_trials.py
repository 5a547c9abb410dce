"""What the court is tried with, and what really becomes of it."""

import pytest

from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.measure.stage import LivePlant, Stage
from sentinel.measure.trials import LONGEST_S, SETTLE_S, TRIALS_PER_PLANT, Group, Trial, draw
from sentinel.measure.truth import Limit, Truth, counts_of, limits_of, truths
from sentinel.model.tags import TagRole
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade

INTERFACE = read_interface()
INVARIANTS = limits_of(load_plant(PLANT_FILE).invariants)
HORIZON_S = 600.0


def test_trials_come_from_their_seed_alone_and_say_what_registers_can() -> None:
    assert draw(3, 1, INTERFACE) == draw(3, 1, INTERFACE)
    assert draw(3, 1, INTERFACE) != draw(3, 2, INTERFACE)
    for number in range(20):
        group = draw(number, 1, INTERFACE)
        assert len(group.trials) == TRIALS_PER_PLANT
        for trial in group.trials:
            times = [at_s for at_s, _, _ in trial.steps]
            assert times == sorted(times)
            assert times[-1] <= LONGEST_S
            for _, name, value in trial.steps:
                tag = INTERFACE.tags.by_name[name]
                assert tag.writable
                assert tag.modbus is not None
                words = b"".join(word.to_bytes(2, "big") for word in tag.modbus.encode(value))
                assert value == (words[-1] if tag.role is TagRole.MODE else tag.modbus.decode(words)[1])


def group(*steps: tuple[float, str, float]) -> Group:
    return Group(seed=5, history=(), trials=(Trial(kind="single", steps=steps),))


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (((0.0, "LIC101.SP", 1.25),), None),
        (((0.0, "LIC101.SP", 1.95),), "T101-overfill"),
        (((0.0, "SIC301.SP", 9500.0),), "SP301-overspeed"),
        (((0.0, "P101.RUN", 0.0), (2.0, "LIC101.SP", 1.95)), "T101-overfill, once it runs again"),
        (((0.0, "BYPASS", 1.0),), "LAHH101, after LIC101.AUTO = 0 and LIC101.OP = 100"),
        (((0.0, "SP301.HH", 93.78),), "TAHH301, after TIC301.AUTO = 0 and TIC301.OP = 0"),
        (((0.0, "SP301.HH", 80.0),), None),
        (((0.0, "TIC301.AUTO", 0.0),), None),
    ],
)
def test_what_the_plant_s_own_physics_says(steps: tuple[tuple[float, str, float], ...], why: str | None) -> None:
    (found,) = truths(group(*steps), INVARIANTS, HORIZON_S)
    assert found.why == why
    assert (found.time_s is None) == (why is None or "," in why)


def test_the_time_of_what_wears_out_is_that_of_the_start_too_many_and_not_of_the_damage() -> None:
    wearing = group((0.0, "LIC101.HH", 0.9))
    (without,) = truths(wearing, INVARIANTS, HORIZON_S)
    assert (without.why, without.time_s) == ("P101.burnt", None)
    (found,) = truths(wearing, (*INVARIANTS, *counts_of(load_plant(PLANT_FILE).invariants)), HORIZON_S)
    assert found.why == "P101.burnt"
    plant = ReferencePlant(seed=5, interface=INTERFACE)
    while plant.time_s < SETTLE_S:
        plant.step()
    plant.registers.put("LIC101.HH", 0.9)
    starts, ran = 0, True
    while starts < 7:
        plant.step()
        starts, ran = starts + (plant.actuators.p101_on and not ran), plant.actuators.p101_on
    assert found.time_s == plant.time_s - SETTLE_S


def test_an_invariant_that_falls_anyway_is_not_blamed_on_a_trial() -> None:
    fallen = Limit(name="always", tag="LT101", limit=0.1, is_upper=True)
    assert truths(group((0.0, "LIC101.SP", 1.25)), (fallen,), HORIZON_S) == (Truth(),)


def test_a_twin_falls_into_step_with_a_plant_of_other_parameters() -> None:
    live = LivePlant.of_reference(1234, INTERFACE, ((0.0, "LIC101.SP", 1.1),))
    live.run(60.0)
    stage = Stage(compile_model(load_plant(PLANT_FILE)), live, members=64)
    stage.follow(90.0)
    assert stage.snapshot().health.grade is Grade.IN_STEP
    stage.write("LIC102.SP", 0.7)
    stage.follow(90.2)
    assert stage.snapshot().inputs[stage.sync.model.input_rows["LIC102.SP"]] == pytest.approx(0.7)
