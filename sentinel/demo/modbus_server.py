"""The controller's Modbus/TCP server: pymodbus decodes and encodes every PDU, the registers are the controller's own.

In: `Registers`.  Out: a listening server; each write takes effect at the controller's next scan.  Differs from the stock server where that
is unlike a device: every request of a segment is answered, in order; a header that cannot be Modbus/TCP closes the connection; unknown
functions are answered with exception 1 of their own code and impossible counts with exception 3 (Modbus Application Protocol 1.1b3, 7).
"""

import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from sentinel.demo.registers import Registers
from sentinel.errors import TransientError
from sentinel.model.modbus import MAX_PDU_OCTETS, MBAP_OCTETS
from sentinel.model.tags import Table

MAX_CONNECTIONS = 32
FUNCTIONS = frozenset({1, 2, 3, 4, 5, 6, 15, 16, 17, 22, 23, 43})  # what the device offers; pymodbus knows a few more
_TABLES = {1: Table.COIL, 5: Table.COIL, 15: Table.COIL, 2: Table.DISCRETE, 4: Table.INPUT} | dict.fromkeys(
    (3, 6, 16, 22, 23), Table.HOLDING
)
_IDENTITY = {
    "VendorName": "Sentinel",
    "ProductCode": "RP-3",
    "MajorMinorRevision": "1.0",
    "ProductName": "Reference plant",
    "ModelName": "Tanks, heater loop, spindle",
}


class Memory:
    """The registers as pymodbus asks for them.  Nothing here awaits: its request and its answer stay together."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self.writes = 0

    def device_ids(self) -> list[int]:
        return [self._registers.unit]

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[int] | list[bool] | ExcCodes:  # noqa: N802
        if device_id != self._registers.unit:
            return ExcCodes.GATEWAY_NO_RESPONSE
        table = _TABLES[func_code]
        cells = self._registers.read(table, address, count)
        if cells is None:
            return ExcCodes.ILLEGAL_ADDRESS
        return [bool(cell) for cell in cells] if table in (Table.COIL, Table.DISCRETE) else cells

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]) -> ExcCodes | None:  # noqa: N802
        if device_id != self._registers.unit:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if not self._registers.write(_TABLES[func_code], address, values):
            return ExcCodes.ILLEGAL_ADDRESS
        self.writes += 1
        return None


class _Connection(ServerRequestHandler):
    """One client."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self._pending = b""

    def callback_connected(self) -> None:
        super().callback_connected()
        if len(self.server.active_connections) > MAX_CONNECTIONS:
            self.close()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...] | None) -> None:
        self._pending += data
        while len(self._pending) >= MBAP_OCTETS + 1 and self.transport:
            protocol, length = int.from_bytes(self._pending[2:4], "big"), int.from_bytes(self._pending[4:6], "big")
            if protocol != 0 or not 2 <= length <= MAX_PDU_OCTETS + 1:
                self._pending = b""
                self.close()
                return
            if len(self._pending) < 6 + length:
                return
            adu, self._pending = self._pending[: 6 + length], self._pending[6 + length :]
            self._answer(adu)

    def _answer(self, adu: bytes) -> None:
        function = adu[MBAP_OCTETS]
        response: ModbusPDU = ExceptionResponse(function, ExcCodes.ILLEGAL_FUNCTION)
        if function in FUNCTIONS:
            request = self.server.decoder.decode(adu[MBAP_OCTETS:])
            response = ExceptionResponse(function, ExcCodes.ILLEGAL_VALUE)
            if request is not None:
                request.dev_id = adu[6]
                with contextlib.suppress(KeyError):  # pymodbus looks unknown subfunctions of 43 up in a table
                    response = _finish(request.datastore_update(self.server.context, adu[6]))
        response.dev_id, response.transaction_id = adu[6], int.from_bytes(adu[:2], "big")
        self.server_send(response, None)  # type: ignore[no-untyped-call]


def _finish(answer: "Coroutine[Any, Any, ModbusPDU]") -> ModbusPDU:
    """Runs a coroutine that never waits; one that does would tear request and answer apart."""
    try:
        answer.send(None)
    except StopIteration as done:
        response: ModbusPDU = done.value
        return response
    answer.close()
    raise RuntimeError("the controller's memory waited inside a request")


class _Server(ModbusTcpServer):
    def callback_new_connection(self) -> ServerRequestHandler:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)


class ModbusService:
    """A running server.  One per process: pymodbus keeps a device's identity process-wide."""

    def __init__(self, registers: Registers) -> None:
        self.memory = Memory(registers)
        self._server: _Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Returns the address it listens on (``port`` 0 = any free).  Raises TransientError where it cannot listen."""
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it prints its clients' mistakes as its own errors
        identity = ModbusDeviceIdentification(info_name=_IDENTITY)  # type: ignore[no-untyped-call]
        placeholder = SimDevice(self.memory.device_ids()[0], simdata=[SimData(0, values=0, datatype=DataType.REGISTERS)])
        server = _Server(placeholder, address=(host, port), identity=identity)
        server.context = self.memory  # type: ignore[assignment]
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            raise TransientError(f"cannot listen on {host}:{port}: {error}") from error
        self._server = server
        bound: tuple[str, int] = server.transport.sockets[0].getsockname()[:2]  # type: ignore[attr-defined]
        return bound

    async def stop(self) -> None:
        if self._server:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
