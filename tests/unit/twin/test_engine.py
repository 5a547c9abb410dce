"""Rollouts against equations written down a second time, by hand, and solved by scipy."""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sentinel.errors import ConfigError
from sentinel.model.time import Instant
from sentinel.twin.engine import Model, compile_model, initial, rollout
from sentinel.twin.expression import Expression, Op, constant, leaf, maximum
from sentinel.twin.plant import Plant, load_plant
from sentinel.twin.units import ONE

from .conftest import PLANT_FILE
from .oracle import NumpyTwin

MANUAL = {"LIC101.AUTO": 0.0, "LIC102.AUTO": 0.0, "TIC201.AUTO": 0.0, "TIC301.AUTO": 0.0}


def by_hand(p101: float, fv102: float, h201: float, fv301: float, rpm: float):
    """The nominal plant of plant.yaml in its own units: m, L/s, degC, rpm; actuators as fractions."""

    def rates(_: float, x: np.ndarray) -> list[float]:
        l1, l2, speed, stem, element, water, flow, n, bearing, coolant, valve = x
        inflow = 4.22 * np.sqrt(max(speed * speed - l1 / 50, 0.0))
        through = 3.162 * (l1 - l2) / np.sqrt(abs(l1 - l2) + 1e-4)
        outflow = stem * 4.0 * np.sqrt(max(l2 + 0.5, 0.0))
        heat = (40 + 760 * flow / 1.0) * (element - water)
        friction = 6e-3 * n + 1.1e-5 * n * n / (1 + 0.003 * (bearing - 45))
        film = 3.25 * valve * 10
        cooling = (4 + film / (1 + film / 200)) * (bearing - coolant)
        return [
            (inflow - through) / 250, (through - outflow) / 250, (p101 - speed) / 1.5, np.clip(fv102 - stem, -1 / 8, 1 / 8),
            (30e3 * h201 - heat) / 5e3, (heat - 400 * (water - 20)) / 84e3, (1 - flow) / 1.0, (rpm - n) / 2.0,
            (friction - cooling) / 2e3, (cooling - 120 * (coolant - 22)) / 40e3, np.clip(fv301 - valve, -1 / 4, 1 / 4),
        ]  # fmt: skip

    return rates


START = [1.2, 0.8, 0.5, 0.439, 80.0, 60.0, 1.0, 6000.0, 45.0, 25.5, 0.5]
SHOWN = ["LT101", "LT102", "ST101", "ZT102", "TT202", "TT201", "FT201", "ST301", "TT301", "TT302", "ZT301"]
FRACTIONS = {"ST101", "ZT102", "ZT301"}


def test_the_nominal_member_follows_the_equations(model: Model) -> None:
    writes = {**MANUAL, "LIC101.OP": 55.0, "LIC102.OP": 40.0, "TIC201.OP": 60.0, "TIC301.OP": 70.0, "SIC301.SP": 7000.0}
    run = rollout(model, initial(model, 8), writes, 300.0, record=SHOWN, record_every_s=10.0)
    truth = solve_ivp(by_hand(0.55, 0.40, 0.60, 0.70, 7000.0), (0, 300), START, "LSODA", run.times_s, rtol=1e-10, atol=1e-10, max_step=0.5)
    spans = {one.tag: one.high - one.low for one in model.outputs}
    assert truth.success
    for row, tag in enumerate(SHOWN):
        exact = truth.y[row] * (100.0 if tag in FRACTIONS else 1.0)
        worst = np.abs(run.trajectories[tag][:, 0] - exact).max() / spans[tag]
        assert worst < 2e-4, f"{tag}: {worst:.2e} of span"


def test_an_overfill_is_seen_when_the_equations_say(model: Model) -> None:
    run = rollout(model, initial(model, 1), {**MANUAL, "LIC101.OP": 100.0}, 600.0)

    def rim(_: float, x: np.ndarray) -> float:
        return x[0] - 1.60

    rim.terminal = True
    truth = solve_ivp(by_hand(1.0, 0.439, 0.533, 0.5, 6000.0), (0, 600), START, "LSODA", events=rim, rtol=1e-10, atol=1e-10, max_step=0.5)
    row = run.invariants.index("T101-overfill")
    assert run.robustness[row, 0] < 0.0
    assert run.time_to_violation_s[row, 0] == pytest.approx(truth.t_events[0][0], abs=0.02)
    others = [run.invariants.index(name) for name in ("T201-boil", "SP301-overspeed", "T101-empty")]
    assert np.isinf(run.time_to_violation_s[others, 0]).all()
    assert (run.robustness[others, 0] > 0.0).all()


