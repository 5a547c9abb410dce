"""What if: a question about the future becomes rollouts, and rollouts become what a control engineer wants to know.

In: a model, a snapshot and a `Question`.  Every case of it is one `Future`, all from the same snapshot with the same members, beside the
future in which nothing is done.  Out: `Answer`, JSON-able: per invariant how likely it breaks and when, per tag a band over time.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from sentinel.errors import InputError
from sentinel.model.time import Instant
from sentinel.twin.compiled import Modelled
from sentinel.twin.engine import Model, Rollout, Schedule, rollout
from sentinel.twin.question import Limits, Question, Write, cases
from sentinel.twin.snapshot import Grade, Snapshot

F8 = NDArray[np.float64]

LOW_PERCENT, HIGH_PERCENT = 5.0, 95.0
CONFIDENCE = 0.95  # of `Outcome.broken_at_most`
EARLY_PERCENT = 10.0  # `Outcome.early_s`: by then so many of all members have broken it
SAMPLES = 120  # of a band; more than a picture's panel has use for
DIGITS = 6  # of a number in an answer: beyond that it is the seed that speaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of an invariant.  Shares are of the valid members; times are quantiles over all of those, None = not reached within the
    horizon.  The margin is the smallest distance to the limit over the horizon, negative = broken; None where no member is valid."""

    invariant: str
    broken: float
    broken_at_most: float  # upper 95 % bound (Clopper-Pearson): none of 1000 is not never
    early_s: float | None
    median_s: float | None
    margin: float | None
    margin_low: float | None  # 5th percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Over the answer's ``times_s``, in the tag's unit."""

    tag: str
    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    writes: tuple[Write, ...]
    valid: int  # members that stayed within what is physically possible
    broken: float  # share of the valid members that break any invariant
    broken_anyway: float  # ... and of them those that break one too when nothing is done
    outcomes: tuple[Outcome, ...]
    bands: tuple[Band, ...]

    @property
    def keeps_everything(self) -> bool:
        return self.valid > 0 and self.broken == 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """An invariant or a tag's axis, as the answer's reader needs it."""

    name: str
    tag: str
    limit: float
    is_upper: bool
    unit: str
    span: float  # the tag's range, in `unit`: by which margins compare
    severity: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    tag: str
    unit: str
    low: float
    high: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    plant: str
    model: str  # digest
    snapshot: str  # fingerprint: with the model it gives the same answer anywhere
    at: Instant
    grade: Grade  # how far the twin was in step with the plant
    reason: str
    members: int
    horizon_s: float
    invariants: tuple[Watching, ...]
    axes: tuple[Axis, ...]
    times_s: tuple[float, ...]
    nothing: Future
    futures: tuple[Future, ...]
    caveats: tuple[str, ...] = ()  # of the model: what must be known before this is believed
    is_low_trust: bool = False  # a broken invariant is a warning, a kept one no proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is lived ahead: every schedule from the same start, to the same horizon, with the same tags recorded."""

    start: Snapshot
    schedules: Sequence[Schedule]
    horizon_s: float
    record: tuple[str, ...]
    record_every_s: float


Live = Callable[[Ahead], Iterable[Rollout]]  # a rollout per schedule, in their order; raises ValueError where that cannot be


def by_engine(model: Model) -> Live:
    def live(ahead: Ahead) -> Iterator[Rollout]:
        for schedule in ahead.schedules:
            yield rollout(model, ahead.start, schedule, ahead.horizon_s, record=ahead.record, record_every_s=ahead.record_every_s)

    return live


def ask(model: Modelled, snapshot: Snapshot, question: Question, limits: Limits, live: Live | None = None) -> Answer:
    """``live``: who lives ahead, for a model that is none of the engine's.

    Raises InputError where the question cannot be put to this model, or costs more than ``limits``.
    """
    start, combinations, tags = cases(model, snapshot, question, limits)
    ahead = Ahead(
        start=start,
        schedules=[[], *(_schedule(case) for case in combinations)],
        horizon_s=question.horizon_s,
        record=tags,
        record_every_s=max(model.step_s, question.horizon_s / SAMPLES),
    )
    if live is None:
        assert isinstance(model, Model)
        live = by_engine(model)
    try:
        lived = iter(live(ahead))
        alone = next(lived)
        broken_alone = _broken(alone.robustness)
        futures = [_future(one, case, model, tags, broken_alone) for one, case in zip(lived, combinations, strict=True)]
    except ValueError as error:
        raise InputError(str(error)) from error
    return Answer(
        plant=model.plant.title,
        model=model.digest,
        snapshot=start.fingerprint(),
        at=snapshot.at,
        grade=snapshot.health.grade,
        reason=snapshot.health.reason,
        members=start.members,
        horizon_s=question.horizon_s,
        invariants=tuple(
            Watching(
                name=one.name,
                tag=one.tag,
                limit=one.limit,
                is_upper=one.is_upper,
                unit="starts" if one.counts else one.unit,
                span=declared.span,
                severity=one.severity,
                says=one.says,
            )
            for one, declared in zip(model.invariants, model.plant.invariants, strict=True)
        ),
        axes=tuple(_axis(model, tag) for tag in tags),
        times_s=_short(alone.times_s),
        nothing=_future(alone, (), model, tags, broken_alone),
        futures=tuple(futures),
        caveats=model.caveats,
        is_low_trust=model.is_low_trust,
    )


