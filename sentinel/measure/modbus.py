"""``python -m collectors.gate.bench [--json]``: what the gate costs, measured on loopback with a server that is not ours.

Four processes beside each other: a libmodbus server (C, by ctypes; pymodbus where libmodbus is not installed, and then the report says so),
the gate with observation on, a sink that rules on every command after ``--ruling-ms``, and this one, a client on raw sockets.
Reads go in turn directly to the server and through the gate, so that both see the same machine; ``added`` is the difference of their
quantiles.  Then held writes one by one, then ``--rate`` requests per second over 40 connections whose every answer is checked.
"""

import argparse
import ctypes
import ctypes.util
import json
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.model.codec import from_json, to_json
from sentinel.model.command import Command
from sentinel.model.exchange import URGENT, Ack
from sentinel.model.framing import Frame, FrameKind, FrameReader
from sentinel.ports import Ruling

REGISTERS = 1000
CONNECTIONS = 40
WAIT_S = 10.0
_PR_SET_PDEATHSIG = 1

_PYMODBUS_SERVER = """
import asyncio, sys
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
async def serve():
    registers = [SimData(0, values=[at * 7 % 65536 for at in range(1000)], datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, simdata=registers), address=("127.0.0.1", int(sys.argv[1])))
    await server.serve_forever()
asyncio.run(serve())
"""


def register(address: int) -> int:
    return address * 7 % 65536


