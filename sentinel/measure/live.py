"""``sentinel bench live``: what the sensor costs, and whether it hears everything, at the highest rate that a virtual wire carries here.

A pair of virtual interfaces in a network namespace of this process's own (root is needed).  Into one end goes traffic of our own
generator, as fast as `sendmmsg` takes it (or at ``--rate``); at the other end hears the appliance's own capture process, as it always
does, with its ring of recent packets on disk, and hands over to an intake.  ``lost`` is what was sent and neither heard nor counted as
dropped: it has to be 0.  ``cpu_ns`` is processor time of all the capture's threads, a packet, decoding and handing over included, its
own and the kernel's for it apart (the kernel's copy into the ring is done for the sender, and on its account).
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from socket import AF_PACKET, SOCK_RAW, socket
from typing import Any

import numpy as np

from collectors.capture.files import CaptureFile
from collectors.capture.replay import packets_of
from collectors.capture.traffic import main as write_traffic
from sentinel.errors import TransientError
from sentinel.intake import Intake
from sentinel.model.observation import Counters, Heard
from sentinel.model.time import NS_PER_S

_CLONE_NEWNET = 0x40000000
_SOL_PACKET, _QDISC_BYPASS = 263, 20
_AT_ONCE = 512  # frames of one system call
_PATIENCE_S = 120.0  # a cold start compiles the kernels
_QUIET_S = 5.0  # after the last frame
# struct iovec, struct mmsghdr (x86-64 and arm64: pointers of 8 octets)
_VECTOR = np.dtype([("base", "u8"), ("length", "u8")])
_MESSAGE = np.dtype(
    [("name", "u8"), ("name_length", "u8"), ("vectors", "u8"), ("count", "u8"), ("control", "u8", 2), ("flags", "u8"), ("sent", "u8")]
)


class Frames:
    """Frames in memory, and the kernel's description of them."""

    def __init__(self, path: Path) -> None:
        packets = [octets for batch in CaptureFile(path) for _, _, octets in packets_of(batch, range(len(batch)))]
        self._octets = np.frombuffer(b"".join(packets), np.uint8)
        lengths = np.array([len(octets) for octets in packets], np.uint64)
        self._vectors = np.zeros(len(lengths), _VECTOR)
        self._vectors["length"] = lengths
        self._vectors["base"] = self._octets.ctypes.data + np.cumsum(lengths) - lengths
        self._messages = np.zeros(len(lengths), _MESSAGE)
        self._messages["vectors"] = self._vectors.ctypes.data + _VECTOR.itemsize * np.arange(len(lengths), dtype=np.uint64)
        self._messages["count"] = 1

    def __len__(self) -> int:
        return len(self._vectors)

    def send(self, interface: str, rate: float, limit_s: float) -> tuple[int, float]:
        """(frames, seconds).  ``rate`` a second, 0 = as fast as they go; ends after ``limit_s`` in any case.  Keeps a processor busy."""
        libc = ctypes.CDLL(None, use_errno=True)
        with socket(AF_PACKET, SOCK_RAW, 0) as mouth:
            mouth.bind((interface, 0))
            mouth.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
            sent, began = 0, time.monotonic()
            while sent < len(self) and (passed := time.monotonic() - began) < limit_s:
                due = len(self) - sent if not rate else min(len(self) - sent, int(rate * passed) - sent)
                if due <= 0:
                    continue
                at = self._messages.ctypes.data + sent * _MESSAGE.itemsize
                done = libc.sendmmsg(mouth.fileno(), ctypes.c_void_p(at), min(due, _AT_ONCE), 0)
                if done < 0:
                    raise TransientError(f"{interface}: {os.strerror(ctypes.get_errno())}")
                sent += done
            return sent, time.monotonic() - began


class Ears:
    """What the capture processes hand over."""

    def __init__(self) -> None:
        self.packets = self.units = 0
        self._counters: dict[str, Counters] = {}
        self._came = asyncio.Condition()

    @property
    def dropped(self) -> int:
        return sum(counters.dropped for counters in self._counters.values())

    @property
    def heard(self) -> int:
        """Copies of a packet among them, which are in no row."""
        return self.packets + sum(counters.repeated for counters in self._counters.values())

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Heard):
            async with self._came:
                self.packets += int(value.flows.packets.sum())
                self.units += len(value.messages)
                self._counters[value.source] = value.counters
                self._came.notify_all()

    async def all_of(self, packets: int) -> None:
        """Returns once everything is accounted for, or no packet came for long."""
        while (known := self.heard + self.dropped) < packets:
            try:
                async with asyncio.timeout(_QUIET_S), self._came:
                    await self._came.wait_for(lambda: self.heard + self.dropped > known)
            except TimeoutError:
                return


