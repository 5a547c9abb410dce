import argparse
import gzip
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sentinel.commands import plan
from sentinel.errors import InputError

SHIFT = """
scheduling: shift
time_unit: min
machines: [lathe, mill]
jobs:
  shaft: {due: 40, operations: [{machines: {lathe: 30, mill: 45}, writes: {SIC301.SP: 4000}}, {machines: {mill: 15}}]}
  ring: {operations: [{machines: {lathe: 20}}]}
"""


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    plan.add_arguments(parser)
    return plan.run(parser.parse_args(["scheduling", *arguments, "--workers", "1", "--time-limit", "10"]))


@pytest.fixture
def shift(tmp_path: Path) -> Path:
    file = tmp_path / "shift.yaml"
    file.write_text(SHIFT)
    return file


def test_it_tells_the_plan(shift: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(shift)) == 0
    said = capsys.readouterr().out
    assert said.startswith("optimal: objective ")
    assert "shaft / 1  SIC301.SP = 4000" in said
    assert "no plant was named" in said


def test_json_and_picture(shift: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(str(shift), "--json", "--svg", str(tmp_path / "x.svg")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["status"], len(told["decisions"])) == ("scheduling", "optimal", 3)
    assert ET.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")


def test_the_plants_own_file_names_the_commands(shift: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Path(plan.__file__).parent.parent / "demo" / "plant.yaml"
    assert call(str(shift), "--json", "--plant", str(plant)) == 0
    (command,) = json.loads(capsys.readouterr().out)["commands"]
    assert (command["origin"], command["operation"], command["octets"]) == ("planner", "write_single_register", "0600040fa0")


def test_a_compressed_instance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.txt.gz"
    file.write_bytes(gzip.compress(b"2 2\n0 3 1 2\n1 4 0 1\n"))
    assert call(str(file)) == 0
    assert "objective 6" in capsys.readouterr().out


def test_no_plan_is_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("machines: [A]\njobs: {J: {deadline: 1, operations: [{machines: {A: 2}}]}}\n")
    assert call(str(file), "--svg", str(tmp_path / "x.svg")) == 1
    assert "out of reach" in capsys.readouterr().out
    assert not (tmp_path / "x.svg").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00", "not a text file"),
        (b"x" * (9 << 20), "more than 8388608 octets"),
        (b"\x00", "x.txt"),
    ],
)
def test_what_is_no_instance(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=says):
        call(str(file))
    with pytest.raises(InputError, match="cannot be read"):
        call(str(tmp_path / "none"))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * (64 << 20)))
    with pytest.raises(InputError, match="more than"):
        call(str(tmp_path / "bomb.gz"))
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(b"2 2")[:10] + b"\x07")  # a block of a type that does not exist
    with pytest.raises(InputError, match="cannot be read"):
        call(str(tmp_path / "damaged.gz"))
