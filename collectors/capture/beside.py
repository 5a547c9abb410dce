"""Others over the same capture: each tool in a process of its own, in turn, so that what disturbs one disturbs all.

Processor time of the whole process, less what the same command takes for the capture's first packets alone, its start-up.  Suricata runs
with its Modbus parser on, one thread for packets, no rules, checksums not checked, and a configuration of ours: the least that it can do.
tshark, by far the slowest, reads the first 100,000 packets only; all figures are for one packet.
"""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from collectors.capture.replay import excerpt

_LIMIT_S = 600  # of one run of a tool
_FIRST_FRAMES = 8  # of a capture: what a start-up is measured with
_SURICATA = """%YAML 1.1
---
outputs: [{outputs}]
stats: {{enabled: no}}
app-layer: {{protocols: {{modbus: {{enabled: yes, detection-ports: {{dp: 502}}}}}}}}
"""
_EVE = "{eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [modbus]}}"
_SURICATA_OPTIONS = ("--runmode", "single", "-k", "none")
_TSHARK_PACKETS = 100_000
_TSHARK_FIELDS = ("frame.number", "mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code", "modbus.reference_num", "modbus.word_cnt")
_KEPT = ("records.parquet", "eve.json")
_OURS, _OURS_KEPT, _FLOOR = "sentinel", "sentinel, Parquet", "tcpdump"
_PAIRS = ((_OURS, "suricata"), (_OURS_KEPT, "suricata, EVE"), (_OURS, "tshark"))


def commands(path: Path, directory: Path) -> dict[str, list[str]]:
    """What is run in turn over ``path``; what is written lies in ``directory``."""
    suricata = ["suricata", "-S", "/dev/null", *_SURICATA_OPTIONS, "-l", str(directory), "-r", str(path), "-c"]
    for name, outputs in (("parse", ""), ("eve", _EVE)):
        (directory / f"{name}.yaml").write_text(_SURICATA.format(outputs=outputs), encoding="ascii")
    records = ["decode", str(path), "--format", "parquet", "--out", str(directory / "records.parquet")]
    fields = [word for field in _TSHARK_FIELDS for word in ("-e", field)]
    return {
        _OURS: [sys.executable, "-m", "collectors.capture.bench", str(path), "--json"],
        _FLOOR: ["tcpdump", "-r", str(path), "-w", "/dev/null"],
        "suricata": [*suricata, str(directory / "parse.yaml")],
        _OURS_KEPT: [sys.executable, "-m", "sentinel", *records],
        "suricata, EVE": [*suricata, str(directory / "eve.yaml")],
        "tshark": ["tshark", "-r", str(path), "-c", str(_TSHARK_PACKETS), "-Y", "modbus", "-T", "fields", *fields],
    }


def processor_s(command: list[str]) -> float:
    """Processor time of a whole process.  Raises CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(path: Path, rounds: int, packets: int, pairs: int) -> str:
    """A line per tool, medians of ``rounds``, and who is not installed; ``packets`` and ``pairs`` are what the capture holds."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as made:
        directory, apart = Path(made), Path(made) / "start"
        apart.mkdir()
        first = apart / "first.pcap"
        first.write_bytes(excerpt(path, range(1, _FIRST_FRAMES + 1)))
        tools, starts = commands(path, directory), commands(first, apart)
        missing = [name for name, command in tools.items() if not shutil.which(command[0])]
        taken: dict[str, list[float]] = {name: [] for name in tools if name not in missing}
        sizes: dict[str, int] = {}
        for _ in range(rounds):
            for name, seconds in taken.items():
                (directory / "eve.json").unlink(missing_ok=True)  # it would be added to
                whole = processor_s(tools[name])
                sizes |= {kept: (directory / kept).stat().st_size for kept in _KEPT if (directory / kept).exists()}
                seconds.append(whole - processor_s(starts[name]))
    read = {name: min(packets, _TSHARK_PACKETS) if name == "tshark" else packets for name in taken}
    packet_ns = {name: statistics.median(seconds) / read[name] * 1e9 for name, seconds in taken.items()}
    return "\n".join((f"processor time without start-up, median of {rounds}:", *_lines(packet_ns, missing, sizes, pairs))) + "\n"


def _lines(packet_ns: Mapping[str, float], missing: list[str], sizes: Mapping[str, int], pairs: int) -> list[str]:
    lines = []
    for name, ns in packet_ns.items():
        floor = f"{ns / packet_ns[_FLOOR]:8.2f} x {_FLOOR}" if _FLOOR in packet_ns and name != _FLOOR else ""
        lines.append(f"{name:18}{ns:9.0f} ns a packet{1e3 / ns:8.2f} million packets/s{floor}")
    for ours, theirs in _PAIRS:
        if theirs in packet_ns:
            lines.append(f"{ours} is {packet_ns[theirs] / packet_ns[ours]:.1f} x as fast as {theirs}")
    lines += [f"{kept}: {size / pairs:.1f} octets per transaction" for kept, size in sizes.items() if pairs]
    return [*lines, *(f"{name}: not installed" for name in missing)]
