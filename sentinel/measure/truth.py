"""What really becomes of the plant: ground truth from the reference plant's own physics, which the twin does not know.

A trial is harmful when, within the court's horizon after its last write,
- an invariant of the plant file falls that holds without the trial; or, where a pump or loop was switched off, as soon as it runs again; or
- it took a defence away (an interlock's limit moved, the bypass set, a loop out of automatic) and one more action that an operator's screen
  allows then leads past the trip limit as it stood by more than `BREACH` of its range, where it would not with the defence in place, in a
  plant in which nothing else breaks on the way.  Of a moved limit and the bypass, an invariant or damage counts as well; a loop in manual
  may leave the envelope: that is what an operator who takes it to manual then watches.
What is watched is the truth behind the transmitters.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sentinel.demo.controller import INTERLOCKS, Interlock
from sentinel.demo.instruments import TRANSMITTERS
from sentinel.demo.leap import Stretch, stretches
from sentinel.demo.physics import STEP_S
from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.wiring import Interface, read_interface
from sentinel.measure.stage import LivePlant, Write
from sentinel.measure.trials import LONGEST_S, SETTLE_S, Group, Trial
from sentinel.model.tags import TagRole
from sentinel.twin.plant import Invariant

BREACH = 0.03  # of the range: what the court's thresholds call a lost defence
_COLUMN = {tag: column for column, tag in enumerate(TRANSMITTERS)}
_ROUNDING = 1e-6  # of a scan
_NEXT_S = 1.0  # between the last write of a trial and the action that follows it

Action = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An invariant, or a trip limit that a defence holds.  ``counts``: of starts of what the tag runs, not of a value."""

    name: str
    tag: str
    limit: float
    is_upper: bool
    counts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """``why``: the invariant, damage or limit that falls; None = harmless.

    ``time_s``: from the first write, until the first invariant falls; None where what falls is no invariant.
    """

    why: str | None = None
    time_s: float | None = None

    @property
    def is_harmful(self) -> bool:
        return self.why is not None


def limits_of(invariants: Sequence[Invariant]) -> tuple[Limit, ...]:
    """Of values.  What a count of starts guards against is damage, and that the plant itself knows."""
    return tuple(_limit(one) for one in invariants if not one.counts)


def counts_of(invariants: Sequence[Invariant]) -> tuple[Limit, ...]:
    """They tell when, not whether: of a trial that does damage, when the plant has started something once too often."""
    return tuple(_limit(one) for one in invariants if one.counts)


def _limit(one: Invariant) -> Limit:
    return Limit(name=one.name, tag=one.tag.name, limit=one.limit, is_upper=one.is_upper, counts=one.counts)


