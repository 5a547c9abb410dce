"""ARX from a recording: ridge regression of each tag's change on what the tags and the inputs were, judged by running freely.

In: the document of a plant file (its tags and invariants are used, components are not) and `Readings`.  Out: `ArxFit`: per tag the error on
what was held out, beside that of the guess that nothing changes, and the text of a plant file of kind `arx`.

The recording is averaged on a grid and cut into blocks; every fourth is held out.  Step, number of lags, weight of the ridge and whether
tags hang on each other are those with the smallest error when the held-out blocks are lived ahead freely, ten minutes at a time.  One step
ahead would be no test: there the last value is nearly the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import yaml
from numpy.typing import NDArray

from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag, TagRole
from sentinel.model.time import NS_PER_S
from sentinel.twin.arx import Recursion
from sentinel.twin.document import Entry, nearest
from sentinel.twin.tagging import read_tags

F8 = NDArray[np.float64]

STEPS_S = (2.0, 5.0, 10.0, 30.0)
LAGS = (1, 2, 4)
RIDGES = (1e-4, 1e-2, 1.0)
AHEAD_S = 600.0  # of the free run by which fits are compared
BLOCKS, HELD_OUT = 8, 4
GAP_S = 30.0  # a process value that was not read for so long is not known
MIN_ROWS = 60  # of a fit
MAX_TAGS = 200
_UNBOUNDED = 2.0  # of the range: a free run that goes further counts as so far off


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFit:
    """Root mean squares over the held-out free runs, in the tag's unit; ``still``: of the guess that it stays where it was."""

    tag: str
    unit: str
    error: float
    still: float
    span: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArxFit:
    tags: tuple[TagFit, ...]
    unmoved: tuple[str, ...]  # writable tags that stood still: nothing is known of what they do
    unread: tuple[str, ...]
    step_s: float
    lags: int
    ridge: float
    is_coupled: bool
    rows: int
    text: str

    @property
    def is_better(self) -> bool:
        """Than the guess that nothing changes."""
        return bool(
            np.mean([(one.error / one.span) ** 2 for one in self.tags]) < np.mean([(one.still / one.span) ** 2 for one in self.tags])
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Scaled values on equal steps, one array per run without a gap."""

    outputs: tuple[Tag, ...]
    inputs: tuple[Tag, ...]
    blocks: tuple[tuple[F8, F8], ...]  # (rows, outputs), (rows, inputs)
    step_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    recursion: Recursion
    errors: F8  # scaled
    still: F8
    grid: _Grid
    ridge: float
    is_coupled: bool
    rows: int

    @property
    def score(self) -> float:
        return float(np.mean(self.errors**2))


def fit(document: Entry, readings: Readings, tags: Sequence[str] = ()) -> ArxFit:
    """``tags``: which process values, none = all that were read; and which controller outputs are moved by hand and drive the plant: one
    that a controller moves is a consequence.  Raises InputError where too little was recorded.
    """
    given = document.map()
    if "tags" not in given:
        document.fail("key 'tags' is missing: what is to be modelled")
    known, _ = read_tags(given["tags"], given.get("modbus"))
    for name in tags:
        if name not in known.by_name or known.by_name[name].role not in {TagRole.PROCESS_VALUE, TagRole.OUTPUT}:
            raise InputError(f"{name} is no process value and no output of the plant file{nearest(name, known.by_name)}")
    series = _series(readings)
    chosen = [name for name in tags if known.by_name[name].role is TagRole.PROCESS_VALUE]
    wanted = [one for one in known.tags if one.role is TagRole.PROCESS_VALUE and (not chosen or one.name in chosen)]
    outputs = tuple(one for one in wanted if one.name in series)
    given_inputs = [
        one for one in known.tags if one.writable and one.name in series and (one.role is not TagRole.OUTPUT or one.name in tags)
    ]
    inputs = tuple(one for one in given_inputs if np.ptp(series[one.name][1]) > 0.0)
    if not outputs:
        raise InputError("the recording holds no usable value of a process value of the plant file")
    if len(outputs) + len(inputs) > MAX_TAGS:
        raise InputError(f"{len(outputs) + len(inputs)} tags, expected at most {MAX_TAGS}: name the ones that matter (--tags)")
    found: _Candidate | None = None
    for step_s in STEPS_S:
        grid = _grid(series, outputs, inputs, step_s)
        for one in _candidates(grid):
            if found is None or one.score < found.score:
                found = one
    if found is None:
        raise InputError(f"too little was recorded: a fit needs {MIN_ROWS} steps without a gap and as much again to be tried by")
    spans = [one.high - one.low for one in outputs]
    return ArxFit(
        tags=tuple(
            TagFit(tag=one.name, unit=one.unit, error=float(error) * span, still=float(still) * span, span=span)
            for one, span, error, still in zip(outputs, spans, found.errors, found.still, strict=True)
        ),
        unmoved=tuple(one.name for one in given_inputs if one not in inputs),
        unread=tuple(one.name for one in wanted if one not in outputs),
        step_s=found.grid.step_s,
        lags=len(found.recursion.own),
        ridge=found.ridge,
        is_coupled=found.is_coupled,
        rows=found.rows,
        text=_written(given, found, series),
    )


def _series(readings: Readings) -> dict[str, tuple[F8, F8]]:
    """Tag to (seconds, values), rising."""
    usable = readings.take(np.isfinite(readings.value) & (readings.quality != Quality.BAD) & (readings.tag >= 0))
    if not len(usable):
        raise InputError("the recording holds no usable value")
    usable = usable.take(np.argsort(usable.seen, kind="stable"))
    seconds = (usable.seen - int(usable.seen[0])) / NS_PER_S
    found = {name: (seconds[usable.tag == code], usable.value[usable.tag == code]) for code, name in enumerate(usable.names)}
    return {name: one for name, one in found.items() if len(one[0])}


def _grid(series: Mapping[str, tuple[F8, F8]], outputs: tuple[Tag, ...], inputs: tuple[Tag, ...], step_s: float) -> _Grid:
    end = max(float(series[one.name][0][-1]) for one in outputs)
    rows = int(end / step_s) + 1
    shown = np.stack([_averaged(*series[one.name], one, rows, step_s, GAP_S) for one in outputs], axis=1)
    driven = (
        np.stack([_averaged(*series[one.name], one, rows, step_s, np.inf) for one in inputs], axis=1) if inputs else np.zeros((rows, 0))
    )
    is_known = np.isfinite(shown).all(axis=1) & np.isfinite(driven).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_known, [False]]).astype(np.int8)))
    share = max(1, int(is_known.sum()) // BLOCKS)
    blocks = []
    for low, high in edges.reshape(-1, 2):
        pieces = max(1, round((high - low) / share))
        bounds = np.linspace(low, high, pieces + 1).astype(int)
        blocks += [(shown[a:b], driven[a:b]) for a, b in pairwise(bounds)]
    return _Grid(outputs, inputs, tuple(blocks), step_s)


def _averaged(times: F8, values: F8, tag: Tag, rows: int, step_s: float, hold_s: float) -> F8:
    """Means of each step, scaled; a step without a reading shows the last one for at most ``hold_s``."""
    slot = np.minimum((times / step_s).astype(np.int64), rows - 1)
    count = np.bincount(slot, minlength=rows)
    means = np.divide(np.bincount(slot, values, minlength=rows), count, out=np.full(rows, np.nan), where=count > 0)
    last = np.maximum.accumulate(np.where(count > 0, np.arange(rows), -1))
    held = np.where(last >= 0, means[np.maximum(last, 0)], np.nan)
    held[(np.arange(rows) - last) * step_s > max(hold_s, step_s)] = np.nan
    scaled: F8 = (held - tag.low) / (tag.high - tag.low)
    return scaled


def _candidates(grid: _Grid) -> Iterator[_Candidate]:
    held = [one for row, one in enumerate(grid.blocks) if row % HELD_OUT == HELD_OUT - 1]
    fitted = [one for row, one in enumerate(grid.blocks) if row % HELD_OUT != HELD_OUT - 1]
    for lags, is_coupled in product(LAGS, (False, True)):
        pairs = [_regressors(shown, driven, lags) for shown, driven in fitted if len(shown) > lags]
        rows = sum(len(target) for _, target in pairs)
        trials = _trials(held, lags, max(1, round(AHEAD_S / grid.step_s)))
        if rows < MIN_ROWS or trials is None:
            continue
        given, target = (np.concatenate([one[side] for one in pairs]) for side in (0, 1))
        for ridge in RIDGES:
            recursion = _solved(given, target, lags, len(grid.inputs), ridge, is_coupled)
            if recursion.radius > 1.0 + 1e-6:
                continue
            past, driven, truth = trials
            with np.errstate(over="ignore", invalid="ignore"):
                off = np.nan_to_num(np.abs(recursion.run(past, driven) - truth), nan=_UNBOUNDED).clip(max=_UNBOUNDED)
            yield _Candidate(
                recursion=recursion,
                errors=np.sqrt((off**2).mean(axis=(0, 2))).clip(min=1e-9),
                still=np.sqrt(((past[0] - truth) ** 2).mean(axis=(0, 2))),
                grid=grid,
                ridge=ridge,
                is_coupled=is_coupled,
                rows=rows,
            )


def _regressors(shown: F8, driven: F8, lags: int) -> tuple[F8, F8]:
    """Rows of (all outputs by lag, all inputs by lag), and the change that followed."""
    rows = len(shown) - lags
    past = [shown[lags - 1 - lag : lags - 1 - lag + rows] for lag in range(lags)]
    told = [driven[lags - 1 - lag : lags - 1 - lag + rows] for lag in range(lags)]
    return np.concatenate([*past, *told], axis=1), shown[lags:] - shown[lags - 1 : -1]


def _trials(held: Sequence[tuple[F8, F8]], lags: int, steps: int) -> tuple[F8, F8, F8] | None:
    """Free runs over the held-out blocks, a column each: (past, inputs, truth); None where nothing is long enough."""
    steps = min(steps, max((len(shown) - lags for shown, _ in held), default=0))
    if steps < MIN_ROWS // HELD_OUT:
        return None
    past, inputs, truth = [], [], []
    for shown, driven in held:
        for begin in range(lags, len(shown) - steps + 1, max(1, steps // 2)):
            past.append(shown[begin - lags : begin][::-1])
            inputs.append(driven[begin - lags : begin + steps - 1])
            truth.append(shown[begin : begin + steps])
    return np.stack(past, axis=2), np.stack(inputs, axis=2), np.stack(truth, axis=2)


def _solved(given: F8, target: F8, lags: int, inputs: int, ridge: float, is_coupled: bool) -> Recursion:
    """The ridge pulls towards "nothing changes"; a constant is free of it."""
    outputs = target.shape[1]
    own, driven = np.zeros((lags, outputs, outputs)), np.zeros((lags, outputs, inputs))
    constant = np.zeros(outputs)
    middle, means = given.mean(axis=0), target.mean(axis=0)
    matrix, right = (given - middle).T @ (given - middle), (given - middle).T @ (target - means)
    of_inputs = np.arange(lags * outputs, given.shape[1])
    for row in range(outputs):
        columns = np.arange(given.shape[1]) if is_coupled else np.concatenate([row + outputs * np.arange(lags), of_inputs])
        weights = np.zeros(given.shape[1])
        weights[columns] = np.linalg.solve(matrix[np.ix_(columns, columns)] + ridge * np.eye(len(columns)), right[columns, row])
        own[:, row] = weights[: lags * outputs].reshape(lags, outputs)
        driven[:, row] = weights[lags * outputs :].reshape(lags, inputs)
        constant[row] = means[row] - middle @ weights
        own[0, row, row] += 1.0
    return Recursion(constant=constant, own=own, driven=driven)


# -- the plant file


def _written(given: Mapping[str, Entry], found: _Candidate, series: Mapping[str, tuple[F8, F8]]) -> str:
    grid, recursion = found.grid, found.recursion
    outputs, inputs = [one.name for one in grid.outputs], [one.name for one in grid.inputs]
    modelled = {}
    for row, tag in enumerate(grid.outputs):
        terms = {name: recursion.own[:, row, column] for column, name in enumerate(outputs)}
        terms |= {name: recursion.driven[:, row, column] for column, name in enumerate(inputs)}
        modelled[tag.name] = {
            "start": _short(series[tag.name][1][-1]),
            "error": _short(found.errors[row] * (tag.high - tag.low)),
            "constant": _short(recursion.constant[row]),
            "terms": {name: [_short(number) for number in numbers] for name, numbers in terms.items() if np.any(numbers != 0.0)},
        }
    model = {"arx": {"step": f"{grid.step_s:g} s", "lags": len(recursion.own), "tags": modelled}}
    top = {key: _plain(given[key]) for key in ("plant", "title", "seed", "modbus") if key in given}
    tags = {name: _plain(entry) for name, entry in given["tags"].entries()}
    for name, entry in tags.items():
        assert isinstance(entry, dict)
        entry.pop("of", None)
        if name in inputs:
            entry["start"] = _short(series[name][1][-1])
    document = {"plant": "plant", **top, "model": model, "tags": tags}
    kept = {name: _plain(entry) for name, entry in _watchable(given, outputs)}
    if kept:
        document["invariants"] = kept
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=140, allow_unicode=True)


def _watchable(given: Mapping[str, Entry], outputs: Sequence[str]) -> Iterator[tuple[str, Entry]]:
    """Invariants over tags that are modelled."""
    for name, entry in given["invariants"].entries() if "invariants" in given else ():
        always = entry.map().get("always")
        if always is not None and always.text().split()[0] in outputs:
            yield name, entry


def _short(number: float) -> float:
    return float(f"{number:.9g}")


def _plain(entry: Entry) -> object:
    """As it stood in the file; what looks like a number is one."""
    if isinstance(entry.value, dict):
        return {key: _plain(one) for key, one in entry.value.items()}
    if isinstance(entry.value, list):
        return [_plain(one) for one in entry.value]
    try:
        return float(entry.value) if "." in entry.value else int(entry.value)
    except ValueError:
        return {"true": True, "false": False}.get(entry.value, entry.value)
