import math
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fmpy import read_model_description
from fmpy.fmi2 import FMU2Slave

from sandbox.fmu.client import ask, job_of, live, unpack
from sentinel.errors import InputError
from sentinel.twin.foreign import Foreign, load_foreign
from tests.unit.sandbox.fmu.packages import PLANT, package

DEADLINE_S = 30.0
BAD = [
    ("CRASHES", "brought its process down (SIGSEGV)"),
    ("LEAKS", "fmi2DoStep answers fatal"),
    ("REFUSES", "fmi2DoStep answers error"),
    ("GIVES_NONSENSE", "no member is a number"),
    ("WRITES_ANSWERS", "octets that are no answer"),
    ("FORGETS", "a state that was put back gives another future"),
]


def vessel(
    directory: Path, version: int = 2, bad: str = "GOOD", can_fork: bool = True, text: str = PLANT, token: str = "heater-1"
) -> Foreign:
    (directory / "heater.fmu").write_bytes(package(version, bad, can_fork, token))
    (directory / "plant.yaml").write_text(text, encoding="utf-8")
    return load_foreign(directory / "plant.yaml")


def temperature(seconds: float, gain: float = 2.0, u: float = 0.5, start: float = 20.0, step_s: float = 0.05) -> float:
    """The vessel's own difference equation, solved: what the FMU computes, without an FMU."""
    end = 20.0 + gain * u / 0.02
    return end + (start - end) * (1.0 - 0.02 * step_s) ** round(seconds / step_s)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("can_fork", [True, False])
def test_futures_are_those_of_the_equations(tmp_path: Path, version: int, can_fork: bool) -> None:
    model = vessel(tmp_path, version, can_fork=can_fork)
    start = model.initial(4)
    alone, heated, late = live(model, start, [[], [(0.0, {"HV1": 50.0})], [(60.0, {"HV1": 90.0})]], 180.0, ["TT1"], 10.0)
    assert alone.trajectories["TT1"] == pytest.approx(20.0)
    assert heated.times_s.tolist() == [10.0 * i for i in range(1, 19)]
    for member, gain in enumerate(start.parameters[:, 0]):
        expected = [temperature(t, gain) for t in heated.times_s]
        assert heated.trajectories["TT1"][:, member] == pytest.approx(expected, rel=1e-9)
    assert start.parameters[0, 0] == 2.0
    assert len(set(start.parameters[:, 0])) == 4
    assert late.trajectories["TT1"][5, 0] == pytest.approx(20.0)  # 60 s: not yet
    hot_s = next(60.0 + 0.5 * i for i in range(200) if temperature(0.5 * i, u=0.9) > 90.0)
    assert late.time_to_violation_s[0, 0] == hot_s
    assert late.robustness[0, 0] == pytest.approx(90.0 - temperature(120.0, u=0.9))
    assert math.isinf(alone.time_to_violation_s[0, 0])
    assert heated.final.states[0, 0] == pytest.approx(273.15 + temperature(180.0))


def test_it_starts_from_what_was_read(tmp_path: Path) -> None:
    model = vessel(tmp_path)
    (run,) = live(model, model.initial(1, readings={"TT1": 70.0, "HV1": 100.0, "H1.RUN": 1.0}), [[]], 10.0, ["TT1"], 10.0)
    assert run.trajectories["TT1"][0, 0] == pytest.approx(temperature(10.0, u=1.0, start=70.0))


@pytest.mark.parametrize("version", [2, 3])
def test_the_description_is_what_the_standard_says(tmp_path: Path, version: int) -> None:
    """By the standard's own schemas, as FMPy has them: what is read here is no dialect of ours."""
    vessel(tmp_path, version)
    described = read_model_description(str(tmp_path / "heater.fmu"), validate=True)
    assert described.modelName == "Heater"


def test_another_importer_comes_to_the_same(tmp_path: Path) -> None:
    model = vessel(tmp_path)
    (run,) = live(model, model.initial(1), [[(0.0, {"HV1": 50.0})]], 60.0, ["TT1"], 0.5)
    unpack(model.fmu, tmp_path)
    slave = FMU2Slave(guid="heater-1", unzipDirectory=str(tmp_path), modelIdentifier="heater", instanceName="heater")
    slave.instantiate()
    slave.setupExperiment(startTime=0.0)
    slave.enterInitializationMode()
    slave.setReal([2, 3], [0.5, 2.0])
    slave.exitInitializationMode()
    for step, shown in enumerate(run.trajectories["TT1"][:, 0]):
        slave.doStep(0.5 * step, 0.5)
        assert slave.getReal([1]) == pytest.approx([shown], rel=1e-12)
    slave.terminate()
    slave.freeInstance()


