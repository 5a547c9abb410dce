"""Small plants whose end is known without a simulation."""

import numpy as np
import pytest

from sentinel.twin.engine import Rollout, compile_model, initial, rollout
from sentinel.twin.plant import load_plant

MODE = '{role: mode, unit: "1", range: [0, 1], writable: true, start: 1}'
TEMPERATURES = {"gas": "F1.gas", "lining": "F1.lining_temperature", "load": "L1.temperature"}


def lived(text: str, horizon_s: float, writes: dict[str, float] | None = None) -> tuple[Rollout, dict[str, np.ndarray]]:
    """Nominal member; trajectories by tag, SI states at the end by name."""
    model = compile_model(load_plant(text))
    shown = [one.tag for one in model.outputs]
    run = rollout(model, initial(model, 1), writes or {}, horizon_s, record=shown, record_every_s=1.0)
    assert run.valid.all()
    ends = dict(zip(model.states, run.final.states[0], strict=True))
    return run, {tag: run.trajectories[tag][:, 0] for tag in shown} | {name: np.array(value) for name, value in ends.items()}


FURNACE = (
    "plant: furnace\nengine: {step: 0.5 s}\ncomponents:\n"
    "  B1: {type: burner, max_power: 2000 kW, max_flue: 0.9 kW/K, lag: 3 s, run: B1.RUN, firing: B1.OP}\n"
    "  F1: {type: furnace, burner: B1, into: L1, exchange: 4 m^2, gas_capacity: 50 kJ/K, lining: 0.5 kW/K, lining_capacity: 400 kJ/K,\n"
    "       shell: 0.05 kW/K, ambient: 20 degC, gas_temperature: 900 degC, lining_temperature: 800 degC}\n"
    "  L1: {type: thermal_mass, capacity: 500 kJ/K, loss: 1 kW/K, ambient: 20 degC, temperature: 500 degC}\n"
    "tags:\n"
    f"  B1.RUN: {MODE}\n"
    '  B1.OP: {role: setpoint, unit: "%", range: [0, 100], writable: true, start: 60}\n'
    + "".join(f"  {tag}: {{role: process_value, unit: degC, range: [0, 2500], of: {of}}}\n" for tag, of in TEMPERATURES.items())
    + "  stack: {role: process_value, unit: kW, range: [0, 2000], of: F1.stack}\n"
    "  radiated: {role: process_value, unit: kW, range: [0, 2000], of: F1.radiated}\n"
)


def test_a_furnace_at_rest_sends_what_is_fired_to_load_stack_and_shell() -> None:
    _, ends = lived(FURNACE, 40_000.0)
    fired = 0.6 * 2000.0
    to_load = 1.0 * (ends["load"][-1] - 20.0)
    shell = 0.05 * (ends["lining"][-1] - 20.0)
    assert ends["radiated"][-1] == pytest.approx(to_load, rel=1e-6)
    assert to_load + ends["stack"][-1] + shell == pytest.approx(fired, rel=1e-6)
    kelvin = {tag: ends[tag][-1] + 273.15 for tag in TEMPERATURES}
    assert to_load * 1e3 == pytest.approx(5.670374419e-8 * 4.0 * (kelvin["gas"] ** 4 - kelvin["load"] ** 4), rel=1e-6)


def test_a_burner_that_is_let_go_goes_out_and_one_that_burns_keeps_its_turn_down() -> None:
    _, out = lived(FURNACE, 60.0, {"B1.RUN": 0.0})
    _, low = lived(FURNACE, 60.0, {"B1.OP": 1.0})
    assert out["B1.firing"] == pytest.approx(0.0, abs=1e-8)
    assert low["B1.firing"] == pytest.approx(0.1, abs=1e-8)


