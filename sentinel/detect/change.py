"""Change: a self-starting, two-sided CUSUM over single values that should all be alike.

Each value is compared with those before it by the quantile of its prediction (Hawkins 1987), so watching begins with the third value and
needs no known mean.  The reference is an anchor: it stops learning after `ANCHOR` values, and never learns from what looks like a change,
so a slow creep is held against where it began.  The limit comes from the mean number of values between false alarms (Siegmund 1985).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from sentinel.model.columns import Array

ANCHOR = 200  # values; of so many the mean is known to 0.07 deviations
MIN_BEFORE = 8  # values before anything is said: fewer do not tell their own spread
_OVERSHOOT = 1.166  # Siegmund's correction for discrete values
_REFERENCE = (0.25, 1.5)  # standard deviations; half the change to find, within what a CUSUM can use
# standard deviations that one value may contribute (a winsorised CUSUM, Hawkins 1993): with the limit of one false alarm in 140 values no
# single one passes it, whatever the reference, so that heavier tails than a normal's cost no false alarms.  Where fewer are allowed it may
# be so much of the limit that three values are always enough.
_LARGEST, _SHARE_OF_LIMIT = 2.75, 0.4
REMEMBERED = 8192  # limits, one for each actuator and direction: a reference changes no more once its anchor is full
_NO_DRIFT = 1e-3  # standard deviations a value; below, Siegmund's formula loses its digits
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)  # of a normal distribution
_WEIGHT = _WEIGHTS / _WEIGHTS.sum()
_OFF, _SCALE = _NODES / math.sqrt(ANCHOR), np.exp(_NODES / math.sqrt(2.0 * ANCHOR))  # errors of an anchor's mean and deviation


@lru_cache(maxsize=REMEMBERED)
def limit_for(run_length: float, reference: float) -> float:
    """h of a two-sided CUSUM whose false alarms are ``run_length`` values apart on average; infinite where none is allowed.

    On average over what an anchor may have got wrong: one that lies 0.07 deviations off tells more false alarms on one side than it
    saves on the other, the more so the rarer they are meant to be.
    """
    if math.isinf(run_length):
        return math.inf
    off, scale = _OFF[:, None], _SCALE[None, :]

    def rarer(limit: float) -> float:
        often = sum(1.0 / _apart((reference - side) / scale, limit / scale + _OVERSHOOT) for side in (off, -off))
        return 1.0 - run_length * float(_WEIGHT @ often @ _WEIGHT)

    return 0.0 if rarer(0.0) >= 0.0 else float(brentq(rarer, 0.0, 350.0 / reference))


def _apart(reference: Array, limit: Array) -> Array:
    """Values between two alarms of one side (Siegmund), of values with mean 0 and deviation 1; ``reference`` may be negative."""
    reference = np.where(np.abs(reference) < _NO_DRIFT, _NO_DRIFT, reference)
    width = 2.0 * reference * limit
    apart: Array = (np.exp(np.minimum(width, 700.0)) - width - 1.0) / (2.0 * reference**2)
    return apart


@dataclass(slots=True)
class Change:
    """``smallest``: the change to find, ``least``: the least standard deviation to reckon with, both in the values' unit.  ``up`` and
    ``down`` are the sums, in standard deviations."""

    smallest: float
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    up: float = 0.0
    down: float = 0.0
    begun: int = 0  # values since the larger sum left zero
    least: float = 0.0

    @property
    def deviation(self) -> float:
        return max(math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0, self.least)

    def reference(self) -> float:
        return min(max(0.5 * self.smallest / max(self.deviation, 1e-12), _REFERENCE[0]), _REFERENCE[1])

    def take(self, value: float, run_length: float) -> tuple[float, float]:
        """(the larger sum, its limit) after this value; the limit is infinite while there is too little to compare with."""
        if self.count < MIN_BEFORE:
            self._learn(value)
            return 0.0, math.inf
        reference = self.reference()
        off = (value - self.mean) / (max(self.deviation, 1e-12) * math.sqrt(1.0 + 1.0 / self.count))
        score = float(norm.ppf(min(max(float(student.cdf(off, self.count - 1)), 1e-12), 1.0 - 1e-12)))
        limit = limit_for(run_length, reference)
        largest = max(_LARGEST, reference + _SHARE_OF_LIMIT * limit)
        score = min(max(score, -largest), largest)
        self.up, self.down = max(0.0, self.up + score - reference), max(0.0, self.down - score - reference)
        self.begun = self.begun + 1 if max(self.up, self.down) > 0.0 else 0
        if self.count < ANCHOR and max(self.up, self.down) < 0.5 * limit:
            self._learn(value)
        return max(self.up, self.down), limit

    def _learn(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    def standing(self) -> list[float]:
        """What `going_on` takes: count, mean, squares, up, down, begun."""
        return [self.count, self.mean, self.squares, self.up, self.down, self.begun]

    def going_on(self, standing: Sequence[float]) -> "Change":
        """This anchor, where it stood before a restart.  Raises ValueError for what no values can have led to."""
        count, mean, squares, up, down, begun = standing
        if (
            not all(map(math.isfinite, standing))
            or min(squares, up, down, begun) < 0.0
            or not self.count <= count <= max(ANCHOR, self.count)
        ):
            raise ValueError(f"a CUSUM cannot stand at {list(standing)}")
        return Change(self.smallest, int(count), float(mean), float(squares), float(up), float(down), int(begun), self.least)

    def restart(self) -> None:
        """After it was told: what goes on is the same change, and is told again only when it adds up anew."""
        self.up = self.down = 0.0
        self.begun = 0
