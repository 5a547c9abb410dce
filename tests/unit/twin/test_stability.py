import pytest

from sentinel.errors import ConfigError
from sentinel.measure.twin.plants import plant_text
from sentinel.twin.engine import compile_model, initial, rollout
from sentinel.twin.plant import load_plant

# a mass that takes and loses heat with the time constant capacity / loss, and nothing else
MASS = (
    "plant: small\nengine: {{method: {method}, step: {step} s}}\ncomponents:\n"
    "  T1: {{type: thermal_mass, capacity: 1 kJ/K, loss: {loss} W/K{spread}, ambient: 20 degC, temperature: 60 degC}}\n"
    "tags:\n  TT1: {{role: process_value, unit: degC, range: [0, 120], of: T1.temperature}}\n"
)


def mass(loss: float, step: float = 0.5, method: str = "rk4", spread: str = "") -> str:
    return MASS.format(loss=loss, step=step, method=method, spread=spread)


# where the methods stop damping a decaying real mode: |1 + z + z^2/2 (+ z^3/6 (+ z^4/24))| = 1
@pytest.mark.parametrize(("method", "limit"), [("heun", 2.0), ("rk3", 2.5127), ("rk4", 2.7853)])
def test_a_plant_that_is_too_fast_for_its_step_is_refused_where_it_stands(method: str, limit: float) -> None:
    compile_model(load_plant(mass(0.98 * limit / 0.5 * 1e3, method=method)))
    with pytest.raises(
        ConfigError, match=rf"plant:4: components\.T1: temperature settles in 0\.\d+ s, too fast for steps of 0\.5 s with {method}"
    ):
        compile_model(load_plant(mass(1.02 * limit / 0.5 * 1e3, method=method)))


def test_the_step_that_is_asked_for_is_one_that_works() -> None:
    with pytest.raises(ConfigError, match=r"engine\.step of at most 0\.02 s"):
        compile_model(load_plant(mass(100e3)))
    model = compile_model(load_plant(mass(100e3, step=0.02)))
    assert rollout(model, initial(model, 1), {}, 10.0, record=["TT1"]).trajectories["TT1"][-1, 0] == pytest.approx(20.0)


def test_a_member_that_is_too_fast_is_marked_and_the_others_are_not() -> None:
    model = compile_model(load_plant(mass(4.5e3, spread=" +- 20 %")))
    start = initial(model, 64)
    fast = start.parameters[:, 0] > 1.02 * 2.7853 / 0.5 * 1e3
    run = rollout(model, start, {}, 36_000.0)
    assert 0 < fast.sum() < 32
    assert not run.valid[fast].any()
    assert run.valid[start.parameters[:, 0] < 0.98 * 2.7853 / 0.5 * 1e3].all()


def test_what_grows_by_itself_is_not_refused_and_what_turns_fast_later_shows_in_the_error() -> None:
    """A motor at rest runs away from rest: that is its purpose.  At speed it settles in run_up * slip / 2 = 0.06 s."""
    motor = (
        "plant: motor\nengine: {step: STEP}\ncomponents:\n"
        "  M1: {type: motor, frame: N1, synchronous: 1500 rpm, run_up: 0.6 s, breakdown: 30 kW, slip: 0.2, load: 0.3, capacity: 4 kJ/K,\n"
        "       transfer: 0.02 kW/K, run: M1.RUN, speed: 0 rpm, winding: 20 degC}\n"
        "  N1: {type: thermal_mass, capacity: 40 kJ/K, loss: 0.05 kW/K, ambient: 20 degC, temperature: 20 degC}\n"
        "tags:\n"
        '  M1.RUN: {role: mode, unit: "1", range: [0, 1], writable: true, start: 1}\n'
        "  ST1: {role: process_value, unit: rpm, range: [0, 1600], of: M1.speed}\n"
    )
    assert compile_model(load_plant(motor.replace("STEP", "0.02 s"))).error["ST1"] < 16.0
    assert compile_model(load_plant(motor.replace("STEP", "0.5 s"))).error["ST1"] > 100.0
    with pytest.raises(ConfigError, match="M1: speed settles in"):
        compile_model(load_plant(motor.replace("STEP", "0.5 s").replace("speed: 0 rpm", "speed: 1470 rpm")))


def test_the_plants_that_are_shipped_pass() -> None:
    for method in ("heun", "rk3", "rk4"):
        compile_model(load_plant(plant_text(26, method)))
