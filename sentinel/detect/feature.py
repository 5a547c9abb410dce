"""What is watched of loops and phases: each feature with the change to find and its words, and a CUSUM freed of what explains it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sentinel.detect.change import Change
from sentinel.detect.strokes import Follows

_PARTS = 3.0  # of the change to find: a deviation is reckoned to be no less, so that changes of less than half of it never add up
EXPLAIN = {"size": 0, "start": 1}  # what may explain a step response: the logarithm of the step's size, and the setpoint before it
NAMED = {"size": "the size of the step", "start": "the setpoint before it"}


class Feature(NamedTuple):
    """``smallest``: the change to find, as a share of what is usual, and at least ``least``.  A time scatters by shares: its logarithm is
    taken; a dead time may be nothing, and an overshoot is none where there is no noise."""

    smallest: float
    least: float
    is_log: bool
    more: str
    less: str
    unit: str
    techniques: tuple[str, ...] = ("T0831",)

    def words(self, number: float) -> str:
        return f"{number:.4g}{self.unit}" if self.unit else f"{100 * number:.3g} %"


PHASE = "phase"
FEATURES = {
    "dead time": Feature(0.2, 0.05, False, "answers later than it did", "answers sooner than it did", " s"),
    "overshoot": Feature(0.5, 0.02, False, "overshoots more than it did", "overshoots less than it did", "", ("T0831", "T0836")),
    "settling time": Feature(0.3, 0.0, True, "settles later than it did", "settles sooner than it did", " s", ("T0831", "T0836")),
    PHASE: Feature(0.05, 0.0, True, "lasts longer than it did", "lasts less long than it did", " s", ("T0831", "T0836")),
}


@dataclass(slots=True)
class Watched:
    """``floor``: the highest sum that learning itself led to; ``since``: when the larger sum left zero, ns."""

    change: Change = field(default_factory=lambda: Change(1.0))
    follows: Follows | None = None
    a_week: float = 0.0
    floor: float = 0.0
    since: int = 0
    learnt: list[tuple[float, float, float]] = field(default_factory=list)

    def freed(self, value: float, around: Sequence[float]) -> float:
        if self.follows is None:
            return value
        name, slope, mean = self.follows
        return value - slope * (around[EXPLAIN[name]] - mean)

    def take(self, feature: Feature, value: float, run_length: float) -> tuple[float, float]:
        change = self.change
        change.smallest = smallest_of(feature, change.mean)
        change.least = change.smallest / _PARTS
        total, limit = change.take(value, run_length)
        return total, max(limit, self.floor)


def smallest_of(feature: Feature, mean: float) -> float:
    return math.log1p(feature.smallest) if feature.is_log else max(feature.smallest * abs(mean), feature.least)


def highest(feature: Feature, learnt: Change, values: Sequence[float]) -> float:
    """The largest sum over what was learnt: normal data never give an alarm, whatever theory says of values that hang together."""
    again = Watched(Change(learnt.smallest, learnt.count, learnt.mean, learnt.squares))
    return max((again.take(feature, value, math.inf)[0] for value in values), default=0.0)
