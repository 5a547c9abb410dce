"""``sentinel bench valve``: how many strokes pass until a valve that became 2 % faster, or slower, is told, for one valve and in a fleet.

Simulated positions go through the product's own stroke reader and CUSUM: a stroke of 10 s, sampled at 10 Hz with 1 % noise, and every
stroke 1 % different by nature.  200 strokes of learning, then strokes in control (what is told then is a false alarm), then 2 % faster, 2 %
slower, or as fast as ever but for one standstill on the way that makes it 2 % longer.
Prints one JSON object; strokes are medians and 90 % quantiles over all valves.
"""

import argparse
import json
import math
from collections.abc import Sequence

import numpy as np

from sentinel.detect.change import Change
from sentinel.detect.stroke import StrokeReader
from sentinel.detect.strokes import SMALLEST
from sentinel.model.columns import Array
from sentinel.model.time import NS_PER_S

FASTER, SLOWER, STICKS = "faster", "slower", "sticks"
CHANGES = {FASTER: 1.02, SLOWER: 1 / 1.02, STICKS: 1.02}  # of its speed; of the time that it takes
STROKE_S, RATE_HZ, NOISE, NATURAL = 10.0, 10.0, 0.01, 0.01
REST_S = 2.0  # of each rest, recorded
LEARNT, IN_CONTROL, MOST = 200, 50, 60  # strokes
STROKES_PER_WEEK = 140.0  # of one valve: twenty a day
FLEET = 50
ALARMS_PER_WEEK = 1.0


def strokes_of(chance: np.random.Generator, factors: Array, reader: StrokeReader, *, sticks: bool = False) -> list[float]:
    """Logarithms of the rates that the reader sees in opening strokes whose speeds are the factors; it closes unwatched between them.
    ``sticks``: the factors are those of the time instead, by a standstill somewhere on the way."""
    rates = []
    clock = 0.0
    for factor in factors.tolist():
        for opening in (True, False):
            faster, stands_s = (1.0, (factor - 1.0) * STROKE_S) if sticks else (factor, 0.0)
            speed = faster * (1.0 + NATURAL * chance.normal()) / STROKE_S if opening else 1.0 / STROKE_S
            stands_s = stands_s if opening else 0.0
            stops = REST_S + chance.uniform() / speed if stands_s else 0.0
            times = np.arange(0.0, 2 * REST_S + 1.0 / speed + stands_s, 1.0 / RATE_HZ)
            way = np.clip((times - np.clip(times - stops, 0.0, stands_s) - REST_S) * speed, 0.0, 1.0)
            position = (way if opening else 1.0 - way) + NOISE * chance.normal(size=len(times))
            found = reader.take(np.round((clock + times) * NS_PER_S).astype(np.int64), position)
            rates += [math.log(stroke.rate) for stroke in found if stroke.rate > 0]
            clock += float(times[-1]) + 1.0
    return rates


def strokes_until(rates: Sequence[float], run_length: float) -> tuple[int | None, int]:
    """(strokes after the change until it is told, false alarms before it)."""
    change = Change(SMALLEST)
    for rate in rates[:LEARNT]:
        change.take(rate, math.inf)
    change.restart()
    false = 0
    for rate in rates[LEARNT : LEARNT + IN_CONTROL]:
        total, limit = change.take(rate, run_length)
        if total > limit:
            false += 1
            change.restart()
    change.restart()
    for number, rate in enumerate(rates[LEARNT + IN_CONTROL :], start=1):
        total, limit = change.take(rate, run_length)
        if total > limit:
            return number, false
    return None, false


def measure(valves: int, seed: int, change: str = FASTER) -> dict[str, float | int | str]:
    chance = np.random.default_rng(seed)
    factors = np.concatenate([np.ones(LEARNT + IN_CONTROL), np.full(MOST, CHANGES[change])])
    every = [strokes_of(chance, factors, StrokeReader(span=1.0), sticks=change == STICKS) for _ in range(valves)]
    figures: dict[str, float | int | str] = {
        "change": change,
        "valves": valves,
        "strokes_read": sum(map(len, every)),
        "strokes_made": valves * len(factors),
    }
    for name, fleet in (("one", 1), ("fleet", FLEET)):
        told = [strokes_until(rates, fleet * STROKES_PER_WEEK / ALARMS_PER_WEEK) for rates in every]
        counts = [MOST + 1 if number is None else number for number, _ in told]
        figures[f"strokes_{name}"] = float(np.median(counts))
        figures[f"strokes_{name}_p90"] = float(np.percentile(counts, 90))
        figures[f"not_found_{name}"] = sum(number is None for number, _ in told)
        figures[f"false_alarms_{name}"] = sum(false for _, false in told)
        figures[f"false_alarms_{name}_allowed"] = round(valves * IN_CONTROL * ALARMS_PER_WEEK / (fleet * STROKES_PER_WEEK), 2)
    figures["rate_deviation_percent"] = round(100 * float(np.mean([np.std(rates[:LEARNT]) for rates in every])), 3)
    return figures


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench valve", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--valves", type=int, default=200, help="simulated (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation (default: %(default)s)")
    parser.add_argument("--change", choices=tuple(CHANGES), default=FASTER, help="what becomes of the valve (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the only form; accepted for symmetry with the other benchmarks")
    given = parser.parse_args(arguments)
    print(json.dumps(measure(given.valves, given.seed, given.change)))
    return 0
