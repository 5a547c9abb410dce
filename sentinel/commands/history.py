"""`sentinel history --tag LT101`: what tags showed, and where the twin was, from an appliance's history; also while it runs.

Every value with its time of receipt, or a summary of each ``--every``.  Twin states are called "twin:" and their name ("twin:T101.level").
"""

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sentinel import settings as configuration
from sentinel.clock import SystemClock
from sentinel.errors import InputError
from sentinel.history import Found, read, summarise
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S, Instant, after, iso
from sentinel.places import Places
from sentinel.twin.question import duration_s

SUMMARY = "what tags showed, and where the twin was"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", action="append", required=True, metavar="TAG", help="may be given several times")
    parser.add_argument("--from", dest="since", default="1h", metavar="TIME", help="2026-11-26T18:00:00Z, or 10m for ten minutes ago (1h)")
    parser.add_argument("--to", dest="until", default="0s", metavar="TIME", help="likewise (now)")
    parser.add_argument("--every", metavar="TIME", help="a summary of each such span, such as 10s: mean, lowest, highest, last")
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings of the appliance (default: %(default)s)")
    where.add_argument("--dir", type=Path, metavar="DIRECTORY", help="the history itself")


def run(args: argparse.Namespace) -> int:
    """1 when there is nothing to show."""
    now = SystemClock().now()
    since, until = instant(args.since, now), instant(args.until, now)
    if since >= until:
        raise InputError(f"from {iso(since)} is not before to {iso(until)}")
    found = read(_directory(args), args.tag, since, until)
    for defect in found.defects:
        print(f"sentinel history: passed over {defect}", file=sys.stderr)
    columns, rows = _spans(found, duration_s(args.every)) if args.every else _values(found)
    _FORMATS[args.format](columns, rows)
    return 0 if len(found.readings) else 1


def _directory(args: argparse.Namespace) -> Path:
    if args.dir is not None:
        directory: Path = args.dir
        return directory
    return Places.of(configuration.read(args.config), args.config).history


def instant(text: str, now: Instant) -> Instant:
    """An ISO 8601 time, UTC where it has no zone, or how long ago."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        try:
            return after(now, -duration_s(text))
        except InputError:
            raise InputError(f"{text!r} is neither a time such as 2026-11-26T18:00:00Z nor how long ago, such as 10m") from None
    span = (given if given.tzinfo else given.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return Instant((span.days * 86_400 + span.seconds) * NS_PER_S + span.microseconds * 1000)


Row = Sequence[Any]


def _values(found: Found) -> tuple[Sequence[str], Iterable[Row]]:
    readings = found.readings
    rows = zip(readings.seen.tolist(), readings.decoded("tag"), readings.value.tolist(), readings.quality.tolist(), strict=True)
    return ("time", "tag", "value", "quality"), ((iso(t), tag, value, Quality(q).name.lower()) for t, tag, value, q in rows)


def _spans(found: Found, every_s: float) -> tuple[Sequence[str], Iterable[Row]]:
    spans = summarise(found.readings, every_s)
    rows = ((iso(one.time), one.tag, one.mean, one.low, one.high, one.last, one.values) for one in spans)
    return ("time", "tag", "mean", "low", "high", "last", "values"), rows


def _table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    told = [[f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in told) for column in range(len(columns))]
    for row in told:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def _jsonl(columns: Sequence[str], rows: Iterable[Row]) -> None:
    for row in rows:
        cells = [None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in row]
        print(json.dumps(dict(zip(columns, cells, strict=True)), ensure_ascii=False))


_FORMATS = {"table": _table, "csv": _csv, "jsonl": _jsonl}