def processor_ns(process: int) -> tuple[int, int]:
    """Of all threads that it had: (of its own, for what it asked of the kernel), in ticks of 10 ms (proc(5), ``utime`` and ``stime``)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    tick_ns = NS_PER_S // os.sysconf("SC_CLK_TCK")
    return int(fields[11]) * tick_ns, int(fields[12]) * tick_ns


def make_wire() -> tuple[str, str]:
    """Both ends up, in a namespace of this process's own, nobody else there.  Raises TransientError without the right to it."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise TransientError("a network namespace needs root")
    commands = ["sysctl -qw net.ipv6.conf.default.disable_ipv6=1", "ip link add ear type veth peer name mouth"]
    for command in (*commands, "ip link set ear up", "ip link set mouth up"):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False, timeout=10)
        if done.returncode:
            raise TransientError(f"{command}: {done.stderr.strip()}")
    return "ear", "mouth"


@contextlib.asynccontextmanager
async def hearing(intake: Intake, directory: Path, ear: str, workers: int, recent: bool) -> AsyncIterator[list[int]]:
    """The process numbers of the capture, while it hears."""
    processes = []
    try:
        for number in range(1, workers + 1):
            told: dict[str, Any] = {"name": f"capture-{number}", "intake": str(directory / "intake.sock"), "interfaces": [ear]}
            told |= {"recent": str(directory / f"recent-{number}")} if recent else {}
            told |= {"fanout_group": 1} if workers > 1 else {}
            config = directory / f"capture-{number}.json"
            config.write_text(json.dumps(told), encoding="ascii")
            command = (sys.executable, "-m", "collectors", "capture", str(config))
            processes.append(await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL))
        async with asyncio.timeout(_PATIENCE_S):
            for number in range(1, workers + 1):
                await intake.wait_present(f"capture-{number}")
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def measure(options: argparse.Namespace, directory: Path) -> dict[str, float | bool]:
    ear, mouth = make_wire()
    path = directory / "traffic.pcap"
    with contextlib.redirect_stdout(sys.stderr):
        write_traffic(["--packets", str(options.packets), "--out", str(path), "--mix", options.mix])
    frames = Frames(path)
    ears = Ears()
    async with (
        Intake(directory / "intake.sock", ears) as intake,
        hearing(intake, directory, ear, options.workers, not options.no_recent) as processes,
    ):
        before = np.array([processor_ns(process) for process in processes]).sum(axis=0)
        sent, seconds = await asyncio.to_thread(frames.send, mouth, options.rate, options.seconds)
        await ears.all_of(sent)
        spent = np.array([processor_ns(process) for process in processes]).sum(axis=0) - before
    user_ns, system_ns = (round(float(each) / max(1, ears.heard)) for each in spent)
    return {
        "sent": sent,
        "rate_per_s": round(sent / seconds),
        "heard": ears.heard,
        "dropped": ears.dropped,
        "lost": sent - ears.heard - ears.dropped,
        "pdus": ears.units,
        "cpu_ns": user_ns + system_ns,
        "user_ns": user_ns,
        "system_ns": system_ns,
        "workers": options.workers,
        "recent": not options.no_recent,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="sentinel bench live", description="the capture process at the highest rate that a virtual wire carries"
    )
    parser.add_argument("--packets", type=int, default=1_000_000, help="at most; held in memory, about 200 octets each")
    parser.add_argument("--seconds", type=float, default=20.0, help="the sender ends after this")
    parser.add_argument("--rate", type=float, default=0.0, help="packets a second; 0 = as fast as they go")
    parser.add_argument("--mix", choices=("modbus", "mixed"), default="modbus")
    parser.add_argument("--workers", type=int, default=1, help="capture processes that share the packets")
    parser.add_argument("--no-recent", action="store_true", help="keep no recent packets on disk")
    parser.add_argument("--json", action="store_true", help="one object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sentinel-live-") as made:
        report = asyncio.run(measure(options, Path(made)))
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(
            "{sent} packets sent at {rate_per_s}/s: {heard} heard, {dropped} dropped and counted, {lost} lost; {cpu_ns} ns of processor a "
            "packet ({user_ns} its own, {system_ns} the kernel's for it) in {workers} process(es)\n".format(**report)
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
