"""Trimming: which rows of what was learnt are out of all proportion to the rest: an attack or a fault that nobody noticed.

Concentration steps as in the minimum covariance determinant (Rousseeuw, Van Driessen 1999), on blocks of rows, for rows of a process come
in episodes: moments of the blocks that lie nearest, until these are the same.  Then a block is strange when the mean of its distances
exceeds what the highest of so many normal blocks reaches with `CHANCE`: a Gumbel distribution through the quartiles, which the strange ones
do not move.  The episode goes with it: the blocks beside it as far as they lie among the farthest tenth, and the next.  Tags that mostly
rest say nothing here: a pump that runs twice a year is rare, not strange.  Nor does a plant that lives in episodes, whose people move it.
A run-in of too few blocks for that is only freed of values that are wild by themselves: four of them would set its mean and deviations.
"""

import numpy as np

from sentinel.detect.pyod_models import MSPC
from sentinel.model.columns import Array

NEAREST = 0.9  # of the blocks make the moments
STEPS = 10  # at most; two or three are enough
CHANCE = 0.05  # that normal learning loses an episode
SET_ASIDE = 0.025  # of the blocks, at most: what is strange more often than that is how this plant lives
MIN_SPREAD = 0.2  # interquartile range over the standard deviation: below, a tag mostly rests (a normal one has 1.35)
MIN_BLOCKS = 50  # fewer do not tell how far the highest of them may lie
WILD = 10.0  # robust deviations from a tag's median, in a short run-in
_ROBUST = 0.6745  # the median of a normal's absolute value
_MEDIAN, _QUARTILES = 0.36651292, 1.57253361  # of a standard Gumbel distribution: the median, and from quartile to quartile


def strange_blocks(rows: Array, block_rows: int) -> Array:
    """Per whole block of ``block_rows``, True where it is strange.  Rows are finite."""
    count = len(rows) // block_rows
    low, high = np.quantile(rows, (0.25, 0.75), axis=0)
    rows = rows[: count * block_rows, (high - low) > MIN_SPREAD * rows.std(axis=0)]
    if count < MIN_BLOCKS or rows.shape[1] < 2:
        return np.zeros(count, bool)
    blocks = rows.reshape(count, block_rows, -1)
    nearest = np.arange(count)
    for _ in range(STEPS):
        moments = MSPC().partial_fit(blocks[nearest].reshape(-1, rows.shape[1]))
        distance = (moments.decision_function(rows) ** 2).reshape(count, block_rows).mean(axis=1)
        before, nearest = nearest, np.sort(np.argsort(distance, kind="stable")[: int(NEAREST * count)])
        if np.array_equal(before, nearest):
            break
    low, middle, high = np.quantile(distance, (0.25, 0.5, 0.75))
    line = middle - (high - low) / _QUARTILES * (_MEDIAN + np.log(-np.log1p(-CHANCE / count)))
    far = distance > np.quantile(distance, NEAREST)
    found: Array = np.zeros(count, bool)
    for block in np.flatnonzero(distance > line).tolist():
        first = last = block
        while first > 0 and far[first]:
            first -= 1
        while last < count - 1 and far[last]:
            last += 1
        found[first : last + 1] = True
    return found if found.mean() <= SET_ASIDE else np.zeros(count, bool)


def without_wild(rows: Array) -> Array:
    """A run-in whose wild values are replaced by their tag's median, unless a tag has many; one that mostly rests stays as it is."""
    middle = np.median(rows, axis=0)
    far = np.abs(rows - middle)
    spread = np.median(far, axis=0) / _ROBUST
    wild = (far > WILD * spread) & (spread > 0.0)
    found: Array = np.where(wild & (wild.mean(axis=0) <= SET_ASIDE), middle, rows)
    return found
