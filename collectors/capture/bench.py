"""``sentinel bench decode FILE``: how fast one core makes rows of a capture file, everything on, start-up apart.

Everything: reading, TCP reassembly, data units, pairing, the octets of every value, flow rows.  ``seconds`` is processor time from the
first octet to the last row (one thread; on an idle machine that is the time on the wall), ``mpps`` millions of packets per such second,
``startup_s`` from the start of the process until a packet can be taken, ``peak_mb`` the most memory that the process had.

``--repeat N`` hears the capture N times in a row, each time later, as if it never ended; ``lasted_s`` says how long that was by the
packets' own time, ``resident_mb`` how much memory the process had after each pass.  The sensor's tables are touched as they fill, and
are bounded.

``--rounds K`` runs this, tcpdump, Suricata and tshark in turn, where they are installed, and those that keep records, ours in Parquet,
Suricata's in EVE (`collectors.capture.beside`).
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture.beside import compare
from collectors.capture.files import CaptureFile
from collectors.capture.packets import PacketBatch
from collectors.capture.sensor import Sensor
from collectors.capture.tables import NEVER
from collectors.capture.warm import warm
from sentinel.errors import InputError
from sentinel.model.time import NS_PER_S

_READ_PACKETS = 32768  # at once, about what fits into the reader's buffer


def process_age_s() -> float:
    """Since the kernel started this process (proc(5), ``starttime``)."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def resident_mb() -> float:
    """Of this process (proc(5), ``statm``)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def heard_later(path: Path, later: int) -> Iterator[PacketBatch]:
    """The packets of a capture, so many ns later than they were."""
    for batch in CaptureFile(path, _READ_PACKETS):
        yield replace(batch, time=batch.time + later) if later else batch


def measure(path: Path, repeat: int = 1) -> dict[str, Any]:
    """Raises InputError for what is no capture."""
    warm()
    sensor = Sensor("bench")
    startup_s = process_age_s()
    packets = pdus = pairs = defects = later = 0
    first, last = NEVER, NEVER
    resident = list[float]()
    started = time.process_time()
    for _ in range(repeat):
        for batch in heard_later(path, later):
            messages = sensor.feed(batch).messages
            packets += len(batch)
            pdus += len(messages)
            pairs += int(np.count_nonzero(messages.latency >= 0))
            defects += int(np.count_nonzero(messages.defect))
            first, last = int(batch.time.min()) if first == NEVER else first, max(last, int(batch.time.max()))
        later = last - first + NS_PER_S
        resident.append(resident_mb())
    rest = sensor.close().messages
    seconds = time.process_time() - started
    return {
        "packets": packets,
        "seconds": round(seconds, 3),
        "mpps": round(packets / seconds / 1e6, 2),
        "startup_s": round(startup_s, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "pdus": pdus + len(rest),
        "pairs": pairs,
        "defects": defects + int(np.count_nonzero(rest.defect)),
    } | ({"lasted_s": round(later / NS_PER_S, 1), "resident_mb": resident} if repeat > 1 else {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench decode", description="packets per second of one core, over a capture file")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="one object and nothing else")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="hear it so many times in a row, and say what memory that takes")
    parser.add_argument("--rounds", type=int, default=0, help="compare with tcpdump, Suricata and tshark in so many interleaved rounds")
    options = parser.parse_args(arguments)
    if options.repeat < 1:
        parser.error("a capture is heard at least once")
    try:
        report = measure(options.file, options.repeat)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
        return 0
    sys.stdout.write(
        "{packets} packets, {pdus} data units, {pairs} answers paired, {defects} defects\n"
        "{seconds} s on one core: {mpps} million packets/s; ready after {startup_s} s; {peak_mb} MB at most\n".format(**report)
    )
    if options.repeat > 1:
        resident = report["resident_mb"]
        middle = len(resident) // 2
        sys.stdout.write(
            f"{report['lasted_s'] / 60:.1f} minutes of packets: {resident[0]} MB after the first pass,"
            f" {resident[middle]} after pass {middle + 1}, {resident[-1]} after the last\n"
        )
    if options.rounds:
        sys.stdout.write(compare(options.file, options.rounds, int(report["packets"]), int(report["pairs"])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
