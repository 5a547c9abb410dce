import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

import sentinel.demo
from sentinel.clock import SystemClock
from sentinel.commands import plant, whatif
from sentinel.demo.parameters import Parameters
from sentinel.demo.simulation import simulate
from sentinel.errors import ConfigError, InputError
from sentinel.history import Bounds, History
from sentinel.model.time import NS_PER_S, Instant, after, iso
from sentinel.twin.plant import load_plant
from sentinel.twin.recorded import readings_of_csv
from tests.unit.sandbox.fmu.packages import PLANT, package
from tests.unit.twin.operators import operator
from tests.unit.twin.shells import as_package, simulated

PLANT_FILE = Path(sentinel.demo.__file__).with_name("plant.yaml")


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    plant.add_arguments(parser)
    return plant.run(parser.parse_args(["check", *words]))


def test_the_reference_plant_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(PLANT_FILE), "--members", "16", "--horizon", "120") == 0
    said = capsys.readouterr().out
    for part in ("T101", "LIC101", "LAHH101", "T101.level", "51", "rk4, step 0.5 s", "LT101 <= 1.6 m", "16 members x 120 s", "built in"):
        assert part in said


def test_a_plant_that_breaks_its_own_envelope_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tight = tmp_path / "plant.yaml"
    tight.write_text(PLANT_FILE.read_text(encoding="utf-8").replace("always: LT101 <= 1.60 m", "always: LT101 <= 1.10 m"), encoding="utf-8")
    assert run(str(tight), "--members", "8", "--horizon", "60") == 1
    assert "nominal -0.1" in capsys.readouterr().out


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    wrong = tmp_path / "plant.yaml"
    wrong.write_text(PLANT_FILE.read_text(encoding="utf-8").replace("type: tank", "type: tenk", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="did you mean 'tank'"):
        run(str(wrong))
    with pytest.raises(ConfigError, match="cannot be read"):
        run(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match="members"):
        run(str(PLANT_FILE), "--members", "0")


def test_an_fmu_is_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "heater.fmu").write_bytes(package(2))
    (tmp_path / "plant.yaml").write_text(PLANT, encoding="utf-8")
    assert run(str(tmp_path / "plant.yaml"), "--members", "8", "--horizon", "60") == 0
    said = capsys.readouterr().out
    for part in ("Heater, FMI 2.0", "kept and put back", "HV1", "1 of it is taken to be 100 % of HV1", "nominal 70, worst 70 degC"):
        assert part in said
    assert run(str(tmp_path / "heater.fmu"), "--members", "1", "--horizon", "60") == 0
    assert "mind: note is a String" in capsys.readouterr().out
    (tmp_path / "plant.yaml").write_text(PLANT.replace("<= 90 degC", "<= 10 degC"), encoding="utf-8")
    assert run(str(tmp_path / "plant.yaml"), "--members", "1") == 1
    with pytest.raises(InputError, match="horizon"):
        run(str(tmp_path / "heater.fmu"), "--horizon", "0")


def test_a_shell_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "vessel.aasx", tmp_path / "vessel.yaml"
    file.write_bytes(as_package(tmp_path, simulated("/aasx/files/a.fmu"), files={"/aasx/files/a.fmu": package(3)}))
    parser = argparse.ArgumentParser()
    plant.add_arguments(parser)
    words = parser.parse_args(["import", str(file), "--out", str(out)])
    assert plant.run(words) == 0
    assert f"{out}: 4 tags, computed by vessel.fmu" in capsys.readouterr().out
    assert run(str(out), "--members", "1") == 0
    with pytest.raises(InputError, match="nothing is overwritten"):
        plant.run(words)


