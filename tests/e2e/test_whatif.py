"""What people do with the twin, by the real command line."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import sentinel.demo

PLANT_FILE = Path(sentinel.demo.__file__).with_name("plant.yaml")


def sentinel_says(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "sentinel", *words], capture_output=True, text=True, check=False, timeout=120)


def test_a_question_from_the_shell(tmp_path: Path) -> None:
    picture = tmp_path / "future.svg"
    asked = (
        "whatif",
        "--plant",
        str(PLANT_FILE),
        "--set",
        "LIC101.AUTO=0",
        "--set",
        "LIC101.OP=80 %@1m",
        "--horizon",
        "10m",
        "--members",
        "1000",
    )
    told = sentinel_says(*asked, "--picture", str(picture))
    assert (told.returncode, told.stderr) == (1, "")
    assert "THEN T101-overfill" in told.stdout
    assert "broken in 100 % of members, none would without it" in told.stdout
    assert ET.parse(picture).getroot().tag.endswith("svg")
    answer = json.loads(sentinel_says(*asked, "--json").stdout)
    assert answer["futures"][0]["broken"] == 1.0
    refused = sentinel_says("whatif", "--plant", str(PLANT_FILE), "--set", "LIC101.SQ=1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "sentinel whatif: the plant file has no tag 'LIC101.SQ', did you mean 'LIC101.SP'?\n"


def test_the_process_is_drawn_from_the_shell(tmp_path: Path) -> None:
    picture = tmp_path / "plant.svg"
    assert sentinel_says("plant", "draw", str(PLANT_FILE), "--out", str(picture)).returncode == 0
    text = " ".join(ET.parse(picture).getroot().itertext())
    assert "Reference plant" in text
    assert "≤ 1.6 m · T101-overfill" in text


def test_the_history_takes_what_was_promised() -> None:
    """A short run: the figure of record is that of a longer one."""
    told = sentinel_says("bench", "history", "--seconds", "2", "--json")
    report = json.loads(told.stdout)
    assert told.returncode == 0, report
    assert report["values_per_cpu_s"] >= report["goal_per_s"] == 100_000
    assert report["dropped"] == 0
    assert report["read_values"] == report["values"] / 200
