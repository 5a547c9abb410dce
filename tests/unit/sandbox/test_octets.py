"""Frames against what was read from them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.octets import adu_of, contradiction
from sandbox.replay import Replay
from sentinel.model.command import Command, Origin
from sentinel.model.modbus import writes_of
from tests.unit.sandbox.conftest import command

PDU = bytes.fromhex("10 0000 0002 04 04e2 0320")  # LIC101.SP = 1.25, LIC102.SP = 0.80
ADU = bytes.fromhex("0001 0000 000b 01") + PDU


def heard(replay: Replay, octets: bytes, said: bytes = PDU) -> Command:
    writes = writes_of(replay.plant.tags, 1, said)
    assert writes
    return replace(command({}), writes=writes, octets=octets.hex())


@pytest.mark.parametrize("octets", [PDU, ADU, b""])
def test_a_true_frame_agrees(replay: Replay, octets: bytes) -> None:
    assert contradiction(heard(replay, octets), replay.plant.tags) is None


@pytest.mark.parametrize("octets", [PDU[:-1], PDU[:-1] + b"\x21", ADU[:-1], b"\x06\x00\x00\x07\x6c", b"\x08\x00\x01\x00\x00", b"\xff"])
def test_another_frame_does_not(replay: Replay, octets: bytes) -> None:
    assert contradiction(heard(replay, octets), replay.plant.tags) == "the frame says something else than what was read from it"


def test_no_hexadecimal_and_too_much_of_it(replay: Replay) -> None:
    assert "not hexadecimal" in (contradiction(replace(command({"LIC101.SP": 1.0}), octets="zz"), replay.plant.tags) or "")
    assert "more than the protocol allows" in (
        contradiction(replace(command({"LIC101.SP": 1.0}), octets="00" * 300), replay.plant.tags) or ""
    )


def test_other_protocols_are_not_read_as_modbus(replay: Replay) -> None:
    assert contradiction(replace(command({"LIC101.SP": 1.0}), protocol="opcua", octets="ffff"), replay.plant.tags) is None


@pytest.mark.parametrize(
    ("origin", "octets", "played"),
    [
        (Origin.GATE, ADU, ADU),
        (Origin.GATE, ADU[:-1], ADU[:-1]),
        (Origin.GATE, b"\x5a\x00", b"\x5a\x00"),
        (Origin.WIRE, PDU, bytes.fromhex("0000 0000 000b 01") + PDU),
        (Origin.WIRE, b"\x5a\x00", bytes.fromhex("0000 0000 0003 01 5a00")),
        (Origin.WIRE, ADU, bytes.fromhex("0000 0000 0012 01") + ADU),
        (Origin.WIRE, b"", b""),
    ],
    ids=["held", "torn", "short", "heard", "of no known function", "in disguise", "none"],
)
def test_what_was_only_heard_gets_its_header_back_and_nothing_else_is_touched(origin: Origin, octets: bytes, played: bytes) -> None:
    assert adu_of(replace(command({}, origin=origin), octets=octets.hex())) == played


def test_a_heard_unit_that_looks_like_a_whole_frame_is_not_read_as_one(replay: Replay) -> None:
    disguised = replace(heard(replay, ADU), origin=Origin.WIRE)
    assert contradiction(disguised, replay.plant.tags) == "the frame says something else than what was read from it"


@given(st.binary(max_size=300))
def test_no_frame_raises(octets: bytes) -> None:
    from sentinel.model.tags import TagMap

    contradiction(replace(command({"LIC101.SP": 1.0}), octets=octets.hex()), TagMap(()))
