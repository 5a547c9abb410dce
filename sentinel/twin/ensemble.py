"""Members at work: the arrays that the compiled stepper runs over, and how a snapshot becomes them and they a snapshot.

One row per quantity, one column per member, SI; members are padded to an odd number of whole groups of lanes.  Random numbers are drawn
once, from a seed, when an ensemble begins: its members keep their parameters from then on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.model.tags import TagRole
from sentinel.model.time import Instant
from sentinel.twin.compiled import Model, Modelled
from sentinel.twin.document import nearest
from sentinel.twin.expression import Expression, Op, evaluate
from sentinel.twin.machine import LANES
from sentinel.twin.plant import Input, Plant
from sentinel.twin.snapshot import MAX_MEMBERS, Grade, Health, Snapshot

F8 = NDArray[np.float64]
Writes = Mapping[str, float]  # tag -> value in the tag's unit

DEFAULT_MEMBERS = 256
BEGINNING = Instant(0)
MAX_STEPS = 1_000_000
MAX_RECORD_OCTETS = 1 << 28
PARAMETER_LIMIT = 3.0  # a drawn parameter stays within so many standard deviations


def initial(model: Model, members: int = DEFAULT_MEMBERS, seed: int | None = None, at: Instant = BEGINNING) -> Snapshot:
    """The plant file's start with parameters drawn from their spreads; member 0 is nominal.  Untrusted: nothing has been read yet."""
    if not 1 <= members <= MAX_MEMBERS:
        raise ValueError(f"{members} members, expected 1 to {MAX_MEMBERS}")
    plant = model.plant
    parameters = draw_parameters(plant, members, plant.seed if seed is None else seed)
    inputs = np.array([given.start for given in plant.inputs])
    si_inputs = {given.tag.name: given.unit.to_si(given.start) for given in plant.inputs}
    outputs = {given.controller: si_inputs[given.tag.name] for given in plant.inputs if given.controller}
    rows = {parameter.name: i for i, parameter in enumerate(plant.parameters)}
    known: dict[str, F8] = {}
    leaves: dict[Op, Callable[[str], Any]] = {
        Op.PARAMETER: lambda name: parameters[:, rows[name]],
        Op.INPUT: lambda name: si_inputs[name],
        Op.OUTPUT: lambda name: outputs[name],
        Op.STATE: lambda name: known[name],
        Op.TRIPPED: lambda _: 0.0,
    }

    def value_of(node: Expression) -> Any:
        return leaves[node.op](node.name)

    for state in plant.states:
        known[state.name] = np.broadcast_to(evaluate([state.start], value_of)[0], members).astype(np.float64)
    controllers = np.zeros((members, 2 * len(plant.controllers)))
    for i, controller in enumerate(plant.controllers):
        controllers[:, 2 * i + 1] = outputs[controller.name]
        controllers[:, 2 * i] = outputs[controller.name] - evaluate([controller.proportional], value_of)[0]
    return Snapshot(
        at=at,
        digest=model.digest,
        states=np.stack([known[state.name] for state in plant.states], axis=1),
        controllers=controllers,
        parameters=parameters,
        inputs=inputs,
        trusted=False,
        health=Health(grade=Grade.LOST, reason="nothing has been read yet", since=at),
    )


def draw_parameters(plant: Plant, members: int, seed: int) -> F8:
    """(members, parameters): log-normal where a parameter is positive by nature, else normal; member 0 is nominal."""
    chance = np.random.Generator(np.random.PCG64(seed))
    scores = np.clip(chance.standard_normal((members, len(plant.parameters))), -PARAMETER_LIMIT, PARAMETER_LIMIT)
    scores[0] = 0.0
    return np.ascontiguousarray(Spreads.of(plant).values_at(scores.T).T)


@dataclass(frozen=True, slots=True, eq=False)
class Spreads:
    """What is declared of the uncertain parameters: standard scores to values and back; rows are parameters.

    Log-normal where a parameter is positive by nature, else normal.
    """

    values: F8  # columns
    spreads: F8
    relative: F8  # of the log-normal ones
    normal: NDArray[np.int64]  # rows of the others

    @staticmethod
    def of(plant: Plant) -> "Spreads":
        known = plant.parameters
        values, spreads = np.zeros((len(known), 1)), np.zeros((len(known), 1))
        for row, one in enumerate(known):
            values[row], spreads[row] = one.value, one.spread
        positive = np.array([one.positive for one in known], bool)
        relative = np.zeros_like(spreads)
        relative[positive] = spreads[positive] / values[positive]
        return Spreads(values, spreads, relative, np.flatnonzero(~positive))

    def values_at(self, scores: F8, out: F8 | None = None) -> F8:
        """Into ``out``, where it is given: an array of this size is a new mapping of memory each time."""
        moved: F8 = np.multiply(scores, self.relative, out=out)
        np.exp(moved, out=moved)
        moved *= self.values
        moved[self.normal] += scores[self.normal] * self.spreads[self.normal]
        return moved

    def scores_of(self, values: F8) -> F8:
        scores: F8 = (values - self.values) / self.spreads
        positive = np.flatnonzero(self.relative)
        scores[positive] = np.log(values[positive] / self.values[positive]) / self.relative[positive]
        return scores


