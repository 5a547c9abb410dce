"""A model of the normal process: rows of tag values in, one ratio per row out; above 1 the process is not as it was learnt.

What it looks at, each against a limit of its own:

- ``tag``: every tag against what all other tags, the last rows and the hour of the day say about it (its partial regression, read off the
  inverse of the shrunk correlation matrix), at once and smoothed;
- ``distance``: the Mahalanobis distance of the row together with the last rows, smoothed over several memories;
- ``level``: the Mahalanobis distance of the smoothed row (a multivariate EWMA, Lowry et al. 1992), which sees small lasting shifts.

Limits come from rows that the model did not see: learning is cut into contiguous parts, each is scored by a model of the others, and the
highest score of every block of rows is read by `calibrate` at the false alarms that are allowed.  Smoothing starts at the expectation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.signal import lfilter

from sentinel.detect.calibrate import WEEK_S, block_maxima, threshold
from sentinel.detect.pyod_models import MSPC
from sentinel.detect.trimming import strange_blocks, without_wild
from sentinel.detect.upkeep import (
    MAX_OFFSET,
    RECALIBRATION,
    STANDS_FACTOR,
    STANDS_ROWS,
    Bounds,
    Course,
    Kept,
    longest_stand,
    walk,
    without_dead,
)  # fmt: skip
from sentinel.model.columns import Array

BLOCK_ROWS = 24  # longer than the memory of the slowest smoothing, 1 / 0.05 rows
CLIP = 8.0  # standard deviations; one tag gone wild must not decide what is expected of all others
CALM_SHARE, CALM_RATIO, CLEAR_ROWS = 0.9, 0.5, 8  # an alarm ends after so many rows as calm as nine in ten normal ones, or half way down
MIN_ROWS_PER_FEATURE = 2.0  # fewer rows than that per column of the stack: fewer lags
SMOOTH_TAG = 0.8  # von Neumann ratio (mean squared step / variance; 2 = white): below, a tag drifts rather than scatters
TREND_WEIGHT = 0.01  # of the newest row in the level that a drifting tag is held against
TREND_CLIP = 30.0  # standard deviations; a drifting tag may go further before it is cut
TREND_GUARD = 15.0  # standard deviations; what lies further off teaches the trend nothing
DRIFT_FLOOR = 1.0  # of a drifting tag's own scatter: its smoothed level counts in no finer unit, for where it drifts to was not learnt
HOUR_FLOOR = 0.22  # of an hour's own column, deviation 0.2: a weak witness, a tenth of the days decides nothing
AFTERMATH_FADES = 0.003  # a row: five minutes of seconds until two thirds of an episode are forgotten
_FLOOR = 1e-3  # of a standardised column
_LARGEST = 60.0  # standard deviations; a longer tail adds nothing but a slow recovery
_HOURS = 24
_MIN_SCALE = 0.3  # of a residual's own deviation: its robust scale is never smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Smoothing weights are those of the newest row, 1 = no memory.  ``folds`` = 1: limits from the very rows that were learnt.
    ``margin`` multiplies every limit.  ``follows_trends``: tags that drift are held against their own recent level.  ``aftermath``: this
    share of how far a tag was off counts as nothing until it is forgotten: a process comes back from far away by and by."""

    lags: int = 2
    tag_scales: tuple[float, ...] = (1.0,)
    distance_scales: tuple[float, ...] = (1.0, 0.3, 0.1, 0.05)
    level_scales: tuple[float, ...] = (0.3, 0.1, 0.05)
    folds: int = 5
    margin: float = 1.0
    follows_trends: bool = False
    aftermath: float = 0.0


# Of a process that is read every second: what a tag did in the last seconds explains a slow ramp of it, row by row, to within its noise;
# only the small error that has the same sign for twenty of them shows it.  Rows an hour apart have no such past and recover for a day.
LIVE = Shape(tag_scales=(1.0, 0.05))


