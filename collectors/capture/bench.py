"""`python -m collectors.capture.bench FILE`: packets per second of the offline road over one file, start-up apart.

The file is read once; its packets are then fed to fresh sensors, copies on end, each copy later in time and with other addresses.
Prints the median of the rounds, wall and processor time, for the sensor alone and with reading.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from collectors.capture.files import CaptureFile
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from collectors.capture.warm import warm
from sentinel.model.observation import SLOT_NS


def repeated(batches: list[PacketBatch], copies: int) -> list[PacketBatch]:
    """``copies`` of a capture, one behind the other in time, each with its own second octet in every IPv4 address."""
    span = max(int(b.time.max()) for b in batches) - min(int(b.time.min()) for b in batches) + SLOT_NS
    frames = sum(len(b) for b in batches)
    out = []
    for copy in range(copies):
        for b in batches:
            octets = b.octets.copy()
            plain = b.off[(b.cap >= 34) & (octets[np.minimum(b.off + 12, len(octets) - 1)] == 8) & (b.link == ETHERNET)]
            for address in (26, 30):
                octets[plain + address + 1] += np.uint8(copy)
            kept = {name: getattr(b, name) for name in ("off", "cap", "wire", "link", "vlan", "iface")}
            out.append(PacketBatch(octets=octets, time=b.time + copy * span, frame=b.frame + copy * frames, **kept))
    return out


def squeezed(batches: list[PacketBatch], packets_per_s: int) -> list[PacketBatch]:
    """The same packets at an even rate, as a busy link would bring them."""
    step = 1_000_000_000 // packets_per_s
    start = int(batches[0].time[0])
    kept = ("octets", "off", "cap", "wire", "link", "vlan", "iface", "frame")
    return [PacketBatch(time=start + (b.frame - 1) * step, **{name: getattr(b, name) for name in kept}) for b in batches]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m collectors.capture.bench", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000, help="feed at least so many packets per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=1_000_000, help="packets per second of packet time; 0 keeps the file's own times")
    options = parser.parse_args(arguments)
    compile_s = warm()
    started = time.perf_counter()
    batches = list(CaptureFile(options.file))
    read_s = time.perf_counter() - started
    count = sum(len(batch) for batch in batches)
    fed = repeated(batches, -(-options.packets // max(count, 1)))
    if options.rate:
        fed = squeezed(fed, options.rate)
    total = sum(len(batch) for batch in fed)
    walls, cpus, rows, flow_rows = [], [], 0, 0
    for _ in range(options.rounds):
        sensor = Sensor("bench")
        wall, cpu = time.perf_counter(), time.thread_time()
        heard = [sensor.feed(batch) for batch in fed]
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - cpu)
        rows, flow_rows = sum(len(h.messages) for h in heard), sum(len(h.flows) for h in heard)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    sys.stdout.write(
        f"{options.file.name}: {total} packets, {rows} messages, {flow_rows} flow rows\n"
        f"sensor: {total / wall / 1e6:.2f} Mpps wall, {total / cpu / 1e6:.2f} Mpps processor ({cpu / total * 1e9:.0f} ns per packet)\n"
        f"reading: {count / read_s / 1e6:.2f} Mpps; kernels ready after {compile_s:.1f} s\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
