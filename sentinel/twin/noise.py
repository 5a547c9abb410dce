"""How noisy one transmitter is: a habit of the instrument that a lie has to know as well.

In: its readings as they come.  Out: whether the last minutes are as noisy as it has always been.  Noise is the geometric mean of second
differences: a ramp leaves these alone, and a step hardly moves their mean.  An instrument's noise may grow with what it measures, from a
floor: then, whatever the plant does, noise and noise over value move in opposite directions.  What moves both the same way is another
instrument, or somebody who speaks for it.  A lie with the right noise passes.
"""

import math
from dataclasses import dataclass

RECENT = 1.0 / 240.0  # weight of the newest reading: two minutes at two a second
HABIT = 1.0 / 4800.0
KNOWN = 480  # readings before the habit is known
DIFFERS = 2.0  # times: chance alone needs longer than a plant lives; a valve that sticks comes to 1.6
LIVELY = 0.9  # of the readings move: a coarse register, or a valve that sticks, says nothing of its noise
_DIFFERS, _DOUBTED = (
    math.log(DIFFERS),
    math.log(DIFFERS) / 2.0,
)  # what is doubted is learnt in days, so that a new transmitter is not for ever
_NEW_HABIT = HABIT / 50.0
_LEAST = 0.01  # of the range: the smallest value that noise is held against


@dataclass(slots=True)
class _Mean:
    """Of noise and of the value, as logarithms, and of how often the reading moved."""

    noise: float = 0.0
    value: float = 0.0
    moved: float = 0.0

    def take(self, noise: float, value: float, weight: float) -> None:
        self.noise += weight * (noise - self.noise)
        self.value += weight * (value - self.value)


class Noise:
    """``span``: of the tag's range, in its unit."""

    __slots__ = ("_before", "_count", "_habit", "_last", "_least", "_recent")

    def __init__(self, span: float) -> None:
        self._least = _LEAST * span
        self._last = self._before = math.nan
        self._recent, self._habit = _Mean(), _Mean()
        self._count = 0

    def heard(self, value: float, *, rests: bool = False) -> None:
        """``rests``: nothing moves it at the moment, or it is held at a stop, so that its noise is not seen whole."""
        difference, moved = abs(value - 2.0 * self._last + self._before), value != self._last
        self._before, self._last = (math.nan, math.nan) if rests else (self._last, value)
        if rests or math.isnan(difference):
            return
        self._count += 1
        habit = max(HABIT, 1.0 / self._count) if self._differs(_DOUBTED) is None else _NEW_HABIT
        self._habit.moved += habit * (moved - self._habit.moved)
        if difference > 0.0:
            seen = math.log(difference), math.log(max(abs(value), self._least))
            self._recent.take(*seen, max(RECENT, 1.0 / self._count))
            self._habit.take(*seen, habit)

    @property
    def ratio(self) -> float | None:
        """Standard deviation now over what it used to be, where that cannot be the transmitter's own."""
        louder = self._differs(_DIFFERS)
        return None if louder is None or self._habit.moved < LIVELY else math.exp(louder)

    def _differs(self, least: float) -> float | None:
        if self._count < KNOWN:
            return None
        louder = self._recent.noise - self._habit.noise
        relative = louder - (self._recent.value - self._habit.value)
        return louder if min(louder, relative) > least or max(louder, relative) < -least else None
