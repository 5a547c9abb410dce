import json
from pathlib import Path

import numpy as np
import pytest

import sentinel.demo
from sentinel.clock import SystemClock
from sentinel.measure.twin.bench import main
from sentinel.measure.twin.exported import fmu_rivals
from sentinel.measure.twin.plants import SECTION, plant_text
from sentinel.measure.twin.rivals import numba_plain, numpy_batched, scipy_solver
from sentinel.twin.engine import Model, compile_model, initial, rollout
from sentinel.twin.filter import blocks
from sentinel.twin.plant import load_plant

TENNESSEE = Path(sentinel.demo.__file__).with_name("tep.yaml")
WRITES = {"LIC011.SP": 1.5, "TIC013.SP": 72.0, "J014.RUN": 0.0}


@pytest.fixture(scope="module", params=["heun", "rk3", "rk4"])
def model(request: pytest.FixtureRequest) -> Model:
    return compile_model(load_plant(plant_text(SECTION + 2, request.param)))


@pytest.mark.parametrize("states", [1, 2, 11, 12, 13, 50])
def test_a_plant_has_as_many_states_as_were_asked_for_and_is_one_piece(states: int) -> None:
    plant = load_plant(plant_text(states))
    assert len(plant.states) == states
    in_states, *_ = blocks(plant, [sensor.expression for sensor in plant.sensors])
    heated = [number for number, state in zip(in_states, plant.states, strict=True) if state.name.endswith("level")]
    assert len(set(heated)) <= 1, "the tanks hang together"


def test_the_plant_rests_inside_its_envelope() -> None:
    model = compile_model(load_plant(plant_text(50)))
    run = rollout(model, initial(model, 64), {}, 3600.0)
    assert run.valid.all()
    assert (run.robustness > 0.0).all()


@pytest.mark.parametrize("states", [0, -3, 10_000])
def test_a_plant_of_nothing_is_refused(states: int) -> None:
    with pytest.raises(ValueError, match="states, expected"):
        plant_text(states)


def test_the_others_compute_the_same(model: Model) -> None:
    start, clock = initial(model, 5), SystemClock()
    ours = rollout(model, start, WRITES, 120.0)
    for rival in (numpy_batched, numba_plain):
        result = rival(model, start, WRITES, ours, 120.0, clock)
        assert result.members == 5
        assert result.difference < 1e-9
    assert scipy_solver(model, start, 120.0, "LSODA", clock, rollout).difference < 5e-3
    other = rollout(model, start, {"LIC011.SP": 1.4}, 120.0)
    assert numpy_batched(model, start, WRITES, other, 120.0, clock).difference > 1e-4, "a difference would show"


def test_the_plant_as_an_fmu_computes_the_same(model: Model) -> None:
    start = initial(model, 5)
    ours = rollout(model, start, WRITES, 120.0)
    rivals = fmu_rivals(model, start, WRITES, ours, 120.0, SystemClock())
    assert {name: one.members for name, one in rivals.items()} == {"FMU, our loop": 5, "FMU, FMPy": 1}
    assert all(one.difference < 1e-9 for one in rivals.values())
    other = rollout(model, start, {"LIC011.SP": 1.4}, 120.0)
    assert fmu_rivals(model, start, WRITES, other, 120.0, SystemClock())["FMU, our loop"].difference > 1e-4, "a difference would show"


def test_exponentials_and_powers_are_computed_alike() -> None:
    """On the Tennessee Eastman plant; numba takes half a minute to compile it."""
    model = compile_model(load_plant(TENNESSEE))
    start = initial(model, 4)
    ours = rollout(model, start, {}, 20.0)
    assert numpy_batched(model, start, {}, ours, 20.0, SystemClock()).difference < 1e-12


def test_the_figures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--members", "16", "--horizon", "30", "--states", "12", "--rounds", "2", "--alone", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["members"], report["states"], report["horizon_s"]) == (16, 12, 30.0)
    assert 0.0 < report["best_ms"] <= report["wall_ms"]
    assert report["build_s"] > 0.0
    assert 0.0 < report["cpu_ms"] <= report["wall_ms"]
    assert report["sync_ms"] > 0.0
    assert np.isfinite(report["error"])
    assert 0.0 < report["error"] < 0.01
    with pytest.raises(SystemExit):
        main(["--members", "0", "--alone"])
