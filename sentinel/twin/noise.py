"""How noisy one transmitter is: a habit of the instrument that a lie has to know as well.

In: its readings as they come.  Out: whether the last minutes are as noisy as it has always been.  Noise is taken from second differences,
which a ramp leaves alone, and a step counts as four deviations at most.  An instrument's noise may grow with what it measures, from a
floor: then, whatever the plant does, noise and noise over value move in opposite directions.  What moves both the same way is another
instrument, or somebody who speaks for it.  A lie with the right noise passes.
"""

import math
from dataclasses import dataclass

RECENT = 1.0 / 240.0  # weight of the newest reading: two minutes at two a second
HABIT = 1.0 / 4800.0
KNOWN = 480  # readings before the habit is known
DIFFERS = 2.0  # times; a plant at work, its setpoints moved every three minutes, stays within 1.3 for hours
LIVELY = 0.6  # of the readings move: a coarse register says nothing of its noise
_DIFFERS, _DOUBTED = math.log(DIFFERS), math.log(DIFFERS) / 2.0
_NEW_HABIT = HABIT / 50.0  # what is doubted is learnt in days, so that a new transmitter is not for ever
_STEP = 16.0  # times the usual square
_FIRST = 30  # readings until what is usual is known so well
_LEAST = 0.01  # of the range: the smallest value that noise is held against


@dataclass(slots=True)
class _Mean:
    """Squares of noise, of noise over value, and how often the reading moved."""

    noise: float = 0.0
    relative: float = 0.0
    moved: float = 0.0

    def take(self, square: float, relative: float, moved: bool, weight: float) -> None:
        self.noise += weight * (square - self.noise)
        self.relative += weight * (relative - self.relative)
        self.moved += weight * (moved - self.moved)


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
        square, moved = (value - 2.0 * self._last + self._before) ** 2, value != self._last
        self._before, self._last = (math.nan, math.nan) if rests else (self._last, value)
        if rests or math.isnan(square):
            return
        self._count += 1
        if self._count > _FIRST and self._habit.noise > 0.0:
            square = min(square, _STEP * self._habit.noise)
        relative = square / max(abs(value), self._least) ** 2
        habit = _NEW_HABIT if self._differs(_DOUBTED) is not None else max(HABIT, 1.0 / self._count)
        self._recent.take(square, relative, moved, max(RECENT, 1.0 / self._count))
        self._habit.take(square, relative, moved, habit)

    @property
    def ratio(self) -> float | None:
        """Standard deviation now over what it used to be, where that cannot be the transmitter's own."""
        louder = self._differs(_DIFFERS)
        return None if louder is None or self._habit.moved < LIVELY else math.exp(louder)

    def _differs(self, least: float) -> float | None:
        recent, habit = self._recent, self._habit
        if self._count < KNOWN or min(recent.noise, recent.relative, habit.noise, habit.relative) <= 0.0:
            return None
        louder, relative = 0.5 * math.log(recent.noise / habit.noise), 0.5 * math.log(recent.relative / habit.relative)
        return louder if min(louder, relative) > least or max(louder, relative) < -least else None
