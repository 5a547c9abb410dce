"""``sentinel bench decode FILE``: how fast one core makes rows of a capture file, everything on, start-up apart.

Everything: reading, TCP reassembly, data units, pairing, the octets of every value, flow rows.  ``seconds`` is processor time from the
first octet to the last row (one thread; on an idle machine that is the time on the wall), ``mpps`` millions of packets per such second,
``startup_s`` from the start of the process until a packet can be taken, ``peak_mb`` the most memory that the process had.

``--rounds K`` runs this, tcpdump and Suricata in turn, each in a process of its own, where they are installed; then the two of them that
keep records, ours in Parquet, Suricata's in EVE.  Each is also run over the capture's first packets alone: what that takes is its
start-up, and is taken off.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from collectors.capture.files import CaptureFile
from collectors.capture.replay import excerpt
from collectors.capture.sensor import Sensor
from collectors.capture.warm import warm
from sentinel.errors import InputError

_READ_PACKETS = 32768  # at once, about what fits into the reader's buffer
_KEPT = ("records.parquet", "eve.json")
_LIMIT_S = 600  # of one run of a tool
_SURICATA = """%YAML 1.1
---
outputs: [{outputs}]
stats: {{enabled: no}}
app-layer: {{protocols: {{modbus: {{enabled: yes, detection-ports: {{dp: 502}}}}}}}}
"""  # its Modbus parser on, no rules: the least that it can do
_EVE = "{eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [modbus]}}"
_FIRST_FRAMES = 8  # of a capture: what a start-up is measured with
_SURICATA_OPTIONS = ("--runmode", "single", "-k", "none")  # one thread for packets, checksums not checked


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


def commands(path: Path, directory: Path) -> dict[str, list[str]]:
    """What is run in turn; a tool that is not installed is left out."""
    suricata = ["suricata", "-S", "/dev/null", *_SURICATA_OPTIONS, "-l", str(directory), "-r", str(path), "-c"]
    for name, outputs in (("parse", ""), ("eve", _EVE)):
        (directory / f"{name}.yaml").write_text(_SURICATA.format(outputs=outputs), encoding="ascii")
    records = ["decode", str(path), "--format", "parquet", "--out", str(directory / "records.parquet")]
    tools = {
        "sentinel": [sys.executable, "-m", "collectors.capture.bench", str(path), "--json"],
        "tcpdump": ["tcpdump", "-r", str(path), "-w", "/dev/null"],
        "suricata": [*suricata, str(directory / "parse.yaml")],
        "sentinel, Parquet": [sys.executable, "-m", "sentinel", *records],
        "suricata, EVE": [*suricata, str(directory / "eve.yaml")],
    }
    return {name: command for name, command in tools.items() if shutil.which(command[0])}


def processor_s(command: list[str]) -> float:
    """Processor time of a whole process.  Raises CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(path: Path, rounds: int, report: Mapping[str, float]) -> str:
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as made:
        directory, apart = Path(made), Path(made) / "start"
        apart.mkdir()
        first = apart / "first.pcap"
        first.write_bytes(excerpt(path, range(1, _FIRST_FRAMES + 1)))
        tools, starts = commands(path, directory), commands(first, apart)
        taken: dict[str, list[float]] = {name: [] for name in tools}
        sizes: dict[str, int] = {}
        for _ in range(rounds):
            for name, command in tools.items():
                (directory / "eve.json").unlink(missing_ok=True)  # it would be added to
                seconds = processor_s(command)
                sizes |= {kept: (directory / kept).stat().st_size for kept in _KEPT if (directory / kept).exists()}
                taken[name].append(seconds - processor_s(starts[name]))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    lines = [f"processor time without start-up, median of {rounds}:"]
    for name, seconds in medians.items():
        ratios = [f"{seconds / medians[other]:.2f} x {other}" for other in ("tcpdump",) if other in medians and other != name]
        lines.append(", ".join((f"{name}: {seconds:.2f} s", f"{report['packets'] / seconds / 1e6:.2f} million packets/s", *ratios)))
    for ours, theirs in (("sentinel", "suricata"), ("sentinel, Parquet", "suricata, EVE")):
        if theirs in medians:
            lines.append(f"{ours} is {medians[theirs] / medians[ours]:.1f} x as fast as {theirs}")
    lines += [f"{kept}: {size / report['pairs']:.1f} octets per transaction" for kept, size in sizes.items() if report["pairs"]]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench decode", description="packets per second of one core, over a capture file")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="one object and nothing else")
    parser.add_argument("--rounds", type=int, default=0, help="compare with tcpdump and Suricata in so many interleaved rounds")
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
        sys.stdout.write(compare(options.file, options.rounds, report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
