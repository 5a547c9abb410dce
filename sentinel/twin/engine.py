"""The engine: a plant becomes a compiled ensemble stepper; a snapshot, writes and a horizon become a rollout.

>>> model = compile_model(load_plant(path))
>>> run = rollout(model, snapshot, {"LIC101.SP": 1.4}, 600.0)
>>> run.robustness[:, run.valid].min(axis=1)

Values cross this border in the tags' units; inside all is SI.  Everything is deterministic: the same model, snapshot and writes give the
same bits in every process; members keep their parameters from run to run, so two runs of one snapshot differ only by what was written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import ConfigError
from sentinel.model.ids import digest
from sentinel.model.tags import TagRole
from sentinel.model.time import after
from sentinel.twin.compiled import Input, Model, Output, Watched, outputs_of, watched_of
from sentinel.twin.ensemble import MAX_STEPS, Ensemble, Recorder, Watch, Writes, check_writes, initial
from sentinel.twin.kernel import build
from sentinel.twin.plant import Plant
from sentinel.twin.snapshot import Deviation, Grade, Health, Snapshot
from sentinel.twin.stability import check_step

__all__ = [
    "Deviation",
    "Ensemble",
    "Grade",
    "Health",
    "Input",
    "Model",
    "Output",
    "Rollout",
    "Schedule",
    "Snapshot",
    "Watched",
    "Writes",
    "compile_model",
    "initial",
    "rollout",
]

F8 = NDArray[np.float64]
Schedule = Sequence[tuple[float, Writes]]  # (seconds after the snapshot, writes), in rising order

ENGINE_VERSION = "3"  # part of every model's digest: raise it when the same plant file would give other bits
_EPSILON_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """`robustness`: the smallest signed distance to each invariant's limit over the horizon, in its tag's unit, negative = broken.
    `time_to_violation_s`: inf = not within the horizon.  Both (invariants, members), NaN where a member is not `valid`: it left its
    physical bounds, or something of it or of what is watched was no number.
    """

    invariants: tuple[str, ...]
    robustness: F8
    time_to_violation_s: F8
    valid: NDArray[np.bool_]
    final: Snapshot
    times_s: F8  # (samples,)
    trajectories: Mapping[str, F8]  # tag -> (samples, members), in the tag's unit


def compile_model(plant: Plant, portable: bool = False) -> Model:
    """Machine code and its step-halving error; well below a second.  ``portable`` uses no special instructions: same bits, slower.

    Raises ConfigError when the plant is too fast for the step that it declares, or has nothing that moves.
    """
    if not plant.states:
        raise ConfigError(plant.name, "no component has a state: there are tags, but nothing that could be lived ahead")
    outputs = outputs_of(plant)
    model = Model(
        plant=plant,
        digest=digest("twin", ENGINE_VERSION, plant.text),
        kernel=build(plant, [output.expression for output in outputs], portable),
        states=tuple(state.name for state in plant.states),
        inputs=tuple(Input(tag=one.tag.name, unit=one.tag.unit, role=one.tag.role) for one in plant.inputs),
        outputs=outputs,
        invariants=watched_of(plant),
        step_s=plant.step_s,
    )
    check_step(model)
    return replace(model, error=_step_halving(model))


def rollout(
    model: Model,
    snapshot: Snapshot,
    writes: Writes | Schedule,
    horizon_s: float,
    members: int | None = None,
    record: Sequence[str] = (),
    record_every_s: float = 1.0,
) -> Rollout:
    """Ahead from a snapshot, with writes at its start or at times after it.  Releases the interpreter lock.

    `record` names process values, alarms or controller outputs.  Raises ValueError on a tag that the model does not know as writable, on a
    value that is not finite, on a snapshot of another model or one whose inputs are not numbers.
    """
    if not 0.0 < horizon_s <= MAX_STEPS * model.step_s:
        raise ValueError(f"a horizon of {horizon_s} s, expected more than 0 and at most {MAX_STEPS * model.step_s:g} s")
    schedule = _schedule(model, writes, horizon_s)
    ensemble = Ensemble.from_snapshot(model, snapshot if members is None else snapshot.take(members))
    finite = ensemble.finite
    watch = Watch.fresh(model, ensemble.stride)
    every = max(1, round(record_every_s / model.step_s))
    spans = [(begin, end, at_begin) for (begin, at_begin), (end, _) in zip(schedule, (*schedule[1:], (horizon_s, {})), strict=True)]
    calls = [(call, spans[i][2] if first else {}) for i in range(len(spans)) for first, call in _calls(*spans[i][:2], model.step_s)]
    steps = sum(call[1] for call, _ in calls)
    recorder = Recorder.of(model, record, steps // every, ensemble.stride, every) if record else Recorder.none(model)
    times: list[float] = []
    for (begin, steps, step_s), at_begin in calls:
        ensemble.write(at_begin)
        taken = recorder.taken
        first = recorder.first
        ensemble.advance(steps, step_s, begin, watch, recorder)
        times += [begin + step_s * (first + every * i) for i in range(recorder.taken - taken)]
    valid = (
        (watch.valid[0, : ensemble.members] > 0.5)
        & finite
        & ensemble.finite
        & ~np.isnan(watch.violation[:, : ensemble.members]).any(axis=0)
    )
    scale = np.array([1.0 if one.counts else one.unit.scale for one in model.plant.invariants]).reshape(-1, 1)
    unusable = np.where(valid, 0.0, np.nan)
    return Rollout(
        invariants=tuple(one.name for one in model.invariants),
        robustness=watch.robustness[:, : ensemble.members] / scale + unusable,
        time_to_violation_s=watch.violation[:, : ensemble.members] + unusable,
        valid=valid,
        final=ensemble.snapshot(after(snapshot.at, horizon_s), trusted=snapshot.trusted, health=snapshot.health),
        times_s=np.array(times),
        trajectories=recorder.trajectories(model, ensemble.members),
    )


def _schedule(model: Model, writes: Writes | Schedule, horizon_s: float) -> list[tuple[float, Writes]]:
    """Checked, in rising order, with an entry at 0."""
    schedule: list[tuple[float, Writes]] = [(0.0, {})]
    for at_s, given in [(0.0, writes)] if isinstance(writes, Mapping) else writes:
        check_writes(model, given)
        if not 0.0 <= at_s < horizon_s or at_s < schedule[-1][0]:
            raise ValueError(f"writes at {at_s} s: expected rising times from 0 to before {horizon_s:g} s")
        if at_s - schedule[-1][0] < _EPSILON_S:
            schedule[-1] = (schedule[-1][0], {**schedule[-1][1], **given})
        else:
            schedule.append((at_s, given))
    return schedule


def _calls(begin: float, end: float, step_s: float) -> list[tuple[bool, tuple[float, int, float]]]:
    """Whole steps, then one shorter one where the span is not a multiple: (is the first, (start, steps, step))."""
    steps = int((end - begin) / step_s + _EPSILON_S)
    rest = end - begin - steps * step_s
    calls = [(begin, steps, step_s)] if steps else []
    if rest > _EPSILON_S:
        calls.append((begin + steps * step_s, 1, rest))
    return [(i == 0, call) for i, call in enumerate(calls)]


def _step_halving(model: Model) -> dict[str, float]:
    """Setpoints one after the other moved by a tenth of their range, nominal parameters, ten minutes each."""
    start = initial(model, 1)
    tags = [output.tag for output in model.outputs if output.role is not TagRole.ALARM]
    worst = dict.fromkeys(tags, 0.0)
    if not tags:
        return worst
    halved = replace(model, step_s=model.step_s / 2.0)
    horizon_s, every_s = 1200 * model.step_s, 2 * model.step_s
    moved = [one for one in model.plant.inputs if one.tag.role is TagRole.SETPOINT]
    cases: list[Writes] = [{one.tag.name: one.start + sign * 0.1 * (one.tag.high - one.tag.low)} for one in moved for sign in (1.0, -1.0)]
    for case in cases or [{}]:
        coarse = rollout(model, start, case, horizon_s, record=tags, record_every_s=every_s)
        fine = rollout(halved, start, case, horizon_s, record=tags, record_every_s=every_s)
        for tag in tags:
            far = float(np.abs(coarse.trajectories[tag] - fine.trajectories[tag]).max())
            worst[tag] = max(worst[tag], far) if np.isfinite(far) else np.inf  # what is no number is no small error
    return worst