def serve_libmodbus(port: int) -> None:
    """A server of libmodbus 3.1: the library reads, answers and writes; we only wait for its sockets."""
    library = ctypes.CDLL("libmodbus.so.5")
    for name in ("modbus_new_tcp", "modbus_mapping_new"):
        getattr(library, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    mapping = ctypes.c_void_p(library.modbus_mapping_new(16, 16, REGISTERS, REGISTERS))
    # modbus_mapping_t of 3.1: eight ints, then the tables of bits, input bits, input registers, registers
    tables = ctypes.cast(ctypes.c_void_p((mapping.value or 0) + 32), ctypes.POINTER(ctypes.POINTER(ctypes.c_uint16)))
    for address in range(REGISTERS):
        tables[3][address] = register(address)
    listening = library.modbus_tcp_listen(context, 64)
    if listening < 0:
        raise OSError(f"libmodbus cannot listen on port {port}")
    accepting = socket.socket(fileno=listening)
    waiting = select.epoll()
    waiting.register(listening, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    request = ctypes.create_string_buffer(260)
    while True:
        for number, _ in waiting.poll():
            if number == listening:
                client, _ = accepting.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                waiting.register(client.fileno(), select.EPOLLIN)
                continue
            library.modbus_set_socket(context, number)
            size = library.modbus_receive(context, request)
            if size > 0:
                library.modbus_reply(context, request, size, mapping)
            elif size < 0:
                waiting.unregister(number)
                clients.pop(number).close()


def rule_on_everything(path: str, delay_s: float) -> None:
    """The brain's side of the socket, reduced to acknowledging and to saying yes after a delay."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    links: dict[socket.socket, FrameReader] = {}
    due: list[tuple[float, Command, socket.socket]] = []
    sequence = 0
    while True:
        wait_s = max(0.0, due[0][0] - time.monotonic()) if due else None
        for ready in select.select([server, *links], [], [], wait_s)[0]:
            if ready is server:
                links[server.accept()[0]] = FrameReader()
                continue
            octets = ready.recv(1 << 20)
            if not octets:
                del links[ready]
                ready.close()
                continue
            for frame in links[ready].feed(octets):
                if frame.kind is FrameKind.COMMAND:
                    due.append((time.monotonic() + delay_s, from_json(Command, frame.payload), ready))
                if frame.kind is not FrameKind.HELLO:
                    ack = to_json(Ack(sequence=frame.sequence, urgent=frame.kind in URGENT))
                    ready.sendall(Frame(FrameKind.ACK, 0, ack).encode())
        while due and due[0][0] <= time.monotonic():
            _, command, link = due.pop(0)
            sequence += 1
            if link in links:
                link.sendall(Frame(FrameKind.RULING, sequence, to_json(Ruling(command=command.id, forward=True, reason="bench"))).encode())


# --- the client ---


def connect(port: int) -> socket.socket:
    """Waits for the other process to listen."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), WAIT_S)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def read_request(transaction: int, address: int, count: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, address, count)


def expected_answer(transaction: int, address: int, count: int) -> bytes:
    values = (register(at) for at in range(address, address + count))
    return struct.pack(f">HHHBBB{count}H", transaction, 0, 3 + 2 * count, 1, 3, 2 * count, *values)


def write_request(transaction: int, address: int) -> bytes:
    """Writes what the register holds already, so that every later read still knows its answer."""
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 6, address, register(address))


def timed(connection: socket.socket, request: bytes, answer: bytes) -> tuple[float, bool]:
    """(milliseconds, the answer is right)."""
    start = time.perf_counter_ns()
    connection.sendall(request)
    got = connection.recv(512)
    took_ms = (time.perf_counter_ns() - start) / 1e6
    while len(got) < len(answer):
        got += connection.recv(512)
    return took_ms, got == answer


@dataclass(slots=True)
class _Load:
    """Requests on their way over one connection, oldest first."""

    connection: socket.socket
    open: list[tuple[bytes, float]] = field(default_factory=list)  # the answer it must be, when it was sent
    received: bytes = b""


def load(port: int, rate: float, seconds: float) -> tuple[int, int, list[float]]:
    """(requests, wrong answers, milliseconds each): sent by the clock, whether or not the last ones were answered."""
    loads = {part.connection.fileno(): part for part in (_Load(connect(port)) for _ in range(CONNECTIONS))}
    waiting = select.poll()
    for number in loads:
        waiting.register(number, select.POLLIN)
    order = list(loads.values())
    total, wrong, sent = round(rate * seconds), 0, 0
    took_ms: list[float] = []
    start = time.perf_counter()
    deadline = start + seconds + WAIT_S
    while sent < total or any(part.open for part in order):
        now = time.perf_counter()
        if now > deadline:
            break
        while sent < total and start + sent / rate <= now:
            part = order[sent % CONNECTIONS]
            transaction, address, count = sent % 65536, sent * 13 % 800, 1 + sent % 125
            part.connection.sendall(read_request(transaction, address, count))
            part.open.append((expected_answer(transaction, address, count), time.perf_counter()))
            sent += 1
        next_ms = max(0.0, (start + sent / rate - time.perf_counter()) * 1000) if sent < total else 100.0
        for number, _ in waiting.poll(next_ms):
            part = loads[number]
            part.received += part.connection.recv(65536)
            while part.open and len(part.received) >= len(part.open[0][0]):
                answer, since = part.open.pop(0)
                took_ms.append((time.perf_counter() - since) * 1000)
                wrong += part.received[: len(answer)] != answer
                part.received = part.received[len(answer) :]
    wrong += sum(len(part.open) for part in order) + (total - sent)
    for part in order:
        part.connection.close()
    return total, wrong, took_ms


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# --- the bed ---


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def has_libmodbus() -> bool:
    try:
        ctypes.CDLL("libmodbus.so.5")
    except OSError:
        return False
    return True


def measure(*, reads: int, writes: int, rate: float, seconds: float, ruling_ms: float, observe: bool, real: bool) -> dict[str, Any]:
    server_port, gate_port = free_port(), free_port()
    server = ("-m", __spec__.name, "--serve", str(server_port)) if real else ("-c", _PYMODBUS_SERVER, str(server_port))
    with tempfile.TemporaryDirectory() as directory:
        intake, config = Path(directory) / "intake.sock", Path(directory) / "gate.json"
        options = {
            "intake": str(intake),
            "directory": directory,
            "listen": f"127.0.0.1:{gate_port}",
            "upstream": f"127.0.0.1:{server_port}",
        }
        config.write_text(json.dumps(options | {"observe": observe, "deadline_ms": 2000.0}))
        sink = ("-m", __spec__.name, "--rule", str(intake), "--ruling-ms", str(ruling_ms))
        with process(*server), process(*sink), process("-m", "collectors", "gate", str(config)):
            direct, through = connect(server_port), connect(gate_port)
            report = _measure(direct, through, gate_port, reads=reads, writes=writes, rate=rate, seconds=seconds)
            direct.close()
            through.close()
    report["server"] = "libmodbus" if real else "pymodbus (without libmodbus5: latencies are those of a slower server)"
    report["ruling_ms"] = ruling_ms
    return report


def _measure(
    direct: socket.socket, through: socket.socket, gate_port: int, *, reads: int, writes: int, rate: float, seconds: float
) -> dict[str, Any]:
    took: dict[str, list[float]] = {"direct": [], "gate": [], "held": []}
    wrong = 0
    for number in range(reads + 200):
        request = (number % 65536, number % 800, 8)
        for name, connection in (("direct", direct), ("gate", through)):
            took_ms, right = timed(connection, read_request(*request), expected_answer(*request))
            wrong += not right
            if number >= 200:  # before, caches and compiled code warm up
                took[name].append(took_ms)
    for number in range(writes + 10):
        request_octets = write_request(number % 65536, number % 800)
        took_ms, right = timed(through, request_octets, request_octets)
        wrong += not right
        if number >= 10:
            took["held"].append(took_ms)
    requests, wrong_under_load, took["load"] = load(gate_port, rate, seconds)
    p50, p99 = {n: statistics.median(v) for n, v in took.items()}, {n: quantile(v, 0.99) for n, v in took.items()}
    return {
        "read_direct_ms_p50": round(p50["direct"], 4),
        "read_direct_ms_p99": round(p99["direct"], 4),
        "read_gate_ms_p50": round(p50["gate"], 4),
        "read_gate_ms_p99": round(p99["gate"], 4),
        "read_added_ms_p50": round(p50["gate"] - p50["direct"], 4),
        "read_added_ms_p99": round(p99["gate"] - p99["direct"], 4),
        "write_held_ms_p50": round(p50["held"], 4),
        "write_held_ms_p99": round(p99["held"], 4),
        "load_ms_p50": round(p50["load"], 4),
        "load_ms_p99": round(p99["load"], 4),
        "requests": requests + 2 * (reads + 200) + writes + 10,
        "rate_per_s": rate,
        "wrong_answers": wrong + wrong_under_load,
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m collectors.gate.bench", description="What the gate costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--reads", type=int, default=3000, help="reads per way (default %(default)s)")
    parser.add_argument("--writes", type=int, default=300, help="held writes (default %(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second under load (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load (default %(default)s)")
    parser.add_argument("--ruling-ms", type=float, default=0.0, help="how long a ruling takes (default %(default)s)")
    parser.add_argument("--no-observe", action="store_true", help="the gate reports no observations")
    parser.add_argument("--server", choices=("libmodbus", "pymodbus"), help="default: libmodbus where it is installed")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rule", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.serve is not None or chosen.rule:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if chosen.serve is not None:
        serve_libmodbus(chosen.serve)
    elif chosen.rule:
        rule_on_everything(chosen.rule, chosen.ruling_ms / 1000)
    else:
        report = measure(
            reads=chosen.reads,
            writes=chosen.writes,
            rate=chosen.rate,
            seconds=chosen.seconds,
            ruling_ms=chosen.ruling_ms,
            observe=not chosen.no_observe,
            real=has_libmodbus() if chosen.server is None else chosen.server == "libmodbus",
        )
        print(json.dumps(report) if chosen.json else "\n".join(f"{name:22} {value}" for name, value in report.items()))
        return int(report["wrong_answers"] > 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
