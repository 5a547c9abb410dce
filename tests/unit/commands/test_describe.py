import argparse
import json

import pytest

from sentinel.commands import describe
from sentinel.errors import InputError


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    describe.add_arguments(parser)
    return describe.run(parser.parse_args(arguments))


def test_every_room_with_plugs_describes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json") == 0
    rooms = json.loads(capsys.readouterr().out)
    assert set(rooms) == {"wire", "detect", "twin", "respond", "optimise"}
    assert all(spec["name"] and spec["summary"] for specs in rooms.values() for spec in specs)


def test_one_room_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("wire") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "wire"
    assert "modbus" in said[1]


def test_a_room_that_is_not_there() -> None:
    with pytest.raises(InputError, match="rooms are wire, detect"):
        call("kitchen")
