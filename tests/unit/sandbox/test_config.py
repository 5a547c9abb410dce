"""A configuration is taken as a whole or refused with the key that is wrong."""

from pathlib import Path

import pytest

from sandbox.config import Thresholds, parse, read
from sentinel.errors import ConfigError

GOOD = {"plant": "p.yaml", "socket": "s"}


def test_defaults() -> None:
    config = parse(GOOD, "here")
    assert (config.members, config.horizon_s, config.thresholds) == (256, 600.0, Thresholds())
    assert config.plant.is_absolute()


def test_thresholds_can_be_set() -> None:
    assert parse(GOOD | {"thresholds": {"unsafe_above": 0.3}}, "here").thresholds.unsafe_above == 0.3


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "a table of keys is needed"),
        ({"socket": "s"}, "plant: a path is needed"),
        (GOOD | {"plant": 3}, "plant: a path is needed"),
        (GOOD | {"horizon": 3}, "did you mean 'horizon_s'"),
        (GOOD | {"members": 20.5}, "not a whole number"),
        (GOOD | {"members": True}, "not a number"),
        (GOOD | {"horizon_s": "long"}, "not a number"),
        (GOOD | {"horizon_s": float("nan")}, "not a number"),
        (GOOD | {"thresholds": {"unsafe_above": 2}}, "not a number from 0 to 1"),
        (GOOD | {"thresholds": {"unsafe": 0.1}}, "did you mean"),
        (GOOD | {"thresholds": 3}, "a table of keys is needed"),
    ],
)
def test_what_is_wrong_is_named(document: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(document, "here")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"c\.json: cannot be read as JSON"):
        read(path)
