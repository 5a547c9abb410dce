"""Frames of the serial line (Modbus over Serial Line V1.02) that a gateway carries in TCP as they are: recognised, not decoded.

An RTU frame is an address, a unit and a CRC, and nothing says where it begins: the payload has to be one whole frame whose unit fits its
function in every field.  An ASCII frame is a colon, hexadecimal digits, an LRC and a line's end.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, word16
from collectors.wire.modbus.pdu import is_convincing

Octets = Any

_LEAST_RTU, _MOST_RTU = 5, 256  # octets (2.5.1.1): an exception with address and CRC; the longest
_LEAST_ASCII, _MOST_ASCII = 11, 513  # characters (2.5.2.1): three octets and LRC; the longest
_MOST_UNIT = 247  # 2.2
_COLON, _LINE_END = 0x3A, 0x0D0A


@kernel
def crc16(octets: Octets, at: int, size: int) -> int:
    """2.5.1.2."""
    value = 0xFFFF
    for i in range(size):
        value ^= byte(octets, at + i)
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


@kernel
def is_rtu_frame(octets: Octets, at: int, size: int) -> bool:
    if not _LEAST_RTU <= size <= _MOST_RTU or byte(octets, at) > _MOST_UNIT:
        return False
    unit = size - 3
    if is_convincing(octets, at + 1, unit, unit, True) <= 0 and is_convincing(octets, at + 1, unit, unit, False) <= 0:
        return False
    return crc16(octets, at, size - 2) == little16(octets, at + size - 2)


@kernel
def digit(octets: Octets, at: int) -> int:
    """-1 for what is no hexadecimal digit; the standard writes capitals."""
    value = byte(octets, at)
    if 48 <= value <= 57:
        return value - 48
    return value - 55 if 65 <= value <= 70 else -1


@kernel
def is_ascii_frame(octets: Octets, at: int, size: int) -> bool:
    if not _LEAST_ASCII <= size <= _MOST_ASCII or size % 2 == 0 or byte(octets, at) != _COLON or word16(octets, at + size - 2) != _LINE_END:
        return False
    total = 0
    for i in range(at + 1, at + size - 2, 2):
        high, low = digit(octets, i), digit(octets, i + 1)
        if high < 0 or low < 0:
            return False
        total += (high << 4) | low
    return total & 0xFF == 0  # 2.5.2.2: the LRC makes it so
