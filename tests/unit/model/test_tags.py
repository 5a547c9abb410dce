import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.ids import AssetId, digest
from sentinel.model.modbus import is_read, operation, writes_of
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import Instant, iso

SP = Tag(
    name="SP", role=TagRole.SETPOINT, unit="m", low=0, high=2, modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=10, scale=0.001)
)
GAIN = Tag(
    name="GAIN", role=TagRole.LIMIT, unit="1", low=0, high=9, modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=11, type="float32")
)
RUN = Tag(name="RUN", role=TagRole.MODE, unit="1", low=0, high=1, modbus=ModbusPoint(unit=1, table=Table.COIL, address=3))
MAP = TagMap((SP, GAIN, RUN))


@given(st.floats(0, 65.535), st.sampled_from(["uint16", "int32", "float32"]), st.sampled_from(["big", "little"]))
def test_a_value_survives_its_registers(value: float, kind: str, order: str) -> None:
    point = ModbusPoint(unit=1, table=Table.HOLDING, address=0, type=kind, scale=0.001, word_order=order)
    words = point.encode(value)
    assert len(words) == point.registers
    _, back = point.decode(struct.pack(f">{len(words)}H", *words))
    assert back == pytest.approx(value, abs=0.0006, rel=1e-6)


def test_registers_say_what_the_type_can_say() -> None:
    assert ModbusPoint(unit=1, table=Table.HOLDING, address=0).encode(1e9) == (65535,)
    assert ModbusPoint(unit=1, table=Table.HOLDING, address=0, type="int16").encode(-1e9) == (0x8000,)


def test_writes_are_named_scaled_and_partial_ones_stay_unknown() -> None:
    assert writes_of(MAP, 1, bytes.fromhex("06000a04b0")) == (TagWrite(tag="SP", point="holding 10", raw=1200, value=1.2, unit="m"),)
    whole = bytes.fromhex("10000a0003060 5dc40490fdb".replace(" ", ""))
    assert [(w.tag, w.value) for w in writes_of(MAP, 1, whole) or ()] == [("SP", 1.5), ("GAIN", pytest.approx(3.14159, abs=1e-5))]
    half = writes_of(MAP, 1, bytes.fromhex("06000b4049"))
    assert half == (TagWrite(tag=None, point="holding 11", raw=0x4049),)
    assert writes_of(MAP, 1, bytes.fromhex("050003ff00")) == (TagWrite(tag="RUN", point="coil 3", raw=1, value=1, unit="1"),)
    assert writes_of(MAP, 2, bytes.fromhex("050003ff00")) == (TagWrite(tag=None, point="coil 3", raw=1, value=1, unit="1"),)


@pytest.mark.parametrize(
    "pdu", ["", "06", "0600", "0500031234", "10000a000206000100020003", "10ffff00020400010002", "0f00000009020100ff", "2b0e0100", "6300"]
)
def test_bytes_that_contradict_the_specification_write_nothing(pdu: str) -> None:
    assert writes_of(MAP, 1, bytes.fromhex(pdu)) is None


@given(st.binary(max_size=260))
def test_no_octets_raise(pdu: bytes) -> None:
    writes_of(MAP, 1, pdu)


def test_a_name_or_a_point_is_bound_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        TagMap((SP, SP))
    with pytest.raises(ValueError, match="both GAIN and X"):
        TagMap(
            (GAIN, Tag(name="X", role=TagRole.LIMIT, unit="1", low=0, high=1, modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=12)))
        )


def test_names_and_reads_follow_the_standard() -> None:
    assert (operation(16), operation(90), operation(105), operation(66)) == (
        "write_multiple_registers",
        "umas",
        "user_defined_105",
        "user_defined_66",
    )
    assert is_read(3)
    assert is_read(43, 14)
    assert not is_read(43, 13)
    assert not is_read(8)
    assert not is_read(23)


def test_json_is_stable_and_strict() -> None:
    frame = digest(b"frame")
    source, target, seen = AssetId("10.0.0.66"), AssetId("10.0.0.10"), Instant(1_700_000_000_000_000_001)
    command = Command(
        id=command_id(seen, source, target, frame),
        origin=Origin.GATE,
        seen=seen,
        source=source,
        target=target,
        protocol="modbus",
        operation="write_single_register",
        unit=1,
        writes=(TagWrite(tag="SP", point="holding 10", raw=1900, value=1.9, unit="m"),),
        frame=frame,
    )
    octets = to_json(command)
    assert from_json(Command, octets) == command
    assert to_json(from_json(Command, octets)) == octets
    for wrong in (octets[:-1] + b',"x":1}', b"{}", b"[]", b"\xff", octets.replace(b'"gate"', b'"gates"')):
        with pytest.raises(CodecError):
            from_json(Command, wrong)
    assert iso(seen) == "2023-11-14T22:13:20.000000Z"
