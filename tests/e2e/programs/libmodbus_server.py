"""A Modbus/TCP server whose protocol stack is libmodbus, driven through ctypes.

    python -m tests.e2e.programs.libmodbus_server HOST PORT [plant]

Says `ready`, `open ADDRESS`, `closed ADDRESS`, and `write PDU-IN-HEX from ADDRESS` for every request that writes.  Without `plant` input
register 0 counts the requests, so that two reads differ; with it the registers are those of the reference plant, which runs in real time.
"""

import ctypes
import ctypes.util
import select
import socket
import struct
import sys
import time
from typing import Any

COILS = DISCRETES = 64
HOLDINGS = INPUTS = 128
MAX_ADU_OCTETS = 260
WRITES = frozenset({5, 6, 15, 16, 21, 22, 23})


class Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = (
        *(
            (f"{part}_{table}", ctypes.c_int)
            for table in ("bits", "input_bits", "input_registers", "registers")
            for part in ("nb", "start")
        ),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


def library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("modbus") or "libmodbus.so.5"
    try:
        modbus = ctypes.CDLL(name, use_errno=True)
    except OSError:
        return None
    modbus.modbus_new_tcp.restype = ctypes.c_void_p
    modbus.modbus_new_tcp.argtypes = (ctypes.c_char_p, ctypes.c_int)
    modbus.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    modbus.modbus_tcp_listen.argtypes = (ctypes.c_void_p, ctypes.c_int)
    modbus.modbus_set_socket.argtypes = (ctypes.c_void_p, ctypes.c_int)
    modbus.modbus_receive.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    modbus.modbus_reply.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Mapping))
    return modbus


def _array(pointer: Any, cells: list[int]) -> Any:
    """The first of libmodbus's cells, as many as the plant has."""
    return (pointer._type_ * len(cells)).from_address(ctypes.addressof(pointer.contents))


class Plant:
    """The reference plant behind libmodbus's tables."""

    def __init__(self, table: Any) -> None:
        from sentinel.demo.physics import STEP_S
        from sentinel.demo.simulation import ReferencePlant
        from sentinel.model.tags import Table

        self._plant, self._step_s = ReferencePlant(), STEP_S
        memory, content = self._plant.registers.tables, table.contents
        self._pairs = [
            (memory[Table.COIL], _array(content.tab_bits, memory[Table.COIL])),
            (memory[Table.DISCRETE], _array(content.tab_input_bits, memory[Table.DISCRETE])),
            (memory[Table.INPUT], _array(content.tab_input_registers, memory[Table.INPUT])),
            (memory[Table.HOLDING], _array(content.tab_registers, memory[Table.HOLDING])),
        ]
        self._due = time.monotonic()

    def live(self) -> float:
        """Catches up with the clock; returns how long there is nothing to do."""
        while (left := self._due - time.monotonic()) <= 0:
            self._plant.step()
            self._due += self._step_s
        return left

    def show(self) -> None:
        for cells, shown in self._pairs:
            shown[:] = cells

    def take(self) -> None:
        """What a request wrote."""
        for cells, shown in self._pairs:
            cells[:] = shown


def serve(host: str, port: int, with_plant: bool) -> int:
    modbus = library()
    if modbus is None:
        print("libmodbus is not installed", file=sys.stderr)
        return 1
    context = modbus.modbus_new_tcp(host.encode(), port)
    table = modbus.modbus_mapping_new(COILS, DISCRETES, HOLDINGS, INPUTS)
    number = modbus.modbus_tcp_listen(context, 16)
    if number < 0:
        print(f"cannot listen on {host}:{port}", file=sys.stderr)
        return 1
    listener, connections, requests = socket.socket(fileno=number), {}, 0
    plant = Plant(table) if with_plant else None
    print("ready", flush=True)
    while True:
        pause_s = plant.live() if plant else None
        for readable in select.select([listener, *connections], [], [], pause_s)[0]:
            if readable is listener:
                connection, (address, _) = listener.accept()
                connections[connection] = address
                print(f"open {address}", flush=True)
                continue
            query = ctypes.create_string_buffer(MAX_ADU_OCTETS)
            modbus.modbus_set_socket(context, readable.fileno())
            octets = modbus.modbus_receive(context, query)
            address = connections[readable]
            if octets < 0:
                print(f"closed {address}", flush=True)
                readable.close()
                del connections[readable]
                continue
            requests += 1
            if plant:
                plant.show()
            else:
                table.contents.tab_input_registers[0] = requests & 0xFFFF
            adu = query.raw[:octets]
            if octets > 7 and struct.unpack(">B", adu[7:8])[0] in WRITES:
                print(f"write {adu[7:].hex()} from {address}", flush=True)
            modbus.modbus_reply(context, query, octets, table)
            if plant:
                plant.take()


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["plant"]))
