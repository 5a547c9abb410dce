"""Waveform sets: recordings of a machine that is well are learnt, others are judged frame by frame.

Files are what `collectors.waveform.read` opens.  What is wrong, and when, is said by ``--labels`` (a text file for each tested one, a line
``begin_s,end_s`` for each stretch; an empty file = nothing is wrong), or by ``labels`` inside an npz, or by the name: a recording that is
called normal, healthy or good is well, one that is called anomalous, abnormal or faulty is wrong from its first frame on, and so is one
that is called neither where those that are learnt are called normal.  Of several channels those count that all files have.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collectors.waveform import bands
from collectors.waveform.read import Waveform, read
from sentinel.clock import SystemClock
from sentinel.detect.pyod_models import plain
from sentinel.detect.spectrum_model import SpectrumModel
from sentinel.errors import InputError
from sentinel.measure.detection.datasets import Table, lines_of
from sentinel.measure.detection.metrics import area_figures, event_figures
from sentinel.measure.detection.process import ALARMS_PER_WEEK, COMPARISONS, SEED, Judged, areas_of, comparison
from sentinel.model.columns import Array

FRAMES = 600  # that the training recordings are to give, where their frames need not be shorter than MIN_FRAME_S
MIN_FRAME_S, MAX_FRAME_S = 0.1, 1.0
ASSUMED_HZ = 12_000.0  # of a file that names no rate
_WRONG = re.compile(r"anomal|abnormal|fault", re.IGNORECASE)
_WELL = re.compile(r"(?<!ab)normal|healthy|good", re.IGNORECASE)
_DIGITS = 6


def assess_waveforms(train: Sequence[Path], test: Sequence[Path], labels: Sequence[Path]) -> dict[str, Any]:
    """Raises InputError for files that are no waveforms, and where there is nothing to learn from."""
    if labels and len(labels) != len(test):
        raise InputError(f"--labels: {len(labels)} files for {len(test)} tested ones")
    waveforms = {path: read(path, ASSUMED_HZ) for path in (*train, *test)}
    first = waveforms[train[0]]
    channels = [name for name in first.names if all(name in one.names for one in waveforms.values())]
    for path, one in waveforms.items():
        if one.rate_hz != first.rate_hz or not channels:
            raise InputError(f"{path}: another sampling rate or other channels than {train[0]}")
    frame_s = float(np.clip(sum(waveforms[path].seconds for path in train) / FRAMES, MIN_FRAME_S, MAX_FRAME_S))
    names_tell = any(_is_well(path) for path in train)
    learnt = [table(path, waveforms[path], channels, _told(path, waveforms[path], None, frame_s, False), frame_s) for path in train]
    named: Sequence[Path | None] = labels or [None] * len(test)
    tested = [
        table(path, waveforms[path], channels, _told(path, waveforms[path], said, frame_s, names_tell), frame_s)
        for path, said in zip(test, named, strict=True)
    ]
    for each in learnt:
        if each.labels.any():
            raise InputError(f"{each.name}: a training file says that something is wrong in it")
    return {**_assessed(learnt, tested, frame_s), "channels": channels, "rate_hz": first.rate_hz}


def _is_well(path: Path) -> bool:
    return _WELL.search(path.name) is not None


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
        "baselines": {name: areas_of(judged, comparison(name, judged)) for name in COMPARISONS},
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


def table(path: Path, waveform: Waveform, channels: Sequence[str], labels: Array, frame_s: float) -> Table:
    """One row per frame, the features of all channels beside each other."""
    named = bands.names(waveform.rate_hz, frame_s)
    places = [waveform.names.index(channel) for channel in channels]
    values = np.hstack([bands.features(waveform.samples[:, place], waveform.rate_hz, frame_s) for place in places])
    if not len(values):
        raise InputError(f"{path}: is shorter than a frame of {frame_s:g} s")
    return Table(
        name=str(path),
        tags=tuple(f"{channel} {name}" for channel in channels for name in named),
        values=values,
        labels=labels,
        row_s=frame_s,
        digits=np.full(values.shape[1], _DIGITS),
    )


def _told(path: Path, waveform: Waveform, said: Path | None, frame_s: float, names_tell: bool) -> Array:
    """What is wrong, by frames.  ``names_tell``: a name that does not say that all is well says that it is not."""
    size = round(frame_s * waveform.rate_hz)
    count = len(waveform.samples) // size
    ends = (np.arange(count) + 1) * frame_s
    if said is not None:
        wrong = np.zeros(count, bool)
        for begin_s, end_s in stretches(said):
            wrong |= (ends > begin_s) & (ends - frame_s < end_s)
        return wrong
    if waveform.labels is not None:
        return np.asarray(waveform.labels[: count * size].reshape(count, size).any(axis=1))
    return np.full(count, _WRONG.search(path.name) is not None or (names_tell and not _is_well(path)))


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