@dataclass(slots=True, kw_only=True)
class Memory:
    """What a stream of rows leaves behind for the next: its `Course`, the newest stack, and the state of every smoothing."""

    course: Course | None = None
    newest: Array | None = None  # the stack that was judged last
    smoothed: dict[tuple[str, float], Array] = field(default_factory=dict)
    farthest: dict[float, Array] = field(default_factory=dict)  # of each level's tags, how far they were off, fading

    def resumed(self) -> "Memory":
        """After a pause: nothing of the past but the offsets."""
        course = None if self.course is None else Course.of(len(self.course.offset))
        if course is not None and self.course is not None:
            course.offset = self.course.offset
        return Memory(course=course)

    def smooth(self, kind: str, rows: Array, weight: float) -> Array:
        begin = self.smoothed.get((kind, weight))
        smoothed, self.smoothed[kind, weight] = _smooth_from(rows, weight, np.zeros((1, rows.shape[1])) if begin is None else begin)
        return smoothed

    def recovered(self, level: Array, weight: float, share: float) -> Array:
        """The level of ``weight`` without the aftermath: nearer to nothing by the share of how far each tag was off."""
        farthest = self.farthest.get(weight, np.zeros(level.shape[1]))
        bands = np.empty_like(level)
        for row, off in enumerate(np.abs(level)):
            farthest = np.maximum(off, (1.0 - AFTERMATH_FADES) * farthest)
            bands[row] = share * farthest
        self.farthest[weight] = farthest
        return np.asarray(level - np.clip(level, -bands, bands))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """``ratio``: per row, the largest of ``parts`` (rows x statistics), each statistic over its limit."""

    ratio: Array
    parts: Array