def test_an_invariant_that_is_broken_at_the_start_is_violated_at_zero(model: Model) -> None:
    hot = rollout(model, initial(model, 8), {**MANUAL, "LIC101.OP": 100.0, "LIC101.HH": 2.0}, 300.0).final
    run = rollout(model, hot, {}, 10.0)
    assert (run.time_to_violation_s[run.invariants.index("T101-overfill")] == 0.0).all()


@pytest.mark.parametrize("method", ["heun", "rk3", "rk4"])
def test_compiled_and_read_graph_agree_to_the_last_bit(plant_text: str, method: str) -> None:
    model = compile_model(load_plant(plant_text.replace("method: rk4", f"method: {method}")))
    start = initial(model, 16)
    writes = {"LIC101.AUTO": 0.0, "LIC101.OP": 100.0, "TIC201.SP": 75.0, "P201.RUN": 0.0, "SIC301.SP": 9500.0, "LIC101.HH": 1.21}
    plain = NumpyTwin(model, start, writes)
    for _ in range(120):
        plain.step()
    run = rollout(model, start, writes, 60.0)
    assert np.array_equal(run.final.states, plain.ensemble.states[:, :16].T)
    assert np.array_equal(run.final.controllers, plain.ensemble.controllers[:, :16].T)


def test_portable_code_gives_the_same_bits(plant: Plant, model: Model) -> None:
    portable = compile_model(plant, portable=True)
    assert portable.kernel.processor == "portable"
    assert portable.digest == model.digest
    start = initial(model, 24)
    here, there = (rollout(one, start, {"LIC101.SP": 1.45}, 120.0, record=["LT101"]) for one in (model, portable))
    assert here.final.to_octets() == there.final.to_octets()
    assert np.array_equal(here.robustness, there.robustness)
    assert np.array_equal(here.trajectories["LT101"], there.trajectories["LT101"])


