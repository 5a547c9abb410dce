"""One protocol data unit, function code first: its length by its own fields, its columns, what is wrong with it.

Kernels over an octet array.  Every read is guarded by the octets that are there.  Clauses are those of the Modbus Application Protocol
Specification V1.1b3.  Function 23 has two ranges: a request's columns name the written one, its response's the one that was read.
Functions 20 and 21 name the record number and the record length of their first sub-request.  Function 22 shows its AND and OR masks.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte
from collectors.wire.loads import word16 as word
from sentinel.model.protocol import Defect

Octets = Any  # numpy uint8 array

_NONE = int(Defect.NONE)
_BAD_COUNT = int(Defect.BAD_COUNT)
_BAD_VALUE = int(Defect.BAD_VALUE)
_UNKNOWN_FUNCTION = int(Defect.UNKNOWN_FUNCTION)

MORE = 0  # `own_length`: the fields that say it are not there yet
SILENT = -1  # `own_length`: this function has none


@kernel(inline=True)
def is_public(function: int) -> bool:
    """Publicly assigned (clause 5.1)."""
    return 1 <= function <= 8 or 11 <= function <= 12 or 15 <= function <= 17 or 20 <= function <= 24 or function == 43


@kernel(inline=True)
def is_user_defined(function: int) -> bool:
    return 65 <= function <= 72 or 100 <= function <= 110


@kernel(inline=True)
def own_length(octets: Octets, at: int, size: int, is_request: bool) -> int:
    """PDU octets that the unit's own fields ask for, given the `size` octets from `at` on; or MORE, or SILENT."""
    if size < 1:
        return MORE
    function = byte(octets, at)
    if function >= 0x80:
        return SILENT if is_request else 2
    if is_request:
        if 1 <= function <= 6:
            return 5
        if function in (7, 11, 12, 17):
            return 1
        if function in (15, 16):
            return 6 + byte(octets, at + 5) if size >= 6 else MORE
        if function in (20, 21):
            return 2 + byte(octets, at + 1) if size >= 2 else MORE
        if function == 22:
            return 7
        if function == 23:
            return 10 + byte(octets, at + 9) if size >= 10 else MORE
        if function == 24:
            return 3
        if function == 43:
            if size < 2:
                return MORE
            return 4 if byte(octets, at + 1) == 14 else SILENT
        return SILENT
    if 1 <= function <= 4 or function in (12, 17, 20, 21, 23):
        return 2 + byte(octets, at + 1) if size >= 2 else MORE
    if function in (5, 6, 11, 15, 16):
        return 5
    if function == 7:
        return 2
    if function == 22:
        return 7
    if function == 24:
        return 3 + word(octets, at + 1) if size >= 3 else MORE
    return SILENT


@kernel(inline=True)
def second_length(octets: Octets, at: int, is_request: bool) -> int:
    """The length that a write's quantity asks for, where its byte count may lie; only when `own_length` could read that count."""
    if not is_request:
        return SILENT
    function = byte(octets, at)
    if function == 15:
        return 6 + (word(octets, at + 3) + 7) // 8
    if function == 16:
        return 6 + 2 * word(octets, at + 3)
    if function == 23:
        return 10 + 2 * word(octets, at + 7)
    return SILENT


@kernel(inline=True)
def count_limit(function: int) -> int:
    """The largest quantity of a request (clauses 6.1 to 6.17); 0 where there is none."""
    if function in (1, 2):
        return 2000
    if function in (3, 4):
        return 125
    if function == 15:
        return 1968
    if function == 16:
        return 123
    return 0


@kernel(inline=True)
def parse_request(octets: Octets, at: int, size: int) -> tuple[int, int, int, int, int, int]:
    """(subfunction, address, quantity, value offset from `at`, value octets, defect)."""
    function = byte(octets, at)
    sub, address, quantity, value, value_octets, defect = -1, -1, -1, 0, 0, _NONE
    if 1 <= function <= 6 or function in (15, 16, 22, 24):
        if size >= 3:
            address = word(octets, at + 1)
        if function in (5, 6):
            quantity = 1
            value = 3
            value_octets = min(2, max(0, size - 3))
            if function == 5 and size >= 5 and word(octets, at + 3) not in (0, 0xFF00):
                defect = _BAD_VALUE
        elif function == 22:
            quantity = 1
            value = 3
            value_octets = min(4, max(0, size - 3))
        elif function != 24 and size >= 5:
            quantity = word(octets, at + 3)
            if quantity < 1 or quantity > count_limit(function) or address + quantity > 0x10000:
                defect = _BAD_COUNT
            if function >= 15 and size >= 6:
                asked = (quantity + 7) // 8 if function == 15 else 2 * quantity
                if byte(octets, at + 5) != asked or size - 6 > asked:
                    defect = _BAD_COUNT
                value = 6
                value_octets = min(asked, size - 6)
    elif function == 23:
        if size >= 9:
            address = word(octets, at + 5)
            quantity = word(octets, at + 7)
            read = word(octets, at + 3)
            if not (1 <= read <= 125 and 1 <= quantity <= 121):
                defect = _BAD_COUNT
            if address + quantity > 0x10000 or word(octets, at + 1) + read > 0x10000:
                defect = _BAD_COUNT
        if size >= 10:
            asked = 2 * quantity
            if byte(octets, at + 9) != asked:
                defect = _BAD_COUNT
            value = 10
            value_octets = min(asked, size - 10)
    elif function in (20, 21):
        if size >= 9:
            address = word(octets, at + 5)
            quantity = word(octets, at + 7)
            if byte(octets, at + 2) != 6:  # reference type (clause 6.14)
                defect = _BAD_VALUE
            if function == 20 and byte(octets, at + 1) % 7 != 0:
                defect = _BAD_COUNT
            if function == 21:
                value = 9
                value_octets = min(2 * quantity, size - 9)
    elif function == 8:
        if size >= 3:
            sub = word(octets, at + 1)
            if sub != 0 and size != 5:
                defect = _BAD_COUNT
    elif function == 43:
        if size >= 2:
            sub = byte(octets, at + 1)
            if sub == 14 and size >= 3 and not 1 <= byte(octets, at + 2) <= 4:
                defect = _BAD_VALUE
    elif not (is_public(function) or is_user_defined(function)):
        defect = _UNKNOWN_FUNCTION
    return sub, address, quantity, value, value_octets, defect


