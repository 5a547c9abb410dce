"""``sentinel bench history``: how many values a second the history takes on one core, and how fast it answers.

Writes random walks of 200 tags, a poll's answer of 100 values at a time, for as long as asked, at full speed, sealing and
sweeping as in the appliance; then reads one tag back.  The rate that counts is values per second of processor time of the whole process, so
that neighbours on the machine do not count; the rate by the clock stands beside it.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sentinel.clock import SystemClock
from sentinel.history import Bounds, History, read
from sentinel.history.segments import list_segments
from sentinel.history.writer import QUEUE_VALUES
from sentinel.model.observation import Readings
from sentinel.model.time import NS_PER_S, Instant

GOAL_PER_S = 100_000
_TAGS, _BATCH, _BATCHES = 200, 100, 1000
_SEED = 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench history")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long it writes (default: %(default)g)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sentinel-history-") as directory:
        report = measure(Path(directory), args.seconds)
    if args.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<28} {value:>14,.6g}")
    return 0 if report["values_per_cpu_s"] >= GOAL_PER_S and report["dropped"] == 0 else 1


def measure(directory: Path, seconds: float) -> dict[str, float]:
    clock = SystemClock()
    batches = _batches()
    history = History(directory, clock, Bounds(octets=10**9, age_s=1e9))
    values, now = 0, clock.now()
    begun_s, cpu_s = clock.monotonic_s(), _cpu_s()
    while clock.monotonic_s() - begun_s < seconds:
        for batch in batches:
            now = Instant(now + NS_PER_S // 100)
            seen = np.full(_BATCH, now)
            history.add(
                Readings(names=batch.names, pool=batch.pool, time=seen, seen=seen, tag=batch.tag, value=batch.value, quality=batch.quality)
            )
            values += _BATCH
            if values % (QUEUE_VALUES // 2) == 0:
                history.flush()  # a real source waits for its devices; this one waits for the disk
    history.flush()
    dropped = history.counters().dropped
    history.close()
    wall_s, spent_s = clock.monotonic_s() - begun_s, _cpu_s() - cpu_s
    octets = sum(segment.path.stat().st_size for segment in list_segments(directory))
    asked_s = clock.monotonic_s()
    found = read(directory, [batches[0].names[0]], 0, 2**62)
    return {
        "values": values,
        "values_per_cpu_s": round(values / spent_s),
        "values_per_s": round(values / wall_s),
        "goal_per_s": GOAL_PER_S,
        "dropped": dropped,
        "octets_per_value": round(octets / values, 2),
        "read_values": len(found.readings),
        "read_ms": round(1000 * (clock.monotonic_s() - asked_s), 1),
    }


def _batches() -> list[Readings]:
    """A thousand of them, half of the tags in each, with two decimals as a scaled register gives them; then they come again."""
    chance = np.random.Generator(np.random.PCG64(_SEED))
    names = tuple(f"TAG{number:03d}" for number in range(_TAGS))
    walk = np.round(50 + np.cumsum(chance.standard_normal((_BATCHES * _BATCH // _TAGS, _TAGS)), axis=0), 2).reshape(_BATCHES, _BATCH)
    halves = np.arange(_TAGS).reshape(_TAGS // _BATCH, _BATCH)
    return [
        Readings.of(names, time=tags, seen=tags, tag=tags, value=row, quality=np.zeros(_BATCH))
        for row, tags in ((row, halves[number % len(halves)]) for number, row in enumerate(walk))
    ]


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system
