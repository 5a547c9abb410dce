"""Controllers that set each other's setpoints, and controllers without an integral time."""

import pytest

from sentinel.errors import ConfigError
from sentinel.twin.engine import compile_model, initial, rollout
from sentinel.twin.plant import load_plant

LIC102 = "LIC102: {pv: LT102, sp: LIC102.SP,"
LIC101_P = ("kp: 120 %/m, ti: 60 s", "kp: 120 %/m")


def test_an_outer_output_is_the_inner_setpoint_over_the_range_of_what_it_controls(plant_text: str) -> None:
    """LT102 ranges from 0 to 2 m: 48 % of it, set by hand, is 0.96 m."""
    model = compile_model(load_plant(plant_text.replace(LIC102, "LIC102: {pv: LT102, sp: TIC301,")))
    by_hand = {"TIC301.AUTO": 0.0, "TIC301.OP": 48.0}
    run = rollout(model, initial(model, 1), by_hand, 3600.0, record=["LT102"], record_every_s=3600.0)
    assert run.trajectories["LT102"][-1, 0] == pytest.approx(0.96, abs=1e-3)
    with pytest.raises(ValueError, match=r"LIC102\.SP.*moves nothing"):
        rollout(model, initial(model, 1), {"LIC102.SP": 0.9}, 1.0)


def test_without_an_integral_time_the_output_is_a_bias_and_the_gain_times_the_error(plant_text: str) -> None:
    assert LIC101_P[0] in plant_text
    model = compile_model(load_plant(plant_text.replace(*LIC101_P)))
    start = initial(model, 1)
    run = rollout(model, start, {"LIC101.SP": 1.3}, 600.0, record=["LIC101.OP", "LT101"], record_every_s=model.step_s)
    before = run.trajectories["LT101"][:-1, 0]
    bias = start.controllers[0, 0]
    assert bias == pytest.approx(0.5, abs=1e-12)  # it starts at its setpoint
    assert run.trajectories["LIC101.OP"][1:, 0] == pytest.approx(100.0 * bias + 120.0 * (1.3 - before), abs=1e-9)


def test_without_an_integral_time_a_change_to_automatic_is_bumpless(plant_text: str) -> None:
    model = compile_model(load_plant(plant_text.replace(*LIC101_P)))
    writes = [(0.0, {"LIC101.AUTO": 0.0, "LIC101.OP": 70.0}), (60.0, {"LIC101.AUTO": 1.0})]
    shown = rollout(model, initial(model, 1), writes, 61.0, record=["LIC101.OP"], record_every_s=0.5).trajectories["LIC101.OP"]
    assert shown[119, 0] == pytest.approx(70.0)
    assert shown[120, 0] == pytest.approx(70.0, abs=0.5)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (LIC102, "LIC102: {pv: LT102, sp: LIC102,", "closes on itself"),
        ("sp: LIC101.SP, op: LIC101.OP", "sp: LIC101X, op: LIC101.OP", "unknown tag 'LIC101X'"),
        ("sp: LIC101.SP, op: LIC101.OP", "sp: LT102, op: LIC101.OP", "expected setpoint"),
    ],
)
def test_a_setpoint_that_makes_no_sense_is_refused(plant_text: str, old: str, new: str, complaint: str) -> None:
    assert old in plant_text
    with pytest.raises(ConfigError, match=complaint):
        load_plant(plant_text.replace(old, new))


def test_a_cascade_of_two_that_set_each_other_is_refused(plant_text: str) -> None:
    text = plant_text.replace(LIC102, "LIC102: {pv: LT102, sp: LIC101,").replace("sp: LIC101.SP,", "sp: LIC102,")
    with pytest.raises(ConfigError, match="LIC101 -> LIC102 -> LIC101 closes on itself"):
        load_plant(text)
