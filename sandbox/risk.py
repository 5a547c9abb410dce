"""Risk from counts: exact bounds of a share, and what a pair of rollouts over the same members says about one invariant."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

F8 = NDArray[np.float64]
TAIL_PERCENT = 5.0


def bounds(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Two-sided Clopper-Pearson interval of a share (Biometrika 26, 1934).  No trials say nothing: (0, 1)."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, tail))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1.0 - tail))
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One invariant over the members that came through both rollouts.  Robustness in the invariant's unit, times in seconds.

    ``added`` counts the futures that the command breaks: broken with it, whole without it.  Pairs share their members, so this
    count is binomial and its bounds are exact, which the bounds of a difference of two shares would not be.
    """

    members: int
    broken_with: int
    broken_without: int
    added: int
    low: float
    high: float
    tail_with: float  # 5th percentile of robustness, over the futures that hold without the command: what falls anyway says nothing of it
    tail_without: float
    time_s: float | None  # median over the futures that break with the command

    @property
    def breaks_all(self) -> bool:
        return self.members > 0 and self.added == self.members


def compare(robustness_with: F8, robustness_without: F8, times_with: F8, confidence: float) -> Pair:
    """Arrays over the valid members, in the same order."""
    fell, fell_anyway = robustness_with < 0.0, robustness_without < 0.0
    added = int((fell & ~fell_anyway).sum())
    stands = ~fell_anyway if not fell_anyway.all() else np.ones(len(fell), bool)
    low, high = bounds(added, len(fell), confidence)
    return Pair(
        members=len(fell),
        broken_with=int(fell.sum()),
        broken_without=int(fell_anyway.sum()),
        added=added,
        low=low,
        high=high,
        tail_with=tail(robustness_with[stands]),
        tail_without=tail(robustness_without[stands]),
        time_s=float(np.median(times_with[fell])) if fell.any() else None,
    )


def tail(robustness: F8) -> float:
    return float(np.percentile(robustness, TAIL_PERCENT)) if len(robustness) else float("-inf")
