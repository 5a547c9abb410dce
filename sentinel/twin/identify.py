"""What a recording says about a plant's uncertain parameters, and what it does not.

In: a model and `Readings`.  Out: `Identification`: per parameter value, what is left of its spread, and how well the twin follows.

Bounded least squares, the declared spreads being the prior (Levenberg-Marquardt over the twin's own ensemble: two members for each unknown
give the central differences of a whole stretch in one rollout).  Every stretch has its own initial state and controller
integrals, which are eliminated from the normal equations.  Residuals are weighed by transmitter and model error, the latter taken as one
independent error in half a minute, with Huber's weights.  A tag that the result does not follow is left out and the search begins anew: a
broken transmitter must not bend its section.  The spread that is left is the one of the linearised problem at the end: it speaks for the
twin's equations, not for what they leave out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.twin.engine import Model, rollout
from sentinel.twin.ensemble import MAX_RECORD_OCTETS, PARAMETER_LIMIT, Ensemble, Spreads, initial
from sentinel.twin.expression import evaluate
from sentinel.twin.recorded import MIN_SAMPLES, Stretch, cut
from sentinel.twin.sensing import Sensing
from sentinel.twin.snapshot import MAX_MEMBERS, Snapshot
from sentinel.twin.units import Unit

F8 = NDArray[np.float64]

MODEL_ERROR_S = 30.0  # for so long the equations err alike (`sensing.MODEL_ERROR`)
HUBER = 3.0  # standard deviations: a residual beyond counts linearly
PROBE = 0.25  # prior standard deviations: half the span of the central differences
UNSEEN = 0.05  # prior of an initial state that no tag shows, of its value
UNSEEN_SPAN = 1e-3  # or of its physical bounds, where that is more
UNREAD_OUTPUT = 0.1  # prior of a controller's output that nobody reads, a fraction
MAX_ITERATIONS, MAX_DAMPING, CONVERGED = 30, 1e6, 1e-3  # the last: relative change of the cost
NOT_FOLLOWED = 3.0  # standard deviations, root mean square: as `health.DEVIATES`
LEFT_OUT_SHARE = 0.34  # of the tags: when more of them are not followed it is another plant, as `health.LOST_SHARE`
HELD_OUT = 4  # one stretch in so many is kept back to test the result by
DETERMINED, UNSEEN_SHARE, TOGETHER = 0.5, 0.9, 0.95  # left of a spread; left of a spread; correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Values and spreads (one standard deviation) in ``unit``, a spread where it has an offset in its degrees."""

    name: str
    unit: Unit
    declared: float
    declared_spread: float
    value: float
    spread: float
    left: float  # of the declared spread, in the scale in which it was declared
    at_limit: bool  # it would go further than is declared to be possible
    together: str | None  # the parameter that cannot be told from it

    @property
    def verdict(self) -> str:
        if self.at_limit:
            return "at its limit"
        if self.left > UNSEEN_SHARE:
            return "not seen in the data"
        return "determined" if self.left <= DETERMINED else "weakly determined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Root mean square of reading minus twin, in standard deviations of transmitter and model error."""

    tag: str
    declared: float
    identified: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """``fits`` are over stretches that were held out when ``is_held_out``, else over those that were fitted.  ``left_out``: tags that no
    parameters within what is declared explain together with the others."""

    parameters: tuple[Identified, ...]
    left_out: tuple[str, ...]
    fits: tuple[Fit, ...]
    is_held_out: bool
    stretches: int
    samples: int
    iterations: int
    converged: bool

    @property
    def adoptable(self) -> tuple[Identified, ...]:
        """What the data say something about.  A parameter at its limit is not one: there the declaration is wrong, or the equations are."""
        return tuple(one for one in self.parameters if not one.at_limit and one.left <= UNSEEN_SHARE)

    @property
    def is_better(self) -> bool:
        declared, identified = (np.mean([getattr(one, name) ** 2 for one in self.fits]) for name in ("declared", "identified"))
        return bool(self.converged and identified <= declared)


Pause = Callable[[int], None]


