"""Process data sets: the product's `ProcessModel` learns the training files, judges the test files, and is measured beside simple ones.

The same false-alarm budget holds for every set; what differs per set is what its files are (a calendar, a run-in) and its own score.
Trivial comparisons stand beside every figure: always on, random scores, the plain norm of the standardised row, an isolation forest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentinel.clock import SystemClock
from sentinel.detect.process_model import ProcessModel, Shape, in_alarm
from sentinel.detect.pyod_models import plain
from sentinel.errors import InputError
from sentinel.measure.detection.datasets import READERS, Table, held, same_tags
from sentinel.measure.detection.metrics import Series, area_figures, batadal_score, event_figures, point_f1
from sentinel.measure.detection.robustness import DISTURBANCES
from sentinel.model.columns import Array

_ROBUST = ("score", "far", "event_recall", "false_alarms_per_day", "vus_pr")
ALARMS_PER_WEEK = 0.1  # of the whole plant: about five false alarms a year
SKAB_RUN_IN_ROWS = 400  # the set's own rule: the first 400 rows of every file are for learning
TEP_FALSE_ALARMS = 0.01  # the share of normal rows at which detection rates are compared
TEP_UNSEEN = ("03", "09", "15")  # faults that no published method tells from normal operation; left out of the mean, by custom
SEED = 1
COMPARISONS = ("always_on", "random", "norm", "isolation_forest")
_RUN_IN = Shape(
    lags=0,
    tag_scales=(),
    distance_scales=(0.3,),
    level_scales=(0.1, 0.05),
    folds=1,
    margin=3.5,  # minutes of run-in do not show how far an hour strays: nearly twice as far, as squared distances count
    follows_trends=True,
    aftermath=0.3,  # both from the middle of a plateau: 3 to 4.5 and 0.2 to 0.4 give the same F1 within 0.015
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One test file: the rows that count, the ratio to the limit, when an alarm was on; and the same for comparisons, by name."""

    table: Table
    ratio: Array
    line: float
    calm: float
    from_row: int
    others: Mapping[str, Array]

    def series(self, row_s: float) -> Series:
        part = slice(self.from_row, None)
        return Series(labels=self.table.labels[part], scores=self.ratio[part], alarms=in_alarm(self.ratio, self.calm)[part], row_s=row_s)


def assess(kind: str, train: Sequence[Path], test: Sequence[Path]) -> dict[str, Any]:
    """All figures of one set.  Raises InputError for a file that is not of the set, and where there is nothing to learn from."""
    if kind not in READERS:
        raise InputError(f"--dataset {kind}: known are {', '.join(READERS)}")
    learnt, tested = [READERS[kind](path) for path in train], [READERS[kind](path) for path in test]
    same_tags([*learnt, *tested])
    return assess_tables(kind, learnt, tested)


def robustness(kind: str, train: Sequence[Path], test: Sequence[Path]) -> dict[str, Any]:
    """The set's own figures as it is, and with each of `DISTURBANCES`."""
    learnt, tested = [READERS[kind](path) for path in train], [READERS[kind](path) for path in test]
    same_tags([*learnt, *tested])
    run_in = SKAB_RUN_IN_ROWS if kind == "skab" else 0
    runs: dict[str, tuple[Sequence[Table], Sequence[Table]]] = {"as it is": (learnt, tested)} | {
        name: disturb(learnt, tested, run_in) for name, disturb in DISTURBANCES.items()
    }
    found: dict[str, dict[str, Any]] = {}
    for name, pair in runs.items():
        figures = assess_tables(kind, *pair)
        found[name] = {key: figures[key] for key in _ROBUST if key in figures}
    return {"dataset": kind, "robustness": found}


def assess_tables(kind: str, learnt: Sequence[Table], tested: Sequence[Table]) -> dict[str, Any]:
    """As `assess`, of tables that were read already and carry the same tags."""
    clock = SystemClock()
    began_s = clock.monotonic_s()
    judge = _run_in_judge(learnt) if kind == "skab" else _fitted_judge(learnt, tested)
    fitted_s = clock.monotonic_s()
    judged = [judge(table) for table in tested]
    scored_s = clock.monotonic_s()
    series = [each.series(each.table.row_s) for each in judged]
    own = _OWN_SCORES[kind](judged, _OWN_ALARMS[kind])
    return {
        "dataset": kind,
        "train": [table.name for table in learnt],
        "test": [table.name for table in tested],
        "rows": sum(len(each.labels) for each in series),
        "missing_values": sum(table.missing for table in (*learnt, *tested)),
        "alarms_per_week_allowed": ALARMS_PER_WEEK,
        **event_figures(series),
        **area_figures(series),
        **own,
        "baselines": {name: _baseline(kind, name, judged) for name in COMPARISONS},
        "fit_s": round(fitted_s - began_s, 3),
        "score_s": round(scored_s - fitted_s, 3),
    }


def _fitted_judge(learnt: Sequence[Table], tested: Sequence[Table]) -> Callable[[Table], Judged]:
    """One model from all training rows, rounded to what the tested files resolve: a model of finer values would call rounding strange."""
    digits = np.min([table.digits for table in (*learnt, *tested)], axis=0)
    rows = np.concatenate([_rounded(held(table.values), digits) for table in learnt])
    if any(table.labels.any() for table in learnt):
        raise InputError("a training file carries labelled rows: it must be normal operation alone")
    hours = np.concatenate([table.hours for table in learnt if table.hours is not None]) if learnt[0].hours is not None else None
    model = ProcessModel()
    try:
        model.fit(rows, ALARMS_PER_WEEK, learnt[0].row_s, hours, 10.0 ** -digits.astype(np.float64))
    except ValueError as error:
        raise InputError(f"{learnt[0].name}: {error}") from error
    centre, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
    forest = plain((rows - centre) / spread, SEED)

    def judge(table: Table) -> Judged:
        values = _rounded(table.values, digits)
        z = (held(values) - centre) / spread
        others = {"norm": np.linalg.norm(np.clip(z, -60, 60), axis=1), "isolation_forest": forest.decision_function(z)}
        return Judged(
            table=table,
            ratio=model.score(values, table.hours).ratio,
            line=model.line_at(TEP_FALSE_ALARMS),
            calm=model.calm,
            from_row=0,
            others=others,
        )

    return judge


