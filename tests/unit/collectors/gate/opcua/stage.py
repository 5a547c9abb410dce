"""What stands around the OPC UA gate in these tests: an asyncua server behind it, a brain, clients of asyncua and raw ones."""

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.gate.opcua.config import OpcuaGateConfig
from collectors.gate.opcua.service import Gate
from sentinel.model.command import Command
from sentinel.model.tags import OnDeadline, Tag, TagRole
from tests.unit.collectors.gate.plant import WAIT_S, Brain

HERE = Path(__file__).parent
SLOW_S = 60.0  # asyncua starts within seconds; a busy machine takes longer
NO_SESSION = b"\0\0"


def tag(name: str, **more: Any) -> Tag:
    return Tag(name=name, role=TagRole.SETPOINT, unit="m", low=0, high=9, writable=True, opcua=f"ns=2;s={name}", **more)


TAGS = (tag("SP"), tag("SAFE", safety=True), tag("FAST", on_deadline=OnDeadline.FORWARD))


@dataclass(frozen=True)
class Server:
    port: int
    directory: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)


@contextmanager
def asyncua_server(port: int, directory: Path) -> Iterator[Server]:
    child = subprocess.Popen(
        [sys.executable, str(HERE / "asyncua_server.py"), str(port), str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == b"serving\n"
        yield Server(port, directory, child)
    finally:
        child.stdin.close()
        try:
            child.wait(SLOW_S)
        finally:
            child.kill()
            child.stdout.close()
            child.wait()


async def asyncua_client(url: str, directory: Path, *steps: str, policy: str = "None", mode: str = "None_", user: str = "-") -> list[str]:
    """What the client said, line by line."""
    arguments = [str(HERE / "asyncua_client.py"), url, policy, mode, str(directory), user, *steps]
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(child.communicate(), SLOW_S)
    return said.decode().splitlines()


@asynccontextmanager
async def gate_before(
    upstream: int, directory: Path, rules: Callable[[Command], bool | None], **options: Any
) -> AsyncIterator[tuple[Gate, Brain]]:
    options = {"observe": False, "tags": TAGS, "certificates": str(directory / "pki"), "deadline_ms": 5000.0, **options}
    brain = Brain(directory / "intake.sock", rules)
    config = OpcuaGateConfig(
        intake=str(directory / "intake.sock"),
        directory=str(directory),
        listen="127.0.0.1:0",
        upstream=f"127.0.0.1:{upstream}",
        **options,
    )
    async with brain.intake:
        gate, stop = Gate(config), asyncio.Event()
        running = asyncio.create_task(gate.run(stop))
        try:
            await asyncio.wait_for(gate.listening.wait(), WAIT_S)
            await asyncio.wait_for(brain.intake.wait_present(config.name), WAIT_S)
            yield gate, brain
        finally:
            while _RAW:
                _RAW.pop().close()
            stop.set()
            await asyncio.wait_for(running, WAIT_S)


# --- a client without a stack: it says what it is told to ---


def text(octets: bytes | None) -> bytes:
    return struct.pack("<i", -1) if octets is None else struct.pack("<i", len(octets)) + octets


def node(name: str) -> bytes:
    return b"\x03\x02\x00" + text(name.encode())


def double(value: float) -> bytes:
    return b"\x0b" + struct.pack("<d", value)


def one_write(name: str, value: float, attribute: int = 13) -> bytes:
    return node(name) + struct.pack("<I", attribute) + text(None) + b"\x01" + double(value)


def writes(*parts: bytes) -> bytes:
    return struct.pack("<i", len(parts)) + b"".join(parts)


def call(method: str, *arguments: float) -> bytes:
    return struct.pack("<i", 1) + b"\x00\x55" + node(method) + struct.pack("<i", len(arguments)) + b"".join(map(double, arguments))


def read(name: str) -> bytes:
    return struct.pack("<dIi", 0.0, 3, 1) + node(name) + struct.pack("<I", 13) + text(None) + b"\0\0" + text(None)


def hello(url: bytes = b"opc.tcp://127.0.0.1/plant", receives: int = 65536, sends: int = 65536) -> bytes:
    body = struct.pack("<5I", 0, receives, sends, 0, 0) + text(url)
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


def request_header(token: bytes = NO_SESSION, handle: int = 7) -> bytes:
    return token + struct.pack("<QII", 0, handle, 0) + text(None) + struct.pack("<I", 0) + b"\0\0\0"


def opening(kind: int = 0, channel: int = 0, sequence: int = 1, lifetime_ms: int = 600_000) -> bytes:
    head = struct.pack("<I", channel) + text(b"http://opcfoundation.org/UA/SecurityPolicy#None") + text(None) + text(None)
    body = struct.pack("<II", sequence, sequence) + b"\x01\x00" + struct.pack("<H", 446) + request_header()
    body += struct.pack("<III", 0, kind, 1) + text(None) + struct.pack("<I", lifetime_ms)
    return b"OPNF" + struct.pack("<I", 8 + len(head) + len(body)) + head + body


_RAW: "list[Raw]" = []


@dataclass(frozen=True)
class Answer:
    request: int
    service: int
    result: int
    body: bytes  # behind the response header

    @property
    def statuses(self) -> list[int]:
        count = struct.unpack_from("<i", self.body)[0]
        return list(struct.unpack_from(f"<{count}I", self.body, 4))

    @property
    def number(self) -> float:
        """The double in the only DataValue of a Read's answer."""
        assert self.body[5] == 0x0B
        return float(struct.unpack_from("<d", self.body, 6)[0])


class Raw:
    """Its security is None; what it sends is sound unless it is told otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.channel = self.security = 0
        self.sequence = 1
        self.session = NO_SESSION
        self._requests = 100

    @classmethod
    async def connect(cls, address: tuple[str, int], source: str = "127.0.0.1") -> "Raw":
        _RAW.append(cls(*await asyncio.wait_for(asyncio.open_connection(*address, local_addr=(source, 0)), WAIT_S)))
        return _RAW[-1]  # closed when the gate is

    @classmethod
    async def with_session(cls, address: tuple[str, int], **agreed: int) -> "Raw":
        raw = await cls.connect(address)
        raw.writer.write(hello(**agreed))
        assert (await raw.chunk())[:4] == b"ACKF"
        await raw.open()
        application = text(b"urn:raw") + text(None) + b"\0" + struct.pack("<I", 1) + text(None) + text(None) + struct.pack("<i", -1)
        url = text(b"opc.tcp://127.0.0.1/plant")
        made = await raw.ask(461, application + text(None) + url + text(b"raw") + text(b"n" * 32) + text(None) + struct.pack("<dI", 6e4, 0))
        assert (made.service, made.result) == (464, 0)
        at = len(made.body) - len(_skip_node(made.body))
        raw.session = made.body[at : len(made.body) - len(_skip_node(made.body[at:]))]
        signature = text(None) * 2
        activated = await raw.ask(467, signature + struct.pack("<ii", -1, -1) + b"\0\0\0" + signature)
        assert (activated.service, activated.result) == (470, 0)
        return raw

    async def open(self, kind: int = 0) -> None:
        self.writer.write(opening(kind, self.channel, self.sequence))
        chunk = await self.chunk()
        assert chunk[:4] == b"OPNF"
        at = 12 + 4 + struct.unpack_from("<i", chunk, 12)[0] + 8 + 8 + 4 + 24 + 4
        self.channel, self.security = struct.unpack_from("<II", chunk, at)

    def message(self, request: int, body: bytes, kind: bytes = b"MSGF", **other: int) -> bytes:
        self.sequence = other.get("sequence", self.sequence + 1)
        numbers = other.get("channel", self.channel), other.get("token", self.security), self.sequence, request
        return kind + struct.pack("<I4I", 24 + len(body), *numbers) + body

    def send(self, service: int, parameters: bytes, kind: bytes = b"MSGF") -> int:
        self._requests += 1
        body = b"\x01\x00" + struct.pack("<H", service) + request_header(self.session) + parameters
        self.writer.write(self.message(self._requests, body, kind))
        return self._requests

    async def chunk(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            header = await self.reader.readexactly(8)
            return header + await self.reader.readexactly(struct.unpack_from("<I", header, 4)[0] - 8)

    async def answer(self) -> Answer:
        chunk = await self.chunk()
        assert chunk[:4] == b"MSGF", chunk
        result = struct.unpack_from("<I", chunk, 28 + 12)[0]
        return Answer(struct.unpack_from("<I", chunk, 20)[0], struct.unpack_from("<H", chunk, 26)[0], result, chunk[28 + 24 :])

    async def ask(self, service: int, parameters: bytes) -> Answer:
        request = self.send(service, parameters)
        answer = await self.answer()
        assert answer.request == request
        return answer

    async def error(self) -> int:
        """The status of the Error message that ends the connection; whatever comes before it is passed over."""
        while (chunk := await self.chunk())[:4] != b"ERRF":
            pass
        assert await asyncio.wait_for(self.reader.read(), WAIT_S) == b""
        return int(struct.unpack_from("<I", chunk, 8)[0])

    def close(self) -> None:
        """With a reset: a plain end could be a half-closed connection whose client still waits."""
        connection = self.writer.get_extra_info("socket")
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _skip_node(octets: bytes) -> bytes:
    forms = {0: 2, 1: 4, 2: 7, 4: 19}
    if octets[0] in forms:
        return octets[forms[octets[0]] :]
    return octets[7 + struct.unpack_from("<i", octets, 3)[0] :]
