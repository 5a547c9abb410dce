"""The OPC UA subscriber against a real asyncua server; both are processes of their own, for asyncua never shares one with scapy."""

import asyncio
import json
import math
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sentinel.intake import Intake
from sentinel.model.codec import to_jsonable
from sentinel.model.exchange import Polled
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag, TagRole

WAIT_S = 30.0
SERVER = """
import asyncio, logging, sys
from asyncua import Server, ua
logging.disable(logging.CRITICAL)

async def serve(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:test")
    nodes = {}
    for name, start in (("LEVEL", 1.25), ("RUN", True), ("TEXT", "on")):
        nodes[name] = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, start)
    async with server:
        print("serving", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            name, value, status = line.split()
            await nodes[name].write_value(ua.DataValue(ua.Variant(float(value)), ua.StatusCode(int(status, 0))))

asyncio.run(serve(int(sys.argv[1])))
"""


def tag(name: str) -> Tag:
    return Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9, opcua=f"ns=2;s={name}")


class Keeper:
    def __init__(self) -> None:
        self.latest: dict[str, tuple[float, int]] = {}
        self.rows: list[tuple[str, float]] = []
        self.stamps: list[tuple[int, int]] = []
        self._changed = asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Polled):
            readings = value.readings
            for name, number, quality, time, seen in zip(
                readings.decoded("tag"), readings.value, readings.quality, readings.time, readings.seen, strict=True
            ):
                self.latest[str(name)] = (float(number), int(quality))
                self.rows.append((str(name), float(number)))
                self.stamps.append((int(time), int(seen)))
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)


@asynccontextmanager
async def process(*arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, **options)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        if child.stdin:
            child.stdin.close()


@asynccontextmanager
async def device(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    async with process("-c", SERVER, str(port), stdin=pipe, stdout=pipe) as child:
        assert child.stdout
        assert await asyncio.wait_for(child.stdout.readline(), WAIT_S) == b"serving\n"
        yield child


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_values_qualities_stamps_and_a_server_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    keeper, port, intake = Keeper(), free_port(), tmp_path / "intake.sock"
    config = tmp_path / "poll.json"
    tags = [to_jsonable(tag(name)) for name in ("LEVEL", "RUN", "TEXT", "ABSENT")]
    options = {"intake": str(intake), "url": f"opc.tcp://127.0.0.1:{port}/", "period_ms": 50.0, "tags": tags}
    config.write_text(json.dumps(options))
    async with Intake(intake, keeper), process("-m", "collectors", "poll-opcua", str(config)) as subscriber:
        async with device(port) as server:
            await keeper.until(lambda: keeper.latest.get("LEVEL") == (1.25, Quality.GOOD) and keeper.latest["RUN"] == (1.0, Quality.GOOD))
            for name in ("TEXT", "ABSENT"):
                assert math.isnan(keeper.latest[name][0])
                assert keeper.latest[name][1] == Quality.BAD
            assert all(0 < stamp <= seen for stamp, seen in keeper.stamps)
            assert server.stdin
            server.stdin.write(b"LEVEL 2.5 0x40000000\n")
            await keeper.until(lambda: keeper.latest["LEVEL"] == (2.5, Quality.UNCERTAIN))
            del keeper.rows[:]
            server.stdin.write(b"".join(b"LEVEL %d 0\n" % number for number in range(10)))
            await keeper.until(lambda: keeper.latest["LEVEL"] == (9.0, Quality.GOOD))
            server.send_signal(signal.SIGKILL)
            await keeper.until(lambda: {quality for _, quality in keeper.latest.values()} == {Quality.BAD})
        async with device(port):
            await keeper.until(lambda: keeper.latest["LEVEL"] == (1.25, Quality.GOOD))
        subscriber.terminate()
        assert await asyncio.wait_for(subscriber.wait(), WAIT_S) == 0
    levels = [value for name, value in keeper.rows if name == "LEVEL" and not math.isnan(value)]
    assert levels[:-1] == sorted(levels[:-1]), "what changed between two publications is queued, in order"


# The program as it is, but for its patience between two connections.
HURRIED = """
import sys
from collectors.__main__ import main
from collectors.poll import opcua
opcua.FIRST_DELAY_S = opcua.LONGEST_DELAY_S = 0.02
sys.exit(main(sys.argv[1:]))
"""


def lies(hello: bytes) -> list[bytes]:
    """What a server says first that is none, or one that means harm; HELLO is what it was asked."""
    acknowledge = b"ACKF" + struct.pack("<IIIIII", 28, 0, 65535, 65535, 0, 0)
    return [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        hello,
        b"ACKF" + struct.pack("<IIIIII", 28, 9, 1, 1, 1, 1),
        b"ERRF" + struct.pack("<IIi", 16, 0xFFFFFFFF, -1),
        acknowledge,  # and then its own request comes back
        acknowledge + b"OPNF" + struct.pack("<I", 50) + bytes(range(42)),
        acknowledge + b"OPNF" + struct.pack("<I", 0xFFFFFFFF),
        acknowledge + b"MSGF" + struct.pack("<I", 24) + bytes(16),
    ]


async def test_whatever_a_server_says_the_subscriber_goes_on(tmp_path: Path) -> None:
    keeper, port, intake, config = Keeper(), free_port(), tmp_path / "intake.sock", tmp_path / "poll.json"
    config.write_text(
        json.dumps({"intake": str(intake), "url": f"opc.tcp://127.0.0.1:{port}/", "period_ms": 50.0, "tags": [to_jsonable(tag("LEVEL"))]})
    )
    told, count = asyncio.Event(), 0

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with suppress(ConnectionError):
            hello = await reader.read(4096)
            every = lies(hello)
            writer.write(every[count % len(every)])
            count += 1
            writer.write(await reader.read(4096))
            writer.write_eof()
            if count > len(every):
                told.set()
        writer.close()

    async with Intake(intake, keeper), process("-c", HURRIED, "poll-opcua", str(config)) as subscriber:
        async with await asyncio.start_server(lie, "127.0.0.1", port):
            ended = asyncio.create_task(subscriber.wait())
            hearing = asyncio.create_task(told.wait())
            await asyncio.wait({ended, hearing}, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
            assert subscriber.returncode is None
            assert told.is_set()
            assert keeper.latest["LEVEL"][1] == Quality.BAD
        async with device(port):
            await keeper.until(lambda: keeper.latest["LEVEL"] == (1.25, Quality.GOOD))
        assert subscriber.returncode is None
        ended.cancel()


PROGRAM = """
import sys, collectors.__main__ as m
m.KINDS[sys.argv[1]]()
print([name for name in ("scapy", "asyncua", "pymodbus", "numba") if name in sys.modules])
"""


def test_the_subscriber_brings_no_scapy_and_the_gate_neither() -> None:
    def loaded(kind: str) -> str:
        return subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True).stdout.strip()

    assert loaded("poll-opcua") == "['asyncua']"
    assert loaded("poll-modbus") == "['pymodbus']"
    assert loaded("gate") == "[]"
    assert "asyncua" not in loaded("capture")
