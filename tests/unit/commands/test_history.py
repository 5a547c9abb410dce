import argparse
import json
from pathlib import Path

import pytest

from sentinel import settings
from sentinel.clock import ManualClock
from sentinel.commands import history as command
from sentinel.errors import InputError
from sentinel.history import Bounds, History
from sentinel.model.time import NS_PER_S, Instant
from tests.unit.history.test_history import BEGIN, some

SPAN = ("--from", "2023-11-14T22:13:20Z", "--to", "2023-11-14T23:00:00+00:00")  # from BEGIN on


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(words)))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    history = History(tmp_path / "history", ManualClock(), Bounds(octets=1 << 30, age_s=1e9))
    history.add(some(4000))
    history.close()
    return tmp_path / "history"


def test_values_as_a_table(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until = ("--from", "2023-11-14T22:13:20", "--to", "2023-11-14T22:13:20.010Z")
    assert run("--dir", str(directory), "--tag", "LT101", *until) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["time", "tag", "value", "quality"]
    assert lines[2].split() == ["2023-11-14T22:13:20.002000Z", "LT101", "2", "bad"]
    assert len(lines) == 6


def test_summaries_as_csv_and_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dir", str(directory), "--tag", "LT101", "--tag", "TT201", *SPAN, "--every", "1s", "--format", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "time,tag,mean,low,high,last,values"
    assert lines[1] == "2023-11-14T22:13:20.000000Z,LT101,499.0,0.0,998.0,998.0,500"
    assert len(lines) == 9
    assert run("--dir", str(directory), "--tag", "TT201", *SPAN, "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2000
    assert rows[0] == {"time": "2023-11-14T22:13:20.001000Z", "tag": "TT201", "value": 1.0, "quality": "uncertain"}


def test_the_appliances_own_history(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = directory.parent / "sentinel.toml"
    config.write_text(settings.write(settings.Settings(appliance=settings.Appliance(directory="."))), encoding="utf-8")
    assert run("--config", str(config), "--tag", "LT101", *SPAN, "--every", "1h") == 0
    assert "2000" in capsys.readouterr().out
    assert run("--config", str(config), "--tag", "LT101") == 1  # nothing in the last hour


def test_what_cannot_be_asked(directory: Path) -> None:
    for words, says in (
        (("--from", "yesterday"), "is neither a time such as"),
        (("--from", "10m", "--to", "1h"), "is not before"),
        (("--every", "10"), "is not a duration"),
        (("--every", "0s"), "expected more than 0"),
        (("--dir", str(directory / "none")), "there is no history"),
    ):
        with pytest.raises(InputError, match=says):
            run("--tag", "LT101", *(() if "--dir" in words else ("--dir", str(directory))), *words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", -600), ("0s", 0), ("2023-11-14T22:13:21Z", 1), ("2023-11-14 22:13:21", 1), ("2023-11-14T23:13:20.5+01:00", 0.5)],
)
def test_moments(text: str, seconds: float) -> None:
    assert command.instant(text, Instant(BEGIN)) == BEGIN + seconds * NS_PER_S