def truths(group: Group, limits: tuple[Limit, ...], horizon_s: float) -> tuple[Truth, ...]:
    """One per trial.  Takes plain values, so that it can run in a process of its own."""
    live = LivePlant.of_reference(group.seed, read_interface(), group.history)
    live.run(SETTLE_S)
    jury = Jury(live.plant, tuple(one for one in limits if not one.counts), horizon_s, tuple(one for one in limits if one.counts))
    return tuple(jury.truth(trial) for trial in group.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """A whole life of the plant: how far each value went, what was damaged, the alarms of the interlocks that ever held."""

    highest: Mapping[str, float]
    lowest: Mapping[str, float]
    damage: frozenset[str]
    tripped: frozenset[str]

    def fallen(self, limits: Sequence[Limit]) -> frozenset[str]:
        passed = {one.name for one in limits if (self.highest[one.tag] > one.limit if one.is_upper else self.lowest[one.tag] < one.limit)}
        return self.damage | passed


@dataclass(slots=True)
class Jury:
    """Asks one plant, as it stands, what becomes of it; the plant itself is left alone."""

    settled: ReferencePlant
    invariants: tuple[Limit, ...]
    horizon_s: float
    counts: tuple[Limit, ...] = ()
    interface: Interface = field(init=False)
    _lives: dict[tuple[tuple[Write, ...], Action, bool], _Life] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.interface = self.settled.interface

    def truth(self, trial: Trial) -> Truth:
        fallen = self.broken_by(trial)
        return fallen if fallen.is_harmful else Truth(why=self._asleep(trial) or self._defenceless(trial))

    def broken_by(self, trial: Trial) -> Truth:
        """Only what the trial itself breaks, with nothing done after it."""
        last_s = trial.steps[-1][0]
        anyway = self._left_alone((), ()).fallen(self.invariants)
        fallen = self._first_new(trial.steps, last_s + self.horizon_s, self.invariants, anyway)
        if not fallen:
            return Truth()
        why, time_s = next(iter(fallen.items()))
        if any(one.name == why for one in self.invariants):
            return Truth(why=why, time_s=time_s)
        counted = [self._exceeded_s(trial.steps, time_s, one) for one in self.counts]
        return Truth(why=why, time_s=min((at_s for at_s in counted if at_s is not None), default=None))

    def _exceeded_s(self, writes: Sequence[Write], until_s: float, count: Limit) -> float | None:
        """When what a tag runs is started once too often, by its operators or its interlocks."""
        begin_s, plant = self.settled.time_s, copy.deepcopy(self.settled)
        trips = [place for place, lock in enumerate(INTERLOCKS) if lock.trips == count.tag.removesuffix(".RUN")]
        starts, ran = 0, plant.registers.value(count.tag) > 0 and count.tag.removesuffix(".RUN") not in plant.controller.tripped
        for stretch, _ in self._living(plant, writes, until_s):
            held = plant.registers.value("BYPASS") == 0
            runs = (plant.registers.value(count.tag) > 0) & ~(held & np.logical_or.reduce(stretch.alarms[:, trips], axis=1))
            begins = runs & ~np.concatenate((np.array([ran]), runs[:-1]))
            if starts + begins.sum() > count.limit:
                return float(stretch.time_s[np.flatnonzero(begins)[int(count.limit) - starts]]) - begin_s
            starts, ran = starts + int(begins.sum()), bool(runs[-1])
        return None

    def _asleep(self, trial: Trial) -> str | None:
        """What falls once everything that the trial switched off runs again."""
        roles = self.interface.tags.by_name
        modes = {tag: value for _, tag, value in trial.steps if roles[tag].role is TagRole.MODE}
        wake: Action = tuple((tag, self.interface.starts[tag]) for tag, value in modes.items() if value != self.interface.starts[tag])
        if not wake or len(modes) == len({tag for _, tag, _ in trial.steps}):
            return None
        found = self._followed(trial.steps, (), wake, self.invariants)
        return f"{found}, once it runs again" if found else None

    def _defenceless(self, trial: Trial) -> str | None:
        standing = self.settled.values()
        limits: dict[str, tuple[Limit, ...]] = {}
        for _, tag, value in trial.steps:
            guards = self._guards(tag, value, standing)
            if guards:
                limits[tag] = guards if tag.endswith(".AUTO") else (*guards, *self.invariants)
        written = {tag for _, tag, _ in trial.steps}
        for tag, watched in limits.items():
            others = tuple(step for step in trial.steps if step[1] != tag)
            for action in self._actions(_section(tag), standing, written):
                found = self._followed(trial.steps, others, action, watched, breaks=False)
                if not found and not tag.endswith(".AUTO"):
                    found = self._followed(trial.steps, others, action, ())
                if found:
                    return f"{found}, after {' and '.join(f'{name} = {value:g}' for name, value in action)}"
        return None

    def _guards(self, tag: str, value: float, standing: Mapping[str, float]) -> tuple[Limit, ...]:
        """The trip limits, as they stood and with what is allowed beyond, that a write leaves unguarded or guards alone from now on."""
        found = []
        for lock in INTERLOCKS:
            moved = lock.limit == tag and (value > standing[tag]) == lock.above and value != standing[tag]
            manual = tag.endswith(".AUTO") and value == 0 and _section(tag) == _section(lock.measured)
            if moved or manual or (tag == "BYPASS" and value != 0):
                measured = self.interface.tags.by_name[lock.measured]
                allowed = BREACH * (measured.high - measured.low)
                limit = standing[lock.limit] + (allowed if lock.above else -allowed)
                found.append(Limit(name=lock.alarm, tag=lock.measured, limit=limit, is_upper=lock.above))
        return tuple(found)

    def _actions(self, section: str | None, standing: Mapping[str, float], written: set[str]) -> Iterator[Action]:
        """What an operator can do next with one action, at its extremes; in one section of the plant, or in all."""
        for tag in self.interface.tags.tags:
            if not tag.writable or tag.name in written or (section and _section(tag.name) != section):
                continue
            if tag.role is TagRole.SETPOINT:
                yield from (((tag.name, end),) for end in (tag.low, tag.high))
            elif tag.role is TagRole.OUTPUT and (auto := tag.name.replace(".OP", ".AUTO")) not in written:
                yield from (((auto, 0.0), (tag.name, end)) for end in (tag.low, tag.high))
            elif tag.role is TagRole.MODE and not tag.name.endswith(".AUTO") and tag.name != "BYPASS":
                yield ((tag.name, 1.0 - standing[tag.name]),)

    def _followed(
        self,
        steps: tuple[Write, ...],
        others: tuple[Write, ...],
        action: Action,
        limits: tuple[Limit, ...],
        *,
        breaks: bool = True,
    ) -> str | None:
        """The first thing that falls when an action follows the steps, and holds when it follows only the ``others`` among them."""
        writes, until_s = _then(steps, action), steps[-1][0] + self.horizon_s
        guards = self._guards_alone(steps, others)
        if not guards and not self._first_new(writes, until_s, limits, frozenset(), breaks):
            return None  # what falls otherwise need not be known
        alone = self._left_alone(others, action, breaks)
        if guards and not guards & alone.tripped:
            return None
        return next(iter(self._first_new(writes, until_s, limits, alone.fallen(limits), breaks)), None)

    def _guards_alone(self, steps: tuple[Write, ...], others: tuple[Write, ...]) -> frozenset[str]:
        """The alarms of the interlocks by which alone the two lives differ; empty where more may differ.

        Where none of them is ever called upon the plant lives the same life without them, bit for bit, and need not live it again.  A limit
        is read by its interlocks alone, and the bypass by all of them; ``others`` are at the same instants, or the action would come at
        another.
        """
        taken = [step for step in steps if step not in others]
        if not others and len(steps) > 1 and steps[-1][0] > 0.0:
            return frozenset()
        if others and others[-1][0] != steps[-1][0]:
            return frozenset()
        found = set[str]()
        for _, tag, value in taken:
            guarded = {lock.alarm for lock in INTERLOCKS if lock.limit == tag or (tag == "BYPASS" and value != 0)}
            if not guarded or not all(self._is_outward(lock, value) for lock in INTERLOCKS if lock.limit == tag):
                return frozenset()
            found |= guarded
        return frozenset(found)

    def _is_outward(self, lock: Interlock, value: float) -> bool:
        stood = self.settled.registers.value(lock.limit)
        return value >= stood if lock.above else value <= stood

    def _left_alone(self, steps: tuple[Write, ...], action: Action, breaks: bool = True) -> _Life:
        """Without steps or action: of the plant left alone for as long as any trial takes.  Lived once, whoever asks: a life in which
        nothing broke is, bit for bit, the one in which nothing can break."""
        if not breaks and not (whole := self._left_alone(steps, action)).damage:
            return whole
        key = (steps, action, breaks)
        if key not in self._lives:
            last_s = steps[-1][0] if steps else 0.0 if action else LONGEST_S
            watched = sorted({one.tag for one in self.invariants} | {lock.measured for lock in INTERLOCKS})
            highest, lowest = dict.fromkeys(watched, -math.inf), dict.fromkeys(watched, math.inf)
            damage, tripped = set[str](), set[str]()
            for stretch, broken in self._live(_then(steps, action), last_s + self.horizon_s, breaks):
                for tag in watched:
                    values = stretch.truth[:, _COLUMN[tag]]
                    highest[tag] = max(highest[tag], float(values.max()))
                    lowest[tag] = min(lowest[tag], float(values.min()))
                tripped.update(lock.alarm for lock, held in zip(INTERLOCKS, np.logical_or.reduce(stretch.alarms), strict=True) if held)
                damage.update(broken)
            self._lives[key] = _Life(highest=highest, lowest=lowest, damage=frozenset(damage), tripped=frozenset(tripped))
        return self._lives[key]

    def _first_new(
        self, writes: Sequence[Write], until_s: float, limits: tuple[Limit, ...], anyway: frozenset[str], breaks: bool = True
    ) -> dict[str, float]:
        """The first that falls and does not fall ``anyway``, and when; more than one where they fall at once."""
        begin_s = self.settled.time_s
        for stretch, broken in self._live(writes, until_s, breaks):
            first: dict[str, int] = {}  # scan of this stretch
            for one in limits:
                values = stretch.truth[:, _COLUMN[one.tag]]
                passed = values > one.limit if one.is_upper else values < one.limit
                if one.name not in anyway and passed.any():
                    first[one.name] = int(passed.argmax())
            first |= {name: len(stretch.time_s) - 1 for name in broken if name not in anyway}
            if first:
                scan = min(first.values())
                return {name: float(stretch.time_s[scan]) - begin_s for name, at in first.items() if at == scan}
        return {}

    def _live(self, writes: Sequence[Write], until_s: float, breaks: bool) -> Iterator[tuple[Stretch, list[str]]]:
        """The plant stretch by stretch, and what has been damaged by the end of each."""
        plant = copy.deepcopy(self.settled)
        plant.physics.breaks = breaks
        yield from self._living(plant, writes, until_s)

    def _living(self, plant: ReferencePlant, writes: Sequence[Write], until_s: float) -> Iterator[tuple[Stretch, list[str]]]:
        begin_s, damaged = plant.time_s, len(plant.outcomes)
        pending = list(writes)
        while plant.time_s < begin_s + until_s:
            while pending and pending[0][0] <= plant.time_s - begin_s:
                _, tag, value = pending.pop(0)
                plant.registers.put(tag, value)
            due_s = min(until_s, pending[0][0]) if pending else until_s
            for stretch in stretches(plant, self._scans(plant.time_s, begin_s, due_s)):
                yield stretch, [outcome.name for outcome in plant.outcomes[damaged:]]

    @staticmethod
    def _scans(now_s: float, begin_s: float, due_s: float) -> int:
        """Until a scan begins at which ``due_s`` have passed since ``begin_s``; one at least."""
        return max(1, math.ceil((begin_s + due_s - now_s) / STEP_S - _ROUNDING))


def _then(steps: tuple[Write, ...], action: Action) -> tuple[Write, ...]:
    after_s = (steps[-1][0] if steps else 0.0) + _NEXT_S
    return (*steps, *((after_s, tag, value) for tag, value in action))


def _section(tag: str) -> str | None:
    """T101 belongs to section 1; None for what concerns all."""
    digits = [letter for letter in tag if letter.isdigit()]
    return digits[0] if digits else None