def identify(
    model: Model, readings: Readings, every_s: float = 2.0, longest_s: float = 900.0, pause: Pause = lambda _: None
) -> Identification:
    """``pause`` is called before each rollout of a stretch, with how many there were: it may raise, and so end what takes too long.

    Raises InputError where there is nothing to fit or to fit to.
    """
    if not model.plant.parameters:
        raise InputError("the plant file declares no parameter with a spread: there is nothing to identify")
    every_s = max(1, round(every_s / model.step_s)) * model.step_s
    least_s = 2 * MIN_SAMPLES * every_s  # what is cut into equal pieces leaves more than half of it
    if not least_s <= longest_s:
        raise InputError(f"stretches of {longest_s:g} s, expected at least {least_s:g} s: twice {MIN_SAMPLES} samples")
    problem = _Problem(model, every_s, pause)
    if (octets := problem.octets(longest_s)) > MAX_RECORD_OCTETS:
        raise InputError(
            f"stretches of {longest_s:g} s take {octets >> 20} MiB each, at most {MAX_RECORD_OCTETS >> 20}: ask for shorter ones"
        )
    stretches = cut(model, readings, problem.tags, every_s, longest_s)
    held = stretches[HELD_OUT - 1 :: HELD_OUT]
    fitted = [one for one in stretches if one not in held]
    search, left_out = _followed(problem, fitted)
    judged = [_without(one, left_out) for one in held or fitted]
    zeros = np.zeros(problem.parameters)
    before, after = (problem.distances(judged, scores) for scores in (zeros, search.scores))
    return Identification(
        parameters=problem.identified(search.scores, search.covariance),
        left_out=tuple(problem.tags[row] for row in left_out),
        fits=tuple(
            Fit(tag=tag, declared=float(before[row]), identified=float(after[row]))
            for row, tag in enumerate(problem.tags)
            if np.isfinite(before[row])
        ),
        is_held_out=bool(held),
        stretches=len(fitted),
        samples=int(sum(np.isfinite(one.shown).sum() for one in fitted)),
        iterations=search.iterations,
        converged=search.converged,
    )


def _followed(problem: "_Problem", stretches: Sequence[Stretch]) -> "tuple[_Search, list[int]]":
    """Without the tags that are not followed, the worst one first."""
    left_out: list[int] = []
    while True:
        kept = [_without(one, left_out) for one in stretches]
        search = problem.search(kept)
        if not search.converged:  # what a search says that did not end is no reason to leave a tag out
            return search, left_out
        far = problem.distances(kept, search.scores)
        read = int(np.isfinite(far).sum())
        worst = int(np.nanargmax(far)) if read else 0
        if not read or far[worst] <= NOT_FOLLOWED:
            return search, left_out
        left_out.append(worst)
        if len(left_out) > LEFT_OUT_SHARE * (read + len(left_out) - 1):
            names = ", ".join(problem.tags[row] for row in left_out)
            raise InputError(f"no parameters within what is declared explain {names}: the plant is another one, or its readings are wrong")


def _without(stretch: Stretch, rows: Sequence[int]) -> Stretch:
    shown = stretch.shown.copy()
    shown[:, list(rows)] = np.nan
    return replace(stretch, shown=shown)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Linear:
    """One stretch at one point: products of weighed residuals r and their slopes by scores S and by locals L; the slopes are not kept."""

    ss: F8
    ls: F8
    ll: F8
    sr: F8
    lr: F8
    square: float
    readings: int
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Search:
    scores: F8
    locals: tuple[F8, ...]
    covariance: F8
    iterations: int
    converged: bool


