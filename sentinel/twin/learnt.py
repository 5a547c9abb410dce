"""What a twin has learnt of its plant's parameters, apart from the members that it learnt it with: it outlives them.

In: standard scores of an ensemble's parameters, in declared spreads.  Out: their mean and standard deviation, and members of another
ensemble moved there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.ensemble import PARAMETER_LIMIT

F8 = NDArray[np.float64]

AFTER_GAP = 0.5  # of a declared spread: doubt about a parameter after a time in which nobody listened


@dataclass(frozen=True, slots=True)
class Learnt:
    """Mean and standard deviation of each parameter over the members, in declared spreads."""

    mean: F8
    spread: F8

    @staticmethod
    def of(scores: F8) -> "Learnt":
        return Learnt(scores.mean(axis=1), scores.std(axis=1))

    def moved(self, declared: F8) -> F8:
        """Standard scores as they were drawn, to where these are; half a declared spread of doubt at least: the plant went on unseen."""
        scores: F8 = self.mean[:, None] + np.maximum(self.spread, AFTER_GAP)[:, None] * declared
        return np.clip(scores, -PARAMETER_LIMIT, PARAMETER_LIMIT)
