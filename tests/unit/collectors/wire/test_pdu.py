"""Every public function code, both ways: which octets become which columns."""

from typing import Any

import pytest

from sentinel.model.protocol import Defect, MessageKind
from tests.unit.collectors.capture.frames import adu
from tests.unit.collectors.wire.streams import decode

NONE = -1
# request PDU, its (subfunction, address, quantity, value); response PDU, its (subfunction, address, quantity, value)
PUBLIC: list[tuple[str, tuple[Any, ...], str, tuple[Any, ...]]] = [
    ("01 0013 0013", (NONE, 0x13, 0x13, ""), "01 03 cd6b05", (NONE, 0x13, 0x13, "cd6b05")),
    ("02 00c4 0016", (NONE, 0xC4, 0x16, ""), "02 03 acdb35", (NONE, 0xC4, 0x16, "acdb35")),
    ("03 006b 0003", (NONE, 0x6B, 3, ""), "03 06 022b00000064", (NONE, 0x6B, 3, "022b00000064")),
    ("04 0008 0001", (NONE, 8, 1, ""), "04 02 000a", (NONE, 8, 1, "000a")),
    ("05 00ac ff00", (NONE, 0xAC, 1, "ff00"), "05 00ac ff00", (NONE, 0xAC, 1, "ff00")),
    ("06 0001 0003", (NONE, 1, 1, "0003"), "06 0001 0003", (NONE, 1, 1, "0003")),
    ("07", (NONE, NONE, NONE, ""), "07 6d", (NONE, NONE, NONE, "")),
    ("08 0000 a537", (0, NONE, NONE, ""), "08 0000 a537", (0, NONE, NONE, "")),
    ("0b", (NONE, NONE, NONE, ""), "0b ffff 0108", (NONE, NONE, NONE, "")),
    ("0c", (NONE, NONE, NONE, ""), "0c 08 0000 0108 0121 2000", (NONE, NONE, NONE, "")),
    ("0f 0013 000a 02 cd01", (NONE, 0x13, 10, "cd01"), "0f 0013 000a", (NONE, 0x13, 10, "")),
    ("10 0001 0002 04 000a0102", (NONE, 1, 2, "000a0102"), "10 0001 0002", (NONE, 1, 2, "")),
    ("11", (NONE, NONE, NONE, ""), "11 03 0102ff", (NONE, NONE, NONE, "")),
    ("14 07 06 0004 0001 0002", (NONE, 1, 2, ""), "14 06 05 06 0dfe0020", (NONE, 1, 2, "")),
    ("15 0d 06 0004 0007 0003 06af04be100d", (NONE, 7, 3, "06af04be100d"), "15 0d 06 0004 0007 0003 06af04be100d", (NONE, 7, 3, "")),
    ("16 0004 00f2 0025", (NONE, 4, 1, "00f20025"), "16 0004 00f2 0025", (NONE, 4, 1, "00f20025")),
    ("17 0003 0002 000e 0003 06 00ff00ff00ff", (NONE, 14, 3, "00ff00ff00ff"), "17 04 00fe0acd", (NONE, 3, 2, "00fe0acd")),
    ("18 04de", (NONE, 0x4DE, NONE, ""), "18 0006 0002 01b81284", (NONE, 0x4DE, NONE, "01b81284")),
    ("2b 0e 01 00", (14, NONE, NONE, ""), "2b 0e 01 01 00 00 01 00 03 414243", (14, NONE, NONE, "")),
]


@pytest.mark.parametrize(("request_pdu", "asked", "response_pdu", "answered"), PUBLIC, ids=[row[0][:2] for row in PUBLIC])
def test_public_functions(request_pdu: str, asked: tuple[Any, ...], response_pdu: str, answered: tuple[Any, ...]) -> None:
    sent, got = bytes.fromhex(request_pdu), bytes.fromhex(response_pdu)
    m = decode((True, adu(7, sent, unit=9)), (False, adu(7, got, unit=9)))
    assert len(m) == 2
    for row, kind, pdu, expected in ((0, MessageKind.REQUEST, sent, asked), (1, MessageKind.RESPONSE, got, answered)):
        seen = (int(m.subfunction[row]), int(m.address[row]), int(m.quantity[row]), m.value(row).hex())
        assert seen == expected
        assert (m.kind[row], m.transaction[row], m.unit[row], m.function[row]) == (kind, 7, 9, sent[0])
        assert m.pdu(row) == pdu
        assert m.defect[row] == Defect.NONE
    assert list(m.latency) == [-1, 1_000_000]


