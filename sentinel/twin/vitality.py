"""Signs of life of one transmitter: it moves about as often and is about as noisy as it always has been, and never repeats itself.

In: its readings as they come.  Out: why they cannot be what a transmitter says now, or None.  No model of the plant is needed: a register
that stands still, a recording that is played again and noise that is not its own are found even where physics has nothing against what
they say.  A lie that makes the right noise passes.

How surprising a repetition is counts in bits: each reading that moved, and equals the one at the same place of an earlier stretch, adds
the logarithm of how rare its value and its step are.  A value that rests adds nothing.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sentinel.model.time import Instant, seconds_between
from sentinel.twin.noise import Noise

REMEMBERED = 1200  # readings: ten minutes at two a second
REPLAY_BITS = 160.0  # chance needs 2**160 readings for it; a coarse register of a plant that cycles, four cycles equal to the sample
REPLAY_HOLDS_S = 60.0  # after the last repeated reading
STILL_INTERVALS = 50.0  # times the usual time between two moves: if moves come at random, once in 2**72 such times
LEAST_STILL_S = 20.0
KNOWN_MOVES = 50  # before a transmitter's habit is known
HABIT = 1.0 / 200.0  # weight of the newest interval
_AT_AN_END = 0.01  # of the range: a flow that is cut off, a valve that is shut, rest there


class Vitality:
    """``low`` and ``high``: the tag's range; a value at an end of it, or at 0, may rest.  ``is_instrument``: its noise is its own.  A
    controller's output has it from what is controlled, and an actuator from that output."""

    __slots__ = (
        "_at",
        "_bits",
        "_count",
        "_has_bits",
        "_high",
        "_interval_s",
        "_low",
        "_moved",
        "_moves",
        "_noise",
        "_repeated",
        "_slot",
        "_steps",
        "_value",
        "_values",
    )

    def __init__(self, low: float, high: float, *, is_instrument: bool = False) -> None:
        self._low, self._high = low, high
        self._values: NDArray[np.float64] = np.full(REMEMBERED, np.nan)
        self._steps: NDArray[np.float64] = np.full(REMEMBERED, np.nan)
        self._bits: NDArray[np.float64] = np.zeros(REMEMBERED)  # of the stretch that ends at each place and was repeated just now
        self._slot = self._count = self._moves = 0
        self._interval_s = 0.0
        self._value = math.nan  # the last one
        self._has_bits = False
        self._noise = Noise(high - low) if is_instrument else None
        self._at: Instant | None = None
        self._moved: Instant | None = None
        self._repeated: Instant | None = None

    def heard(self, value: float, at: Instant) -> None:
        if self._noise is not None:
            self._noise.heard(value, rests=self._may_rest(value))
        step = value - self._value
        if step != 0.0:  # the first one too: NaN
            if self._moved is not None:
                gap_s = max(seconds_between(self._moved, at), 0.0)
                self._moves += 1
                self._interval_s += (gap_s - self._interval_s) * max(HABIT, 1.0 / self._moves)
            self._moved = at
        (same,) = (self._values == value).nonzero()  # few: the rest of the memory is not looked at again
        if len(same):
            bits = 0.0
            if step != 0.0 and self._count > 1:
                rare = max(len(same), int(np.count_nonzero(self._steps == step)))
                bits = math.log2((self._count + 1) / (rare + 1))
            repeated = self._bits[same - 1] + bits  # the place before the first one is the last
            self._bits.fill(0.0)
            self._bits[same] = repeated
            self._bits[self._slot] = 0.0
            if repeated.max() >= REPLAY_BITS:
                self._repeated = at
        elif self._has_bits:
            self._bits.fill(0.0)
        self._has_bits = len(same) > 0
        self._values[self._slot], self._steps[self._slot], self._value = value, step, value
        self._slot = (self._slot + 1) % REMEMBERED
        self._count = min(self._count + 1, REMEMBERED)
        self._at = at

    def repeats(self, at: Instant) -> bool:
        return self._repeated is not None and seconds_between(self._repeated, at) <= REPLAY_HOLDS_S

    def complaint(self, at: Instant) -> str | None:
        if self.repeats(at):
            return "it repeats, reading by reading, what it has said before"
        if self._noise is not None and (ratio := self._noise.ratio):
            return f"it is {ratio:.2g} times as noisy as it has been"
        if self._at is None or self._moved is None or self._moves < KNOWN_MOVES or self._may_rest(self._value):
            return None
        still_s = seconds_between(self._moved, self._at)
        if still_s <= max(LEAST_STILL_S, STILL_INTERVALS * self._interval_s):
            return None
        return f"it has stood still for {still_s:.0f} s and used to move every {self._interval_s:.1f} s"

    def _may_rest(self, value: float) -> bool:
        margin = _AT_AN_END * (self._high - self._low)
        return not self._low + margin < value < self._high - margin or abs(value) < margin
