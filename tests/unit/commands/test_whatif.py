import argparse
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import sentinel.demo
from sentinel.commands import whatif
from sentinel.errors import InputError
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from tests.unit.sandbox.fmu.packages import PLANT, package

PLANT_FILE = Path(sentinel.demo.__file__).with_name("plant.yaml")


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    whatif.add_arguments(parser)
    return whatif.run(parser.parse_args(["--plant", str(PLANT_FILE), *words]))


def test_what_breaks_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "LIC101.AUTO=0", "--set", "LIC101.OP=100@30s", "--horizon", "5m", "--members", "32") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Reference plant: 5 min ahead, 32 members, from the plant file's own start"
    assert lines[2] == "IF   LIC101.AUTO = 0, LIC101.OP = 100 % at 30 s"
    assert lines[3].startswith("THEN T101-overfill")
    assert "none would without it" in lines[3]
    worst = lines[6].split()
    assert worst[0] == "T101-overfill"
    assert worst[-2].startswith("-")  # its margin
    assert any(line.startswith("T102-dry-run") and "kept" in line for line in lines)


def test_what_is_kept_is_said_with_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "LIC101.SP=1.3 m", "--members", "64", "--horizon", "2 min") == 0
    assert "THEN every invariant is kept in all 64 members (each breaks in at most 4.6 %, 95 % confidence)" in capsys.readouterr().out


def test_a_grid_is_a_row_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "grid.svg"
    words = ("--set", "LIC101.AUTO=0", "--set", "LIC101.OP=50:100:3", "--members", "32", "--horizon", "5m", "--picture", str(picture))
    assert run(*words) == 1
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("  ")[0] for row in rows[1:]] == ["nothing is done", *(f"LIC101.AUTO = 0, LIC101.OP = {v} %" for v in (50, 75, 100))]
    assert [" 0 % " in row for row in rows[1:]] == [True, True, False, False]
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_as_json_from_a_snapshot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    start = initial(compile_model(load_plant(PLANT_FILE)), 20)
    file = tmp_path / "now.snapshot"
    file.write_bytes(start.to_octets())
    assert run("--set", "LIC101.SP=1.3", "--snapshot", str(file), "--json", "--horizon", "60s", "--tag", "LT101", "--tag", "FT101") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["members"], answer["snapshot"]) == (20, start.fingerprint())
    assert [axis["tag"] for axis in answer["axes"]] == ["LT101", "FT101"]
    assert len(answer["times_s"]) == len(answer["futures"][0]["bands"][1]["median"]) == 120


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.write_bytes(b"TWINSNP1\0")
    for words, says in (
        (("--set", "LIC101.SP=9"), "outside its range, 0.4 to 1.5 m"),
        (("--set", "LIC101.SP=1", "--horizon", "10"), "is not a duration"),
        (("--set", "LIC101.SP=1", "--members", "0"), "members: 0"),
        (("--set", "LIC101.SP=1", "--members", "100000"), "members: 100000, expected 1 to 4096"),
        (("--set", "LIC101.SP=1", "--picture", "x.gif"), "pictures are SVG or PNG"),
        (("--set", "LIC101.SP=1", "--picture", str(tmp_path / "no" / "x.svg")), "cannot be written"),
        (("--set", "LIC101.SP=1", "--snapshot", str(torn)), "torn: snapshot"),
        (("--set", "LIC101.SP=1", "--snapshot", str(tmp_path / "none")), "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            run(*words)


def test_an_fmu_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "heater.fmu").write_bytes(package(3, can_fork=False))
    (tmp_path / "plant.yaml").write_text(PLANT, encoding="utf-8")
    for plant, tag, value in (("plant.yaml", "HV1", "90 %"), ("heater.fmu", "u", "0.9")):
        parser = argparse.ArgumentParser()
        whatif.add_arguments(parser)
        words = ["--plant", str(tmp_path / plant), "--set", f"{tag}={value}", "--members", "32", "--picture", str(tmp_path / "x.svg")]
        assert whatif.run(parser.parse_args(words)) == (1 if tag == "HV1" else 0)
        said = capsys.readouterr().out
        assert "mind: by Heater, an FMU of a C compiler whose equations nobody here has read" in said
        assert "for questions at the desk, not for verdicts" in said
        assert ("THEN vessel-hot broken in 100 % of members, none would without it" in said) == (tag == "HV1")
        assert "<svg" in (tmp_path / "x.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0.5 s"), (93.26, "93.3 s"), (180.0, "3 min"), (185.4, "3 min 5 s"), (7500.0, "2 h 5 min")]
)
def test_times_are_said_as_people_do(seconds: float, said: str) -> None:
    assert whatif._time(seconds) == said
