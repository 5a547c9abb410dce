"""Waveform sets: recordings of a machine that is well are learnt, others are judged frame by frame.

Files are what `collectors.waveform.read` opens.  What is wrong, and when, is said by ``--labels`` (a text file for each tested one, a line
``begin_s,end_s`` for each stretch; an empty file = nothing is wrong), or by ``labels`` inside an npz, or by the name: a recording that is
called ``anomaly``, ``anomalous``, ``abnormal``, ``faulty`` or ``fault`` is wrong from its first frame on.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collectors.waveform import bands
from collectors.waveform.read import Waveform, read
from sentinel.clock import SystemClock
from sentinel.detect.process_model import in_alarm
from sentinel.detect.pyod_models import plain
from sentinel.detect.spectrum_model import SpectrumModel
from sentinel.errors import InputError
from sentinel.measure.detection.datasets import Table, lines_of
from sentinel.measure.detection.metrics import area_figures, event_figures
from sentinel.measure.detection.process import ALARMS_PER_WEEK, SEED, Judged
from sentinel.model.columns import Array

FRAMES = 600  # that the training recordings are to give, where their frames need not be shorter than MIN_FRAME_S
MIN_FRAME_S, MAX_FRAME_S = 0.1, 1.0
_WRONG = re.compile(r"anomal|abnormal|fault", re.IGNORECASE)
_DIGITS = 6


def assess_waveforms(train: Sequence[Path], test: Sequence[Path], labels: Sequence[Path]) -> dict[str, Any]:
    """Raises InputError for files that are no waveforms, and where there is nothing to learn from."""
    if labels and len(labels) != len(test):
        raise InputError(f"--labels: {len(labels)} files for {len(test)} tested ones")
    learnt = [(path, read(path)) for path in train]
    frame_s = float(np.clip(sum(one.seconds for _, one in learnt) / FRAMES, MIN_FRAME_S, MAX_FRAME_S))
    tables = [table(path, one, None, frame_s) for path, one in learnt]
    named: Sequence[Path | None] = labels or [None] * len(test)
    tested = [table(path, read(path), said, frame_s) for path, said in zip(test, named, strict=True)]
    for each in tested:
        if each.tags != tables[0].tags:
            raise InputError(f"{each.name}: another sampling rate or number of channels than {tables[0].name}")
    for each in tables:
        if each.tags != tables[0].tags:
            raise InputError(f"{each.name}: another sampling rate or number of channels than {tables[0].name}")
        if each.labels.any():
            raise InputError(f"{each.name}: a training file says that something is wrong in it")
    return _assessed(tables, tested, frame_s)


def _assessed(learnt: Sequence[Table], tested: Sequence[Table], frame_s: float) -> dict[str, Any]:
    clock = SystemClock()
    began_s = clock.monotonic_s()
    judge = _judge(learnt, frame_s)
    fitted_s = clock.monotonic_s()
    judged = [judge(each) for each in tested]
    scored_s = clock.monotonic_s()
    series = [each.series(frame_s) for each in judged]
    events, areas = event_figures(series), area_figures(series)
    return {
        "dataset": "waveform",
        "train": [each.name for each in learnt],
        "test": [each.name for each in tested],
        "rows": sum(len(each.labels) for each in series),
        "frame_s": frame_s,
        "alarms_per_week_allowed": ALARMS_PER_WEEK,
        **events,
        **areas,
        "score": events["event_f1"],
        "baselines": {name: _beside(judged, name) for name in ("always_on", "random", "norm", "isolation_forest")},
        "fit_s": round(fitted_s - began_s, 3),
        "score_s": round(scored_s - fitted_s, 3),
    }


def _judge(learnt: Sequence[Table], frame_s: float) -> Callable[[Table], Judged]:
    rows = np.concatenate([each.values for each in learnt])
    model = SpectrumModel()
    try:
        model.fit(rows, ALARMS_PER_WEEK, frame_s)
    except ValueError as error:
        raise InputError(f"{learnt[0].name}: {error}") from error
    centre, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
    forest = plain((rows - centre) / spread, SEED)

    def judge(each: Table) -> Judged:
        z = (each.values - centre) / spread
        others = {"norm": np.linalg.norm(np.clip(z, -60, 60), axis=1), "isolation_forest": forest.decision_function(z)}
        ratio = model.score(each.values).ratio
        return Judged(table=each, ratio=ratio, line=model.line_at(0.01), calm=model.calm, from_row=0, others=others)

    return judge


def _beside(judged: Sequence[Judged], name: str) -> dict[str, float | None]:
    from sentinel.measure.detection.metrics import Series

    chance = np.random.default_rng(SEED)
    series = []
    for each in judged:
        count = len(each.ratio)
        scores = np.ones(count) if name == "always_on" else chance.random(count) if name == "random" else each.others[name]
        series.append(Series(labels=each.table.labels, scores=scores, alarms=in_alarm(scores, 0.0), row_s=1.0))
    return dict(area_figures(series))


def table(path: Path, waveform: Waveform, said: Path | None, frame_s: float) -> Table:
    """One row per frame, the features of all channels beside each other."""
    named = bands.names(waveform.rate_hz, frame_s)
    channels = waveform.samples.shape[1]
    parts = [bands.features(waveform.samples[:, channel], waveform.rate_hz, frame_s) for channel in range(channels)]
    values = np.hstack(parts)
    if not len(values):
        raise InputError(f"{path}: is shorter than a frame of {frame_s:g} s")
    return Table(
        name=str(path),
        tags=tuple(f"{channel + 1} {name}" for channel in range(channels) for name in named),
        values=values,
        labels=_labels(path, waveform, said, frame_s, len(values)),
        row_s=frame_s,
        digits=np.full(values.shape[1], _DIGITS),
    )


def _labels(path: Path, waveform: Waveform, said: Path | None, frame_s: float, count: int) -> Array:
    ends = (np.arange(count) + 1) * frame_s
    if said is not None:
        wrong = np.zeros(count, bool)
        for begin_s, end_s in stretches(said):
            wrong |= (ends > begin_s) & (ends - frame_s < end_s)
        return wrong
    if waveform.labels is not None:
        size = round(frame_s * waveform.rate_hz)
        return np.asarray(waveform.labels[: count * size].reshape(count, size).any(axis=1))
    return np.full(count, _WRONG.search(path.name) is not None)


def stretches(path: Path) -> list[tuple[float, float]]:
    """Lines ``begin_s,end_s`` (further fields are not looked at), perhaps below a header."""
    found = []
    for number, line in enumerate(lines_of(path), start=1):
        fields = [field.strip() for field in line.split(",")]
        if not line.strip():
            continue
        try:
            begin_s, end_s = float(fields[0]), float(fields[1])
        except (ValueError, IndexError):
            if number == 1:
                continue
            raise InputError(f"{path}:{number}: {line!r} is not begin_s,end_s") from None
        if not 0.0 <= begin_s < end_s:
            raise InputError(f"{path}:{number}: a stretch from {begin_s:g} s to {end_s:g} s is none")
        found.append((begin_s, end_s))
    return found
