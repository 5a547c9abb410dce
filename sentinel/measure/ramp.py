"""``sentinel bench ramp``: how far can a reading be led astray before it is found, and at what price in false alarms?

The reference plant works as its operator works it; its twin follows.  One hour is learnt.  Then somebody on the way adds a slow ramp to one
reading, at several rates, from far too slow to far too fast; the deviation that has been reached when the alarm comes, at the rate that
suits the attacker best, is what he can hide (the curve of Urbina et al., CCS 2016).  Beside the product's process model on the residuals
against the twin: a two-sided CUSUM on each raw reading (Page 1954, half a standard deviation of slack).  Both take their thresholds from
the same learnt hour, for the same time between false alarms.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from sentinel.demo.habits import routine_writes
from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.detect.calibrate import WEEK_S, block_maxima, threshold
from sentinel.detect.process_model import ProcessModel
from sentinel.measure.stage import LivePlant, Stage
from sentinel.model.columns import Array
from sentinel.model.tags import TagRole
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant

LEARNT_S = 3600.0
QUIET_S = 300.0  # of an attacked plant, before the ramp begins
RAMP_S = 1800.0
SETTLE_S = 120.0  # until twin and plant are in step
ROW_S = 1.0
BETWEEN_H = (1.0, 8.0, 24.0, 168.0)  # hours between false alarms
TAGS = ("LT101", "LT102", "TT201", "TT301", "FT101")
RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # of the tag's span, an hour
_SLACK = 0.5
_BLOCK_ROWS = 60
_ROLES = frozenset({TagRole.PROCESS_VALUE, TagRole.OUTPUT})


def lived(seed: int, seconds: float, tag: str | None, slope_per_s: float, members: int) -> tuple[Array, Array]:
    """(residual rows, raw rows) of one plant, a second each; what `TagRole` calls process values and outputs, in the plant file's order."""
    interface = read_interface()
    begins_s = SETTLE_S + QUIET_S

    def led_astray(time_s: float, values: Any) -> Any:
        return values if tag is None else {**values, tag: values[tag] + slope_per_s * max(0.0, time_s - begins_s)}

    writes = routine_writes(SETTLE_S + seconds, seed)
    live = LivePlant.of_reference(seed, interface)
    stage = Stage(compile_model(load_plant(PLANT_FILE)), live, members=members, distort=led_astray)
    names = [one.name for one in interface.tags.tags if one.role in _ROLES]
    place = {name: column for column, name in enumerate(names)}
    held = np.zeros((2, len(names)))
    rows: list[Array] = []
    for second in range(1, round(SETTLE_S + seconds) + 1):
        while writes and writes[0][0] <= second:
            stage.write(*writes.pop(0)[1:])
        stage.follow(second * ROW_S)
        told = stage.sync.residuals()
        for name, value in zip(told.decoded("tag"), told.value.tolist(), strict=True):
            if name in place:
                held[0, place[name]] = value
        values = led_astray(live.plant.time_s, live.plant.values())
        held[1] = [values[name] for name in names]
        rows.append(held.copy())
    table = np.array(rows)[round(SETTLE_S) :]
    return table[:, 0], table[:, 1]


def cusum(rows: Array, mean: Array, deviation: Array) -> Array:
    """Per row, the highest of all two-sided sums, in standard deviations."""
    z = (rows - mean) / deviation
    up = down = np.zeros(rows.shape[1])
    highest = np.empty(len(rows))
    for place, row in enumerate(z):
        up, down = np.maximum(0.0, up + row - _SLACK), np.maximum(0.0, down - row - _SLACK)
        highest[place] = max(up.max(), down.max())
    return highest


