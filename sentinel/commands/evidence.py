"""``sentinel evidence FINDING``: the packets that a finding rests on, from the records, without the API.

Prints the digest, what the excerpt is and where it lies; ``--out`` copies it, ``--tree`` shows its packets layer by layer.  What lies there
was masked by the sensor: passwords in clear text are asterisks.  May run beside the appliance; needs the right to read its directory.
"""

import argparse
import sys
from pathlib import Path

from sentinel import settings as configuration
from sentinel.clock import SystemClock
from sentinel.dissection import dissect
from sentinel.durable import write_whole
from sentinel.errors import InputError
from sentinel.model.finding import Finding
from sentinel.model.record import Excerpt
from sentinel.model.time import iso
from sentinel.places import Places
from sentinel.records import Records
from sentinel.records.records import DATABASE

SUMMARY = "show the packets that a finding rests on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", help="the finding's id, or the digest of an excerpt")
    parser.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings file (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="copy the pcapng file there")
    parser.add_argument("--tree", action="store_true", help="show the packets, layer by layer")


def run(args: argparse.Namespace) -> int:
    kept = Places.of(configuration.read(args.config), args.config).records
    if not (kept / DATABASE).exists():
        raise InputError(f"{kept / DATABASE}: there is no such database; was the appliance ever started with these settings?")
    records = Records(kept, SystemClock())
    try:
        excerpt, octets = _found(records, args.finding)
        path = records.evidence_file(excerpt.digest)
    finally:
        records.close()
    if args.out is not None:
        write_whole(args.out, octets)
    print(f"{excerpt.kind} of {excerpt.octets} octets, kept {iso(excerpt.at)}\nsha256 {excerpt.digest}\n{args.out or path}")
    if args.tree:
        sys.stdout.write("\n" + dissect(path).decode(errors="replace"))
    return 0


def _found(records: Records, name: str) -> tuple[Excerpt, bytes]:
    finding = records.find(Finding, name)
    if finding is not None and finding.evidence is None:
        raise InputError(f"finding {name} has no evidence: its frames were not kept, or not heard by a sensor")
    digest = finding.evidence if finding is not None else name
    excerpt = records.find(Excerpt, str(digest))
    if excerpt is None:
        raise InputError(f"there is neither a finding nor an excerpt {name}")
    octets = records.evidence(excerpt.digest)
    if octets is None:
        raise InputError(f"the evidence of {name} was dropped" + (f" on {iso(excerpt.dropped)}" if excerpt.dropped else ""))
    return excerpt, octets
