import struct

import numpy as np
import pytest

from sentinel.baseline.values import wire_commands, wire_readings
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from tests.observations import MASTER, PLC, answer, messages, request

_TAGS = TagMap(
    (
        Tag(
            name="LT101",
            role=TagRole.PROCESS_VALUE,
            unit="m",
            low=0,
            high=2,
            modbus=ModbusPoint(unit=1, table=Table.INPUT, address=0, scale=0.001),
        ),
        Tag(
            name="TT1",
            role=TagRole.PROCESS_VALUE,
            unit="degC",
            low=0,
            high=99,
            modbus=ModbusPoint(unit=1, table=Table.INPUT, address=1, type="float32", word_order="little"),
        ),
        Tag(
            name="SP",
            role=TagRole.SETPOINT,
            unit="m",
            low=0,
            high=2,
            modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=5, scale=0.001),
        ),
        Tag(name="RUN", role=TagRole.MODE, unit="1", low=0, high=1, modbus=ModbusPoint(unit=1, table=Table.COIL, address=9)),
    )
)
_FLOAT = struct.pack(">f", 21.5)


def test_registers_become_tagged_engineering_values() -> None:
    pool = struct.pack(">H", 1234) + _FLOAT[2:] + _FLOAT[:2]
    seen = wire_readings(messages(answer(1, function=4, address=0, quantity=3, value_start=0, value_octets=6), pool=pool), _TAGS)
    assert dict(zip(seen.decoded("tag"), seen.value.tolist(), strict=True)) == {"LT101": 1.234, "TT1": 21.5}


def test_coils_count_from_the_lowest_bit() -> None:
    seen = wire_readings(messages(answer(1, function=1, address=8, quantity=3, value_start=0, value_octets=1), pool=b"\x02"), _TAGS)
    assert (seen.decoded("tag"), seen.value.tolist()) == (["RUN"], [1.0])


def test_without_a_map_registers_are_named_by_their_place() -> None:
    seen = wire_readings(messages(answer(1, function=3, address=6, quantity=2, value_start=0, value_octets=4), pool=b"\0\x07\1\0"))
    assert seen.decoded("tag") == [f"{PLC} unit 1 holding 6", f"{PLC} unit 1 holding 7"]
    assert seen.value.tolist() == [7.0, 256.0]


def test_values_keep_the_order_of_their_messages() -> None:
    rows = [answer(i, function=3, address=i % 2, quantity=1, value_start=2 * i, value_octets=2) for i in range(6)]
    seen = wire_readings(messages(*rows, pool=b"".join(struct.pack(">H", i) for i in range(6))))
    assert seen.value.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.all(np.diff(seen.time) > 0)


def test_what_contradicts_itself_gives_no_value() -> None:
    wrong_size = answer(1, function=3, address=0, quantity=2, value_start=0, value_octets=2)
    defective = answer(1, function=3, address=0, quantity=1, value_start=0, value_octets=2, defect=Defect.BAD_LENGTH)
    assert len(wire_readings(messages(wrong_size, defective, request(1), pool=b"\0\1"), _TAGS)) == 0


def test_a_write_request_becomes_a_command() -> None:
    pdu = bytes([6, 0, 5]) + struct.pack(">H", 1900)
    (command,) = wire_commands(messages(request(1, function=6, address=5, quantity=1, frame=7, pdu_start=0, pdu_octets=5), pool=pdu), _TAGS)
    assert (command.source, command.target, command.operation, command.frame_number) == (MASTER, PLC, "write_single_register", 7)
    assert (command.writes[0].tag, round(command.writes[0].value or 0, 9), command.octets) == ("SP", 1.9, pdu.hex())


def test_reads_answers_and_nonsense_are_no_commands() -> None:
    rows = [
        request(1, function=3),
        answer(1, function=6, pdu_start=0, pdu_octets=5),
        request(1, function=6, pdu_start=0, pdu_octets=2),
    ]
    assert wire_commands(messages(*rows, pool=bytes([6, 0, 5, 0, 1])), _TAGS) == ()


@pytest.mark.parametrize(
    ("pdu", "defect", "operation"),
    [
        ("5a0100ff", Defect.UNKNOWN_FUNCTION, "umas"),
        ("41", Defect.NONE, "user_defined_65"),
        ("16000500ffff00", Defect.NONE, "mask_write_register"),
        ("15090600010000000104d2", Defect.NONE, "write_file_record"),
    ],
)
def test_what_sets_something_that_cannot_be_named_is_a_command_without_writes(pdu: str, defect: Defect, operation: str) -> None:
    octets = bytes.fromhex(pdu)
    row = request(1, function=octets[0], defect=defect, pdu_start=0, pdu_octets=len(octets), frame=3)
    (command,) = wire_commands(messages(row, pool=octets), _TAGS)
    assert (command.operation, command.writes, command.octets, command.unit) == (operation, (), pdu, 1)
    assert command.reached() == {}


@pytest.mark.parametrize(
    ("pdu", "defect"),
    [
        ("da01", Defect.UNKNOWN_FUNCTION),
        ("00", Defect.UNKNOWN_FUNCTION),
        ("5a", Defect.BAD_LENGTH),
        ("2b0e0100", Defect.NONE),
        ("0800000000", Defect.NONE),
    ],
)
def test_exceptions_identification_and_broken_units_are_none(pdu: str, defect: Defect) -> None:
    octets = bytes.fromhex(pdu)
    row = request(1, function=octets[0], defect=defect, pdu_start=0, pdu_octets=len(octets))
    assert wire_commands(messages(row, pool=octets), _TAGS) == ()


def test_a_write_that_was_answered_with_an_exception_stays_a_command_and_has_not_reached_the_plant() -> None:
    pdu = bytes([6, 0, 5]) + struct.pack(">H", 1900)
    asked = request(1, function=6, address=5, quantity=1, transaction=3, pdu_start=0, pdu_octets=5)
    refusal = answer(1.01, function=6, kind=MessageKind.EXCEPTION, exception=2, transaction=3)
    other = answer(1.01, function=6, kind=MessageKind.EXCEPTION, exception=2, transaction=4)
    (refused,) = wire_commands(messages(asked, refusal, pool=pdu), _TAGS)
    (accepted,) = wire_commands(messages(asked, other, pool=pdu), _TAGS)
    assert (refused.reached(), accepted.reached()) == ({}, {"SP": 1.9000000000000001})
    assert refused == accepted