def check_writes(model: Modelled, writes: Writes) -> None:
    rows = model.input_rows
    for tag, value in writes.items():
        if tag not in rows:
            known = model.plant.tags.by_name.get(tag)
            why = "is not a tag" if known is None else "is not writable" if not known.writable else "moves nothing that the twin models"
            raise ValueError(f"{tag!r} {why}{nearest(tag, rows) if known is None else ''}")
        if not np.isfinite(value):
            raise ValueError(f"{tag} = {value} is not a number that can be written")


@dataclass(slots=True)
class Watch:
    """Per invariant (row) and lane; SI.  ``starts``: two rows per invariant that counts, how often it was started and whether it runs (-1 =
    not looked at yet)."""

    robustness: F8
    violation: F8
    valid: F8
    starts: F8

    @staticmethod
    def fresh(model: Model, stride: int) -> "Watch":
        shape = (len(model.invariants), stride)
        starts = np.zeros((2 * sum(one.counts for one in model.invariants), stride))
        starts[1::2] = -1.0
        return Watch(np.full(shape, np.inf), np.full(shape, np.inf), np.ones((1, stride)), starts)


@dataclass(slots=True)
class Recorder:
    """Samples of some outputs, (samples, chosen outputs, lanes); SI."""

    tags: tuple[str, ...]
    slots: NDArray[np.int64]
    buffer: F8
    every: int
    first: int  # steps until the next sample
    taken: int = 0

    @staticmethod
    def of(model: Model, tags: Sequence[str], samples: int, stride: int, every: int) -> "Recorder":
        rows = model.output_rows
        slots = np.full(max(len(model.outputs), 1), -1, np.int64)
        for slot, tag in enumerate(tags):
            if tag not in rows:
                raise ValueError(f"{tag!r} cannot be recorded{nearest(tag, rows)}")
            slots[rows[tag]] = slot
        if samples * len(tags) * stride * 8 > MAX_RECORD_OCTETS:
            raise ValueError("this recording would be too large: fewer tags or members, or a longer interval")
        return Recorder(tuple(tags), slots, np.zeros((samples, len(tags), stride)), every, every)

    @staticmethod
    def none(model: Model) -> "Recorder":
        """Nothing is due within any horizon."""
        return Recorder.of(model, (), 0, LANES, MAX_STEPS + 1)

    def trajectories(self, model: Model, members: int) -> dict[str, F8]:
        rows = model.output_rows
        return {
            tag: model.outputs[rows[tag]].measure.from_si(self.buffer[: self.taken, slot, :members]) for slot, tag in enumerate(self.tags)
        }


