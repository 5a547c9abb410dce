"""``sentinel replay``: a capture walks the whole road offline; findings come out, one line each.

Seconds are counted from the file's first packet.  Equal files, baselines and options give equal output.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from collectors.capture.replay import replay
from sentinel.baseline.store import load
from sentinel.errors import InputError
from sentinel.model.codec import to_jsonable
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant, after, iso, seconds_between
from sentinel.pipeline import Analysis
from sentinel.progress import Meter, first_instant

if TYPE_CHECKING:
    from sentinel.offline import OfflineCourt

SUMMARY = "analyse a capture file offline and print its findings"
TEXT, JSON_LINES = "text", "jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pcap or pcapng file")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--baseline", type=Path, metavar="BASELINE", help="judge by a baseline that `learn` wrote")
    how.add_argument("--learn-until", type=float, metavar="SECONDS", help="learn what comes before, report what begins afterwards")
    parser.add_argument("--plant", type=Path, metavar="PLANT", help="plant file: tags get names and units, and the twin judges every write")
    parser.add_argument("--format", choices=(TEXT, JSON_LINES), default=TEXT, help="default: text")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the findings there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    findings, start, meter = analyse(args.file, args.baseline, args.learn_until, args.plant)
    if args.out:
        with args.out.open("w", encoding="utf-8") as out:
            write(findings, start, args.format, out)
    else:
        write(findings, start, args.format, sys.stdout)
    told = "no findings" if not findings else "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    print(f"{args.file}: {meter.packets} packets, {told}", file=sys.stderr)
    for defect in meter.defects:
        print(f"{args.file}: {defect}", file=sys.stderr)
    return 0


def analyse(
    file: Path, baseline: Path | None = None, learn_until_s: float | None = None, plant_file: Path | None = None
) -> tuple[Sequence[Finding], Instant, Meter]:
    """(findings in the order of their first frame, time of the first packet, what was read).  With a plant file writes are judged."""
    if learn_until_s is not None and learn_until_s <= 0:
        raise InputError(f"--learn-until {learn_until_s:g}: there is nothing to learn from before the first packet")
    known = load(baseline) if baseline else None
    tag_map, court = _plant(plant_file)
    meter = Meter(f"replaying {file.name}")
    analysis: Analysis | None = None
    start = Instant(0)
    for heard in replay(file, defects=meter.defects):
        first = first_instant(heard)
        if analysis is None:
            if first is None:
                continue
            start = first
            edge = after(first, learn_until_s) if learn_until_s is not None else None
            analysis = Analysis(tag_map=tag_map, baseline=known, learn_until=edge, judging_only=known is None and edge is None)
        analysis.heard(heard)
        _judge(analysis, court)
        meter.reached(heard)
    meter.done()
    if analysis is None:
        return (), start, meter
    analysis.flush()
    _judge(analysis, court)
    return sorted(analysis.findings, key=lambda finding: (finding.first_seen, finding.first_frame, finding.id)), start, meter


def _plant(file: Path | None) -> tuple[TagMap | None, "OfflineCourt | None"]:
    if file is None:
        return None, None
    from sentinel.offline import OfflineCourt
    from sentinel.twin.plant import load_plant

    plant = load_plant(file)
    return plant.tags, OfflineCourt(plant)


def _judge(analysis: Analysis, court: "OfflineCourt | None") -> None:
    """What the batch has brought goes to the twin, and verdicts come back, as they would from the live court."""
    commands, readings = analysis.take_commands(), analysis.take_readings()
    for verdict in court.verdicts(readings, commands) if court is not None else ():
        analysis.verdict(verdict)


def write(findings: Sequence[Finding], start: Instant, how: str, out: TextIO) -> None:
    for finding in findings:
        out.write((json_line(finding, start) if how == JSON_LINES else as_text(finding, start)) + "\n")


def json_line(finding: Finding, start: Instant) -> str:
    """One finding on one line; ``_s`` fields are seconds since the file's first packet."""
    line = to_jsonable(finding)
    del line["source"]  # whose frames these are: the file's
    line["severity"] = finding.severity.name.lower()
    for name in ("first_seen", "last_seen"):
        line[name] = iso(getattr(finding, name))
        line[f"{name}_s"] = round(seconds_between(start, getattr(finding, name)), 6)
    for detection in line["detections"]:
        detection["severity"] = Severity(detection["severity"]).name.lower()
        detection["seen"] = iso(detection["seen"])
    return json.dumps(line, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_text(finding: Finding, start: Instant) -> str:
    begin, end = (seconds_between(start, instant) for instant in (finding.first_seen, finding.last_seen))
    lines = [
        f"{finding.severity.name:8} {begin:10.3f} s  frame {finding.first_frame:<7} {finding.title}",
        f"{'':8} until {end:.3f} s, {finding.frame_count} frames, risk {finding.risk:.0f} of 100, confidence {finding.confidence:.2f}"
        + (f", {', '.join(finding.techniques)}" if finding.techniques else ""),
    ]
    lines += [f"{'':10}- {sentence}" for sentence in finding.why]
    lines += [f"{'':10}{line}" for line in _looked_into(finding)]
    return "\n".join(lines)


def _looked_into(finding: Finding) -> Iterator[str]:
    if finding.hypotheses:
        likeliest, *others = finding.hypotheses
        rest = ", ".join(f"{one.explanation} {one.share:.0%}" for one in others)
        yield f"Most likely {likeliest.explanation} ({likeliest.share:.0%}; {rest}): {'; '.join(likeliest.supporting)}"
    if finding.look_into:
        yield f"Look into: {'; '.join(finding.look_into)}"
