"""Calibrate: scores of held-out normal data become thresholds that keep one false-alarm budget for the whole plant.

Scores of neighbouring seconds are not independent, so blocks of time are taken and only the highest score of each counts.  A Gumbel
distribution is fitted to these maxima by L-moments (Hosking 1990) and read where the budget allows one alarm.  Few blocks cannot prove
a rare event: the threshold never lies below the highest score that normal data gave.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sentinel.model.columns import Array

WEEK_S = 7 * 86_400.0
_EULER = 0.5772156649015329
MIN_BLOCKS = 5  # with fewer maxima the fit says nothing
# rules, white lists and ranges are exact: they take no share
SHARES: Mapping[str, float] = {
    "volume": 0.1,
    "sequence": 0.05,
    "quiet": 0.05,
    "sources": 0.05,
    "residual": 0.4,
    "strokes": 0.15,
    "dynamics": 0.1,
    "spectrum": 0.1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """False alarms that the whole plant may give in a week, and how the detectors divide them."""

    alarms_per_week: float = 1.0
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)

    def probability_per_block(self, detector: str, block_s: float, statistics: int = 1) -> float:
        """The chance of a false alarm that one statistic of a detector may take in one block."""
        alarms = self.alarms_per_week * self.shares.get(detector, 0.0) / max(statistics, 1)
        return min(max(alarms * block_s / WEEK_S, 1e-12), 0.5)


def block_maxima(times: Array, scores: Array, block_ns: int) -> Array:
    """The highest score of every block of time that holds any."""
    if not len(times):
        return np.zeros(0)
    blocks = times // block_ns
    starts = np.flatnonzero(np.r_[True, blocks[1:] != blocks[:-1]])
    maxima: Array = np.maximum.reduceat(scores, starts)
    return maxima


def threshold(maxima: Array | Sequence[float], probability: float) -> float:
    """The score that one block exceeds with this probability; infinite when there are too few blocks to say anything."""
    ordered = np.sort(np.asarray(maxima, np.float64))
    count = len(ordered)
    if count < MIN_BLOCKS:
        return math.inf
    mean = float(ordered.mean())
    second = 2.0 * float((np.arange(count) * ordered).sum()) / (count * (count - 1)) - mean  # the second L-moment
    scale = max(second, 0.0) / math.log(2.0)
    location = mean - _EULER * scale
    return max(float(ordered[-1]), location - scale * math.log(-math.log1p(-probability)))