def test_a_switch_is_a_boolean(tmp_path: Path) -> None:
    model = vessel(tmp_path, 3)
    (run,) = live(model, model.initial(1), [[(0.0, {"HV1": 50.0, "H1.RUN": 0.0})]], 10.0, ["TT1"], 10.0)
    assert run.trajectories["TT1"][0, 0] == pytest.approx(20.0)


@pytest.mark.parametrize(("bad", "why"), BAD)
def test_what_an_fmu_does_to_itself_is_said(tmp_path: Path, bad: str, why: str) -> None:
    model = vessel(tmp_path, bad=bad)
    with pytest.raises(InputError) as refused:
        live(model, model.initial(2), [[], [(0.0, {"HV1": 50.0})]], 60.0, ["TT1"], deadline_s=DEADLINE_S)
    assert str(refused.value).startswith("heater.fmu: ")
    assert why in str(refused.value)


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    model = vessel(tmp_path, bad="HANGS")
    with pytest.raises(InputError, match="gave no answer within 2 s and was ended"):
        live(model, model.initial(1), [[]], 60.0, deadline_s=2.0)


@pytest.mark.parametrize("bad", ["CALLS_HOME", "READS_SECRETS", "STARTS_PROGRAMS"])
def test_its_constructors_reach_nothing(tmp_path: Path, bad: str) -> None:
    """They run when the library is loaded, and end the process where they get through: then there would be no rollout."""
    model = vessel(tmp_path, bad=bad)
    (run,) = live(model, model.initial(1), [[(0.0, {"HV1": 50.0})]], 10.0, ["TT1"], 10.0)
    assert run.trajectories["TT1"][0, 0] == pytest.approx(temperature(10.0))


def test_without_isolation_its_constructors_would_get_through(tmp_path: Path) -> None:
    """The counterpart of the test above: the same library, loaded by a process that is not locked in, ends it."""
    model = vessel(tmp_path, bad="READS_SECRETS")
    unpack(model.fmu, tmp_path)
    words = [sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(tmp_path / model.fmu.library)!r}); raise SystemExit(7)"]
    assert subprocess.run(words, check=False).returncode == 0


def test_it_says_why_it_makes_no_instance(tmp_path: Path) -> None:
    model = vessel(tmp_path, token="another")
    with pytest.raises(InputError, match=r'makes no instance: "guid %s is not mine"'):
        live(model, model.initial(1), [[]], 60.0)


def test_a_member_that_fails_is_lost_alone(tmp_path: Path) -> None:
    """Of a thousand parameters some may be too much for it."""
    model = vessel(tmp_path)
    start = model.initial(3)
    with TemporaryDirectory() as directory:
        unpack(model.fmu, Path(directory))
        job = job_of(model, start, [[], [(0.0, {"HV1": 100.0})]], 10.0, ["TT1"], 10.0, directory)
        job.parameters[1][0] = 1.7e308
        alone, heated = ask(job, "heater.fmu", DEADLINE_S)
    assert alone.valid.tolist() == [1.0, 1.0, 1.0]
    assert heated.valid.tolist() == [1.0, 0.0, 1.0]


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    model = vessel(tmp_path)
    start = model.initial(2)
    with pytest.raises(ValueError, match="did you mean 'HV1'"):
        live(model, start, [[(0.0, {"HV2": 1.0})]], 60.0)
    with pytest.raises(ValueError, match="is not writable"):
        live(model, start, [[(0.0, {"TT1": 1.0})]], 60.0)
    with pytest.raises(ValueError, match="a horizon of 1e\\+09 s"):
        live(model, start, [[]], 1e9)
    with pytest.raises(ValueError, match="a snapshot of model"):
        live(vessel(tmp_path, 3), start, [[]], 60.0)
    with pytest.raises(ValueError, match="too large an answer"):
        live(model, model.initial(4096), [[]] * 200, 60.0, ["TT1"], 0.5)


def test_equal_questions_have_equal_answers(tmp_path: Path) -> None:
    model = vessel(tmp_path)
    one, other = (live(model, model.initial(8), [[(0.0, {"HV1": 80.0})]], 60.0, ["TT1"])[0] for _ in range(2))
    assert np.array_equal(one.trajectories["TT1"], other.trajectories["TT1"])
    assert np.array_equal(one.robustness, other.robustness)
