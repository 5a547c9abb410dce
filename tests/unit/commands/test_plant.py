import argparse
from pathlib import Path

import pytest

import sentinel.demo
from sentinel.commands import plant
from sentinel.errors import ConfigError, InputError

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


def test_it_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    plant.add_arguments(parser)
    file = tmp_path / "plant.svg"
    assert plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(file)])) == 0
    assert plant.run(parser.parse_args(["draw", str(PLANT_FILE)])) == 0
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        plant.run(parser.parse_args(["draw", str(PLANT_FILE), "--out", str(tmp_path / "no" / "x.svg")]))
