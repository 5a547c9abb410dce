"""Live through it: the snapshot is forked and run ahead, with the command, without it, and with a recovery.

In: a `Snapshot` and writes.  Out: the engine's `Rollout`s.  Common random numbers come from the members themselves: member i has the same
state and parameters in every fork, so a pair of rollouts differs by the command alone.  Pure: equal input gives equal bits.  Runs
without the command are remembered per snapshot (a pure function's memo, bounded).
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sandbox.risk import F8
from sentinel.model.ids import Digest
from sentinel.model.tags import Tag, TagRole
from sentinel.twin.engine import Model, Rollout, Schedule, Writes, rollout
from sentinel.twin.plant import Plant
from sentinel.twin.sections import sections
from sentinel.twin.snapshot import Snapshot

MAX_REMEMBERED = 128
RECOVERY_MEMBERS = 32
SAVED_SHARE = 0.95  # of the futures, for a recovery to count
RECORD_EVERY_S = 2.0
_HALVINGS_OF_THE_WAY = 6  # to 1.6 % of it
_HALVINGS = 5  # of the time to violation: a point of no return to 3 % of it

T = TypeVar("T")
Pausing = Generator[None, None, T]  # a search that pauses before each of its rollouts, where something else may be served
Key = tuple[Digest, tuple[tuple[str, float], ...], int, tuple[str, ...]]


class OutOfTimeError(Exception):
    """Whoever asked has no more time for this case."""


@dataclass(slots=True)
class Replay:
    """A compiled plant, and how many futures of which length are lived through."""

    model: Model
    members: int
    horizon_s: float
    before_run: Callable[[], None] | None = None  # may raise `OutOfTimeError`: what has been lived through by then stays remembered
    sections: Mapping[str, frozenset[int]] = field(init=False)
    _memo: "OrderedDict[Key, Rollout]" = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.sections = sections(self.plant)

    @property
    def plant(self) -> Plant:
        return self.model.plant

    def objection(self, snapshot: Snapshot) -> str | None:
        """Why this snapshot cannot be run by this model."""
        plant = self.plant
        if snapshot.digest != self.model.digest:
            return f"a snapshot of model {snapshot.digest[:16]}, the court has {self.model.digest[:16]}"
        columns = (len(plant.states), 2 * len(plant.controllers), len(plant.parameters), len(plant.inputs))
        given = (snapshot.states.shape[1], snapshot.controllers.shape[1], snapshot.parameters.shape[1], len(snapshot.inputs))
        return None if columns == given else f"a snapshot of shape {given}, the model has {columns}"

    def run(self, snapshot: Snapshot, writes: Writes | Schedule, members: int | None = None, record: Sequence[str] = ()) -> Rollout:
        if self.before_run is not None:
            self.before_run()
        count = min(members or self.members, snapshot.members)
        return rollout(self.model, snapshot, writes, self.horizon_s, members=count, record=record, record_every_s=RECORD_EVERY_S)

    def without(self, snapshot: Snapshot, before: Writes, members: int | None = None, record: Sequence[str] = ()) -> Rollout:
        """The plant left alone, apart from ``before``: writes that reached it after the snapshot was taken."""
        key = (snapshot.fingerprint(), tuple(sorted(before.items())), members or self.members, tuple(record))
        if key not in self._memo:
            self._memo[key] = self.run(snapshot, before, members, record)
            while len(self._memo) > MAX_REMEMBERED:
                self._memo.popitem(last=False)
        self._memo.move_to_end(key)
        return self._memo[key]

    def point_of_no_return_s(self, snapshot: Snapshot, writes: Writes, undo: Writes, row: int, violated_s: float) -> Pausing[float | None]:
        """The last time, at most ``violated_s``, at which writing ``undo`` still keeps invariant ``row`` whole in 95 of 100 futures.

        None: not even at once.
        """

        def saves(at_s: float) -> Pausing[bool]:
            yield
            run = self.run(snapshot, [(0.0, writes), (at_s, undo)], RECOVERY_MEMBERS)
            held = run.robustness[row][run.valid] >= 0.0
            return bool(held.size and held.mean() >= SAVED_SHARE)

        low, high = 0.0, violated_s
        if not (yield from saves(low)):
            return None
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if (yield from saves(middle)) else (low, middle)
        return low

    def nearest_safe(self, snapshot: Snapshot, before: Writes, standing: Writes, writes: Writes) -> Pausing[dict[str, float] | None]:
        """The furthest on the way from what stands to what is written at which no future loses an invariant that it keeps anyway.

        None where there is no way: a switch is on or off, and what stands may be no better.
        """
        by_name = self.plant.tags.by_name
        if any(by_name[tag].role is TagRole.MODE for tag in writes):
            return None
        yield
        without = self.without(snapshot, before, RECOVERY_MEMBERS)

        def on_the_way(share: float) -> dict[str, float]:
            return {tag: _representable(by_name[tag], standing[tag], share * (value - standing[tag])) for tag, value in writes.items()}

        def holds(values: Writes) -> bool:
            run = self.run(snapshot, merged(before, values), RECOVERY_MEMBERS)
            both = run.valid & without.valid
            return bool(both.all() and ((run.robustness >= 0.0) | (without.robustness < 0.0))[:, both].all())

        low, high, found = 0.0, 1.0, None
        for _ in range(_HALVINGS_OF_THE_WAY):
            middle = (low + high) / 2.0
            values = on_the_way(middle)
            yield
            if holds(values):
                low, found = middle, values
            else:
                high = middle
        return found


def at_once(search: Pausing[T]) -> T:
    """What it finds, without any pause."""
    while True:
        try:
            next(search)
        except StopIteration as end:
            found: T = end.value
            return found


def _representable(tag: Tag, standing: float, step: float) -> float:
    """Back towards what stands, as far as the tag's register rounds."""
    grain = abs(tag.modbus.scale) if tag.modbus else 0.0
    return standing + math.trunc(step / grain) * grain if grain else standing + step


def current(plant: Plant, snapshot: Snapshot, before: Writes) -> dict[str, float]:
    """What stands in the writable tags, in their own units."""
    values = {one.tag.name: float(value) for one, value in zip(plant.inputs, snapshot.inputs, strict=True)}
    return {**values, **before}


def furthest(run: Rollout, tag: str, is_upper: bool) -> F8:
    """The highest (or lowest) value of a recorded tag, per member; of no meaning where the member is not valid."""
    path: F8 = run.trajectories[tag]
    ends: F8 = path.max(axis=0) if is_upper else path.min(axis=0)
    return ends


def merged(*writes: Writes) -> dict[str, float]:
    result: dict[str, float] = {}
    for one in writes:
        result.update(one)
    return result
