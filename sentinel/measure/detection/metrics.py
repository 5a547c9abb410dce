"""Figures of merit for alarms over time: events, episodes, delays, and areas under precision-recall curves and surfaces.

Labels, scores and alarms are one value per row, rows equally spaced.  An event is a run of labelled rows, an episode a run of rows in
alarm.  Higher scores are stranger.  Sources: exact Poisson interval, Garwood 1936; volume under the surface, Paparrizos et al., PVLDB
15(11) 2022; the BATADAL score, Taormina et al., J. Water Resour. Plann. Manage. 144(8) 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from sentinel.model.columns import Array

DAY_S = 86_400.0
CONFIDENCE = 0.95
MAX_BUFFER_ROWS = 100  # of the surface; longer tolerance than that says nothing about where an event is
BUFFER_STEPS = 16  # buffers between none and the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One file: what was so, what was scored, when an alarm was on."""

    labels: Array
    scores: Array
    alarms: Array
    row_s: float


def runs(rows: Array) -> list[tuple[int, int]]:
    """(first, one past the last) of every run of true rows."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], rows.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def poisson_interval(count: int, exposure: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact two-sided interval of a rate that gave ``count`` events in ``exposure``."""
    outside = 1.0 - confidence
    low = float(chi2.ppf(outside / 2, 2 * count)) / 2 if count else 0.0
    high = float(chi2.ppf(1 - outside / 2, 2 * count + 2)) / 2
    return low / exposure, high / exposure


def average_precision(labels: Array, scores: Array) -> float:
    """The area under the precision-recall curve, by steps; rows of one score count together.  NaN without a labelled row."""
    positives = float(labels.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits = np.cumsum(labels[order].astype(np.float64))[last]
    precision, recall = hits / (last + 1.0), hits / positives
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def buffered(labels: Array, buffer_rows: int) -> Array:
    """Labels with a slope of ``buffer_rows`` / 2 on either side of every event: sqrt(1 - distance / buffer)."""
    soft = labels.astype(np.float64)
    if buffer_rows <= 0:
        return soft
    distance = np.arange(1, buffer_rows // 2 + 1)
    slope = np.sqrt(1.0 - distance / buffer_rows)
    for first, past in runs(labels):
        before, after = first - distance, past - 1 + distance
        for places in (before, after):
            inside = (places >= 0) & (places < len(soft))
            soft[places[inside]] = np.maximum(soft[places[inside]], slope[inside])
    return soft


def range_precision(labels: Array, scores: Array, buffer_rows: int) -> float:
    """The area under the range-based precision-recall curve at one buffer: recall counts half the softened labels and is reduced by the
    share of events that no row reached."""
    soft = buffered(labels, buffer_rows)
    positives = (float(labels.sum()) + float(soft.sum())) / 2.0
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits = np.cumsum(soft[order])[last]
    reached = np.sort([float(scores[first:past].max()) for first, past in runs(soft > 0)])
    found = (len(reached) - np.searchsorted(reached, scores[order][last], side="left")) / len(reached)
    recall = np.minimum(hits / positives, 1.0) * found
    return float((np.diff(recall, prepend=0.0) * (hits / (last + 1.0))).sum())


def volume_under_surface(labels: Array, scores: Array) -> float:
    """VUS-PR: the mean of `range_precision` over buffers from none to the median length of an event."""
    events = runs(labels)
    if not events:
        return float("nan")
    longest = min(int(np.median([past - first for first, past in events])), MAX_BUFFER_ROWS)
    buffers = np.unique(np.linspace(0, longest, BUFFER_STEPS).astype(int))
    return float(np.mean([range_precision(labels, scores, int(each)) for each in buffers]))


def event_figures(series: Sequence[Series]) -> dict[str, float | list[float] | None]:
    """Recall, precision and F1 of events, delays, false alarms a day with their interval, and the share of time in alarm, over all files.

    An episode is true when it touches an event.  False alarms are counted per day outside of events.  None = nothing to divide by.
    """
    events = found = episodes = true = 0
    delays: list[float] = []
    normal_s = rows = alarmed = 0.0
    for each in series:
        for first, past in runs(each.labels):
            events += 1
            inside = np.flatnonzero(each.alarms[first:past])
            if len(inside):
                found += 1
                delays.append(float(inside[0]) * each.row_s)
        for first, past in runs(each.alarms):
            episodes += 1
            true += bool(each.labels[first:past].any())
        normal_s += float((~each.labels.astype(bool)).sum()) * each.row_s
        rows, alarmed = rows + len(each.labels), alarmed + float(each.alarms.sum())
    recall = found / events if events else None
    precision = true / episodes if episodes else None
    days = normal_s / DAY_S
    return {
        "event_recall": recall,
        "event_precision": precision,
        "event_f1": None if recall is None or precision is None else 2 * recall * precision / max(recall + precision, 1e-12),
        "delay_p50_s": float(np.median(delays)) if delays else None,
        "delay_p90_s": float(np.percentile(delays, 90)) if delays else None,
        "false_alarms_per_day": (episodes - true) / days if days else None,
        "false_alarms_ci": list(poisson_interval(episodes - true, days)) if days else None,
        "time_in_alarm": alarmed / rows if rows else None,
    }


def area_figures(series: Sequence[Series]) -> dict[str, float | None]:
    """AUC-PR over the rows of all files together; VUS-PR over the files one after the other, each at its end followed by none."""
    labels = np.concatenate([each.labels for each in series]).astype(bool)
    scores = np.concatenate([each.scores for each in series])
    if not labels.any():
        return {"vus_pr": None, "auc_pr": None}
    return {"vus_pr": volume_under_surface(labels, scores), "auc_pr": average_precision(labels, scores)}


def batadal_score(labels: Array, alarms: Array) -> float:
    """S = half the mean of (1 - time to detection / length of the attack), half the mean of true positive and true negative rate."""
    labels, alarms = labels.astype(bool), alarms.astype(bool)
    early = [1.0 - float(np.argmax(alarms[a:b])) / (b - a) if alarms[a:b].any() else 0.0 for a, b in runs(labels)]
    return 0.5 * float(np.mean(early)) + 0.25 * float(alarms[labels].mean() + (~alarms[~labels]).mean())


def point_f1(labels: Array, alarms: Array) -> tuple[float, float]:
    """(F1 of rows, share of unlabelled rows in alarm)."""
    labels, alarms = labels.astype(bool), alarms.astype(bool)
    hits, wrong, missed = int((labels & alarms).sum()), int((~labels & alarms).sum()), int((labels & ~alarms).sum())
    return 2 * hits / max(2 * hits + wrong + missed, 1), wrong / max(int((~labels).sum()), 1)
