"""A recording cut into stretches that the twin can live through again: what was written when, and what each tag showed.

In: `Readings` in any order.  Out: `Stretch`es of bounded length; a silence of all tags ends one.  Times are those of receipt, seconds after
a stretch's begin, on whole steps of the model: a write moves by at most half a step.  Values are in the tags' own units.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.control import Controller
from sentinel.twin.engine import Model, Writes

F8 = NDArray[np.float64]
Series = Mapping[str, tuple[F8, F8]]  # tag -> (seconds, values), rising

GAP_S = 30.0  # nothing at all was read for so long: what happened meanwhile is not known
MIN_SAMPLES = 20  # of a stretch: a shorter one says little beyond its own beginning
MAX_STRETCHES = 200
MAX_ROWS = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """``shown``: (samples, observed tags), NaN where a tag was not read; sample k is at (k + 1) * every_s.  ``first``: what tags showed
    as it began."""

    at: Instant
    horizon_s: float
    inputs: F8  # in the order of `Model.inputs`
    schedule: tuple[tuple[float, Writes], ...]
    first: Mapping[str, float]
    shown: F8


def cut(model: Model, readings: Readings, tags: tuple[str, ...], every_s: float, longest_s: float) -> tuple[Stretch, ...]:
    """``tags``: those to compare, columns of `Stretch.shown`.  Raises InputError where too little or too much was recorded."""
    usable = readings.take(np.isfinite(readings.value) & (readings.quality != Quality.BAD) & (readings.tag >= 0))
    known = {*tags, *model.input_rows}
    codes = [code for code, name in enumerate(usable.names) if name in known]
    usable = usable.take(np.isin(usable.tag, codes))
    if not len(usable):
        raise InputError("the recording holds no usable value of a tag that the twin knows")
    usable = usable.take(np.argsort(usable.seen, kind="stable"))
    begin = int(usable.seen[0])
    seconds = (usable.seen - begin) / NS_PER_S
    series = {usable.names[code]: (seconds[usable.tag == code], usable.value[usable.tag == code]) for code in codes}
    series = {name: one for name, one in series.items() if len(one[0])}
    spans = _spans(seconds, every_s, longest_s)
    if len(spans) > MAX_STRETCHES:
        raise InputError(f"{len(spans)} stretches of the recording, at most {MAX_STRETCHES}: ask for a shorter time or longer stretches")
    if not spans:
        raise InputError(f"no stretch of the recording without a gap is {MIN_SAMPLES * every_s:g} s long")
    return tuple(_stretch(model, series, tags, every_s, begin, *span) for span in spans)


def _spans(seconds: F8, every_s: float, longest_s: float) -> list[tuple[float, float]]:
    """Without gaps, of about equal length at most ``longest_s``, whole numbers of samples."""
    breaks = np.flatnonzero(np.diff(seconds) > GAP_S)
    spans = []
    for low, high in zip(seconds[[0, *(breaks + 1)]], seconds[[*breaks, len(seconds) - 1]], strict=True):
        pieces = max(1, int(np.ceil((high - low) / longest_s - 1e-9)))
        samples = int((high - low) / pieces / every_s)
        if samples >= MIN_SAMPLES:
            spans += [(float(low) + piece * samples * every_s, samples * every_s) for piece in range(pieces)]
    return spans


def _stretch(model: Model, series: Series, tags: tuple[str, ...], every_s: float, begin: int, low: float, horizon_s: float) -> Stretch:
    samples = round(horizon_s / every_s)
    shown = np.full((samples, len(tags)), np.nan)
    first: dict[str, float] = {}
    for column, tag in enumerate(tags):
        if tag in series:
            times, values = series[tag]
            slot = np.floor((times - low) / every_s + 0.5).astype(np.int64)
            within = (slot >= 0) & (slot <= samples)
            count = np.bincount(slot[within], minlength=samples + 1)
            sums = np.bincount(slot[within], values[within], minlength=samples + 1)
            means = np.divide(sums, count, out=np.full(samples + 1, np.nan), where=count > 0)
            shown[:, column] = means[1:]
            if count[0]:
                first[tag] = float(means[0])
    inputs, schedule = _inputs(model, series, low, horizon_s)
    for one in model.plant.controllers:
        if one.op in tags:  # in manual it is an input
            shown[_in_manual(model, one, inputs, schedule, every_s, samples), tags.index(one.op)] = np.nan
    return Stretch(
        at=Instant(begin + round(low * NS_PER_S)), horizon_s=horizon_s, inputs=inputs, schedule=schedule, first=first, shown=shown
    )


def readings_of_csv(lines: Iterable[str], source: str) -> Readings:
    """Rows of time (ISO 8601, UTC without a zone), tag, value and, where it is told, quality, below a line that names these columns."""
    rows = csv.reader(lines, strict=True)
    codes: dict[str, int] = {}
    seen: list[int] = []
    tags: list[int] = []
    values: list[float] = []
    qualities: list[Quality] = []
    try:
        header = next(rows, [])
        if missing := {"time", "tag", "value"} - set(header):
            raise InputError(f"{source}:1: no column {', '.join(sorted(missing))}; expected time,tag,value")
        columns = [header.index(name) for name in ("time", "tag", "value")]
        quality = header.index("quality") if "quality" in header else None
        for row in rows:
            if len(row) != len(header):
                raise InputError(f"{source}:{rows.line_num}: {len(row)} columns, expected {len(header)}")
            if len(seen) == MAX_ROWS:
                raise InputError(f"{source}: more than {MAX_ROWS} rows")
            time, tag, value = (row[column] for column in columns)
            given = datetime.fromisoformat(time)
            span = (given if given.tzinfo else given.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
            seen.append((span.days * 86_400 + span.seconds) * NS_PER_S + span.microseconds * 1000)
            tags.append(codes.setdefault(tag, len(codes)))
            values.append(float(value))
            qualities.append(Quality[row[quality].upper()] if quality is not None else Quality.GOOD)
    except KeyError as error:
        raise InputError(f"{source}:{rows.line_num}: quality {error} is not known") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{source}:{rows.line_num}: {error}") from error
    return Readings.of(tuple(codes), time=seen, seen=seen, tag=tags, value=values, quality=qualities)


def _inputs(model: Model, series: Series, low: float, horizon_s: float) -> tuple[F8, tuple[tuple[float, Writes], ...]]:
    """What was written before, and the changes meanwhile.  An output tag is written only in manual: in automatic the twin's own controller
    decides."""
    start = np.array([one.start for one in model.plant.inputs])
    changes: list[tuple[float, int, float]] = []
    for row, one in enumerate(model.plant.inputs):
        if one.tag.name not in series:
            continue
        times, values = series[one.tag.name]
        here = int(np.searchsorted(times, low, side="right")) - 1
        start[row] = values[max(here, 0)]
        later = slice(max(here, 0), int(np.searchsorted(times, low + horizon_s - model.step_s)))
        moved = np.flatnonzero(np.diff(values[later])) + 1
        changes += [
            (round((at - low) / model.step_s) * model.step_s, row, float(value))
            for at, value in zip(times[later][moved], values[later][moved], strict=True)
        ]
    inputs, rows = start.copy(), model.input_rows
    modes = {one.name: rows[one.auto_tag] for one in model.plant.controllers}
    schedule: dict[float, dict[str, float]] = {}
    # modes first: an output that is written as its controller goes to manual is then a write
    for at, row, value in sorted(changes, key=lambda change: (change[0], change[1] not in modes.values(), change[1])):
        one = model.plant.inputs[row]
        inputs[row] = value
        if one.controller is None or inputs[modes[one.controller]] <= 0.5:
            schedule.setdefault(max(at, 0.0), {})[one.tag.name] = value
    return start, tuple(sorted(schedule.items()))


def _in_manual(
    model: Model, controller: Controller, inputs: F8, schedule: tuple[tuple[float, Writes], ...], every_s: float, samples: int
) -> NDArray[np.bool_]:
    times = every_s * np.arange(1, samples + 1)
    manual = np.full(samples, inputs[model.input_rows[controller.auto_tag]] <= 0.5)
    for at, writes in schedule:
        if controller.auto_tag in writes:
            manual[times >= at] = writes[controller.auto_tag] <= 0.5
    return manual
