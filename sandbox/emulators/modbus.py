"""The emulated controller: pymodbus decodes and answers each request, the registers hold what the twin believes the plant's to hold.

In: octets of a segment.  Out: octets of answers, and which points were set.  `Device` is sans-io; `listen` puts it behind a socket.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from sentinel.model.command import TagWrite
from sentinel.model.dialect import Dialect
from sentinel.model.modbus import MAX_PDU_OCTETS, MBAP_OCTETS
from sentinel.model.tags import Table, TagMap

MAX_ANSWER_OCTETS = 4096  # of one case
FUNCTIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43})  # that pymodbus decodes
_TABLES = {1: Table.COIL, 5: Table.COIL, 15: Table.COIL, 2: Table.DISCRETE, 4: Table.INPUT}
_ADDRESSES = 0x10000
_ON = b"\xff\x00"

Cells = dict[tuple[Table, int], int]


def cells_of(tags: TagMap, unit: int, values: Mapping[str, float]) -> Cells:
    """Registers that carry engineering values; a value outside its type's range is clipped, as `ModbusPoint.encode` does."""
    found: Cells = {}
    for tag in tags.tags:
        point = tag.modbus
        if point is not None and point.unit == unit and tag.name in values:
            found |= {(point.table, point.address + at): word for at, word in enumerate(point.encode(values[tag.name]))}
    return found


class Memory:
    """Registers as pymodbus asks for them.  An address without a name is there too and holds 0: a real device has more than is declared."""

    def __init__(self, cells: Cells, unit: int) -> None:
        self._cells, self._unit = dict(cells), unit
        self.written: dict[tuple[Table, int], int] = {}

    def device_ids(self) -> list[int]:
        return [self._unit]

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[int] | list[bool] | ExcCodes:  # noqa: N802
        table = _TABLES.get(func_code, Table.HOLDING)
        if address + count > _ADDRESSES:
            return ExcCodes.ILLEGAL_ADDRESS
        words = [self._cells.get((table, at), 0) for at in range(address, address + count)]
        return [bool(word) for word in words] if table in (Table.COIL, Table.DISCRETE) else words

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]) -> ExcCodes | None:  # noqa: N802
        table = _TABLES.get(func_code, Table.HOLDING)
        if address + len(values) > _ADDRESSES:
            return ExcCodes.ILLEGAL_ADDRESS
        set_now = {(table, address + at): int(value) for at, value in enumerate(values)}
        self._cells |= set_now
        self.written |= set_now
        return None

    def writes(self, tags: TagMap) -> tuple[TagWrite, ...]:
        """What was set, by tags: the whole of a tag of which any register was set."""
        found: dict[str, TagWrite] = {}
        for table, address in sorted(self.written):
            tag = tags.by_point.get((self._unit, table, address))
            point = tag.modbus if tag else None
            if tag is None or point is None:
                name = f"{table.value} {address}"
                found[name] = TagWrite(tag=None, point=name, raw=float(self.written[table, address]))
                continue
            words = [self._cells.get((table, point.address + at), 0) for at in range(point.registers)]
            raw, value = (float(words[0]),) * 2 if point.is_bit else point.decode(b"".join(word.to_bytes(2, "big") for word in words))
            unit = "1" if point.is_bit else tag.unit
            found[tag.name] = TagWrite(tag=tag.name, point=f"{table.value} {point.address}", raw=raw, value=value, unit=unit)
        return tuple(found.values())


