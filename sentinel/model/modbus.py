"""Modbus names and limits (Modbus Application Protocol Specification V1.1b3; Messaging on TCP/IP V1.0b), shared by ear, gate and court."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.model.command import TagWrite
from sentinel.model.tags import TagMap

MBAP_OCTETS = 7
MAX_PDU_OCTETS = 253
MAX_ADU_OCTETS = MBAP_OCTETS + MAX_PDU_OCTETS

OPERATIONS: dict[int, str] = {
    1: "read_coils",
    2: "read_discrete_inputs",
    3: "read_holding_registers",
    4: "read_input_registers",
    5: "write_single_coil",
    6: "write_single_register",
    7: "read_exception_status",
    8: "diagnostics",
    11: "get_comm_event_counter",
    12: "get_comm_event_log",
    15: "write_multiple_coils",
    16: "write_multiple_registers",
    17: "report_server_id",
    20: "read_file_record",
    21: "write_file_record",
    22: "mask_write_register",
    23: "read_write_multiple_registers",
    24: "read_fifo_queue",
    43: "encapsulated_interface_transport",
}
VENDOR_OPERATIONS = {90: "umas"}  # what the standard leaves unassigned; Schneider Electric programs, starts and stops controllers by it
EXCEPTION_BIT = 0x80  # clause 4.1: function codes are 1 to 127, with this bit an exception answers them
READS = frozenset({1, 2, 3, 4, 7, 11, 12, 17, 20, 24})
WRITES = frozenset({5, 6, 15, 16, 21, 22, 23})
_MOST_WRITTEN = {15: 0x7B0, 16: 0x7B, 23: 0x79}  # coils or registers in one request

MAX_IDENTITY_TEXT = 64  # characters kept of what a device calls itself
VENDOR_NAME, PRODUCT_CODE, REVISION, PRODUCT_NAME, MODEL_NAME = 0, 1, 2, 4, 5  # objects of 43/14 (clause 6.21, table 2)

ILLEGAL_FUNCTION = 1
ILLEGAL_DATA_ADDRESS = 2
ILLEGAL_DATA_VALUE = 3
SERVER_DEVICE_FAILURE = 4
ACKNOWLEDGE = 5
SERVER_DEVICE_BUSY = 6


def operation(function: int) -> str:
    """The standard's name, or a vendor's; other user-defined codes (65-72, 100-110) and unassigned ones are named as such."""
    known = OPERATIONS.get(function) or VENDOR_OPERATIONS.get(function)
    if known:
        return known
    return f"user_defined_{function}" if 65 <= function <= 72 or 100 <= function <= 110 else f"unassigned_{function}"


def is_read(function: int, subfunction: int = -1) -> bool:
    """True only for what the standard defines as reading: 43/14 identifies, 8 may restart a device and is no read."""
    return function in READS or (function == 43 and subfunction == 14)


def values(
    function: NDArray[Any], quantity: NDArray[Any], start: NDArray[Any], octets: NDArray[Any], pool: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Value octets as numbers: how many each message has, and all of them in order.

    Bits of the bit functions, lowest first (clause 6.1), else registers.  ``quantity`` cuts the padding of the last octet off where it
    is known; function 5 gives 1 or 0, or the word that is neither.
    """
    is_bits = np.isin(function, (1, 2, 15))
    size = octets.astype(np.int64)
    bits = np.where(quantity >= 0, np.minimum(8 * size, quantity), 8 * size)
    count = np.where(is_bits, bits, size // 2)
    begin = np.cumsum(count) - count
    at = np.arange(int(count.sum()))
    if not is_bits.any():
        items = _words(pool, np.repeat(start - 2 * begin, count) + 2 * at)
    else:
        row = np.repeat(np.arange(len(count)), count)
        at -= begin[row]
        is_bit = is_bits[row]
        first = start[row] + np.where(is_bit, at // 8, 2 * at)
        items = pool[first].astype(np.uint16) >> (at % 8).astype(np.uint16) & 1
        items[~is_bit] = _words(pool, first[~is_bit])
    coil = np.flatnonzero(np.repeat(function == 5, count))
    coil = coil[np.isin(items[coil], (0, 0xFF00))]
    items[coil] = items[coil] == 0xFF00
    return count, items


def _words(pool: NDArray[np.uint8], first: NDArray[np.int64]) -> NDArray[np.uint16]:
    return pool[first].astype(np.uint16) << np.uint16(8) | pool[first + 1]


def identification(pdu: bytes) -> dict[int, str]:
    """The objects of a Read Device Identification response (43/14, clause 6.21) by their ids; what is cut, or no text, is left out."""
    found: dict[int, str] = {}
    at = 7
    for _ in range(pdu[6] if len(pdu) > at and pdu[:2] == b"\x2b\x0e" else 0):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            break
        octets = pdu[at + 2 : at + 2 + pdu[at + 1]]
        text = "".join(chr(octet) for octet in octets if 0x20 <= octet < 0x7F).strip()[:MAX_IDENTITY_TEXT]
        if text:
            found[pdu[at]] = text
        at += 2 + len(octets)
    return found


def is_sound_write(pdu: bytes) -> bool:
    """Functions 5, 6, 15, 16 and 23 whose octets agree with each other (clauses 6.5, 6.6, 6.11, 6.12, 6.17)."""
    function = pdu[0] if pdu else 0
    if function == 5:
        return len(pdu) == 5 and pdu[3:5] in (b"\xff\x00", b"\x00\x00")
    if function == 6:
        return len(pdu) == 5
    at = 5 if function == 23 else 1
    if function not in (15, 16, 23) or len(pdu) <= at + 5:
        return False
    address, count = int.from_bytes(pdu[at : at + 2], "big"), int.from_bytes(pdu[at + 2 : at + 4], "big")
    octets = (count + 7) // 8 if function == 15 else 2 * count
    return 1 <= count <= _MOST_WRITTEN[function] and pdu[at + 4] == octets == len(pdu) - at - 5 and address + count <= 0x10000


def writes_of(tag_map: TagMap, unit: int, pdu: bytes) -> tuple[TagWrite, ...] | None:
    """What a request PDU would set; None when the bytes contradict the specification or the function writes nothing we can name."""
    if not is_sound_write(pdu):
        return None
    function = pdu[0]
    at = 5 if function == 23 else 1
    address = int.from_bytes(pdu[at : at + 2], "big")
    if function == 5:
        return tag_map.bit_writes(unit, address, [pdu[3] == 0xFF])
    if function == 15:
        count, payload = int.from_bytes(pdu[3:5], "big"), pdu[6:]
        return tag_map.bit_writes(unit, address, [bool(payload[i // 8] >> (i % 8) & 1) for i in range(count)])
    return tag_map.register_writes(unit, address, pdu[3:5] if function == 6 else pdu[at + 5 :])