class _Problem:
    """Unknowns are standard scores of the priors: parameters, common to all, and locals (initial states, outputs) of each stretch."""

    def __init__(self, model: Model, every_s: float, pause: Pause) -> None:
        self._model, self._every_s, self._pause, self._rollouts = model, every_s, pause, 0
        self._start = initial(model, 1)
        self._sensing = Sensing.of(model, Ensemble.from_snapshot(model, self._start))
        self._spreads = Spreads.of(model.plant)
        self.tags = self._sensing.tags
        self.parameters = len(model.plant.parameters)
        self.locals = len(model.states) + len(model.plant.controllers)
        if 2 * (self.parameters + self.locals) + 1 > MAX_MEMBERS:
            raise InputError(f"{self.parameters} parameters and {self.locals} states are more than can be identified at once")
        scales = np.array([measure.scale for measure in self._sensing.units])
        together = max(1.0, MODEL_ERROR_S / every_s)  # so many samples share one model error
        self._sigmas: F8 = np.sqrt(self._sensing.accuracy**2 + together * self._sensing.tolerance**2) / scales

    def octets(self, longest_s: float) -> int:
        """What is held of one stretch at once."""
        members = 2 * (self.parameters + self.locals) + 1
        return int(longest_s / self._every_s) * len(self.tags) * members * 8

    # -- one stretch

    def _ensemble(self, stretch: Stretch, scores: F8, own: F8) -> Snapshot:
        """(members, parameters) and (members, locals) of standard scores, as a snapshot at the stretch's begin."""
        model, sensing = self._model, self._sensing
        members = len(scores)
        ensemble = Ensemble.from_snapshot(model, replace(initial(model, members), inputs=stretch.inputs))
        ensemble.parameters[:, :members] = self._spreads.values_at(scores.T)
        for row, state in enumerate(model.plant.states):
            tag = sensing.shows.get(row)
            if tag is not None and tag in stretch.first:
                at = sensing.rows[tag]
                middle, doubt = sensing.units[at].to_si(stretch.first[tag]), float(np.hypot(sensing.accuracy[at], sensing.tolerance[at]))
            else:
                middle = float(ensemble.states[row, 0])
                doubt = max(UNSEEN * abs(middle), UNSEEN_SPAN * (state.bounds[1] - state.bounds[0]))
            ensemble.states[row, :members] = middle + doubt * own[:, row]
        sensing.hold(ensemble.states)
        for row, controller in enumerate(model.plant.controllers):
            here = model.input_rows[controller.op]
            read = controller.op in stretch.first
            output = model.plant.inputs[here].unit.to_si(stretch.first[controller.op] if read else stretch.inputs[here])
            doubt = float(self._sensing.tolerance[sensing.rows[controller.op]]) if read else UNREAD_OUTPUT
            moved = np.full(ensemble.stride, output)
            moved[:members] += doubt * own[:, len(model.states) + row]
            ensemble.controllers[2 * row + 1] = np.clip(moved, 0.0, 1.0)
            ensemble.controllers[2 * row] = moved - evaluate([controller.proportional], ensemble.value_of)[0]
        return ensemble.snapshot(stretch.at, trusted=False, health=self._start.health)

    def _residuals(self, stretch: Stretch, scores: F8, own: F8) -> F8:
        """(readings, members): reading minus twin in standard deviations; NaN throughout for a member that is not physical."""
        self._pause(self._rollouts)
        self._rollouts += 1
        snapshot = replace(self._ensemble(stretch, scores, own), inputs=stretch.inputs)
        run = rollout(self._model, snapshot, stretch.schedule, stretch.horizon_s, record=self.tags, record_every_s=self._every_s)
        shown = np.isfinite(stretch.shown)
        samples = len(run.times_s)
        columns = [
            ((stretch.shown[:samples, [row]] - run.trajectories[tag]) / self._sigmas[row])[shown[:samples, row]]
            for row, tag in enumerate(self.tags)
        ]
        residuals: F8 = np.concatenate(columns)
        residuals[:, ~run.valid] = np.nan
        return residuals

    def _linear(self, stretch: Stretch, scores: F8, own: F8) -> _Linear:
        count = self.parameters + self.locals
        steps = np.vstack([np.zeros((1, count)), PROBE * np.eye(count), -PROBE * np.eye(count)])
        members = steps + np.concatenate([scores, own])
        residuals = self._residuals(stretch, members[:, : self.parameters], members[:, self.parameters :])
        middle, up, down = residuals[:, 0], residuals[:, 1 : count + 1], residuals[:, count + 1 :]
        # where one side is not physical the other one has to do; where neither is, nothing is learnt
        known = np.isfinite(up).all(axis=0).astype(float) + np.isfinite(down).all(axis=0)
        upper, lower = (np.where(np.isfinite(side), side, middle[:, None]) for side in (up, down))
        slopes = (upper - lower) / (PROBE * np.maximum(known, 1.0))
        far = np.abs(middle)
        weights = np.sqrt(np.minimum(1.0, HUBER / np.maximum(far, HUBER)))
        slopes *= weights[:, None]
        weighed = middle * weights
        by_scores, by_locals = slopes[:, : self.parameters], slopes[:, self.parameters :]
        return _Linear(
            ss=by_scores.T @ by_scores,
            ls=by_locals.T @ by_scores,
            ll=by_locals.T @ by_locals,
            sr=by_scores.T @ weighed,
            lr=by_locals.T @ weighed,
            square=float(weighed @ weighed),
            readings=len(middle),
            cost=float(np.where(far <= HUBER, 0.5 * far**2, HUBER * (far - 0.5 * HUBER)).sum() + 0.5 * own @ own)
            if np.isfinite(far).all()
            else np.inf,
        )

    # -- all of them

    def search(self, stretches: Sequence[Stretch], scores: F8 | None = None) -> _Search:
        """From what is declared; ``scores`` are left as they are where they are given: only the initial states are found then."""
        is_free = scores is None
        here = np.zeros(self.parameters) if scores is None else scores
        owns = [np.zeros(self.locals) for _ in stretches]
        linear = [self._linear(one, here, own) for one, own in zip(stretches, owns, strict=True)]
        cost = _total(linear, here)
        if not np.isfinite(cost):
            bad = next(one for one, at in zip(stretches, linear, strict=True) if not np.isfinite(at.cost))
            raise InputError(f"the twin leaves its physical bounds within the {bad.horizon_s:g} s from {bad.at} ns: nothing can be fitted")
        damping, iterations, converged = 1e-3, 0, False
        while iterations < MAX_ITERATIONS and damping < MAX_DAMPING and not converged:
            iterations += 1
            there, moved = _step(linear, here, owns, damping, is_free)
            tried = [self._linear(one, there, own) for one, own in zip(stretches, moved, strict=True)]
            reached = _total(tried, there)
            if reached < cost:
                converged = cost - reached < CONVERGED * cost
                here, owns, linear, cost, damping = there, moved, tried, reached, max(damping / 10.0, 1e-9)
            else:
                converged = np.isfinite(reached) and reached - cost < CONVERGED * cost and damping > 1.0
                damping *= 10.0
        information, _ = _reduced(linear, here, owns, 0.0)
        misfit = sum(one.square for one in linear) / max(sum(one.readings for one in linear), 1)
        # worse than the errors that were assumed: the data are believed less
        information = np.eye(self.parameters) + (information - np.eye(self.parameters)) / max(1.0, misfit)
        covariance = np.asarray(np.linalg.inv(information), np.float64)
        return _Search(scores=here, locals=tuple(owns), covariance=covariance, iterations=iterations, converged=bool(converged))

    def distances(self, stretches: Sequence[Stretch], scores: F8) -> F8:
        """Per tag over all stretches, each with the initial state that suits these parameters best; NaN: never read."""
        owns = self.search(stretches, scores).locals
        squares, counts = np.zeros(len(self.tags)), np.zeros(len(self.tags), np.int64)
        for one, own in zip(stretches, owns, strict=True):
            rows = np.repeat(np.arange(len(self.tags)), np.isfinite(one.shown).sum(axis=0))
            residuals = self._residuals(one, scores[None, :], own[None, :])[:, 0]
            squares += np.bincount(rows, residuals**2, minlength=len(self.tags))
            counts += np.bincount(rows, minlength=len(self.tags))
        root: F8 = np.sqrt(np.divide(squares, counts, out=np.full(len(self.tags), np.nan), where=counts > 0))
        return root

    def identified(self, scores: F8, covariance: F8) -> tuple[Identified, ...]:
        left = np.sqrt(np.diag(covariance))
        correlation = np.abs(covariance / np.outer(left, left)) - np.eye(self.parameters)
        values, above = (self._spreads.values_at(at[:, None])[:, 0] for at in (scores, scores + left))
        known = self._model.plant.parameters
        return tuple(
            Identified(
                name=one.name,
                unit=one.unit,
                declared=float(one.unit.from_si(one.value)),
                declared_spread=one.spread / one.unit.scale,
                value=float(one.unit.from_si(values[row])),
                spread=float(above[row] - values[row]) / one.unit.scale,
                left=float(left[row]),
                at_limit=bool(abs(scores[row]) >= PARAMETER_LIMIT),
                together=known[int(correlation[row].argmax())].name if correlation[row].max() > TOGETHER else None,
            )
            for row, one in enumerate(known)
        )