@kernel(inline=True)
def parse_response(
    octets: Octets, at: int, size: int, asked_address: int, asked_quantity: int, asked_value: int
) -> tuple[int, int, int, int, int, int]:
    """As `parse_request`; what was asked is -1 where no request is known."""
    function = byte(octets, at)
    sub, address, quantity, value, value_octets, defect = -1, asked_address, asked_quantity, 0, 0, _NONE
    if 1 <= function <= 4 or function == 23:
        if size >= 2:
            count = byte(octets, at + 1)
            value = 2
            value_octets = min(count, size - 2)
            if function <= 2:
                if count == 0 or (asked_quantity >= 0 and count != (asked_quantity + 7) // 8):
                    defect = _BAD_COUNT
            elif count == 0 or count % 2 or (asked_quantity >= 0 and count != 2 * asked_quantity):
                defect = _BAD_COUNT
    elif function in (5, 6, 15, 16, 22):
        if size >= 3:
            echoed = word(octets, at + 1)
            if asked_address < 0:
                address = echoed
            elif echoed != asked_address:
                defect = _BAD_VALUE
        if function in (5, 6, 22):
            if quantity < 0:
                quantity = 1
            value = 3
            value_octets = min(4 if function == 22 else 2, max(0, size - 3))
            if function != 22 and size >= 5 and asked_value >= 0 and word(octets, at + 3) != asked_value:
                defect = _BAD_VALUE
        elif size >= 5:
            echoed = word(octets, at + 3)
            if asked_quantity < 0:
                quantity = echoed
            elif echoed != asked_quantity:
                defect = _BAD_VALUE
    elif function == 24:
        if size >= 5:
            count = word(octets, at + 3)
            value = 5
            value_octets = min(2 * count, size - 5)
            if count > 31 or word(octets, at + 1) != 2 * count + 2:
                defect = _BAD_COUNT
    elif function == 8:
        if size >= 3:
            sub = word(octets, at + 1)
    elif function == 43:
        if size >= 2:
            sub = byte(octets, at + 1)
    elif not (is_public(function) or is_user_defined(function)):
        defect = _UNKNOWN_FUNCTION
    return sub, address, quantity, value, value_octets, defect


@kernel
def is_convincing(octets: Octets, at: int, size: int, length: int, is_request: bool) -> int:
    """Does a unit of `length` octets, of which `size` are there, fit its function in every field?  1 yes, 0 no, -1 cannot say yet.

    Used where a frame is looked for among other octets: there a public function and consistent fields are asked for.
    """
    if size < 1:
        return -1
    function = byte(octets, at)
    if function >= 0x80:
        if is_request or not is_public(function & 0x7F) or length != 2:
            return 0
        if size < 2:
            return -1
        return 1 if 1 <= byte(octets, at + 1) <= 11 else 0
    if not is_public(function):
        return 0
    own = own_length(octets, at, size, is_request)
    if own == MORE:
        return 0 if size >= length else -1
    if own == SILENT:
        if function == 8:
            own = 5
        elif function == 43:
            if size < 2:
                return -1
            if byte(octets, at + 1) != 14 or length < 7:
                return 0
            own = length
        else:
            return 0
    if own != length:
        return 0
    if is_request and (count_limit(function) or function == 5):
        if size < 5:
            return -1
        quantity = word(octets, at + 3)
        if function == 5:
            return 1 if quantity in (0, 0xFF00) else 0
        if not 1 <= quantity <= count_limit(function):
            return 0
    if is_request and function == 23:  # 6.17: 1 to 125 registers read, 1 to 121 written
        if not (1 <= word(octets, at + 3) <= 125 and 1 <= word(octets, at + 7) <= 121 and second_length(octets, at, True) == own):
            return 0
    elif not is_request and (function <= 4 or function == 23):
        count = byte(octets, at + 1)
        if count == 0 or (function >= 3 and (count % 2 or count > 250)):
            return 0
    return 1