def test_another_process_gives_the_same_bits(model: Model) -> None:
    run = rollout(model, initial(model, 32), {"TIC201.SP": 70.0}, 120.0)
    script = (
        "import sys\nfrom pathlib import Path\nfrom sentinel.twin.engine import *\nfrom sentinel.twin.plant import load_plant\n"
        "model = compile_model(load_plant(Path(sys.argv[1])))\n"
        "print(rollout(model, initial(model, 32), {'TIC201.SP': 70.0}, 120.0).final.fingerprint())"
    )
    other = subprocess.run([sys.executable, "-c", script, str(PLANT_FILE)], capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == run.final.fingerprint()


def test_a_horizon_in_parts_gives_the_same_bits(model: Model) -> None:
    start = initial(model, 16)
    whole = rollout(model, start, {"LIC102.SP": 1.0}, 100.0)
    half = rollout(model, start, {"LIC102.SP": 1.0}, 40.0)
    rest = rollout(model, half.final, {}, 60.0)
    assert np.array_equal(whole.final.states, rest.final.states)
    assert np.array_equal(whole.robustness, np.minimum(half.robustness, rest.robustness))
    scheduled = rollout(model, start, [(0.0, {"LIC102.SP": 1.0}), (40.0, {})], 100.0)
    assert np.array_equal(whole.final.states, scheduled.final.states)


def test_starts_are_counted_as_the_read_graph_counts_them(model: Model) -> None:
    """A trip limit below the level: P101 stops, and starts again as often as the level comes to the limit."""
    start, writes, horizon_s = initial(model, 16), {"LIC101.HH": 1.15}, 300.0
    row = next(row for row, one in enumerate(model.plant.invariants) if one.name == "P101-short-cycle")
    invariant = model.plant.invariants[row]
    plain = NumpyTwin(model, start, writes)
    count, ran = np.zeros(16), np.zeros(16)  # it is tripped before the first step
    for _ in range(round(horizon_s / model.step_s)):
        plain.step()
        runs = np.broadcast_to(plain.evaluate([invariant.expression], plain.ensemble.states)[0], plain.ensemble.stride)[:16]
        count += (ran == 0.0) & (runs > 0.5)
        ran = runs
    run = rollout(model, start, writes, horizon_s)
    assert count.min() > invariant.limit, "the example must break what it is about"
    assert np.array_equal(run.robustness[row], invariant.limit - count)
    assert (run.time_to_violation_s[row] < horizon_s).all()
    in_parts = rollout(model, start, [(0.0, writes), (50.0, {}), (120.5, {})], horizon_s)
    assert np.array_equal(in_parts.robustness[row], run.robustness[row]), "a count goes on from one part of a schedule to the next"


def test_what_runs_already_is_not_started_by_being_looked_at(model: Model) -> None:
    row = [one.name for one in model.invariants].index("P101-short-cycle")
    left_alone = rollout(model, initial(model, 8), {}, 60.0)
    assert (left_alone.robustness[row] == 6.0).all()
    again = rollout(model, initial(model, 8), [(0.0, {"P101.RUN": 0.0}), (5.0, {"P101.RUN": 1.0})], 60.0)
    assert (again.robustness[row] == 5.0).all()
    assert np.isinf(again.time_to_violation_s[row]).all()


def test_fewer_members_are_the_same_members(model: Model) -> None:
    start = initial(model, 64)
    many, few = rollout(model, start, {}, 60.0), rollout(model, start, {}, 60.0, members=10)
    assert np.array_equal(few.robustness, many.robustness[:, :10])


def test_writes_later_in_the_horizon_take_effect_then(model: Model) -> None:
    run = rollout(model, initial(model, 8), [(10.25, {"SIC301.SP": 7000.0})], 30.0, record=["ST301"], record_every_s=0.5)
    before, after = run.times_s <= 10.25, run.times_s > 12.0
    assert np.allclose(run.trajectories["ST301"][before], 6000.0)
    assert (run.trajectories["ST301"][after] > 6400.0).all()
    assert run.times_s[-1] == pytest.approx(30.0)


def test_changes_of_mode_are_bumpless_and_an_output_written_in_automatic_does_not_stay(model: Model) -> None:
    settled = rollout(model, initial(model, 8), {"LIC101.SP": 1.3}, 20.0).final
    to_manual = rollout(model, settled, {"LIC101.AUTO": 0.0}, 5.0, record=["LIC101.OP"], record_every_s=0.5).trajectories["LIC101.OP"]
    assert np.ptp(to_manual, axis=0).max() == 0.0
    manual = rollout(model, settled, {"LIC101.AUTO": 0.0}, 60.0).final
    back = rollout(model, manual, {"LIC101.AUTO": 1.0}, 1.0, record=["LIC101.OP"], record_every_s=0.5).trajectories["LIC101.OP"]
    held = manual.controllers[:, 1] * 100.0
    assert np.abs(back[0] - held).max() < 0.5  # only what a scan integrates
    ignored = rollout(model, settled, {"LIC101.OP": 5.0}, 5.0)
    assert np.array_equal(ignored.final.states, rollout(model, settled, {}, 5.0).final.states)


def test_the_integral_does_not_wind_up(model: Model) -> None:
    full = rollout(model, initial(model, 1), {"P101.RUN": 0.0}, 600.0).final
    assert full.controllers[0, 1] == pytest.approx(1.0)
    assert full.controllers[0, 0] < 1.0


def test_interlocks_trip_and_the_bypass_silences_them(model: Model) -> None:
    start = initial(model, 8)
    filled = {"LIC101.AUTO": 0.0, "LIC101.OP": 100.0, "LIC102.AUTO": 0.0, "LIC102.OP": 0.0}
    held = rollout(model, start, filled, 600.0, record=["LT101", "LAHH101"])
    open_ = rollout(model, start, {**filled, "BYPASS": 1.0}, 600.0, record=["LT101", "LAHH101"])
    raised = rollout(model, start, {**filled, "LIC101.HH": 1.95, "LIC102.HH": 1.95}, 600.0, record=["LT101"])
    assert held.trajectories["LT101"].max() < 1.83
    assert open_.trajectories["LT101"].max() == pytest.approx(2.0)  # the rim: it spills
    assert open_.trajectories["LAHH101"][-1].all()  # the alarm stays
    assert 1.9 < raised.trajectories["LT101"].max() < 1.98
    # no circulation: the heater is off before its element burns
    safe = rollout(model, start, {"P201.RUN": 0.0}, 600.0)
    burnt = rollout(model, start, {"P201.RUN": 0.0, "BYPASS": 1.0}, 600.0)
    row = safe.invariants.index("H201-burnout")
    assert (safe.robustness[row] > 0.0).all()
    assert (burnt.robustness[row] < 0.0).all()


def test_a_member_that_leaves_the_physical_bounds_is_marked_and_never_used(model: Model) -> None:
    start = initial(model, 16)
    parameters = start.parameters.copy()
    parameters[3, [one.name for one in model.plant.parameters].index("T201.capacity")] = 1e-9
    states = start.states.copy()
    states[5, 0] = np.inf
    run = rollout(model, replace(start, parameters=parameters, states=states), {}, 60.0)
    assert not run.valid[3]
    assert not run.valid[5]
    assert run.valid.sum() == 14
    assert np.isnan(run.robustness[:, [3, 5]]).all()
    assert np.isnan(run.time_to_violation_s[:, [3, 5]]).all()
    assert np.isfinite(run.robustness[:, run.valid]).all()


@pytest.mark.parametrize("what", ["states", "controllers", "parameters"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_member_with_anything_that_is_no_number_is_marked_and_never_used(model: Model, what: str, value: float) -> None:
    start = initial(model, 12)
    for column in range(getattr(start, what).shape[1]):
        array = getattr(start, what).copy()
        array[7, column] = value
        run = rollout(model, replace(start, **{what: array}), {}, 2.0)
        assert np.flatnonzero(~run.valid).tolist() == [7], f"{what}, column {column}"
        assert np.isnan(run.robustness[:, 7]).all()
        assert np.isfinite(run.robustness[:, run.valid]).all()
    with pytest.raises(ValueError, match="inputs that are not numbers"):
        rollout(model, replace(start, inputs=np.full_like(start.inputs, value)), {}, 2.0)


@pytest.mark.parametrize("until_m", [0.0, 1.21])
def test_what_is_watched_and_is_no_number_is_not_taken_for_kept(plant: Plant, until_m: float) -> None:
    """0 / 0 at the start, or when T101 has risen so far."""
    level = leaf(Op.STATE, "T101.level", plant.invariants[0].expression.dimension)
    left = maximum(constant(until_m, "m") - level, constant(0.0, "m"))
    watched = replace(plant.invariants[0], expression=level + level * Expression(Op.DIVIDE, ONE, (left - left, left)))
    strange = compile_model(replace(plant, text=f"{plant.text}# {until_m}", invariants=(watched, *plant.invariants[1:])))
    assert rollout(strange, initial(strange, 4), {"LIC101.SP": 1.1}, 30.0).valid.all() == (until_m > 0.0)
    assert not rollout(strange, initial(strange, 4), {"LIC101.SP": 1.5}, 60.0).valid.any()


@pytest.mark.parametrize(
    ("writes", "says"),
    [
        ({"LIC1O1.SP": 1.0}, "is not a tag, did you mean 'LIC101.SP'"),
        ({"LT101": 1.0}, "is not writable"),
        ({"LIC101.SP": float("nan")}, "is not a number"),
        ({"LIC101.SP": float("inf")}, "is not a number"),
        ([(700.0, {})], "expected rising times"),
        ([(5.0, {}), (1.0, {})], "expected rising times"),
    ],
)
def test_writes_that_make_no_sense_are_refused(model: Model, writes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rollout(model, initial(model, 8), writes, 600.0)


def test_horizons_records_and_foreign_snapshots_are_refused(model: Model, plant_text: str) -> None:
    start = initial(model, 8)
    for horizon in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(ValueError, match="horizon"):
            rollout(model, start, {}, horizon)
    with pytest.raises(ValueError, match="cannot be recorded, did you mean 'LT101'"):
        rollout(model, start, {}, 10.0, record=["LT1O1"])
    with pytest.raises(ValueError, match="too large"):
        rollout(model, initial(model, 4096), {}, 10_000.0, record=["LT101", "LT102"])
    other = compile_model(load_plant(plant_text + "\n# another file\n"))
    with pytest.raises(ValueError, match="a snapshot of model"):
        rollout(other, start, {}, 10.0)
    with pytest.raises(ValueError, match="members"):
        rollout(model, start, {}, 10.0, members=9)


def test_the_step_halving_error_is_small_and_kept(model: Model) -> None:
    spans = {one.tag: one.high - one.low for one in model.outputs}
    assert set(model.error) >= {"LT101", "TT201", "ST301"}
    assert max(error / spans[tag] for tag, error in model.error.items()) < 0.003


def test_rollouts_run_beside_each_other(model: Model) -> None:
    start = initial(model, 64)
    results: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        results[index] = rollout(model, start, {"LIC101.SP": 1.0 + 0.1 * index}, 300.0).robustness

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    for index in range(4):
        assert np.array_equal(results[index], rollout(model, start, {"LIC101.SP": 1.0 + 0.1 * index}, 300.0).robustness)


def test_a_seed_names_an_ensemble(model: Model) -> None:
    assert initial(model, 32).fingerprint() == initial(model, 32).fingerprint()
    assert initial(model, 32, seed=1).fingerprint() != initial(model, 32, seed=2).fingerprint()
    nominal = [one.value for one in model.plant.parameters]
    assert initial(model, 4, at=Instant(5)).parameters[0].tolist() == pytest.approx(nominal)


def test_a_plant_without_controllers_invariants_or_uncertainty_runs() -> None:
    text = (
        "plant: small\ncomponents:\n  T1: {type: tank, area: 1 m^2, height: 2 m, level: 1 m}\n"
        "tags:\n  L1: {role: process_value, unit: m, range: [0, 2], of: T1.level}\n"
    )
    model = compile_model(load_plant(text))
    run = rollout(model, initial(model, 3), {}, 10.0, record=["L1"])
    assert run.robustness.shape == (0, 3)
    assert (run.trajectories["L1"] == 1.0).all()
    with pytest.raises(ConfigError):
        load_plant(text.replace("T1.level", "T1.volume"))
