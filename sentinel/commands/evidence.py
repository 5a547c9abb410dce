"""``sentinel evidence FINDING``: the packets that a finding rests on, from the records, without the API.

Prints the digest, what the excerpt is and where it lies; ``--out`` copies it, ``--tree`` shows its packets layer by layer.  What lies there
was masked by the sensor: passwords in clear text are asterisks.  May run beside the appliance; needs the right to read its directory.

``--recompute``: the excerpt goes the road of `sentinel replay` once more, judged by the sealed baseline that judged then, or by the one
that ``--baseline`` names.  Of each detection it says whether it comes again: of the same cause, techniques and reason, at the same instant.
Exit status 1 when one of them differs; what an excerpt cannot hold is said and is no difference.
"""

import argparse
import sys
from pathlib import Path

from collectors.capture.replay import replay
from sentinel import settings as configuration
from sentinel.access.authority import ROOT
from sentinel.baseline import store
from sentinel.baseline.store import Baseline
from sentinel.brain.anchors import ANCHOR, PREVIOUS, look
from sentinel.clock import SystemClock
from sentinel.detect.calibrate import Budget
from sentinel.detect.catalogue import detectors
from sentinel.dissection import dissect
from sentinel.durable import write_whole
from sentinel.errors import InputError
from sentinel.model.finding import Finding
from sentinel.model.ids import AssetId
from sentinel.model.record import Excerpt
from sentinel.model.time import iso
from sentinel.pipeline import Analysis
from sentinel.places import Places
from sentinel.recompute import Outcome, recomputed
from sentinel.records import Records
from sentinel.records.records import DATABASE
from sentinel.settings import Settings

SUMMARY = "show the packets that a finding rests on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", help="the finding's id, or the digest of an excerpt")
    parser.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings file (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="copy the pcapng file there")
    parser.add_argument("--tree", action="store_true", help="show the packets, layer by layer")
    parser.add_argument("--recompute", action="store_true", help="does the excerpt lead to the same finding again?")
    parser.add_argument(
        "--baseline", type=Path, metavar="BASELINE", help="with --recompute: judge by this one, where the appliance's own is gone"
    )


def run(args: argparse.Namespace) -> int:
    settings = configuration.read(args.config)
    places = Places.of(settings, args.config)
    kept = places.records
    if not (kept / DATABASE).exists():
        raise InputError(f"{kept / DATABASE}: there is no such database; was the appliance ever started with these settings?")
    records = Records(kept, SystemClock())
    try:
        excerpt, octets = _found(records, args.finding)
        path = records.evidence_file(excerpt.digest)
        finding = records.find(Finding, args.finding)
    finally:
        records.close()
    if args.out is not None:
        write_whole(args.out, octets)
    print(f"{excerpt.kind} of {excerpt.octets} octets, kept {iso(excerpt.at)}\nsha256 {excerpt.digest}\n{args.out or path}")
    if args.tree:
        sys.stdout.write("\n" + dissect(path).decode(errors="replace"))
    if not args.recompute:
        return 0
    if finding is None:
        raise InputError(f"{args.finding} is an excerpt: what is recomputed is a finding")
    return _recompute(finding, path, _analysis(settings, places, _judging(places, finding, args.baseline)))


def _recompute(finding: Finding, path: Path, analysis: Analysis) -> int:
    again = recomputed(finding, replay(path), analysis)
    print(f"\n{finding.title}")
    for one in again:
        print(f"{one.outcome}: {one.detection.detector}, {one.detection.feature}" + (f": {one.reason}" if one.reason else ""))
    if finding.verdicts:
        print(f"what the court said of its {len(finding.commands)} commands: `sentinel rerun` with the cases of its verdicts")
    return 1 if any(one.outcome is Outcome.DIFFERS for one in again) else 0


def _judging(places: Places, finding: Finding, named: Path | None) -> Baseline | None:
    """None: the first baseline was still being learnt.  Raises InputError where the one that judged is not kept any more."""
    if named is not None:
        return store.load(named)
    trusted = places.authority / ROOT
    root = trusted.read_bytes() if trusted.exists() else b""
    anchors = [kept for name in (ANCHOR, PREVIOUS) if (kept := look(places.directory / name, root)) is not None]
    if len(anchors) == 2 and anchors[1][1].digest != anchors[0][1].previous:
        del anchors[1]
    for baseline, statement in anchors:
        if statement.at <= finding.first_seen:
            return baseline
    if not anchors or anchors[-1][1].previous is None:
        return None
    raise InputError(
        f"{finding.id} was judged by a baseline before {anchors[-1][1].digest[:12]}, which is not kept here: name it with --baseline"
    )


def _analysis(settings: Settings, places: Places, baseline: Baseline | None) -> Analysis:
    """As the appliance judges."""
    tag_map = None
    if settings.appliance.plant:
        from sentinel.twin.plant import load_plant

        tag_map = load_plant(places.plant).tags
        tag_map = tag_map if tag_map.tags else None
    return Analysis(
        tag_map=tag_map,
        baseline=baseline,
        judging_only=baseline is None,
        detectors=detectors(tag_map, Budget(alarms_per_week=settings.learning.false_alarms_per_week)),
        servers=map(AssetId, settings.tagged_servers()),
    )


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
