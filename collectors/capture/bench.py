"""``sentinel bench decode FILE``: how fast one core makes rows of a capture file, everything on, start-up apart.

Everything: reading, TCP reassembly, data units, pairing, the octets of every value, flow rows.  ``seconds`` is processor time from the
first octet to the last row (one thread; on an idle machine that is the time on the wall), ``mpps`` millions of packets per such second,
``startup_s`` from the start of the process until a packet can be taken, ``peak_mb`` the most memory that the process had.

``--rounds K`` runs this, tcpdump, Suricata and tshark in turn, where they are installed, and those that keep records, ours in Parquet,
Suricata's in EVE (`collectors.capture.beside`).
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from collectors.capture.beside import compare
from collectors.capture.files import CaptureFile
from collectors.capture.sensor import Sensor
from collectors.capture.warm import warm
from sentinel.errors import InputError

_READ_PACKETS = 32768  # at once, about what fits into the reader's buffer


def process_age_s() -> float:
    """Since the kernel started this process (proc(5), ``starttime``)."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def measure(path: Path) -> dict[str, float]:
    """Raises InputError for what is no capture."""
    warm()
    sensor = Sensor("bench")
    startup_s = process_age_s()
    packets = pdus = pairs = defects = 0
    started = time.process_time()
    for batch in CaptureFile(path, _READ_PACKETS):
        messages = sensor.feed(batch).messages
        packets += len(batch)
        pdus += len(messages)
        pairs += int(np.count_nonzero(messages.latency >= 0))
        defects += int(np.count_nonzero(messages.defect))
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
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench decode", description="packets per second of one core, over a capture file")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="one object and nothing else")
    parser.add_argument("--rounds", type=int, default=0, help="compare with tcpdump, Suricata and tshark in so many interleaved rounds")
    options = parser.parse_args(arguments)
    try:
        report = measure(options.file)
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
    if options.rounds:
        sys.stdout.write(compare(options.file, options.rounds, int(report["packets"]), int(report["pairs"])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