@pytest.mark.parametrize("function", [row[0][:2] for row in PUBLIC])
def test_an_exception_carries_what_was_asked(function: str) -> None:
    pdu = next(bytes.fromhex(row[0]) for row in PUBLIC if row[0].startswith(function))
    m = decode((True, adu(1, pdu)), (False, adu(1, bytes([pdu[0] | 0x80, 2]))))
    assert (m.kind[1], m.function[1], m.exception[1], m.defect[1]) == (MessageKind.EXCEPTION, pdu[0], 2, Defect.NONE)
    if pdu[0] != 23:  # there the response speaks of the range that was to be read
        assert (m.address[1], m.quantity[1]) == (m.address[0], m.quantity[0])
    assert m.latency[1] == 1_000_000


@pytest.mark.parametrize(
    ("pdu", "defect"),
    [
        ("03 0000 0000", Defect.BAD_COUNT),
        ("03 0000 007e", Defect.BAD_COUNT),
        ("01 0000 07d1", Defect.BAD_COUNT),
        ("03 ffff 0002", Defect.BAD_COUNT),  # runs over the end of the address space
        ("0f 0000 07b1 00", Defect.BAD_COUNT),
        ("10 0000 0002 03 000102", Defect.BAD_COUNT),
        ("10 0000 0002 02 00010002", Defect.BAD_COUNT),  # the byte count lies, length and quantity agree
        ("10 0000 007c f8" + "00" * 248, Defect.BAD_LENGTH),  # 124 registers need a frame above the limit
        ("17 0000 007e 0000 0001 02 0000", Defect.BAD_COUNT),
        ("17 0000 0001 0000 007a f4" + "00" * 244, Defect.BAD_LENGTH),
        ("05 0000 1234", Defect.BAD_VALUE),
        ("2b 0e 05 00", Defect.BAD_VALUE),
        ("14 07 05 0004 0001 0002", Defect.BAD_VALUE),
        ("5a 0001", Defect.UNKNOWN_FUNCTION),  # 90, a vendor's
        ("00 01", Defect.UNKNOWN_FUNCTION),
        ("83 02", Defect.UNKNOWN_FUNCTION),  # an exception where a request belongs
        ("41 0102", Defect.NONE),  # 65, user-defined
        ("6e", Defect.NONE),  # 110, user-defined
    ],
)
def test_what_is_wrong_with_a_request(pdu: str, defect: Defect) -> None:
    m = decode((True, adu(1, bytes.fromhex(pdu))))
    assert len(m) == 1
    assert Defect(m.defect[0]) is defect
    assert m.pdu(0) == bytes.fromhex(pdu)


@pytest.mark.parametrize(
    ("asked", "answered", "defect"),
    [
        ("03 0000 0002", "03 02 0001", Defect.BAD_COUNT),
        ("03 0000 0002", "03 03 000102", Defect.BAD_COUNT),
        ("01 0000 0009", "01 01 00", Defect.BAD_COUNT),
        ("06 0001 0003", "06 0001 0004", Defect.BAD_VALUE),
        ("06 0001 0003", "06 0002 0003", Defect.BAD_VALUE),
        ("10 0001 0001 02 0007", "10 0001 0002", Defect.BAD_VALUE),
        ("03 0000 0001", "83 00", Defect.BAD_VALUE),
        ("03 0000 0001", "04 02 0001", Defect.UNSOLICITED),
        ("18 0000", "18 0004 0002 00010002", Defect.BAD_LENGTH),  # its own byte count is too small
    ],
)
def test_what_is_wrong_with_a_response(asked: str, answered: str, defect: Defect) -> None:
    m = decode((True, adu(1, bytes.fromhex(asked))), (False, adu(1, bytes.fromhex(answered))))
    assert len(m) == 2
    assert Defect(m.defect[1]) is defect
