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
_SEEN = 50  # samples, from which on it is that; of fewer the noise is their mean
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
        found: list[Stroke] = []
        times_, values_ = times.tolist(), values.tolist()
        if self.rest is None and values_:
            self.rest = values_[0]
        at = 0
        while at < len(times_):
            if self.way is None:
                at = self._resting(times_, values_, at)
            else:
                at, stroke = self._moving(self.way, times_, values_, at)
                if stroke is not None:
                    found.append(stroke)
        return found

    def _resting(self, new_times: list[int], new_values: list[float], at: int) -> int:
        """Take samples from ``at`` on while they rest; the first that is not taken.  One that leaves is the first of a way."""
        times, values, rest, noise, seen = self.times, self.values, float(self.rest or 0.0), self.noise, self.seen
        leaves, kept_ns = LEAVES * self.span, 2 * SETTLED_S * NS_PER_S
        for place in range(at, len(new_times)):
            time, value = new_times[place], new_values[place]
            if times and time <= times[-1]:
                continue
            off = value - rest
            if abs(off) >= leaves:
                self.rest, self.noise, self.seen = rest, noise, seen
                self.way = _Way.of(times, values)
                return place
            if len(values) >= 2:
                seen += 1
                curve = (value - 2.0 * values[-1] + values[-2]) ** 2 / _CURVE
                noise += max(_NOISE_WEIGHT, 1.0 / seen) * (curve - noise)
            rest += _NOISE_WEIGHT * off
            times.append(time)
            values.append(value)
            while len(times) > 2 and times[0] < time - kept_ns:
                times.popleft()
                values.popleft()
        self.rest, self.noise, self.seen = rest, noise, seen
        return len(new_times)

    def _moving(self, way: "_Way", new_times: list[int], new_values: list[float], at: int) -> tuple[int, Stroke | None]:
        """Take samples from ``at`` on until they have settled; the first that is not taken, and the stroke that has ended.

        One loop over local names: whether it has settled is asked at every sample of every tag that moves.
        """
        times, values, sums, noise, seen = way.times, way.values, way.sums, self.noise, self.seen
        stands, whole, held, first = _STANDS * self.span, way.sums[-1], len(way.times), 0
        for place in range(at, len(new_times)):
            time, value = new_times[place], new_values[place]
            if held:
                if time <= times[-1]:
                    continue
                if held >= 2:
                    seen += 1
                    curve = (value - 2.0 * values[-1] + values[-2]) ** 2 / _CURVE
                    noise += (_NOISE_WEIGHT if seen >= _SEEN else 1.0 / seen) * (curve - noise)
            whole += value
            times.append(time)
            values.append(value)
            sums.append(whole)
            held += 1
            if held >= 2 * MAX_SAMPLES:
                way.forget()
                held, first = len(times), 0
            begin = held - MAX_SAMPLES if held > MAX_SAMPLES else 0
            elapsed_s = (time - times[begin]) / NS_PER_S
            if elapsed_s > LONGEST_S:  # no stroke: begin anew from here
                self.noise, self.seen = noise, seen
                self._rests(value, time, value)
                return place + 1, None
            if elapsed_s < SETTLED_S:
                continue
            share_s = SETTLED_SHARE * elapsed_s
            since = time - (SETTLED_S if share_s < SETTLED_S else share_s) * NS_PER_S
            if not first:
                first = bisect_right(times, since)
            while times[first] <= since:  # later with every sample
                first += 1
            count = held - first + 1  # from the one before
            if first <= begin or count < MIN_SETTLED:
                continue
            half = count // 2
            newer = whole - sums[-half - 1]
            older = (whole - sums[-count - 1]) - newer
            allowed = SETTLED_NOISES * math.sqrt(noise * (1.0 / half + 1.0 / (count - half)))
            if abs(newer / half - older / (count - half)) > max(allowed, stands):
                continue
            self.noise, self.seen = noise, seen
            end, start = (whole - sums[-count - 1]) / count, float(self.rest or 0.0)
            self._rests(end, time, value)
            return place + 1, _fitted(np.array(times[begin:]), np.array(values[begin:]), start, end, self.span)
        self.noise, self.seen = noise, seen
        return len(new_times), None

    def _rests(self, at: float, time: int, value: float) -> None:
        """The sample that told so is the first at rest: a copy of it is none."""
        self.rest, self.way = at, None
        self.times.clear()
        self.values.clear()
        self.times.append(time)
        self.values.append(value)


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

    def forget(self) -> None:
        """All but the newest samples."""
        for column in (self.times, self.values, self.sums):
            del column[:MAX_SAMPLES]


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
