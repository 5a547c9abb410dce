"""Frames of the serial line (Modbus over Serial Line V1.02) that a gateway carries in TCP as they are: how they are recognised.

An RTU frame is an address, a unit and a CRC, and nothing says where it begins: the payload has to be one whole frame whose unit fits its
function in every field.  An ASCII frame is a colon, hexadecimal digits, an LRC and a line's end.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, word16
from collectors.wire.modbus.pdu import is_convincing

Octets = Any

LEAST_RTU, MOST_RTU = 4, 256  # octets (2.5.1.1): a function with address and CRC; the longest
_LEAST_ASCII, _MOST_ASCII = 11, 513  # characters (2.5.2.1): three octets and LRC; the longest
MOST_UNIT = 247  # 2.2
_COLON, _LINE_END = 0x3A, 0x0D0A


def _steps_of_crc() -> Any:
    """What each octet adds (2.5.1.2)."""
    steps = np.arange(256)
    for _ in range(8):
        steps = (steps >> 1) ^ np.where(steps & 1, 0xA001, 0)
    return steps


_STEPS = _steps_of_crc()


@kernel(inline=True)
def add_to_crc(value: int, octet: int) -> int:
    return (value >> 8) ^ _STEPS[np.uint64((value ^ octet) & 0xFF)]


@kernel
def has_crc(octets: Octets, at: int, size: int) -> bool:
    """Are the last two of ``size`` octets the CRC of those before?  Then nothing is left of the sum over all."""
    value = 0xFFFF
    for i in range(at, at + size):
        value = add_to_crc(value, byte(octets, i))
    return value == 0


@kernel
def octets_to_crc(octets: Octets, at: int, size: int) -> int:
    """The shortest frame that its CRC ends within ``size`` octets; 0 = none does."""
    value = 0xFFFF
    for i in range(size):
        value = add_to_crc(value, byte(octets, at + i))
        if value == 0 and i + 1 >= LEAST_RTU:
            return i + 1
    return 0


@kernel
def fits_rtu(octets: Octets, at: int, size: int, is_request: bool) -> bool:
    """Are these octets one whole frame of that direction?"""
    if not LEAST_RTU <= size <= MOST_RTU or byte(octets, at) > MOST_UNIT:
        return False
    unit = size - 3
    return is_convincing(octets, at + 1, unit, unit, is_request) > 0 and has_crc(octets, at, size)


@kernel
def is_rtu_frame(octets: Octets, at: int, size: int) -> bool:
    return fits_rtu(octets, at, size, True) or fits_rtu(octets, at, size, False)


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
