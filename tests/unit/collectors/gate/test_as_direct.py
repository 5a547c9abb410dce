"""A client behind the gate gets what it would get without it, from a server that is not ours (libmodbus), whatever it does with its octets.

Each client has a twin that talks to a second server of the same kind directly, one whole request after the other.  Everything that the gate
answers must be, octet for octet and in the same order, what the twin was answered; only what the brain refuses differs, and that is known.
"""

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test

from collectors.gate.config import GateConfig
from sentinel.measure import modbus
from sentinel.model.command import Command
from tests.unit.collectors.gate.plant import WAIT_S, Brain, adu, gate_running

OWN = 8  # registers of each client, so that several do not meet
HARMFUL = 1000  # the brain refuses to write so much or more
_RESET = struct.pack("ii", 1, 0)


def harmless(command: Command) -> bool:
    return all(write.raw < HARMFUL for write in command.writes)


@dataclass
class Bed:
    gate: tuple[str, int]
    behind: int
    beside: int
    unsound: dict[bytes, bytes]  # what a server answers to it, without the transaction
    bases: Iterator[int]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    if not modbus.is_installed():
        pytest.skip("libmodbus5 is not installed")
    directory = tmp_path_factory.mktemp("gate")
    with server() as behind, server() as beside, gate(directory, behind) as address:
        with connected(beside) as connection:
            unsound = {pdu: answered(connection, adu(0, pdu))[6:] for pdu in UNSOUND}
        yield Bed(address, behind, beside, unsound, (at * OWN for _ in range(10_000) for at in range(modbus.REGISTERS // OWN)))


@contextlib.contextmanager
def server() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "sentinel.measure.modbus", str(port)])
    try:
        modbus.connect(port).close()
        yield port
    finally:
        process.terminate()
        process.wait(WAIT_S)


@contextlib.contextmanager
def gate(directory: Path, upstream: int) -> Iterator[tuple[str, int]]:
    """The gate and a brain, in a loop of their own: the clients here are blocking."""
    up, address = threading.Event(), list[tuple[str, int]]()
    ended: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        brain = Brain(directory / "intake.sock", harmless)
        config = GateConfig(
            intake=str(directory / "intake.sock"),
            directory=str(directory),
            listen="127.0.0.1:0",
            upstream=f"127.0.0.1:{upstream}",
            deadline_ms=60_000.0,
            observe=False,
        )
        end = asyncio.Event()
        ended.append((asyncio.get_running_loop(), end))
        async with brain.intake, gate_running(config) as running:
            await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
            address.append(running.address)
            up.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert up.wait(WAIT_S)
        yield address[0]
    finally:
        loop, end = ended[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(WAIT_S)


@dataclass
class Pair:
    """A client of the gate and its twin; ``due``: answers that the gate owes."""

    through: socket.socket
    direct: socket.socket
    base: int
    due: bytearray = field(default_factory=bytearray)

    def close(self) -> None:
        self.through.close()
        self.direct.close()


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), WAIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def received(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (octets := connection.recv(size - len(got))):
        got += octets
    return got


def answered(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    header = received(connection, 6)
    return header + received(connection, int.from_bytes(header[4:6], "big"))


def rest_of(connection: socket.socket) -> bytes:
    """Until its end; b"" with nothing known of what came before, where it was cut."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while octets := connection.recv(65536):
            got += octets
    return got


# Reads of nothing and of too much, a coil neither on nor off.  The gate answers them itself; libmodbus rests for half a second after each
# and throws away what stands behind it, so that the twin asks once and remembers.
UNSOUND = (struct.pack(">BHH", 3, 0, 0), struct.pack(">BHH", 3, 0, 126), struct.pack(">BHH", 5, 0, 0x1234))
SMALL = st.integers(0, OWN - 1)
PDUS = st.one_of(
    st.builds(lambda at, count: ("own", struct.pack(">BHH", 3, at, min(count, OWN - at))), SMALL, st.integers(1, OWN)),
    st.builds(lambda function, count: ("", struct.pack(">BHH", function, 0, count)), st.sampled_from((1, 2)), st.integers(1, 16)),
    st.builds(lambda at, value: ("own", struct.pack(">BHH", 6, at, value)), SMALL, st.integers(0, 2 * HARMFUL)),
    st.builds(
        lambda at, values: ("own", struct.pack(f">BHHB{len(values)}H", 16, at, len(values), 2 * len(values), *values)),
        st.integers(0, OWN - 3),
        st.lists(st.integers(0, 2 * HARMFUL), min_size=1, max_size=3),
    ),
    st.sampled_from(UNSOUND).map(lambda pdu: ("", pdu)),
    st.just(("", struct.pack(">BHH", 3, 0xFFFF, 1))),  # beyond the server's table
)
REQUESTS = st.lists(st.tuples(st.one_of(st.just(0), st.just(7), st.integers(0, 0xFFFF)), PDUS, st.integers(1, 2)), min_size=1, max_size=6)


def forbidden(pdu: bytes) -> bool:
    values = pdu[3:5] if pdu[0] == 6 else pdu[6:] if pdu[0] == 16 else b""
    return any(value >= HARMFUL for (value,) in struct.iter_unpack(">H", values))


class AsDirect(RuleBasedStateMachine):
    bed: Bed
    pairs: Bundle["Pair"] = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Pair] = []

    @rule(target=pairs)
    def connect(self) -> Pair:
        bed = self.bed
        if len(self.open) >= 4:
            return multiple()  # type: ignore[return-value]
        base = next(bed.bases)
        for port in (bed.behind, bed.beside):
            with connected(port) as connection:
                answered(connection, adu(0, struct.pack(f">BHHB{OWN}H", 16, base, OWN, 2 * OWN, *range(OWN))))
        pair = Pair(connected(bed.gate[1]), connected(bed.beside), base)
        self.open.append(pair)
        return pair

    @rule(pair=pairs, requests=REQUESTS, cuts=st.lists(st.integers(0, 200), max_size=8))
    def send(self, pair: Pair, requests: list[tuple[int, tuple[str, bytes], int]], cuts: list[int]) -> None:
        """Pipelined, numbered at will, some sent twice, in any pieces."""
        stream = b""
        for transaction, (whose, pdu), times in requests:
            if whose == "own":
                pdu = pdu[:1] + struct.pack(">H", pair.base + int.from_bytes(pdu[1:3], "big")) + pdu[3:]  # noqa: PLW2901
            request = adu(transaction, pdu)
            for _ in range(times):
                stream += request
                pair.due += self.answer_to(pair, request)
        edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        for start, end in pairwise(edges):
            pair.through.sendall(stream[start:end])

    def answer_to(self, pair: Pair, request: bytes) -> bytes:
        pdu = request[7:]
        if pdu in self.bed.unsound:
            return request[:4] + b"\0\3" + self.bed.unsound[pdu]
        return modbus.refusal(request, 4) if forbidden(pdu) else answered(pair.direct, request)

    @rule(pair=pairs)
    def collect(self, pair: Pair) -> None:
        assert received(pair.through, len(pair.due)) == pair.due
        pair.due.clear()

    @rule(pair=consumes(pairs))
    def half_close(self, pair: Pair) -> None:
        pair.through.shutdown(socket.SHUT_WR)
        assert rest_of(pair.through) == pair.due
        self.leave(pair)

    @rule(pair=consumes(pairs), part=st.integers(1, 11))
    def end_within_a_request(self, pair: Pair, part: int) -> None:
        pair.through.sendall(adu(1, struct.pack(">BHH", 6, pair.base, 1))[:part])
        pair.through.shutdown(socket.SHUT_WR)
        assert rest_of(pair.through) == pair.due
        self.leave(pair)

    @rule(
        pair=consumes(pairs),
        lie=st.sampled_from((b"\0\1\0\7\0\6\1\3\0\0\0\1", b"\0\1\0\0\xff\xff\1\3", b"\0\1\0\0\0\0\1", b"GET / HTTP/1.1\r\n")),
    )
    def lie(self, pair: Pair, lie: bytes) -> None:
        """What is framed wrongly ends the connection; what was answered until then was right."""
        with contextlib.suppress(ConnectionError):
            pair.through.sendall(lie + bytes(300))
        assert pair.due.startswith(rest_of(pair.through))
        self.leave(pair)

    @rule(pair=consumes(pairs))
    def vanish(self, pair: Pair) -> None:
        pair.through.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.leave(pair)

    def leave(self, pair: Pair) -> None:
        pair.close()
        self.open.remove(pair)

    def teardown(self) -> None:
        for pair in list(self.open):
            self.collect(pair)
            self.leave(pair)


def test_through_the_gate_is_as_direct(standing: Bed) -> None:
    AsDirect.bed = standing
    chosen = settings(max_examples=150, stateful_step_count=20, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AsDirect, settings=chosen)