class Device:
    """One connection of one device.  ``closed``: it has ended the connection, or will never answer again."""

    def __init__(self, memory: Memory, unit: int, dialect: Dialect) -> None:
        self.memory, self.unit, self.dialect = memory, unit, dialect
        self._decoder = DecodePDU(True)
        self._pending = b""
        self.closed = False

    def receive(self, octets: bytes) -> bytes:
        """The answers to whole requests, in order."""
        self._pending += octets
        answers = b""
        while not self.closed and len(self._pending) > MBAP_OCTETS:
            protocol, length = int.from_bytes(self._pending[2:4], "big"), int.from_bytes(self._pending[4:6], "big")
            if (protocol and not self.dialect.any_protocol) or not 2 <= length <= MAX_PDU_OCTETS + 1:
                self._pending, self.closed = b"", True
                break
            if len(self._pending) < 6 + length:
                break
            adu, self._pending = self._pending[: 6 + length], self._pending[6 + length :]
            if self.dialect.first_only:
                self._pending = b""
            answers = (answers + self._answer(adu))[:MAX_ANSWER_OCTETS]
        return answers

    def _answer(self, adu: bytes) -> bytes:
        if adu[6] != self.unit and not self.dialect.any_unit:
            response: ModbusPDU = ExceptionResponse(adu[7], ExcCodes.GATEWAY_NO_RESPONSE)
        else:
            response = self._obey(self._normal(adu[MBAP_OCTETS:]))
        pdu = bytes((response.function_code,)) + bytes(response.encode())
        return adu[:4] + (1 + len(pdu)).to_bytes(2, "big") + adu[6:7] + pdu

    def _normal(self, pdu: bytes) -> bytes:
        """What the dialect overlooks, put right."""
        if self.dialect.odd_coil and pdu[0] == 5 and len(pdu) == 5 and pdu[3:] not in (_ON, b"\0\0"):
            return pdu[:3] + _ON
        if self.dialect.wrong_count and pdu[0] == 16 and len(pdu) > 7:
            quantity = min(int.from_bytes(pdu[3:5], "big"), (len(pdu) - 6) // 2)
            return pdu[:3] + quantity.to_bytes(2, "big") + bytes((2 * quantity,)) + pdu[6 : 6 + 2 * quantity]
        return pdu

    def _obey(self, pdu: bytes) -> ModbusPDU:
        function = pdu[0]
        missing = (function == 22 and not self.dialect.mask_write) or (function == 23 and not self.dialect.read_write)
        if function not in FUNCTIONS or missing:
            return ExceptionResponse(function & 0x7F, ExcCodes.ILLEGAL_FUNCTION)
        if not _agrees(pdu):
            return ExceptionResponse(function, ExcCodes.ILLEGAL_VALUE)
        request = self._decoder.decode(pdu)
        response: ModbusPDU = ExceptionResponse(function, ExcCodes.ILLEGAL_VALUE)
        if request is not None:
            request.dev_id = self.unit
            with contextlib.suppress(KeyError):  # pymodbus looks unknown subfunctions up in a table
                response = _finish(request.datastore_update(self.memory, self.unit))  # type: ignore[arg-type]
        return response


def _agrees(pdu: bytes) -> bool:
    """Functions 5, 15, 16 and 23, whose octets pymodbus would not hold against each other."""
    if pdu[0] == 5:
        return len(pdu) == 5 and pdu[3:] in (_ON, b"\0\0")
    if pdu[0] in (15, 16, 23):
        at = 5 if pdu[0] == 23 else 1
        if len(pdu) < at + 6:
            return False
        quantity = int.from_bytes(pdu[at + 2 : at + 4], "big")
        return pdu[at + 4] == (-(-quantity // 8) if pdu[0] == 15 else 2 * quantity) == len(pdu) - at - 5
    return True


def _finish(answer: "Coroutine[Any, Any, ModbusPDU]") -> ModbusPDU:
    """Runs a coroutine that never waits; one that does would tear request and answer apart."""
    try:
        answer.send(None)
    except StopIteration as done:
        response: ModbusPDU = done.value
        return response
    answer.close()
    raise RuntimeError("the device's memory waited inside a request")


class _Connection(ServerRequestHandler):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...] | None) -> None:
        device: Device = self.server.device
        answers = device.receive(data)
        if answers and isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(answers)
        if device.closed:
            self.close()


class _Server(ModbusTcpServer):
    device: Device

    def callback_new_connection(self) -> ServerRequestHandler:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)


async def listen(device: Device, host: str) -> int:
    """A pymodbus server on any free port of ``host``, which it returns."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it prints its clients' mistakes as its own errors
    server = _Server(SimDevice(device.unit, simdata=[SimData(0, values=0, datatype=DataType.REGISTERS)]), address=(host, 0))
    server.device = device
    await server.serve_forever(background=True)
    return int(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