def measure(seed: int, tags: Sequence[str], rates: Sequence[float], members: int, workers: int) -> dict[str, Any]:
    spans = {tag.name: tag.high - tag.low for tag in read_interface().tags.tags}
    asked = [(tag, rate, rate * spans[tag] / 3600.0) for tag, rate in product(tags, rates)]
    with ProcessPoolExecutor(workers) as pool:
        learning = pool.submit(lived, seed, LEARNT_S, None, 0.0, members)
        clean = pool.submit(lived, seed + 1, LEARNT_S, None, 0.0, members)
        one = partial(_attacked, seed + 2, members)
        attacks = list(pool.map(one, asked))
        residuals, raw = learning.result()
        clean_residuals, clean_raw = clean.result()
    mean, deviation = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-9)
    sums = block_maxima(np.arange(len(raw)), cusum(raw, mean, deviation), _BLOCK_ROWS)
    curve = []
    for between_h in BETWEEN_H:
        model = ProcessModel()
        model.fit(residuals, WEEK_S / (3600.0 * between_h), ROW_S)
        limit = threshold(sums, min(_BLOCK_ROWS * ROW_S / (3600.0 * between_h), 0.5))
        ours: dict[str, float] = {}
        theirs: dict[str, float] = {}
        for (tag, _, slope), (attacked, attacked_raw) in zip(asked, attacks, strict=True):
            for best, alarms in ((ours, model.score(attacked).ratio > 1.0), (theirs, cusum(attacked_raw, mean, deviation) > limit)):
                best[tag] = max(best.get(tag, 0.0), _hidden(alarms, slope) / spans[tag])
        mine, other = float(np.mean(list(ours.values()))), float(np.mean(list(theirs.values())))
        curve.append(
            {
                "hours_between_false_alarms": between_h,
                "undetected": round(mine, 5),
                "undetected_cusum": round(other, 5),
                "ratio": round(mine / other, 3) if other else None,
                "false_alarms_in_a_clean_hour": _episodes(model.score(clean_residuals).ratio > 1.0),
                "false_alarms_in_a_clean_hour_cusum": _episodes(cusum(clean_raw, mean, deviation) > limit),
                "by_tag": {tag: [round(ours[tag], 5), round(theirs[tag], 5)] for tag in tags},
            }
        )
    return {"unit": "share of the tag's span", "rates_per_hour": list(rates), "ramp_s": RAMP_S, "curve": curve}


def _attacked(seed: int, members: int, asked: tuple[str, float, float]) -> tuple[Array, Array]:
    return lived(seed, QUIET_S + RAMP_S, asked[0], asked[2], members)


def _hidden(alarms: Array, slope: float) -> float:
    """The deviation when the first alarm comes after the ramp has begun; that of its end where none comes."""
    after = np.flatnonzero(alarms[round(QUIET_S) :])
    return abs(slope) * (float(after[0]) + 1.0 if len(after) else RAMP_S)


def _episodes(alarms: Array) -> int:
    return int((np.diff(alarms.astype(np.int8), prepend=0) > 0).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench ramp", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1, help="of the plants; the two after it are used too (default: %(default)s)")
    parser.add_argument("--tags", nargs="+", default=list(TAGS), help="that are led astray (default: %(default)s)")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="shares of the span an hour (default: %(default)s)")
    parser.add_argument("--members", type=int, default=64, help="of the twin (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    known = {tag.name for tag in read_interface().tags.tags if tag.role in _ROLES}
    if strange := set(given.tags) - known:
        parser.error(f"--tags: the reference plant measures no {', '.join(sorted(strange))}; known are {', '.join(sorted(known))}")
    result = measure(given.seed, given.tags, given.rates, given.members, given.workers)
    print(json.dumps(result) if given.json else _as_text(result))
    return os.EX_OK


def _as_text(result: dict[str, Any]) -> str:
    lines = ["hours between false alarms   undetected, of the span   by CUSUM on raw readings   ratio"]
    for point in result["curve"]:
        shares = f"{point['undetected']:>22.2%}   {point['undetected_cusum']:>24.2%}"
        lines.append(f"{point['hours_between_false_alarms']:>26g}   {shares}   {point['ratio'] or float('nan'):>5.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
