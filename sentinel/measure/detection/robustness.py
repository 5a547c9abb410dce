"""The same files, a little worse: what real instruments and a real learning phase do to data, from a seed.

Each disturbance takes the tables that are learnt, those that are tested and how many first rows of the tested ones are learnt too (a
run-in, 0 = none), and gives new tables; labels stay as they are.  The scores over them come from `process`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sentinel.measure.detection.datasets import Table
from sentinel.model.columns import Array

SEED = 11
DRIFT_PER_WEEK = 0.01  # of a tag's span
WEEK_S = 7 * 86_400.0
MISSING = 0.05  # of all values
POISON = 0.01  # of the rows that are learnt

Pair = tuple[Sequence[Table], Sequence[Table]]


def rerounded(learnt: Sequence[Table], tested: Sequence[Table], run_in: int) -> Pair:
    """The live stream resolves a digit less than what was learnt from; a run-in is part of the stream."""
    return learnt, [_with(table, _rounded(table.values, table.digits - 1), table.digits - 1) for table in tested]


def drifting(learnt: Sequence[Table], tested: Sequence[Table], run_in: int) -> Pair:
    """Every instrument that has a span drifts by a hundredth of it a week, up or down, from the first tested row."""
    span = np.ptp(np.concatenate([table.values for table in learnt]), axis=0)
    sign = np.random.default_rng(SEED).choice((-1.0, 1.0), len(span))
    drifted = []
    for table in tested:
        weeks = np.maximum(np.arange(len(table.values)) - run_in, 0) * table.row_s / WEEK_S
        drifted.append(_with(table, table.values + sign * span * DRIFT_PER_WEEK * weeks[:, None]))
    return learnt, drifted


def missing(learnt: Sequence[Table], tested: Sequence[Table], run_in: int) -> Pair:
    """One value in twenty does not come."""
    return learnt, [_with_gaps(table, np.random.default_rng((SEED, place))) for place, table in enumerate(tested)]


def dead(learnt: Sequence[Table], tested: Sequence[Table], run_in: int) -> Pair:
    """One tag that moved while it was learnt stands still from the first tested row on."""
    moves = np.flatnonzero(np.ptp(np.concatenate([table.values for table in learnt]), axis=0) > 0)
    tag = int(np.random.default_rng(SEED).choice(moves))
    stuck = []
    for table in tested:
        values = table.values.copy()
        values[run_in:, tag] = values[run_in, tag]
        stuck.append(_with(table, values))
    return learnt, stuck


def poisoned(learnt: Sequence[Table], tested: Sequence[Table], run_in: int) -> Pair:
    """One row in a hundred of what is learnt, in one run, was an attack or a fault that nobody noticed."""
    if run_in:
        return learnt, [_with(table, _poisoned(table.values, run_in, table.values[table.labels])) for table in tested]
    strange = np.concatenate([table.values[table.labels] for table in tested])
    rows = sum(len(table.values) for table in learnt)
    last = learnt[-1]
    return [*learnt[:-1], _with(last, _poisoned(last.values, rows, strange))], tested


DISTURBANCES: Mapping[str, Callable[[Sequence[Table], Sequence[Table], int], Pair]] = {
    "rerounded": rerounded,
    "drift": drifting,
    "missing": missing,
    "dead": dead,
    "poisoned": poisoned,
}


def _poisoned(values: Array, learnt_rows: int, strange: Array) -> Array:
    """``strange`` rows in the middle of the first ``learnt_rows``, or of all where these are fewer."""
    values, count = values.copy(), max(1, round(POISON * learnt_rows))
    at = min(learnt_rows, len(values)) // 2
    if len(strange):
        values[at : at + count] = np.resize(strange[:count], (len(values[at : at + count]), values.shape[1]))
    return values


def _with(table: Table, values: Array, digits: Array | None = None) -> Table:
    return replace(table, values=values, digits=table.digits if digits is None else np.maximum(digits, 0))


def _rounded(values: Array, digits: Array) -> Array:
    return np.column_stack([np.round(values[:, tag], max(int(places), 0)) for tag, places in enumerate(digits)])


def _with_gaps(table: Table, chance: np.random.Generator) -> Table:
    gone = chance.random(table.values.shape) < MISSING
    return replace(table, values=np.where(gone, np.nan, table.values), missing=table.missing + int(gone.sum()))