def _total(linear: Sequence[_Linear], scores: F8) -> float:
    return sum(one.cost for one in linear) + 0.5 * float(scores @ scores)


def _reduced(linear: Sequence[_Linear], scores: F8, owns: Sequence[F8], damping: float) -> tuple[F8, F8]:
    """Normal equations of the parameters, each stretch's own unknowns eliminated (Schur complement)."""
    matrix, right = np.eye(len(scores)), -scores
    for one, own in zip(linear, owns, strict=True):
        inner = _inner(one, damping)
        matrix = matrix + one.ss - one.ls.T @ np.linalg.solve(inner, one.ls)
        right = right - one.sr + one.ls.T @ np.linalg.solve(inner, one.lr + own)
    return matrix, right


def _inner(one: _Linear, damping: float) -> F8:
    inner: F8 = one.ll + np.eye(len(one.ll))
    inner[np.diag_indices_from(inner)] *= 1.0 + damping
    return inner


def _step(linear: Sequence[_Linear], scores: F8, owns: Sequence[F8], damping: float, is_free: bool) -> tuple[F8, list[F8]]:
    moved = np.zeros(len(scores))
    if is_free:
        matrix, right = _reduced(linear, scores, owns, damping)
        matrix[np.diag_indices_from(matrix)] *= 1.0 + damping
        moved = np.clip(scores + np.linalg.solve(matrix, right), -PARAMETER_LIMIT, PARAMETER_LIMIT) - scores
    found = []
    for one, own in zip(linear, owns, strict=True):
        right = -(one.lr + one.ls @ moved) - own
        found.append(np.clip(own + np.linalg.solve(_inner(one, damping), right), -2 * PARAMETER_LIMIT, 2 * PARAMETER_LIMIT))
    return scores + moved, found
