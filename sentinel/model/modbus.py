"""Modbus names and limits (Modbus Application Protocol Specification V1.1b3; Messaging on TCP/IP V1.0b), shared by ear, gate and court."""

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
READS = frozenset({1, 2, 3, 4, 7, 11, 12, 17, 20, 24})
WRITES = frozenset({5, 6, 15, 16, 21, 22, 23})

ILLEGAL_FUNCTION = 1
ILLEGAL_DATA_ADDRESS = 2
ILLEGAL_DATA_VALUE = 3
SERVER_DEVICE_FAILURE = 4
ACKNOWLEDGE = 5
SERVER_DEVICE_BUSY = 6


def operation(function: int) -> str:
    """The standard's name; user-defined codes (65-72, 100-110) and unassigned ones are named as such."""
    known = OPERATIONS.get(function)
    if known:
        return known
    return f"user_defined_{function}" if 65 <= function <= 72 or 100 <= function <= 110 else f"unassigned_{function}"


def is_read(function: int, subfunction: int = -1) -> bool:
    """True only for what the standard defines as reading: 43/14 identifies, 8 may restart a device and is no read."""
    return function in READS or (function == 43 and subfunction == 14)


def writes_of(tag_map: TagMap, unit: int, pdu: bytes) -> tuple[TagWrite, ...] | None:
    """What a request PDU would set; None when the bytes contradict the specification or the function writes nothing we can name."""
    function = pdu[0] if pdu else 0
    if function in (5, 6) and len(pdu) == 5:
        address = int.from_bytes(pdu[1:3], "big")
        if function == 6:
            return tag_map.register_writes(unit, address, pdu[3:5])
        return tag_map.bit_writes(unit, address, [pdu[3] == 0xFF]) if pdu[3:5] in (b"\xff\x00", b"\x00\x00") else None
    if function in (15, 16) and len(pdu) > 6:
        address, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        payload = pdu[6:]
        expected = (count + 7) // 8 if function == 15 else 2 * count
        limit = 0x7B0 if function == 15 else 0x7B
        if not (1 <= count <= limit and pdu[5] == expected == len(payload) and address + count <= 0x10000):
            return None
        if function == 16:
            return tag_map.register_writes(unit, address, payload)
        return tag_map.bit_writes(unit, address, [bool(payload[i // 8] >> (i % 8) & 1) for i in range(count)])
    if function == 23 and len(pdu) > 10:
        address, count = int.from_bytes(pdu[5:7], "big"), int.from_bytes(pdu[7:9], "big")
        if not (1 <= count <= 0x79 and pdu[9] == 2 * count == len(pdu) - 10 and address + count <= 0x10000):
            return None
        return tag_map.register_writes(unit, address, pdu[10:])
    return None
