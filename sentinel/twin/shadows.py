"""Free-running copies of the ensemble ("shadows"): they start in turn, are never corrected, and readings are tested against the older one.

In: the readings of a slot with their standard deviations.  Out: innovations, reading minus forecast in standard deviations.  What a
poisoned sensor makes the filter follow still stands out against the plant's own physics.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.arrivals import Reading
from sentinel.twin.ensemble import Ensemble, Writes
from sentinel.twin.health import CAP
from sentinel.twin.sensing import Forecast, Sensing

F8 = NDArray[np.float64]

SHADOW_S = 30.0  # life of a shadow; two of them, half a life apart
SHADOW_MEMBERS = 64  # mean and width of a forecast need no more: the width is then known to a tenth


@dataclass(slots=True)
class _Shadow:
    ensemble: Ensemble
    age_s: float = 0.0
    predicted: F8 | None = None


class Shadows:
    """``widest``: standard deviation of a forecast, as a share of a tag's range, beyond which it agrees with every reading."""

    def __init__(self, sensing: Sensing, forecast: Forecast, widest: float) -> None:
        self._sensing, self._forecast = sensing, forecast
        self._tolerance: list[float] = sensing.tolerance.tolist()
        self._widest: list[float] = ((widest * sensing.spans) ** 2).tolist()
        self._running: list[_Shadow] = []

    def clear(self) -> None:
        self._running.clear()

    def write(self, writes: Writes) -> None:
        for shadow in self._running:
            shadow.ensemble.write(writes)

    def advance(self, span_s: float) -> None:
        for shadow in self._running:
            shadow.predicted = self._forecast.run(shadow.ensemble, span_s)
            shadow.age_s += span_s

    def innovations(self, observed: Mapping[str, Reading], sigmas: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """By the older shadow, which has heard none of these: the innovation, and what it reads itself in the tag's units, not a number
        where it is too wide to say.  None where none runs."""
        judge = self._running[0] if self._running else None
        if judge is None or judge.predicted is None:
            return {}
        sensing, members = self._sensing, judge.predicted[:, : judge.ensemble.members]
        means, variances = members.mean(axis=1).tolist(), members.var(axis=1).tolist()
        found = {}
        for tag, reading in observed.items():
            row = sensing.rows[tag]
            variance = sigmas[tag] ** 2 + self._tolerance[row] ** 2 + variances[row]
            shown = sensing.units[row].from_si(means[row])
            innovation = (sensing.units[row].to_si(reading.value) - means[row]) / math.sqrt(variance)
            if not variances[row] <= self._widest[row]:  # or not a number
                innovation, shown = math.copysign(CAP, innovation), math.nan
            found[tag] = innovation, shown
        return found

    def renew(self, main: Ensemble) -> None:
        """One that has lived its life goes, another begins where ``main`` is."""
        if self._running and self._running[0].age_s >= SHADOW_S:
            self._running.pop(0)
        if not self._running or (len(self._running) == 1 and self._running[0].age_s >= SHADOW_S / 2.0):
            self._running.append(_Shadow(main.first(min(SHADOW_MEMBERS, main.members))))