def test_it_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    plant.add_arguments(parser)
    file = tmp_path / "plant.svg"
    assert plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(file)])) == 0
    assert plant.run(parser.parse_args(["draw", str(PLANT_FILE)])) == 0
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(tmp_path / "no" / "x.svg")]))
    with pytest.raises(InputError, match="pictures are SVG or PNG"):
        plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(tmp_path / "x.pdf")]))
    assert plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(tmp_path / "x.png")])) == 0
    assert (tmp_path / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def identify(*words: str) -> int:
    parser = argparse.ArgumentParser()
    plant.add_arguments(parser)
    return plant.run(parser.parse_args(["identify", str(PLANT_FILE), *words]))


WRITES = [(60.0, "LIC101.SP", 1.35), (300.0, "LIC102.SP", 0.95), (400.0, "TIC201.SP", 66.0), (500.0, "SIC301.SP", 7200.0)]


def recorded(file: Path, parameters: Parameters, writes: Sequence[tuple[float, str, float]] = WRITES, seconds: float = 700.0) -> Path:
    """As `sentinel history --format csv` prints it."""
    recording = simulate(seconds, writes, rate_hz=1.0, parameters=parameters)
    begin = Instant(1_700_000_000 * NS_PER_S)
    rows = [
        f"{iso(after(begin, second))},{tag},{float(values[row])!r},good"
        for tag, values in recording.values.items()
        for row, second in enumerate(recording.time_s.tolist())
    ]
    file.write_text("\n".join(["time,tag,value,quality", *rows]), encoding="utf-8")
    return file


def test_parameters_are_identified_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, out = recorded(tmp_path / "recorded.csv", Parameters(c12=2.98)), tmp_path / "new.yaml"
    assert identify("--csv", str(recording), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "C12.coefficient" in said
    assert "too few to hold one out" in said
    assert "as declared:" in said
    found = {one.name: one for one in load_plant(out).parameters}["C12.coefficient"]
    assert found.unit.from_si(found.value) == pytest.approx(2.98, rel=0.01)
    assert found.unit.from_si(found.spread) == pytest.approx(0.25 * 0.03 * 3.162, rel=0.05)  # a quarter of the doubt is kept
    old, new = (file.read_text(encoding="utf-8").splitlines() for file in (PLANT_FILE, out))
    assert len(old) == len(new)
    assert 0 < sum(a != b for a, b in zip(old, new, strict=True)) < 15
    with pytest.raises(InputError, match="nothing is overwritten"):
        identify("--csv", str(recording), "--out", str(out))


def test_a_recording_of_another_plant_changes_nothing(tmp_path: Path) -> None:
    recording, out = recorded(tmp_path / "recorded.csv", Parameters(c12=0.8, t201_loss=1500.0)), tmp_path / "new.yaml"
    with pytest.raises(InputError, match="the plant is another one"):
        identify("--csv", str(recording), "--out", str(out))
    assert not out.exists()


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    recording, out = recorded(tmp_path / "recorded.csv", Parameters()), tmp_path / "new.yaml"
    with pytest.raises(InputError, match=r"no result within 0\.01 s, after [0-9]+ rollouts: allow more time"):
        identify("--csv", str(recording), "--out", str(out), "--limit", "0.01s")
    assert not out.exists()


def test_a_history_is_identified_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "history"
    kept = History(directory, SystemClock(), Bounds(octets=1 << 30, age_s=1e10))
    with recorded(tmp_path / "recorded.csv", Parameters()).open(encoding="utf-8") as stream:
        kept.add(readings_of_csv(stream, "recorded.csv"))
    kept.close()
    assert identify("--history", str(directory), "--from", "2023-11-14T22:00:00Z", "--to", "2023-11-15T00:00:00Z") in {0, 1}
    assert "LT101" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column tag, time, value"),
        ("time,tag,value\nyesterday,LT101,1", ":2: Invalid isoformat"),
        ("time,tag,value\n2026-11-26T18:00:00Z,LT101,much", ":2: could not convert"),
        ("time,tag,value\n2026-11-26T18:00:00Z,LT101", ":2: 2 columns, expected 3"),
        ("time,tag,value,quality\n2026-11-26T18:00:00Z,LT101,1,fair", ":2: quality 'FAIR' is not known"),
        ("time,tag,value\n2026-11-26T18:00:00Z,NOTHING,1", "no usable value"),
    ],
)
def test_a_recording_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "recorded.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=why):
        identify("--csv", str(file))
    with pytest.raises(InputError, match="there is no history"):
        identify("--history", str(tmp_path / "none"))


def test_a_twin_without_a_model_is_of_low_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, out = recorded(tmp_path / "recorded.csv", Parameters(), operator(1.0, 1), 3600.0), tmp_path / "new.yaml"
    assert identify("--no-model", "--csv", str(recording), "--tags", "LT101,TT201,ST301", "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "low trust: what it finds broken is a warning, what it finds kept is no proof" in said
    assert f"{out}: 3 tags, marked as of low trust" in said
    assert run(str(out), "--members", "4") in {0, 1}
    assert "mind: low trust: fitted to a recording" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="here components are needed"):
        load_plant(out)  # no verdict of the court can rest on it
    parser = argparse.ArgumentParser()
    whatif.add_arguments(parser)
    picture = tmp_path / "x.svg"
    words = ["--plant", str(out), "--set", "LIC101.SP=1.3", "--members", "16", "--picture", str(picture)]
    assert whatif.run(parser.parse_args(words)) == whatif.UNDECIDED
    said = capsys.readouterr().out
    assert "THEN undecided: no invariant breaks in 16 members, which proves nothing with this model" in said
    assert "low trust" in picture.read_text(encoding="utf-8")
    few = recorded(tmp_path / "few.csv", Parameters())
    assert identify("--no-model", "--csv", str(few), "--tags", "LT101", "--out", str(tmp_path / "none.yaml")) == 1
    assert "nothing is to be adopted: the guess that nothing changes is as good" in capsys.readouterr().out
    assert not (tmp_path / "none.yaml").exists()
