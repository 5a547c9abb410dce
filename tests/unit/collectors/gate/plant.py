"""What stands around the gate in these tests: a server that records every octet, a brain, raw clients.  All real sockets."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from collectors.gate.config import GateConfig
from collectors.gate.service import Gate
from sentinel.intake import Intake
from sentinel.model.command import Command
from sentinel.model.observation import Heard
from sentinel.model.tags import ModbusPoint, OnDeadline, Table, Tag, TagRole
from sentinel.ports import Outcome, Ruling

WAIT_S = 10.0


def tag(name: str, address: int, table: Table = Table.HOLDING, **more: Any) -> Tag:
    point = ModbusPoint(unit=1, table=table, address=address)
    return Tag(name=name, role=TagRole.SETPOINT, unit="1", low=0, high=65535, writable=True, modbus=point, **more)


TAGS = (
    tag("REFUSES", 0),
    tag("FORWARDS", 1, on_deadline=OnDeadline.FORWARD),
    tag("SAFE", 2, safety=True),
    tag("SAFE2", 3, safety=True),
    tag("RUN", 0, Table.COIL),
)


def adu(transaction: int, pdu: bytes, unit: int = 1, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def read(transaction: int, address: int = 0, count: int = 1, function: int = 3) -> bytes:
    return adu(transaction, struct.pack(">BHH", function, address, count))


def write(transaction: int, address: int, value: int = 7) -> bytes:
    return adu(transaction, struct.pack(">BHH", 6, address, value))


def write_several(transaction: int, address: int, *values: int) -> bytes:
    return adu(transaction, struct.pack(f">BHHB{len(values)}H", 16, address, len(values), 2 * len(values), *values))


def split(stream: bytes) -> list[bytes]:
    """Whole ADUs of a stream."""
    parts = []
    while stream:
        end = 6 + int.from_bytes(stream[4:6], "big")
        parts.append(stream[:end])
        stream = stream[end:]
    return parts


class Recorder:
    """A server that keeps what each connection sent and answers every whole request as Modbus servers do: reads with zeros, writes with an
    echo.  ``silent`` lets it keep its answers to itself."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        self.silent = False
        self.pieces = 0  # cut answers into pieces of so many octets
        self.writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Recorder":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()

    @property
    def everything(self) -> bytes:
        return b"".join(bytes(part) for part in self.received)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, at = bytearray(), 0
        self.received.append(stream)
        self.writers.append(writer)
        try:
            while octets := await reader.read(4096):
                stream += octets
                async with self._changed:
                    self._changed.notify_all()
                while len(stream) - at >= 8 and len(stream) - at >= 6 + stream[at + 5]:
                    request = bytes(stream[at : at + 6 + stream[at + 5]])
                    at += len(request)
                    if not self.silent:
                        await self._answer(writer, request)
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request: bytes) -> None:
        answer = answer_to(request)
        step = self.pieces or len(answer)
        for start in range(0, len(answer), step):
            writer.write(answer[start : start + step])
            await writer.drain()


def answer_to(request: bytes) -> bytes:
    function = request[7]
    if function in (1, 2):
        count = (int.from_bytes(request[10:12], "big") + 7) // 8
        pdu = bytes((function, count)) + bytes(count)
    elif function in (3, 4):
        count = 2 * int.from_bytes(request[10:12], "big")
        pdu = bytes((function, count)) + bytes(count)
    else:
        pdu = request[7:12]
    return request[:4] + struct.pack(">H", len(pdu) + 1) + request[6:7] + pdu


class Brain:
    """Keeps everything; rules on commands as ``rules`` says, which may return None to stay silent."""

    def __init__(self, path: Path, rules: Callable[[Command], bool | None]) -> None:
        self.rules = rules
        self.kept: list[Any] = []
        self.intake = Intake(path, self._keep)
        self._changed = asyncio.Condition()

    async def _keep(self, value: Any) -> None:
        self.kept.append(value)
        async with self._changed:
            self._changed.notify_all()
        if isinstance(value, Command) and (forward := self.rules(value)) is not None:
            await self.intake.rule(Ruling(command=value.id, forward=forward, reason="ruled"))

    def of(self, kind: type) -> list[Any]:
        return [value for value in self.kept if isinstance(value, kind)]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def outcomes(self, count: int) -> list[Outcome]:
        await self.until(lambda: len(self.of(Outcome)) >= count)
        return self.of(Outcome)

    def messages(self) -> list[tuple[int, int, int, int]]:
        """(kind, transaction, function, defect) of everything heard, in order."""
        rows = [heard.messages for heard in self.of(Heard)]
        return [(int(m.kind[at]), int(m.transaction[at]), int(m.function[at]), int(m.defect[at])) for m in rows for at in range(len(m))]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def receive(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            header = await self.reader.readexactly(6)
            return header + await self.reader.readexactly(int.from_bytes(header[4:6], "big"))

    async def ask(self, request: bytes) -> bytes:
        self.send(request)
        return await self.receive()

    async def rest(self) -> bytes:
        """Everything until the connection ends; b"RESET" when it is cut hard."""
        try:
            return await asyncio.wait_for(self.reader.read(), WAIT_S)
        except ConnectionResetError:
            return b"RESET"


class Bed:
    def __init__(self, gate: Gate, server: Recorder, brain: Brain | None) -> None:
        self.gate, self.server = gate, server
        self._brain = brain
        self._clients: list[Client] = []

    @property
    def brain(self) -> Brain:
        assert self._brain is not None
        return self._brain

    async def client(self, address: str = "127.0.0.1") -> Client:
        connection = asyncio.open_connection(*self.gate.address, local_addr=(address, 0))
        client = Client(*await asyncio.wait_for(connection, WAIT_S))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def gate_running(config: GateConfig) -> AsyncIterator[Gate]:
    gate, stop = Gate(config), asyncio.Event()
    running = asyncio.create_task(gate.run(stop))
    listening = asyncio.create_task(gate.listening.wait())
    await asyncio.wait({running, listening}, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        listening.cancel()
        await running
    try:
        yield gate
    finally:
        stop.set()
        await asyncio.wait_for(running, WAIT_S)


@asynccontextmanager
async def bed(directory: Path, rules: Callable[[Command], bool | None] | None = lambda _: True, **options: Any) -> AsyncIterator[Bed]:
    """``rules`` None: there is no brain."""
    options = {"observe": False, "tags": TAGS, "farewell_s": 2.0 if rules else 0.0, **options}
    socket_path = directory / "intake.sock"
    async with Recorder() as server:
        brain = Brain(socket_path, rules) if rules else None
        if brain:
            await brain.intake.start()
        config = GateConfig(
            intake=str(socket_path), directory=str(directory), listen="127.0.0.1:0", upstream=f"127.0.0.1:{server.port}", **options
        )
        try:
            async with gate_running(config) as gate:
                if brain:
                    await asyncio.wait_for(brain.intake.wait_present(config.name), WAIT_S)
                standing = Bed(gate, server, brain)
                try:
                    yield standing
                finally:
                    await standing.close()
        finally:
            if brain:
                await brain.intake.close()
