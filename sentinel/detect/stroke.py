"""A stroke: samples of a position become rests and ramps, and each ramp one rate, by least squares.

The time between two limits throws away most of what a ramp tells; the slope over all its samples has the standard deviation
sqrt(12 / samples) * noise / duration.  What is fitted is chosen by time on a first fitted line, not by value, so that noise at the edges
does not bend the slope.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice

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
    moving: bool = False
    times: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    values: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))

    def take(self, times: Array, values: Array) -> list[Stroke]:
        return [stroke for time, value in zip(times.tolist(), values.tolist(), strict=True) if (stroke := self._sample(time, value))]

    def _sample(self, time: int, value: float) -> Stroke | None:
        if self.times and time <= self.times[-1]:
            return None
        if self.rest is None:
            self.rest = value
        if len(self.values) >= 2:
            curve = (value - 2.0 * self.values[-1] + self.values[-2]) ** 2 / _CURVE
            self.seen += 1
            self.noise += max(_NOISE_WEIGHT, 1.0 / self.seen) * (curve - self.noise)
        if not self.moving:
            off = value - self.rest
            if abs(off) < LEAVES * self.span:
                self.rest += _NOISE_WEIGHT * off
                self.times.append(time)
                self.values.append(value)
                while len(self.times) > 2 and self.times[0] < time - 2 * SETTLED_S * NS_PER_S:
                    self.times.popleft()
                    self.values.popleft()
                return None
            self.moving = True
        self.times.append(time)
        self.values.append(value)
        return self._settled(time)

    def _settled(self, now: int) -> Stroke | None:
        elapsed_s = (now - self.times[0]) / NS_PER_S
        since = now - max(SETTLED_S, SETTLED_SHARE * elapsed_s) * NS_PER_S
        if elapsed_s > LONGEST_S:  # no stroke: begin anew from here
            self.rest, self.moving = self.values[-1], False
            self.times.clear()
            self.values.clear()
            return None
        count = 0
        for time in reversed(self.times):
            count += 1
            if time <= since:
                break
        else:
            return None
        if count < MIN_SETTLED:
            return None
        last = list(islice(reversed(self.values), count))
        newer, older = last[: count // 2], last[count // 2 :]
        allowed = SETTLED_NOISES * math.sqrt(self.noise * (1.0 / len(newer) + 1.0 / len(older)))
        if abs(sum(newer) / len(newer) - sum(older) / len(older)) > max(allowed, _STANDS * self.span):
            return None
        end = sum(last) / count
        times, values, start = np.array(self.times), np.array(self.values), float(self.rest or 0.0)
        self.rest, self.moving = end, False
        self.times.clear()
        self.values.clear()
        return _fitted(times, values, start, end, self.span)


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