def _run_in_judge(learnt: Sequence[Table]) -> Callable[[Table], Judged]:
    """A model per file from its run-in; the training files give what the instruments resolve."""
    digits = np.min([table.digits for table in learnt], axis=0).astype(np.float64)

    def judge(table: Table) -> Judged:
        run_in = held(table.values[:SKAB_RUN_IN_ROWS])
        if len(table.values) <= SKAB_RUN_IN_ROWS:
            raise InputError(f"{table.name}: has {len(table.values)} rows, of which the first {SKAB_RUN_IN_ROWS} are for learning")
        model = ProcessModel(_RUN_IN)
        try:
            model.fit(run_in, ALARMS_PER_WEEK * 10, table.row_s, resolution=10.0**-digits)
        except ValueError as error:
            raise InputError(f"{table.name}: {error}") from error
        spread = np.maximum(run_in.std(axis=0), 1e-9)
        z, learnt_z = (held(table.values) - run_in.mean(axis=0)) / spread, (run_in - run_in.mean(axis=0)) / spread
        others = {
            "norm": np.linalg.norm(np.clip(z, -60, 60), axis=1),
            "isolation_forest": plain(learnt_z, SEED).decision_function(z),
        }
        return Judged(
            table=table, ratio=model.score(table.values).ratio, line=1.0, calm=model.calm, from_row=SKAB_RUN_IN_ROWS, others=others
        )

    return judge


def _rounded(values: Array, digits: Array) -> Array:
    return np.column_stack([np.round(values[:, i], int(places)) for i, places in enumerate(digits)])


# -- the sets' own scores --

Alarms = Callable[[Judged], Array]


def _batadal(judged: Sequence[Judged], alarms: Alarms) -> dict[str, Any]:
    scored = [each for each in judged if each.table.labels.any()]
    labels, on = (np.concatenate([pick(each) for each in scored]) if scored else np.zeros(0) for pick in (lambda e: e.table.labels, alarms))
    return {"score": batadal_score(labels, on) if scored else None}


def _skab(judged: Sequence[Judged], alarms: Alarms) -> dict[str, Any]:
    f1, far = point_f1(
        np.concatenate([each.table.labels[each.from_row :] for each in judged]), np.concatenate([alarms(each) for each in judged])
    )
    return {"score": f1, "far": far, "run_in_rows": SKAB_RUN_IN_ROWS}


def _tep(judged: Sequence[Judged], alarms: Alarms) -> dict[str, Any]:
    rates, normal = {}, []
    for each in judged:
        fault = Path(each.table.name).name[1:3]
        on, labels = alarms(each), each.table.labels
        if labels.any():
            rates[fault] = float(on[labels].mean())
        else:
            normal.append(on)
    counted = [rate for fault, rate in rates.items() if fault not in TEP_UNSEEN]
    return {
        "score": float(np.mean(counted)) if counted else None,
        "far": float(np.concatenate(normal).mean()) if normal else None,
        "detection_rates": rates,
    }


_OWN_SCORES: Mapping[str, Callable[[Sequence[Judged], Alarms], dict[str, Any]]] = {"batadal": _batadal, "skab": _skab, "tep": _tep}
_OWN_ALARMS: Mapping[str, Alarms] = {
    "batadal": lambda each: in_alarm(each.ratio, each.calm),
    "skab": lambda each: in_alarm(each.ratio, each.calm)[each.from_row :],
    "tep": lambda each: each.ratio > each.line,
}


def comparison(name: str, judged: Sequence[Judged]) -> list[Array]:
    """The scores of a simple detector, for each file."""
    chance = np.random.default_rng(SEED)
    return [
        np.ones(len(each.ratio)) if name == "always_on" else chance.random(len(each.ratio)) if name == "random" else each.others[name]
        for each in judged
    ]


def areas_of(judged: Sequence[Judged], scores: Sequence[Array]) -> dict[str, float | None]:
    counted = [(each.table.labels[each.from_row :], score[each.from_row :]) for each, score in zip(judged, scores, strict=True)]
    return dict(area_figures([Series(labels=labels, scores=score, alarms=score > 0, row_s=1.0) for labels, score in counted]))


def _baseline(kind: str, name: str, judged: Sequence[Judged]) -> dict[str, float | None]:
    """Areas of a simple score; the set's own score of it at the very best threshold in hindsight, which no detector is given."""
    scores = comparison(name, judged)
    by_id = {id(each): score for each, score in zip(judged, scores, strict=True)}
    lines = [-1.0] if name == "always_on" else np.quantile(np.concatenate(scores), np.linspace(0.5, 0.999, 40)).tolist()
    values = [_OWN_SCORES[kind](judged, _above(by_id, line))["score"] for line in lines]
    best = max((value for value in values if value is not None), default=None)
    return {**areas_of(judged, scores), "best_score_in_hindsight": best}


def _above(scores: Mapping[int, Array], line: float) -> Alarms:
    return lambda each: (scores[id(each)] > line)[each.from_row :]
