"""Upkeep: rows of a live process made fit for a joint model of it: gaps are estimated, dead instruments left out, slow drift is followed.

In: standardised rows, NaN where nothing was read.  Out: per row the stack that the model judges (the row, the rows before it, the calendar)
with every gap at its conditional mean, which entries were measured, and how far each tag's residual scatters for what the others lack.

- *Gaps.*  The conditional mean minimises the Mahalanobis distance over what is missing, so the distance of a filled stack is that of its
  measured entries alone; it has as many degrees of freedom as there are of these.
- *Dead instruments.*  A tag that stands for longer than it ever did while learning says nothing: it counts as a gap until it moves.
- *Drift.*  Each tag has an offset against the frozen anchor that was learnt.  A row may move it by `RECALIBRATION` of the tag's span a week
  at most, in the direction of the tag's residual, and never further than `MAX_OFFSET` of the span.  Whoever walks slower than that is
  followed as far as the cap, and the distance walked is shown; whoever walks faster is judged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinel.model.columns import Array

RECALIBRATION = 0.02  # of a tag's learnt span, a week, at most
MAX_OFFSET = 0.3  # of a tag's learnt span: beyond, the instrument is to be calibrated by a person
TREND, CLIP = 0.05, 3.0  # weight of the newest residual in what an offset follows, and its most in deviations: a wild row moves nothing
STANDS_FACTOR, STANDS_ROWS = 3, 24  # times as long as ever learnt, and so many rows at least, make an instrument dead: by then it was told


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of each tag: ``step`` and ``farthest`` of its offset in standard deviations, per row and in all; after how many rows it is dead."""

    step: Array
    farthest: Array
    stands: Array


@dataclass(slots=True)
class Course:
    """What a stream of rows leaves behind: newest value of each tag and for how many rows it stands, its offset, the rows before."""

    value: Array
    stood: Array
    offset: Array
    trend: Array
    past: list[Array]  # NaN where nothing was measured

    @classmethod
    def of(cls, count: int) -> "Course":
        return cls(np.full(count, np.nan), np.zeros(count, np.int64), np.zeros(count), np.zeros(count), [])

    @classmethod
    def going_on(cls, offset: Any, trend: Any, bounds: Bounds) -> "Course":
        """After a restart: the offsets as they were kept, within the bounds of the anchor.  Raises ValueError for those of other tags."""
        course, farthest = cls.of(len(bounds.farthest)), bounds.farthest
        offset, trend = np.asarray(offset, np.float64), np.asarray(trend, np.float64)
        if offset.shape != farthest.shape or trend.shape != farthest.shape:
            raise ValueError("the offsets are those of other tags")
        if not (np.isfinite(offset).all() and np.isfinite(trend).all()):
            raise ValueError("an offset is no number")
        course.offset, course.trend = np.clip(offset, -farthest, farthest), np.clip(trend, -CLIP, CLIP)
        return course


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """``stack``: finite.  ``known``: which of its entries were measured.  ``sharpness``: rows x tags, what a residual is to be multiplied
    by for the witnesses it lacks, 1 where none is missing, 0 where the tag itself is."""

    stack: Array
    known: Array
    sharpness: Array


def longest_stand(values: Array) -> Array:
    """Per column, the longest run of equal values."""
    longest = np.ones(values.shape[1], np.int64)
    for column in range(values.shape[1]):
        moves = np.flatnonzero(np.diff(values[:, column]) != 0.0)
        edges = np.concatenate(([-1], moves, [len(values) - 1]))
        longest[column] = np.diff(edges).max()
    return longest


def without_dead(rows: Array, stands: Array, course: Course) -> Array:
    """A copy with NaN where a tag stands for longer than it may; a value that is not finite is a gap, and does not end a stand."""
    kept = np.where(np.isfinite(rows), rows, np.nan)
    for row in kept:
        heard = ~np.isnan(row)
        same = heard & (row == course.value)
        course.stood = np.where(heard, np.where(same, course.stood + 1, 1), course.stood)
        course.value = np.where(heard, row, course.value)
        row[heard & (course.stood > stands)] = np.nan
    return kept


def walk(
    z: Array,
    calendar: Array | None,
    lags: int,
    precision: Array,
    mean: Array,
    deviation: Array,
    scale: Array,
    bounds: Bounds,
    course: Course,
) -> Kept:
    """``precision``, ``mean`` and ``deviation`` are of the stack, ``scale`` of the residuals.  Rows whose past is missing are left out."""
    count, width = z.shape[1], len(mean)
    diagonal = np.diag(precision)[:count]
    ready = max(len(z) - max(lags - len(course.past), 0), 0)
    stack, known, sharpness = np.zeros((ready, width)), np.ones((ready, width), bool), np.ones((ready, count))
    at = 0
    for place, row in enumerate(z):
        current = row - course.offset
        course.past = [current, *course.past][: lags + 1]
        if len(course.past) <= lags:
            continue
        joined = np.concatenate([*course.past, *([] if calendar is None else [calendar[place]])])
        standard = (joined - mean) / deviation
        gone = np.flatnonzero(np.isnan(standard))
        if len(gone):
            standard[gone] = 0.0
            block, beside = precision[np.ix_(gone, gone)], precision[gone][:, :count]
            answers = np.linalg.solve(block, np.column_stack([precision[gone] @ standard, beside]))
            standard[gone] = -answers[:, 0]
            lost = np.einsum("ij,ij->j", beside, answers[:, 1:]) / diagonal  # of the precision, with the missing witnesses
            left = np.maximum(1.0 - lost, 1e-9)
            sharpness[at] = scale / (left * np.sqrt(scale**2 + lost / (left * diagonal)))  # of a sum of variances: witnessed, and not
            sharpness[at, gone[gone < count]] = 0.0
            known[at, gone] = False
            joined[gone] = standard[gone] * deviation[gone] + mean[gone]
        stack[at] = joined
        off = (precision[:count] @ standard) / (diagonal * scale) * known[at, :count]
        course.trend += TREND * (np.clip(off, -CLIP, CLIP) - course.trend)
        course.offset = np.clip(course.offset + bounds.step * np.clip(course.trend, -1.0, 1.0), -bounds.farthest, bounds.farthest)
        at += 1
    return Kept(stack=stack, known=known, sharpness=sharpness)
