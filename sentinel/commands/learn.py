"""``sentinel learn``: captures of normal operation become a baseline file."""

import argparse
import sys
from pathlib import Path

from collectors.capture.replay import replay
from sentinel.baseline.store import save
from sentinel.errors import InputError
from sentinel.model.observation import Heard, rows_before
from sentinel.model.time import Instant, after
from sentinel.pipeline import Analysis
from sentinel.progress import Meter, first_instant

SUMMARY = "learn a baseline from captures of normal operation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pcap or pcapng files")
    parser.add_argument("--until", type=float, metavar="SECONDS", help="learn only what comes before this second of each file")
    parser.add_argument("--out", type=Path, required=True, metavar="BASELINE", help="where the baseline goes")
    parser.add_argument("--plant", type=Path, metavar="PLANT", help="plant file: learn its tags instead of raw registers")


def run(args: argparse.Namespace) -> int:
    if args.until is not None and args.until <= 0:
        raise InputError(f"--until {args.until:g}: there is nothing to learn from before the first packet")
    tag_map = None
    if args.plant:
        from sentinel.twin.plant import load_plant

        tag_map = load_plant(args.plant).tags
    learner = Analysis(tag_map=tag_map)
    for number, path in enumerate(args.files, start=1):
        meter = Meter(f"learning {path.name}")
        edge: Instant | None = None
        for heard in replay(path, source=f"{number} {path.name}"):
            first = first_instant(heard)
            if edge is None and first is not None and args.until is not None:
                edge = after(first, args.until)
            learner.heard(heard if edge is None else _before(heard, edge))
            meter.reached(heard)
            if edge is not None and heard.until >= edge:
                break
        learner.flush()
        meter.done()
    progress = learner.progress()
    if not progress.windows:
        raise InputError(f"{', '.join(map(str, args.files))}: no packets to learn from")
    learner.activate()
    save(learner.baseline(), args.out)
    print(
        f"{args.out}: learnt {progress.windows} s of traffic between {progress.assets} assets on {progress.conduits} conduits"
        + (f"; {progress.withheld} s were suspicious and were not learnt" if progress.withheld else ""),
        file=sys.stderr,
    )
    return 0


def _before(heard: Heard, edge: Instant) -> Heard:
    return Heard(
        source=heard.source,
        until=Instant(min(heard.until, edge)),
        messages=rows_before(heard.messages, edge)[0],
        flows=rows_before(heard.flows, edge)[0],
    )