MOTOR = (
    "plant: motor\nengine: {step: 0.02 s}\ncomponents:\n"
    "  M1: {type: motor, frame: N1, synchronous: 1500 rpm, run_up: 0.6 s, breakdown: 30 kW, slip: 0.2, load: LOAD, stator: 1,\n"
    "       capacity: 4 kJ/K, transfer: 0.02 kW/K, run: M1.RUN, speed: 0 rpm, winding: 20 degC}\n"
    "  N1: {type: thermal_mass, capacity: 40 kJ/K, loss: 0.05 kW/K, ambient: 20 degC, temperature: 20 degC}\n"
    "tags:\n"
    f"  M1.RUN: {MODE}\n"
    "  speed: {role: process_value, unit: rpm, range: [0, 1600], of: M1.speed}\n"
    "  losses: {role: process_value, unit: kW, range: [0, 100], of: M1.losses}\n"
)


@pytest.mark.parametrize("run_up", [0.6, 1.0, 1.5])
def test_a_motor_without_load_comes_to_speed_in_the_time_that_kloss_gives(run_up: float) -> None:
    """t from slip 1 to slip s = run_up / 2 * ((1 - s^2) / (2 s_b) - s_b ln s); its rotor takes as much heat as it turns into motion."""
    free = MOTOR.replace("LOAD", "1e-9").replace("0.02 s}", "0.001 s}").replace("0.02 kW/K", "1e-9 kW/K").replace("0.6 s", f"{run_up} s")
    _, ends = lived(free, 8.0)
    slip = 1.0 - ends["speed"][0] / 1500.0
    assert run_up / 2.0 * ((1.0 - slip**2) / (2.0 * 0.2) - 0.2 * np.log(slip)) == pytest.approx(1.0, rel=1e-3)
    motion_kj = 30.0 * run_up / 2.0  # 1/2 J w^2, as run_up = J w / T and breakdown = T w
    assert 4.0 * (ends["M1.winding"] - 293.15) == pytest.approx(2.0 * motion_kj, rel=1e-3)


def test_a_motor_under_load_rests_where_its_torque_is_that_of_the_load() -> None:
    _, ends = lived(MOTOR.replace("LOAD", "0.4"), 60.0)
    slip = 1.0 - ends["speed"][-1] / 1500.0
    assert 2.0 * slip * 0.2 / (slip**2 + 0.2**2) == pytest.approx(0.4 * (1.0 - slip) ** 2, rel=1e-6)
    _, stopped = lived(MOTOR.replace("LOAD", "0.4").replace("speed: 0 rpm", "speed: 1400 rpm"), 60.0, {"M1.RUN": 0.0})
    assert stopped["losses"][-1] == 0.0
    assert 0.0 < stopped["speed"][-1] < 50.0, "it coasts"


LINE = (
    "plant: line\nengine: {step: 0.5 s}\ncomponents:\n"
    "  A: {type: buffer, capacity: 5000, level: 4000}\n"
    "  M1: {type: machine, from: A, to: C, rated: 30 1/min, good: 0.9, lag: 2 s, run: M1.RUN, pace: M1.PACE}\n"
    "  C: {type: conveyor, to: B, length: 12 m, capacity: 60, run: C.RUN, speed: C.SPEED, first: 0, second: 0, third: 0}\n"
    "  B: {type: buffer, capacity: 50, level: 0}\n"
    "  M2: {type: machine, from: B, to: Z, rated: 20 1/min, good: 1, lag: 2 s, run: M2.RUN, pace: M1.PACE}\n"
    "  Z: {type: buffer, capacity: 1000000, level: 0}\n"
    "tags:\n"
    f"  M1.RUN: {MODE}\n  M2.RUN: {MODE}\n  C.RUN: {MODE}\n"
    '  M1.PACE: {role: setpoint, unit: "%", range: [0, 120], writable: true, start: 100}\n'
    "  C.SPEED: {role: setpoint, unit: m/s, range: [0, 1], writable: true, start: 0.2}\n"
    '  made: {role: process_value, unit: "1", range: [0, 100000], of: Z.level}\n'
    '  stock: {role: process_value, unit: "1", range: [0, 5000], of: A.level}\n'
    '  buffered: {role: process_value, unit: "1", range: [0, 60], of: B.level}\n'
    "  scrap: {role: process_value, unit: 1/min, range: [0, 60], of: M1.scrap}\n"
    "  leaving: {role: process_value, unit: 1/min, range: [0, 60], of: C.rate}\n"
)


