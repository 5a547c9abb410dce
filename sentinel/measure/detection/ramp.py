"""``sentinel bench ramp``: how far can a reading be led astray, slowly, before anybody says so?

The reference plant lives by its own physics while its people move setpoints.  The process layer and, beside it, a two-sided CUSUM on the
raw values of each tag learn the same hours and get the same plant-wide time between false alarms, each from held-out blocks of what it
learnt.  Then one reading at a time is led away by a ramp, in what is reported and not in the plant; the attacker takes the steepness that
gets furthest (Urbina et al., CCS 2016).  Deviations are shares of the tag's range; what was not found by the end counts as far as it came:
such figures are lower bounds.  False alarms are counted on hours of the plant that neither has seen.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from sentinel.demo.simulation import simulate
from sentinel.demo.wiring import read_interface
from sentinel.detect.calibrate import WEEK_S, block_maxima, threshold
from sentinel.detect.process_model import BLOCK_ROWS, LIVE, ProcessModel, in_alarm
from sentinel.measure.detection.metrics import runs
from sentinel.model.columns import Array
from sentinel.model.tags import TagRole

LEARN_S, FRESH_S = 10_800, 7_200
LEAD_S, RAMP_S = 600, 1_800  # of the fresh hours: before the ramp begins; its length
STEEPNESS = (0.001 / 60, 0.003 / 60, 0.01 / 60, 0.03 / 60)  # of the range, a second
APART_S = (3_600.0, 14_400.0, 86_400.0, WEEK_S)  # mean times between false alarms of the whole plant
REFERENCE = 0.5  # of the CUSUM, standard deviations
MOVE_EVERY_S = (300, 900)  # between two setpoint moves
SETPOINTS = {"LIC101.SP": (1.0, 1.3), "LIC102.SP": (0.6, 0.9), "TIC201.SP": (56.0, 64.0), "SIC301.SP": (5000.0, 7000.0)}
GOAL = 0.5  # of the CUSUM's deviation
SEED = 7


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench ramp", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=SEED, help="of the plant, its noise and its people (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args(arguments)
    found = measure(given.seed)
    print(json.dumps(found) if given.json else as_text(found))
    return 0


def measure(seed: int, learn_s: int = LEARN_S, fresh_s: int = FRESH_S, apart_s: Sequence[float] = APART_S) -> dict[str, Any]:
    """The curve, one point for each time between false alarms, and the tags at the last of them."""
    tags = [tag for tag in read_interface().tags.tags if tag.role is TagRole.PROCESS_VALUE]
    names, spans = [tag.name for tag in tags], np.array([tag.high - tag.low for tag in tags])
    learnt, fresh = _hours(names, seed, learn_s), _hours(names, seed + 1, fresh_s, plant_seed=seed)
    curve: list[dict[str, Any]] = []
    each: dict[str, Any] = {}
    for apart in apart_s:
        ours, raw = _Ours(learnt, apart), _Cusum(learnt, apart)
        pairs = [(_furthest(ours, fresh, i, spans[i]), _furthest(raw, fresh, i, spans[i])) for i in range(len(tags))]
        mine, other = (np.array(column) for column in zip(*pairs, strict=True))
        curve.append(
            {
                "between_false_alarms_s": apart,
                "deviation": round(float(np.median(mine)), 5),
                "cusum": round(float(np.median(other)), 5),
                "ratio": round(float(np.median(mine / other)), 3),
                "worst_ratio": round(float((mine / other).max()), 3),
                "false_alarms": len(runs(ours.alarms(fresh))),
                "cusum_false_alarms": len(runs(raw.alarms(fresh))),
            }
        )
        each = {name: {"deviation": round(float(a), 5), "cusum": round(float(b), 5)} for name, a, b in zip(names, mine, other, strict=True)}
    return {"seed": seed, "learnt_s": learn_s, "fresh_s": fresh_s, "goal_ratio": GOAL, "curve": curve, "tags": each}


def as_text(found: dict[str, Any]) -> str:
    lines = ["largest undetected deviation, share of the range, median over the tags", "  false alarms    ours    CUSUM    ratio   worst"]
    lines += [
        f"  1 in {p['between_false_alarms_s'] / 3600:6.1f} h  {p['deviation']:.4f}   {p['cusum']:.4f}"
        f"   {p['ratio']:.3f}   {p['worst_ratio']:.3f}"
        for p in found["curve"]
    ]
    lines += [f"  {name:14}  {tag['deviation']:.4f}   {tag['cusum']:.4f}" for name, tag in found["tags"].items()]
    return "\n".join(lines)


def _hours(names: Sequence[str], seed: int, seconds: int, plant_seed: int | None = None) -> Array:
    """Readings a second apart while people move setpoints within their usual range."""
    chance = np.random.default_rng(seed)
    writes, at = [], float(chance.integers(*MOVE_EVERY_S))
    while at < seconds:
        tag = str(chance.choice(list(SETPOINTS)))
        writes.append((at, tag, float(chance.uniform(*SETPOINTS[tag]))))
        at += float(chance.integers(*MOVE_EVERY_S))
    lived = simulate(seconds, writes, seed=seed if plant_seed is None else plant_seed, rate_hz=1.0)
    return np.column_stack([lived.values[name] for name in names])


class _Ours:
    def __init__(self, learnt: Array, apart_s: float) -> None:
        steps = [np.diff(np.unique(column)) for column in learnt.T]
        resolution = np.array([float(each.min()) if len(each) else 0.0 for each in steps])
        self._model = ProcessModel(LIVE)
        self._model.fit(learnt, WEEK_S / apart_s, 1.0, resolution=resolution)

    def alarms(self, rows: Array) -> Array:
        return in_alarm(self._model.score(rows).ratio, self._model.calm)


class _Cusum:
    """Each tag against its own mean, limits from the second half of what was learnt under the moments of the first, and the reverse."""

    def __init__(self, learnt: Array, apart_s: float) -> None:
        self._mean, self._deviation = learnt.mean(axis=0), np.maximum(learnt.std(axis=0), 1e-9)
        halves = np.array_split(learnt, 2)
        sums = np.vstack([self._sums((a - b.mean(axis=0)) / np.maximum(b.std(axis=0), 1e-9)) for a, b in (halves, halves[::-1])])
        probability = min(BLOCK_ROWS / apart_s / learnt.shape[1], 0.5)
        places = np.arange(len(sums))
        self._limits = np.array([threshold(block_maxima(places, column, BLOCK_ROWS), probability) for column in sums.T])

    @staticmethod
    def _sums(z: Array) -> Array:
        found = np.zeros_like(z)
        up = down = np.zeros(z.shape[1])
        for place, row in enumerate(z):
            up, down = np.maximum(up + row - REFERENCE, 0.0), np.maximum(down - row - REFERENCE, 0.0)
            found[place] = np.maximum(up, down)
        return found

    def alarms(self, rows: Array) -> Array:
        found: Array = np.asarray((self._sums((rows - self._mean) / self._deviation) > self._limits).any(axis=1))
        return found


def _furthest(detector: _Ours | _Cusum, fresh: Array, tag: int, span: float) -> float:
    """The largest share of the range that the reading is off when the ramp first raises an alarm, over all steepnesses."""
    rows = fresh[: LEAD_S + RAMP_S]
    unled = detector.alarms(rows)[LEAD_S:]  # a false alarm finds nothing
    ramp = np.maximum(np.arange(len(rows)) - LEAD_S, 0)
    reached = []
    for steepness in STEEPNESS:
        led = rows.copy()
        led[:, tag] += steepness * span * ramp
        found = np.flatnonzero(detector.alarms(led)[LEAD_S:] & ~unled)
        reached.append(steepness * float(ramp[LEAD_S + found[0]] if len(found) else ramp[-1]))
    return max(reached)
