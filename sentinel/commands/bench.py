"""``sentinel bench WHAT``: the figures that the README quotes, on this machine.  A benchmark is a module with ``main(arguments)``."""

import argparse
import importlib

SUMMARY = "measure what the README quotes, on this machine"
BENCHES = {
    "gate": "sentinel.measure.gate",
    "verdict": "sentinel.measure.verdict",
    "week": "sentinel.measure.week",
    "poison": "sentinel.measure.poison",
    "replay": "sentinel.measure.replay",
    "decode": "collectors.capture.bench",
    "traffic": "collectors.capture.traffic",
    "oracle": "collectors.capture.oracle",
    "road": "sentinel.measure.road",
    "detect": "sentinel.measure.detection.bench",
    "valve": "sentinel.measure.detection.valves",
    "ramp": "sentinel.measure.detection.ramp",
    "twin": "sentinel.measure.twin.bench",
    "history": "sentinel.measure.history",
    "score": "sentinel.measure.detection.scoring",
    "live": "sentinel.measure.live",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=BENCHES)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="the benchmark's own options")


def run(args: argparse.Namespace) -> int:
    status: int = importlib.import_module(BENCHES[args.what]).main(args.rest)
    return status
