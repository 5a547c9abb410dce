"""Captures: the whole road over packets with labels.  Learning from captures of normal operation, then every test capture from its start.

A label file names frames: ``frame;label`` per line without a header (one label), or CSV with a header that begins with ``frame`` (any
column that is 1 labels the frame).  Findings of medium severity and above count; one that begins within a labelled block of frames is a
hit, any other is false.  Labelled frames that are no further apart than the pause after which triage speaks of another episode are one
attack: who floods, waits a minute and floods again is one finding, and one attack.  Rows are seconds of packet time.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture.replay import replay
from sentinel.clock import SystemClock
from sentinel.commands.replay import analyse
from sentinel.errors import InputError
from sentinel.measure.detection.datasets import lines_of
from sentinel.measure.detection.metrics import Series, area_figures, event_figures
from sentinel.model.columns import Array
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.time import NS_PER_S
from sentinel.pipeline import Analysis
from sentinel.triage.fold import QUIET_S

LEARN_S = 600  # ten minutes of each test capture are learnt and not judged where there is no training capture
APART_NS = round(QUIET_S * NS_PER_S)
SEED = 1
_MINIMUM = Severity.MEDIUM


def assess_captures(train: Sequence[Path], test: Sequence[Path], labels: Sequence[Path]) -> dict[str, Any]:
    """All figures; ``labels`` in the order of ``test``.  Raises InputError for a label file that is none, or one too few."""
    if len(labels) != len(test):
        raise InputError(f"{len(test)} captures to test and {len(labels)} label files: give one --labels for each")
    marks = [labelled_frames(path) for path in labels]
    clock = SystemClock()
    began_s = clock.monotonic_s()
    baseline = _learnt(train) if train else None
    fitted_s = clock.monotonic_s()
    series, attacks = [], []
    for path, frames in zip(test, marks, strict=True):
        times = _times(path)
        if not len(times):
            raise InputError(f"{path}: no packets to judge")
        findings = [each for each in _findings(path, baseline) if each.severity >= _MINIMUM]
        one, delays = judged(times, frames, findings)
        if baseline is None:
            if one.labels[:LEARN_S].any():
                raise InputError(f"{path}: is under attack within its first {LEARN_S} s, which are for learning: give --train")
            one = Series(labels=one.labels[LEARN_S:], scores=one.scores[LEARN_S:], alarms=one.alarms[LEARN_S:], row_s=one.row_s)
        series.append(one)
        attacks += [{"file": str(path), "first_finding_s": delay} for delay in delays]
    return {
        "dataset": "capture",
        "train": [str(path) for path in train],
        "test": [str(path) for path in test],
        "rows": sum(len(each.labels) for each in series),
        **event_figures(series),
        **area_figures(series),
        "score": None,
        "first_finding_s": attacks,
        "baselines": _baselines(series),
        "fit_s": round(fitted_s - began_s, 3),
        "score_s": round(clock.monotonic_s() - fitted_s, 3),
    }


def labelled_frames(path: Path) -> frozenset[int]:
    lines = [(number, line.strip()) for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    if not lines:
        raise InputError(f"{path}: holds no labels")
    if lines[0][1].startswith("frame"):
        header = next(csv.reader([lines[0][1]]))
        rows = [(number, next(csv.reader([line]))) for number, line in lines[1:]]
    else:
        header, rows = ["frame", "label"], [(number, re.split("[;,]", line)) for number, line in lines]
    found = set()
    for number, fields in rows:
        if len(fields) != len(header) or not fields[0].strip().isdigit():
            raise InputError(f"{path}:{number}: expected {';'.join(header)} with a frame number first")
        if any(field.strip() in ("1", "1.0") for field in fields[1:]):
            found.add(int(fields[0]))
    return frozenset(found)


def _learnt(train: Sequence[Path]) -> Analysis:
    learner = Analysis()
    for number, path in enumerate(train, start=1):
        for heard in replay(path, source=f"{number} {path.name}"):
            learner.heard(heard)
        learner.flush()
    learner.activate()
    return learner


def _findings(path: Path, learner: Analysis | None) -> Sequence[Finding]:
    if learner is None:
        return analyse(path, learn_until_s=float(LEARN_S))[0]
    judge = Analysis(baseline=learner.baseline())
    for heard in replay(path):
        judge.heard(heard)
    judge.flush()
    return sorted(judge.findings, key=lambda finding: (finding.first_seen, finding.first_frame, finding.id))


def _times(path: Path) -> Array:
    """(frame, time) of every frame that begins a row, in order of the frames."""
    pairs: dict[int, int] = {}
    for heard in replay(path):
        for columns in (heard.messages, heard.flows):
            pairs |= dict(zip(columns.frame.tolist(), columns.time.tolist(), strict=True))
    return np.array(sorted(pairs.items()), np.int64).reshape(-1, 2)


def judged(times: Array, frames: frozenset[int], findings: Sequence[Finding]) -> tuple[Series, list[float | None]]:
    """Seconds with a labelled frame or between two of one attack; seconds with evidence of a finding; delays per attack."""
    start = int(times[:, 1].min())
    size = int((int(times[:, 1].max()) - start) // NS_PER_S) + 1
    marked = np.array([time for frame, time in times.tolist() if frame in frames], np.int64)
    labels, scores = np.zeros(size, bool), np.zeros(size)
    delays: list[float | None] = []
    if len(marked):
        marked.sort()
        for part in np.split(marked, np.flatnonzero(np.diff(marked) > APART_NS) + 1):
            first, last = int(part[0]), int(part[-1])
            labels[(first - start) // NS_PER_S : (last - start) // NS_PER_S + 1] = True
            hits = [each.first_seen for each in findings if first <= each.first_seen <= last]
            delays.append((min(hits) - first) / NS_PER_S if hits else None)
    when: Mapping[int, int] = dict(times.tolist())
    for finding in findings:
        seen = {finding.first_seen, *(when[frame] for frame in finding.frames if frame in when)}
        rows = np.array([(each - start) // NS_PER_S for each in seen])
        rows = rows[(rows >= 0) & (rows < size)]
        scores[rows] = np.maximum(scores[rows], float(finding.severity) + finding.confidence)
    return Series(labels=labels, scores=scores, alarms=scores > 0, row_s=1.0), delays


def _baselines(series: Sequence[Series]) -> dict[str, dict[str, float | None]]:
    chance = np.random.default_rng(SEED)

    def measured(scores: Sequence[Array]) -> dict[str, float | None]:
        return area_figures([Series(labels=s.labels, scores=v, alarms=v > 0, row_s=1.0) for s, v in zip(series, scores, strict=True)])

    return {
        "always_on": measured([np.ones(len(each.labels)) for each in series]),
        "random": measured([chance.random(len(each.labels)) for each in series]),
    }