@dataclass(slots=True)
class Ensemble:
    """Members at work: one row per quantity, padded with copies of member 0 to whole groups of lanes.  Inputs are SI and common to all."""

    model: Model
    members: int
    states: F8
    controllers: F8
    parameters: F8
    inputs: F8

    @staticmethod
    def from_snapshot(model: Model, snapshot: Snapshot) -> "Ensemble":
        plant = model.plant
        if snapshot.digest != model.digest:
            raise ValueError(f"a snapshot of model {snapshot.digest[:16]}, this is {model.digest[:16]}")
        columns = (len(plant.states), 2 * len(plant.controllers), len(plant.parameters), len(plant.inputs))
        given = (snapshot.states.shape[1], snapshot.controllers.shape[1], snapshot.parameters.shape[1], len(snapshot.inputs))
        if columns != given:
            raise ValueError(f"a snapshot with {given} states, controllers, parameters and inputs; the model has {columns}")
        ensemble = Ensemble(
            model,
            snapshot.members,
            _lanes(snapshot.states),
            _lanes(snapshot.controllers),
            _lanes(snapshot.parameters),
            np.zeros(len(plant.inputs)),
        )
        if not np.isfinite(snapshot.inputs).all():
            raise ValueError("a snapshot with inputs that are not numbers")
        for row, one in enumerate(plant.inputs):
            ensemble.inputs[row] = _si(one, float(snapshot.inputs[row]))
        return ensemble

    @property
    def finite(self) -> NDArray[np.bool_]:
        """The members that are made of numbers.  What a controller cannot compute it does not show: its output is held in its range."""
        rows = (self.states, self.controllers, self.parameters)
        return np.asarray(np.isfinite(np.vstack([one[:, : self.members] for one in rows])).all(axis=0), np.bool_)

    @property
    def stride(self) -> int:
        return int(self.states.shape[1])

    def first(self, members: int) -> "Ensemble":
        """A copy of so many members, which stand for the others where they were drawn alike."""
        rows = (self.states, self.controllers, self.parameters)
        states, controllers, parameters = (_lanes(one[:, :members].T) for one in rows)
        return Ensemble(self.model, members, states, controllers, parameters, self.inputs.copy())

    def copy(self) -> "Ensemble":
        return replace(
            self,
            states=self.states.copy(),
            controllers=self.controllers.copy(),
            parameters=self.parameters.copy(),
            inputs=self.inputs.copy(),
        )

    def value_of(self, node: Expression) -> Any:
        """A leaf's value in every lane, for `evaluate`; no interlock is taken to be tripped."""
        plant = self.model.plant
        match node.op:
            case Op.STATE:
                return self.states[self.model.states.index(node.name)]
            case Op.PARAMETER:
                return self.parameters[[one.name for one in plant.parameters].index(node.name)]
            case Op.INPUT:
                return float(self.inputs[self.model.input_rows[node.name]])
            case Op.OUTPUT:
                return self.controllers[2 * [one.name for one in plant.controllers].index(node.name) + 1]
            case _:
                return 0.0

    def write(self, writes: Writes) -> None:
        """Values in the tags' units.  An output tag moves its controller's output, which stays only in manual."""
        rows, controllers = self.model.input_rows, {c.name: i for i, c in enumerate(self.model.plant.controllers)}
        for tag, value in writes.items():
            one = self.model.plant.inputs[rows[tag]]
            self.inputs[rows[tag]] = _si(one, value)
            if one.controller is not None:
                self.controllers[2 * controllers[one.controller] + 1] = one.unit.to_si(value)

    def advance(self, steps: int, step_s: float, begin_s: float, watch: Watch, recorder: Recorder) -> None:
        self.model.kernel.run(
            -(-self.members // LANES),
            self.stride,
            steps,
            step_s,
            begin_s,
            self.states.ctypes.data,
            self.controllers.ctypes.data,
            self.parameters.ctypes.data,
            self.inputs.ctypes.data,
            watch.robustness.ctypes.data,
            watch.violation.ctypes.data,
            watch.valid.ctypes.data,
            watch.starts.ctypes.data,
            recorder.every,
            recorder.first,
            recorder.slots.ctypes.data,
            len(recorder.tags),
            recorder.buffer[recorder.taken :].ctypes.data,
        )
        due, left = divmod(steps - recorder.first, recorder.every)
        recorder.taken += due + 1
        recorder.first = recorder.every - left

    def snapshot(self, at: Instant, *, trusted: bool, health: Health) -> Snapshot:
        model = self.model
        rows = {c.name: 2 * i + 1 for i, c in enumerate(model.plant.controllers)}
        shown = [
            float(self.controllers[rows[one.controller], : self.members].mean()) if one.controller else value
            for one, value in zip(model.plant.inputs, self.inputs, strict=True)
        ]
        return Snapshot(
            at=at,
            digest=model.digest,
            states=self.states[:, : self.members].T.copy(),
            controllers=self.controllers[:, : self.members].T.copy(),
            parameters=self.parameters[:, : self.members].T.copy(),
            inputs=np.array([float(one.unit.from_si(value)) for one, value in zip(model.plant.inputs, shown, strict=True)]),
            trusted=trusted,
            health=health,
        )


def _si(one: Input, value: float) -> float:
    """A mode is on or off."""
    return float(value != 0.0) if one.tag.role is TagRole.MODE else one.unit.to_si(value)


def _lanes(rows: F8) -> F8:
    """An odd number of groups: rows a power of two apart would crowd into a few sets of the cache."""
    members, columns = rows.shape
    lanes = np.empty((columns, (-(-members // LANES) | 1) * LANES))
    lanes[:, :members] = rows.T
    lanes[:, members:] = rows[:1].T
    return lanes