def test_a_line_makes_what_its_slowest_machine_makes_and_loses_no_part() -> None:
    _, ends = lived(LINE, 7200.0)
    made = np.diff(ends["made"][-601:]).sum() / 10.0
    assert made == pytest.approx(20.0, rel=0.01), "blocked by the second machine"
    on_the_way = sum(float(ends[f"C.{section}"]) for section in ("first", "second", "third"))
    taken = 4000.0 - ends["stock"][-1]
    assert ends["made"][-1] + ends["buffered"][-1] + on_the_way == pytest.approx(0.9 * taken, rel=1e-4)


def test_a_belt_delays_and_stands_when_there_is_no_room() -> None:
    _, ends = lived(LINE, 600.0)
    half = int(np.argmax(ends["leaving"] > 0.5 * 27.0))
    assert half == pytest.approx(12.0 / 0.2, rel=0.15), "about the time on the belt"
    _, ends = lived(LINE, 3600.0, {"M2.RUN": 0.0})
    assert ends["buffered"][-1] == pytest.approx(50.0, abs=1.0)
    assert ends["leaving"][-1] == pytest.approx(0.0, abs=0.5)
    assert ends["stock"][-1] == pytest.approx(ends["stock"][-300], abs=1.0), "blocked up to the first machine"


def bearing(more: str, at: str = "45 degC") -> str:
    return (
        "plant: spindle\nengine: {step: 0.5 s}\ncomponents:\n"
        "  S1: {type: spindle, max_speed: 12000 rpm, lag: 2 s, run: S1.RUN, speed: S1.SP, start: 6000 rpm}\n"
        "  B1: {type: bearing, of: S1, friction: 1e-5 W/rpm^2, capacity: 2 kJ/K, still: 4 W/K, per_flow: 3 W/K/(L/min), coolant: C1,\n"
        f"       temperature: {at}{more}}}\n"
        "  C1: {type: coolant_loop, rated: 10 L/min, supply: 22 degC, temperature: 25 degC, capacity: 40 kJ/K, chiller: 120 W/K,\n"
        "       stroke: 4 s, run: C1.RUN, position: C1.OP}\n"
        "tags:\n"
        f"  S1.RUN: {MODE}\n  C1.RUN: {MODE}\n"
        "  S1.SP: {role: setpoint, unit: rpm, range: [0, 8000], writable: true, start: 6000}\n"
        '  C1.OP: {role: setpoint, unit: "%", range: [0, 100], writable: true, start: 50}\n'
        "  bearing: {role: process_value, unit: degC, range: [0, 150], of: B1.temperature}\n"
        "  coolant: {role: process_value, unit: degC, range: [0, 100], of: C1.temperature}\n"
        "  power: {role: process_value, unit: W, range: [0, 20000], of: B1.power}\n"
    )


def test_a_bearing_of_which_nothing_more_is_said_rubs_with_the_square_of_its_speed_at_any_temperature() -> None:
    for at in ("20 degC", "80 degC"):
        _, ends = lived(bearing("", at), 8000.0)
        assert ends["power"] == pytest.approx(360.0, rel=1e-9)
        assert ends["power"][-1] == pytest.approx(19.0 * (ends["bearing"][-1] - ends["coolant"][-1]), rel=1e-6)


def test_grease_thins_as_it_warms_and_what_a_bearing_carries_does_not() -> None:
    _, ends = lived(bearing(", load: 10 mW/rpm, thinning: 0.004 1/K, warm: 45 degC", "20 degC"), 3000.0)
    assert ends["power"] == pytest.approx(60.0 + 360.0 / (1.0 + 0.004 * (ends["bearing"] - 45.0)), rel=1e-9)
    assert ends["power"][0] > 420.0


def test_a_housing_in_the_way_lets_no_more_heat_pass_than_it_conducts() -> None:
    _, ends = lived(bearing(", housing: 10 W/K"), 8000.0)
    passed = ends["power"][-1] / (ends["bearing"][-1] - ends["coolant"][-1])
    assert passed == pytest.approx(4.0 + 1.0 / (1.0 / 15.0 + 1.0 / 10.0), rel=1e-6)