class ProcessModel:
    """``fit`` then ``score``.  Rows are equally spaced, those that are learnt finite; ``hours`` is the hour of the day per row, where the
    process has a day.  In rows that are scored a value that is not finite is a gap (`upkeep`).

    Tags that never moved while learning take no part: what they may do is a matter of their limits.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        self.limits: Array = np.zeros(0)
        self.moments, self.level_moments = MSPC(), list[MSPC]()
        self.calm = CALM_RATIO
        self.held_out: Array = np.zeros(0)  # the ratio of every learnt row, scored by a model that had not seen it

    def fit(
        self, rows: Array, false_alarms_per_week: float, row_s: float, hours: Array | None = None, resolution: Array | None = None
    ) -> None:
        """``resolution``: the smallest step of each tag.  Raises ValueError where there is nothing to learn from."""
        if rows.ndim != 2 or len(rows) < 5 * BLOCK_ROWS or not np.isfinite(rows).all():
            raise ValueError(f"a process model needs at least {5 * BLOCK_ROWS} rows of finite values")
        floor = np.zeros(rows.shape[1]) if resolution is None else resolution / np.sqrt(12.0)
        self.tags = np.flatnonzero(rows.std(axis=0) > np.maximum(floor, 1e-9 * np.maximum(np.abs(rows).max(axis=0), 1.0)))
        if len(self.tags) < 2:
            raise ValueError("a process model needs at least two tags that vary")
        rows = rows[:, self.tags] if self.shape.folds > 1 else without_wild(rows[:, self.tags])
        self.mean, self.deviation = rows.mean(axis=0), rows.std(axis=0)
        self.drifting = np.zeros(rows.shape[1], bool)
        if self.shape.follows_trends:
            self.drifting = (np.diff(rows, axis=0) ** 2).mean(axis=0) / rows.var(axis=0) < SMOOTH_TAG
        self.trend_deviation = np.ones(rows.shape[1])
        if self.drifting.any():
            flat = self._standard(rows)[2 * BLOCK_ROWS :]
            self.trend_deviation[self.drifting] = np.maximum(flat.std(axis=0)[self.drifting], 1e-3)
        width = rows.shape[1] + (0 if hours is None else _HOURS)
        fits = int(len(rows) / MIN_ROWS_PER_FEATURE - width) // rows.shape[1]
        self.lags = int(np.clip(fits, 0, self.shape.lags))
        span = np.ptp(rows, axis=0) / self.deviation
        self.bounds = Bounds(
            step=RECALIBRATION * row_s / WEEK_S * span,
            farthest=MAX_OFFSET * span,
            stands=np.maximum(STANDS_FACTOR * longest_stand(rows), STANDS_ROWS),
        )
        z = self._standard(rows)
        stack, trusted = self._stack(z, hours)[self.lags :], np.ones(len(rows), bool)
        strange = np.repeat(strange_blocks(z, BLOCK_ROWS), BLOCK_ROWS)
        trusted[: len(strange)] = ~strange
        trusted = trusted[self.lags :]
        self.set_aside = int((~trusted).sum())
        self._learn(stack[trusted])
        held_out = self._cross_fitted(stack, trusted) if self.shape.folds > 1 else self._statistics(stack)
        probability = min(false_alarms_per_week * row_s * BLOCK_ROWS / WEEK_S / held_out.shape[1], 0.5)
        places, counted = np.flatnonzero(trusted), held_out[trusted]
        self.limits = self.shape.margin * np.maximum(
            1e-6, np.array([threshold(block_maxima(places, counted[:, i], BLOCK_ROWS), probability) for i in range(counted.shape[1])])
        )
        self.held_out = (counted / self.limits).max(axis=1)
        self.calm = max(float(np.quantile(self.held_out, CALM_SHARE)), CALM_RATIO)

    def _cross_fitted(self, stack: Array, trusted: Array) -> Array:
        """Statistics of every row under a model of the trusted rows of the other parts; also sets the scale of the residuals."""
        parts = np.array_split(np.arange(len(stack)), self.shape.folds)
        whole = self.moments, self.level_moments
        residuals, models = np.empty((len(stack), self.count)), []
        for part in parts:
            others = trusted.copy()
            others[part] = False
            self._learn(stack[others])
            models.append((self.moments, self.level_moments))
            residuals[part] = self._residuals(stack[part])
        robust = np.median(np.abs(residuals[trusted]), axis=0) / 0.6745  # the median of a normal's absolute value
        self.scale = np.maximum(np.maximum(robust, _MIN_SCALE * residuals[trusted].std(axis=0)), 1e-6)
        found, width = [], self.count * (1 + self.lags)
        for part, (self.moments, self.level_moments) in zip(parts, models, strict=True):
            course = Course.of(self.count)
            course.past = [stack[part[0], self.count * lag : self.count * (lag + 1)] for lag in range(1, self.lags + 1)]
            kept = self._walk(stack[part][:, : self.count], stack[part][:, width:] if stack.shape[1] > width else None, course)
            found.append(self._statistics(kept.stack, kept=kept))
        self.moments, self.level_moments = whole
        return np.vstack(found)

    # -- the parts --

    @property
    def count(self) -> int:
        return len(self.mean)

    def _standard(self, rows: Array) -> Array:
        far = TREND_CLIP if self.drifting.any() else CLIP
        z: Array = np.clip((rows - self.mean) / self.deviation, -far, far)
        if self.drifting.any():
            z[:, self.drifting] = _without_trend(z[:, self.drifting]) / self.trend_deviation[self.drifting]
        return z

    def _walk(self, z: Array, calendar: Array | None, course: Course) -> Kept:
        moments = self.moments
        return walk(z, calendar, self.lags, moments.precision, moments.mean, moments.deviation, self.scale, self.bounds, course)

    def _stack(self, z: Array, hours: Array | None) -> Array:
        """Rows beside their predecessors and the hour of the day.  The first ``lags`` rows have no true past."""
        before = [np.vstack([np.repeat(z[:1], lag, axis=0), z[:-lag]])[: len(z)] for lag in range(1, self.lags + 1)]
        return np.hstack([z, *before, *([] if hours is None else [_calendar(hours)])])

    def _learn(self, stack: Array) -> None:
        z = stack[:, : self.count]
        floor = np.full(stack.shape[1], _FLOOR)
        floor[self.count * (1 + self.lags) :] = HOUR_FLOOR
        self.moments = MSPC(floor=floor).partial_fit(stack)
        level_floor = np.where(self.drifting, DRIFT_FLOOR, _FLOOR)
        self.level_moments = [MSPC(floor=level_floor).partial_fit(_smooth(z, each)[BLOCK_ROWS:]) for each in self.shape.level_scales]
        self.scale = np.maximum(self._residuals(stack).std(axis=0), 1e-6)

    def _residuals(self, stack: Array) -> Array:
        """Every tag minus what everything else says about it: (M x)_i / M_ii with the inverse correlation M."""
        standard = (stack - self.moments.mean) / self.moments.deviation
        inverse = self.moments.precision
        residuals: Array = (standard @ inverse[:, : self.count]) / np.diag(inverse)[: self.count]
        return residuals

    def _statistics(self, stack: Array, memory: Memory | None = None, kept: Kept | None = None) -> Array:
        """Rows x (tag statistics by scale, distances by scale, levels by scale)."""
        memory = memory or Memory()
        columns = []
        if self.shape.tag_scales:
            sharpness = 1.0 if kept is None else kept.sharpness
            residuals = np.clip(self._residuals(stack) / self.scale * sharpness, -_LARGEST, _LARGEST)
            columns += [np.abs(memory.smooth("tag", residuals, each)) * np.sqrt((2.0 - each) / each) for each in self.shape.tag_scales]
        if self.shape.distance_scales:
            measured = 1.0 if kept is None else np.sqrt(kept.known.shape[1] / np.maximum(kept.known.sum(axis=1), 1))
            squared = np.minimum(self.moments.decision_function(stack) * measured, 2.0 * _LARGEST)[:, None] ** 2
            columns += [1.0 + memory.smooth("distance", squared - 1.0, each) for each in self.shape.distance_scales]
        for each, moments in zip(self.shape.level_scales, self.level_moments, strict=True):
            level = memory.smooth("level", stack[:, : self.count], each)
            if self.shape.aftermath:
                level = memory.recovered(level, each, self.shape.aftermath)
            columns.append(moments.decision_function(level)[:, None] ** 2)
        return np.hstack(columns)

    def score(self, rows: Array, hours: Array | None = None, memory: Memory | None = None) -> Ratios:
        """Of rows that follow each other, and what ``memory`` holds.  The first ones, which have no past to be judged by, get 0."""
        memory = memory or Memory()
        course = memory.course = memory.course or Course.of(self.count)
        alive = without_dead(rows[:, self.tags], self.bounds.stands, course)
        kept = self._walk(self._standard(alive), None if hours is None else _calendar(hours), course)
        parts = np.zeros((len(rows), len(self.limits)))
        if len(kept.stack):
            parts[-len(kept.stack) :] = self._statistics(kept.stack, memory, kept) / self.limits
            memory.newest = kept.stack[-1]
        return Ratios(ratio=parts.max(axis=1), parts=parts)

    def explain(self, memory: Memory) -> tuple[Array, Array]:
        """(what the rest says each varying tag should be, how many of its own deviations it is off) for the row that was scored last.

        Empty where the row had no past yet; not for models with a calendar.
        """
        if memory.newest is None:
            return np.zeros(0), np.zeros(0)
        z = memory.newest[: self.count]
        residual = self._residuals(memory.newest[None, :])[0]
        offset = np.zeros(self.count) if memory.course is None else memory.course.offset
        expected: Array = (z + offset - residual) * self.deviation + self.mean
        return expected, residual / self.scale

    def drift(self, memory: Memory) -> Array:
        """Of each varying tag, how far its offset has walked from the anchor that was learnt: a share of what it may, -1 to 1."""
        walked = np.zeros(self.count) if memory.course is None else memory.course.offset
        return np.asarray(walked / np.maximum(self.bounds.farthest, 1e-12))

    def statistic(self, index: int) -> tuple[str, int | None, float]:
        """(kind, tag or None, smoothing weight) of a column of ``parts``."""
        tags = len(self.shape.tag_scales) * self.count
        if index < tags:
            return "tag", int(self.tags[index % self.count]), self.shape.tag_scales[index // self.count]
        if index < tags + len(self.shape.distance_scales):
            return "distance", None, self.shape.distance_scales[index - tags]
        return "level", None, self.shape.level_scales[index - tags - len(self.shape.distance_scales)]

    # -- at rest --

    def arrays(self) -> dict[str, Array]:
        """Everything that scoring needs, as plain arrays; not for models that follow trends, which live for one file."""
        found = {"tags_used": self.tags, "tag_mean": self.mean, "tag_deviation": self.deviation, "scale": self.scale, "limits": self.limits}
        found |= {"offset_step": self.bounds.step, "offset_farthest": self.bounds.farthest, "stands": self.bounds.stands}
        found["lags"] = np.array([self.lags], np.int64)
        for name, moments in [("stack", self.moments), *((f"level{i}", each) for i, each in enumerate(self.level_moments))]:
            found |= {f"{name}_{key}": array for key, array in moments.arrays().items()}
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, Array], shape: Shape | None = None) -> Self:
        """Raises KeyError or ValueError where the arrays are not those of a model of this shape."""
        model = cls(shape)
        model.tags, model.lags = arrays["tags_used"].astype(np.int64), int(arrays["lags"][0])
        model.mean, model.deviation, model.scale = arrays["tag_mean"], arrays["tag_deviation"], arrays["scale"]
        model.limits, model.drifting = arrays["limits"], np.zeros(len(model.mean), bool)
        model.bounds = Bounds(step=arrays["offset_step"], farthest=arrays["offset_farthest"], stands=arrays["stands"])
        names = ["stack", *(f"level{i}" for i in range(len(model.shape.level_scales)))]
        loaded = [MSPC.of({key: arrays[f"{name}_{key}"] for key in ("mean", "scatter", "floor", "count")}) for name in names]
        model.moments, model.level_moments = loaded[0], loaded[1:]
        columns = len(model.shape.tag_scales) * model.count + len(model.shape.distance_scales) + len(model.shape.level_scales)
        if len(model.limits) != columns or len(model.moments.mean) != model.count * (1 + model.lags) or len(model.scale) != model.count:
            raise ValueError("the arrays of a process model do not fit together")
        return model

    def line_at(self, share: float) -> float:
        """The ratio that this share of held-out normal rows exceeds."""
        return float(np.quantile(self.held_out, 1.0 - share))


def in_alarm(ratio: Array, calm: float) -> Array:
    """Per row: is an alarm on?  It begins above 1 and ends when the ratio stayed below ``calm``."""
    alarm, on, quiet = np.zeros(len(ratio), bool), False, 0
    for row, each in enumerate(ratio.tolist()):
        if each > 1.0:
            on, quiet = True, 0
        elif on:
            quiet = quiet + 1 if each < calm else 0
            on = quiet <= CLEAR_ROWS
        alarm[row] = on
    return alarm


def _calendar(hours: Array) -> Array:
    eye: Array = np.eye(_HOURS)[hours.astype(int) % _HOURS]
    return eye


def _smooth(rows: Array, weight: float) -> Array:
    """EWMA from zero; the weight is that of the newest row."""
    return _smooth_from(rows, weight, np.zeros((1, rows.shape[1])))[0]


def _smooth_from(rows: Array, weight: float, begin: Array) -> tuple[Array, Array]:
    smoothed, end = lfilter([weight], [1.0, weight - 1.0], rows, axis=0, zi=begin)
    return smoothed, end


def _without_trend(z: Array) -> Array:
    gaps, level = np.isnan(z), np.zeros(z.shape[1])
    if gaps.any():  # the level goes on from the last value
        rows = np.maximum.accumulate(np.where(gaps, 0, np.arange(len(z))[:, None]), axis=0)
        z = np.nan_to_num(np.take_along_axis(z, rows, axis=0))
    slow, flat = _smooth(z, 0.2), np.empty_like(z)
    for row in range(len(z)):
        flat[row] = z[row] - level
        step = slow[row] - level
        level = level + TREND_WEIGHT * np.where(np.abs(step) < TREND_GUARD, step, 0.0)
    flat[gaps] = np.nan
    return flat
