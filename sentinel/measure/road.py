"""``sentinel bench road``: what the whole appliance costs a client of the PLC, gate, brain and court together, beside the reference plant.

Prints one JSON object: how much a read gains over a direct one, and how long a write is held until its verdict, in ms; with ``--heard``,
how long a stranger's write that nobody held takes from the wire to a finding in the API.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sentinel.clock import SystemClock
from sentinel.commands.demo import free_port
from sentinel.demo import topology
from sentinel.measure.heard import MAX_WRITES, heard
from sentinel.model.modbus import MBAP_OCTETS
from sentinel.story import Story, prepare, settings_for

_CLIENT = "127.0.0.21"
_READ = struct.pack(">BHH", 3, 0, 8)
_WRITE_PAUSE_S = 0.05
_ANSWER_S = 2.0


class Client:
    """A blocking Modbus/TCP client that keeps time."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), _ANSWER_S, source_address=(_CLIENT, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clock = SystemClock()
        self._transaction = 0

    def ask(self, pdu: bytes) -> tuple[float, bytes]:
        """(ms, PDU of the answer)."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        adu = struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, 1) + pdu
        began_s = self._clock.monotonic_s()
        self._socket.sendall(adu)
        answer = self._socket.recv(260)
        return 1000 * (self._clock.monotonic_s() - began_s), answer[MBAP_OCTETS:]

    def close(self) -> None:
        self._socket.close()


def reads(direct: Client, through: Client, rounds: int) -> tuple[list[float], list[float]]:
    """In turn, so that both meet the machine in the same mood."""
    pairs = [(direct.ask(_READ)[0], through.ask(_READ)[0]) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


async def writes(through: Client, rounds: int) -> tuple[list[float], int]:
    """Small moves of a setpoint up and down, as an operator makes them; how many were not forwarded."""
    times, refused = [], 0
    for turn in range(rounds):
        pdu = struct.pack(">BHH", 6, 0, 1195 + 10 * (turn % 2))
        took_ms, answer = await asyncio.to_thread(through.ask, pdu)
        times.append(took_ms)
        refused += answer != pdu
        await asyncio.sleep(_WRITE_PAUSE_S)
    return times, refused


async def measure(directory: Path, rounds: int, held: int, learn_s: float) -> dict[str, float]:
    setting = topology.loopback()
    settings = settings_for(setting, free_port(), learn_s)
    story = Story(prepare(directory, settings), settings, setting, SystemClock(), lambda _: None, "setpoint")
    story.enrol()
    async with contextlib.AsyncExitStack() as stage, story.appliance(stage):
        await story.begin(stage)
        direct, through = Client(setting.plant_modbus), Client(setting.gate)
        stage.callback(direct.close)
        stage.callback(through.close)
        await asyncio.to_thread(reads, direct, through, rounds // 10)  # warm
        plain, gated = await asyncio.to_thread(reads, direct, through, rounds)
        times, refused = await writes(through, held)
    added = np.percentile(gated, (50, 99)) - np.percentile(plain, (50, 99))
    return {
        "reads": rounds,
        "read_direct_ms_p50": round(float(np.percentile(plain, 50)), 4),
        "read_added_ms_p50": round(float(added[0]), 4),
        "read_added_ms_p99": round(float(added[1]), 4),
        "writes": held,
        "write_held_ms_p50": round(float(np.percentile(times, 50)), 3),
        "write_held_ms_p99": round(float(np.percentile(times, 99)), 3),
        "write_held_ms_max": round(float(np.max(times)), 3),
        "writes_refused": refused,
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench road", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--reads", type=int, default=5000, help="through the gate and direct, each (default: %(default)s)")
    parser.add_argument(
        "--writes", type=int, default=400, help="held until their verdict, 0 = neither reads nor writes (default: %(default)s)"
    )
    parser.add_argument("--heard", type=int, default=0, help="writes past the gate, found by ear alone, one in two seconds; needs root")
    parser.add_argument("--learn", type=float, default=15.0, metavar="SECONDS", help="before anything is measured (default: %(default)g)")
    parser.add_argument("--json", action="store_true", help="the only form; accepted for symmetry with the other benchmarks")
    given = parser.parse_args(arguments)
    if not 0 <= given.heard <= MAX_WRITES:
        parser.error(f"--heard is at most {MAX_WRITES}")
    with tempfile.TemporaryDirectory(prefix="sentinel-road-") as directory:
        figures = asyncio.run(measure(Path(directory) / "road", given.reads, given.writes, given.learn)) if given.writes else {}
        figures |= asyncio.run(heard(Path(directory) / "heard", given.heard, given.learn)) if given.heard else {}
        print(json.dumps(figures))
    return 0