def _schedule(case: Iterable[Write]) -> Schedule:
    """In rising order, what happens at once together."""
    by_time: dict[float, dict[str, float]] = {}
    for write in case:
        by_time.setdefault(write.at_s, {})[write.tag] = write.value
    return sorted(by_time.items())


def _future(run: Rollout, case: tuple[Write, ...], model: Modelled, tags: Sequence[str], broken_alone: NDArray[np.bool_]) -> Future:
    valid = run.valid
    robustness, times = run.robustness[:, valid], run.time_to_violation_s[:, valid]
    broken = _broken(robustness)
    count = int(valid.sum())
    return Future(
        writes=case,
        valid=count,
        broken=float(broken.mean()) if count else 0.0,
        broken_anyway=float((broken & broken_alone[valid]).mean()) if count else 0.0,
        outcomes=tuple(_outcome(one.name, robustness[row], times[row]) for row, one in enumerate(model.invariants)),
        bands=tuple(_band(tag, run.trajectories[tag][:, valid]) for tag in tags) if count else (),
    )


def _broken(robustness: F8) -> NDArray[np.bool_]:
    """Per member: any invariant."""
    fell: NDArray[np.bool_] = np.any(robustness < 0.0, axis=0)
    return fell


def _outcome(name: str, robustness: F8, times: F8) -> Outcome:
    trials = len(robustness)
    if not trials:
        return Outcome(invariant=name, broken=0.0, broken_at_most=1.0, early_s=None, median_s=None, margin=None, margin_low=None)
    hits = int((robustness < 0.0).sum())
    highest = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, CONFIDENCE))
    low, middle = np.percentile(robustness, [LOW_PERCENT, 50.0])
    return Outcome(
        invariant=name,
        broken=hits / trials,
        broken_at_most=_rounded(highest),
        early_s=_reached(times, EARLY_PERCENT),
        median_s=_reached(times, 50.0),
        margin=_rounded(middle),
        margin_low=_rounded(low),
    )


def _reached(times: F8, percent: float) -> float | None:
    """When that share of the members has broken it; None = never within the horizon."""
    moment = float(np.sort(times)[max(0, math.ceil(percent / 100.0 * len(times)) - 1)])
    return _rounded(moment) if math.isfinite(moment) else None


def _band(tag: str, values: F8) -> Band:
    low, median, high = np.percentile(values, [LOW_PERCENT, 50.0, HIGH_PERCENT], axis=1)
    return Band(tag=tag, median=_short(median), low=_short(low), high=_short(high))


def _axis(model: Modelled, tag: str) -> Axis:
    output = model.outputs[model.output_rows[tag]]
    return Axis(tag=tag, unit=output.unit, low=output.low, high=output.high, says=model.plant.tags.by_name[tag].doc)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _short(values: F8) -> tuple[float, ...]:
    return tuple(_rounded(value) for value in values)


def without_bands(answer: Answer) -> Answer:
    """For whoever wants the figures only."""
    return replace(
        answer,
        nothing=replace(answer.nothing, bands=()),
        futures=tuple(replace(one, bands=()) for one in answer.futures),
        times_s=(),
        axes=(),
    )


def said_of(future: Future) -> str:
    """ "LIC101.SP = 1.4 m, TIC201.SP = 60 degC at 90 s"."""
    if not future.writes:
        return "nothing is done"
    texts = []
    for one in future.writes:
        unit = "" if one.unit == "1" else f" {one.unit}"
        texts.append(f"{one.tag} = {one.value:g}{unit}" + (f" at {one.at_s:g} s" if one.at_s else ""))
    return ", ".join(texts)
