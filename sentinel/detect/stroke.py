"""A stroke: samples of a position become rests and ramps, and each ramp one rate, by least squares.

The time between two limits throws away most of what a ramp tells; the slope over all its samples has the standard deviation
sqrt(12 / samples) * noise / duration.  What is fitted is chosen by time on a first fitted line, not by value, so that noise at the edges
does not bend the slope.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from sentinel.model.columns import Array
from sentinel.model.time import NS_PER_S

LEAVES = 0.1  # of the span: so far from its rest, a position is under way
TRAVEL = 0.3  # of the span: a shorter way is no stroke
SETTLED_NOISES = 4.0  # a position rests when the halves of its last samples differ by less than so many deviations of their means
SETTLED_S = 1.0
SETTLED_SHARE = 0.2  # of the time under way, for slow strokes
MIN_SETTLED = 4  # samples
LONGEST_S = 300.0  # what is under way for longer is no stroke
MIN_RAMP = 4  # samples in the fitted part
MAX_SAMPLES = 4096  # of one stroke; of a longer one the first are forgotten
_INNER = (0.15, 0.85)  # of the way, for the first line
_FITTED = (0.1, 0.9)  # of the way on that line
_NOISE_WEIGHT = 0.02  # EWMA weight of the newest sample in the noise and in the rest
_STANDS = 0.002  # of the span: a smaller difference is none, where there is no noise to go by
_CURVE = 6.0  # variance of a second difference of white noise; a ramp has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """``rate``: spans per second, positive = opening.  ``began``, ``ended``: ns UTC."""

    began: int
    ended: int
    rate: float
    start: float
    end: float


@dataclass(slots=True)
class StrokeReader:
    """Takes the samples of one position in order and gives its strokes; any batching gives the same ones."""

    span: float
    rest: float | None = None
    noise: float = 0.0  # variance of a sample, from second differences: at rest and under way alike
    seen: int = 0
    times: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))  # at rest: the last seconds
    values: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    way: "_Way | None" = None  # under way

    def take(self, times: Array, values: Array) -> list[Stroke]:
        return [stroke for time, value in zip(times.tolist(), values.tolist(), strict=True) if (stroke := self._sample(time, value))]

    def _sample(self, time: int, value: float) -> Stroke | None:
        way = self.way
        times, values = (way.times, way.values) if way else (self.times, self.values)
        if times and time <= times[-1]:
            return None
        if self.rest is None:
            self.rest = value
        if len(values) >= 2:
            curve = (value - 2.0 * values[-1] + values[-2]) ** 2 / _CURVE
            self.seen += 1
            self.noise += max(_NOISE_WEIGHT, 1.0 / self.seen) * (curve - self.noise)
        if way is None:
            off = value - self.rest
            if abs(off) < LEAVES * self.span:
                self.rest += _NOISE_WEIGHT * off
                self.times.append(time)
                self.values.append(value)
                while len(self.times) > 2 and self.times[0] < time - 2 * SETTLED_S * NS_PER_S:
                    self.times.popleft()
                    self.values.popleft()
                return None
            way = self.way = _Way.of(self.times, self.values)
        way.add(time, value)
        return self._settled(way, time)

    def _settled(self, way: "_Way", now: int) -> Stroke | None:
        begin = way.begin
        elapsed_s = (now - way.times[begin]) / NS_PER_S
        if elapsed_s > LONGEST_S:  # no stroke: begin anew from here
            self._rests(way.values[-1])
            return None
        since = now - max(SETTLED_S, SETTLED_SHARE * elapsed_s) * NS_PER_S
        first = bisect_right(way.times, since) - 1
        count = len(way.times) - first
        if first < begin or count < MIN_SETTLED:
            return None
        half = count // 2
        newer, older = way.total(-half) / half, (way.total(-count) - way.total(-half)) / (count - half)
        allowed = SETTLED_NOISES * math.sqrt(self.noise * (1.0 / half + 1.0 / (count - half)))
        if abs(newer - older) > max(allowed, _STANDS * self.span):
            return None
        end, start = way.total(-count) / count, float(self.rest or 0.0)
        self._rests(end)
        return _fitted(np.array(way.times[begin:]), np.array(way.values[begin:]), start, end, self.span)

    def _rests(self, value: float) -> None:
        self.rest, self.way = value, None
        self.times.clear()
        self.values.clear()


@dataclass(slots=True)
class _Way:
    """The samples of what is under way, and their running sums: whether it has settled is asked at every sample."""

    times: list[int]
    values: list[float]
    sums: list[float]  # of the values before each sample, and of all of them

    @classmethod
    def of(cls, times: Iterable[int], values: Iterable[float]) -> "_Way":
        listed = list(values)
        return cls(list(times), listed, [0.0, *accumulate(listed)])

    def add(self, time: int, value: float) -> None:
        self.times.append(time)
        self.values.append(value)
        self.sums.append(self.sums[-1] + value)
        if len(self.times) >= 2 * MAX_SAMPLES:
            for column in (self.times, self.values, self.sums):
                del column[:MAX_SAMPLES]

    @property
    def begin(self) -> int:
        """The first sample that is not forgotten."""
        return max(len(self.times) - MAX_SAMPLES, 0)

    def total(self, since: int) -> float:
        """Of the last values; ``since`` is their number, negative."""
        return self.sums[-1] - self.sums[since - 1]


def _fitted(times: Array, values: Array, start: float, end: float, span: float) -> Stroke | None:
    if abs(end - start) < TRAVEL * span:
        return None
    seconds, way = (times - times[0]) / NS_PER_S, (values - start) / (end - start)
    inner = (way > _INNER[0]) & (way < _INNER[1])
    if inner.sum() < MIN_RAMP:
        return None
    slope, offset = _line(seconds[inner], way[inner])
    if slope <= 0.0:
        return None
    ramp = (seconds >= (_FITTED[0] - offset) / slope) & (seconds <= (_FITTED[1] - offset) / slope)
    if ramp.sum() < MIN_RAMP:
        return None
    slope, _ = _line(seconds[ramp], values[ramp])
    first, last = np.flatnonzero(ramp)[[0, -1]]
    return Stroke(began=int(times[first]), ended=int(times[last]), rate=slope / span, start=start, end=end)


def _line(x: Array, y: Array) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float((centred * (y - y.mean())).sum() / max(float((centred * centred).sum()), 1e-300))
    return slope, float(y.mean() - slope * x.mean())
