"""The twin without a model against the reference plant's own physics: another operator, another noise, ten minutes ahead."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sentinel.demo.simulation import simulate
from sentinel.errors import ConfigError, InputError
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S
from sentinel.twin.arx import Arx, Recursion
from sentinel.twin.arx_fit import ArxFit, fit
from sentinel.twin.document import parse_document
from sentinel.twin.foreign import load_foreign
from tests.unit.twin.conftest import PLANT_FILE
from tests.unit.twin.operators import operator
from tests.unit.twin.test_identify import readings

VESSEL = """plant: vessel
tags:
  TT1: {role: process_value, unit: degC, range: [0, 100]}
  HV1: {role: setpoint, unit: "%", range: [0, 100], writable: true}
  HV2: {role: setpoint, unit: "%", range: [0, 100], writable: true}
invariants:
  hot: {always: TT1 <= 80 degC, severity: high, says: "hot"}
"""


@pytest.fixture(scope="module")
def found() -> ArxFit:
    document = parse_document(PLANT_FILE.read_text(encoding="utf-8"), "plant")
    return fit(document, readings(simulate(4 * 3600.0, operator(4, 1), rate_hz=1.0, seed=11)))


def loaded(directory: Path, text: str) -> Arx:
    (directory / "arx.yaml").write_text(text, encoding="utf-8")
    model = load_foreign(directory / "arx.yaml")
    assert isinstance(model, Arx)
    return model


def test_it_says_what_it_knows(found: ArxFit) -> None:
    assert found.is_better
    assert {one.tag for one in found.tags} >= {"LT101", "LT102", "TT201", "TT301", "ST301"}
    assert {"LIC101.AUTO", "P101.RUN"} <= set(found.unmoved)
    for one in found.tags:
        assert one.error < one.still, one.tag


def test_it_follows_the_plant_under_another_operator(found: ArxFit, tmp_path: Path) -> None:
    """Root mean square over six trials of ten minutes; levels and temperatures within 2 % of range, a fifth to a half of standing still."""
    model = loaded(tmp_path, found.text)
    tags = ("LT101", "LT102", "TT201", "TT301", "ST301")
    errors, stills = [], []
    for seed in range(101, 107):
        writes = [one for one in operator(0.25, seed) if one[0] < 600.0]
        truth = simulate(600.0, writes, rate_hz=1.0, seed=seed).values
        before = {tag: float(values[:5].mean()) for tag, values in truth.items()}
        start = replace(
            model.initial(1),
            states=np.array([[before[one.tag] for one in model.outputs]]),
            inputs=np.array([before[one.tag] for one in model.inputs]),
        )
        run = model.rollout(start, [(at, {tag: value}) for at, tag, value in writes], 600.0, tags, 10.0)
        at = np.minimum(run.times_s.astype(int), len(truth["LT101"]) - 1)
        spans = [model.outputs[model.output_rows[tag]] for tag in tags]
        scales = [one.high - one.low for one in spans]
        errors.append([((run.trajectories[tag][:, 0] - truth[tag][at]) ** 2).mean() / s**2 for tag, s in zip(tags, scales, strict=True)])
        stills.append([((before[tag] - truth[tag][at]) ** 2).mean() / s**2 for tag, s in zip(tags, scales, strict=True)])
    error, still = (np.sqrt(np.mean(rows, axis=0)) for rows in (errors, stills))
    assert (error < 0.02).all(), dict(zip(tags, error, strict=True))
    assert (error < 0.65 * still).all(), dict(zip(tags, error / still, strict=True))


def vessel_readings(minutes: int = 60, moves: bool = True, seed: int = 3) -> Readings:
    """T' = 0.5 u - 0.01 (T - 20) by steps of a second; u changes every two minutes."""
    chance = np.random.default_rng(seed)
    seconds = 60 * minutes
    u = np.repeat(chance.uniform(0.0, 1.0, minutes // 2 + 1), 120)[:seconds] if moves else np.full(seconds, 0.3)
    t = np.empty(seconds)
    now = 20.0
    for row in range(seconds):
        now += 0.5 * u[row] - 0.01 * (now - 20.0)
        t[row] = now
    at = 1_700_000_000 * NS_PER_S + np.arange(seconds) * NS_PER_S
    values = np.concatenate([t + chance.normal(0.0, 0.1, seconds), 100.0 * u, np.full(seconds, 50.0)])
    tags = np.repeat(np.arange(3), seconds)
    times = np.tile(at, 3)
    return Readings.of(("TT1", "HV1", "HV2"), time=times, seen=times, tag=tags, value=values, quality=[Quality.GOOD] * len(values))


def test_a_linear_plant_is_found_again(tmp_path: Path) -> None:
    one = fit(parse_document(VESSEL, "vessel"), vessel_readings())
    assert one.unmoved == ("HV2",)
    assert one.tags[0].error < 1.0
    model = loaded(tmp_path, one.text)
    assert [given.tag for given in model.inputs] == ["HV1"]
    start = replace(model.initial(64), states=np.full((64, 1), 20.0), inputs=np.array([0.0]))
    run = model.rollout(start, [(0.0, {"HV1": 100.0})], 600.0, ["TT1"], 60.0)
    expected = 20.0 + 50.0 * (1.0 - 0.99**run.times_s)
    assert run.trajectories["TT1"][:, 0] == pytest.approx(expected, abs=2.0)
    spread = run.trajectories["TT1"][-1].std()
    assert 0.5 * one.tags[0].error < spread < 2.0 * one.tags[0].error  # members differ by what was held out
    assert run.robustness[0, 0] == pytest.approx(80.0 - run.trajectories["TT1"][-1, 0], abs=0.5)


def test_what_cannot_be_fitted() -> None:
    document = parse_document(VESSEL, "vessel")
    with pytest.raises(InputError, match="HV1 is no process value and no output"):
        fit(document, vessel_readings(), ["HV1"])
    with pytest.raises(InputError, match=r"TT2 is no process value .*, did you mean 'TT1'"):
        fit(document, vessel_readings(), ["TT2"])
    with pytest.raises(InputError, match="too little was recorded"):
        fit(document, vessel_readings(1))
    with pytest.raises(InputError, match="no usable value"):
        fit(document, vessel_readings().take(np.zeros(0, np.int64)))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("error: ", "error: -", r"model.arx.tags.TT1.error: must be more than 0"),
        ("lags: 4", "lags: 3", "4 coefficients, expected 3"),
        ("TT1:\n        start", "TT2:\n        start", "TT2 is no tag that is measured"),
        ("HV1: [", "HV9: [", "TT1 hangs on HV9, which is neither modelled nor writable"),
        ("step: ", "step: -", "a step of -"),
        ("constant: ", "constant: x", "expected a number"),
    ],
)
def test_a_file_that_was_tampered_with(tmp_path: Path, old: str, new: str, why: str) -> None:
    text = fit(parse_document(VESSEL, "vessel"), vessel_readings()).text
    changed = text.replace(old, new, 1)
    assert changed != text
    with pytest.raises(ConfigError, match=why):
        loaded(tmp_path, changed)


def test_a_recursion_that_grows_is_known() -> None:
    grows = Recursion(constant=np.zeros(1), own=np.array([[[1.5]], [[-0.4]]]), driven=np.zeros((2, 1, 0)))
    assert grows.radius == pytest.approx(max(abs(np.roots([1.0, -1.5, 0.4]))))
    past = np.array([[[1.0]], [[2.0]]])  # latest first
    assert grows.run(past, np.zeros((3, 0, 1)))[:, 0, 0].tolist() == pytest.approx([0.7, 0.65])
