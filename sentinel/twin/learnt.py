"""What a twin has learnt of its plant's parameters, apart from the members that it learnt it with: it outlives them.

In: standard scores of an ensemble's parameters, in declared spreads.  Out: their mean and standard deviation, and members of another
ensemble moved there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.model.time import Instant
from sentinel.twin.ensemble import PARAMETER_LIMIT

F8 = NDArray[np.float64]

AFTER_GAP = 0.5  # of a declared spread: doubt about a parameter after a time in which nobody listened
OVERHAULED = 0.5  # of the way back to what is declared: doubt about one that is worn


@dataclass(frozen=True, slots=True)
class Learnt:
    """Mean and standard deviation of each parameter over the members, in declared spreads.

    ``since``: when what the twin took the plant to be was first confirmed; None = from now on.
    """

    mean: F8
    spread: F8
    since: Instant | None = None

    @staticmethod
    def of(scores: F8, since: Instant | None = None) -> "Learnt":
        return Learnt(scores.mean(axis=1), scores.std(axis=1), since)

    def moved(self, declared: F8, lowest: F8) -> F8:
        """Standard scores as they were drawn, to where these are, but not below the column ``lowest``.

        Half a declared spread of doubt at least: the plant went on unseen.  What is worn beyond its spread may be new again.
        """
        doubt = np.where(self.mean < -PARAMETER_LIMIT, -OVERHAULED * self.mean, AFTER_GAP)
        scores: F8 = self.mean[:, None] + np.maximum(self.spread, doubt)[:, None] * declared
        return np.clip(scores, lowest, PARAMETER_LIMIT)
