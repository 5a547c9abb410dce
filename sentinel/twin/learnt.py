"""What a twin has learnt of its plant's parameters, apart from the members that it learnt it with: it outlives them.

In: standard scores of an ensemble's parameters, in declared spreads.  Out: their mean and standard deviation, members of another
ensemble moved there, and how low they may lie by now.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.model.time import Instant, seconds_between
from sentinel.twin.ensemble import PARAMETER_LIMIT
from sentinel.twin.wear import Wear

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


class Memory:
    """What one twin has learnt so far; `lowest` is a column, the score that each parameter may have at least."""

    def __init__(self, wear: Wear, learnt: Learnt | None) -> None:
        self._wear, self.learnt = wear, learnt
        self.lowest: F8 = wear.lowest(0.0)

    def remember(self, scores: F8, at: Instant) -> None:
        """Of a twin that agrees with its plant."""
        since = self.learnt.since if self.learnt is not None else None
        self.learnt = Learnt.of(scores, at if since is None else since)
        self.look(at)

    def look(self, at: Instant) -> None:
        """The plant has been what it is taken to be since it was first confirmed, as far as is known."""
        since = self.learnt.since if self.learnt is not None else None
        self.lowest = self._wear.lowest(0.0 if since is None else seconds_between(since, at))

    def forget(self) -> None:
        """It may be what is wrong."""
        self.learnt = None
