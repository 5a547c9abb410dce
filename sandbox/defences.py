"""Defences of the plant, and commands that impair them.

A write that moves an interlock's limit outward, sets the bypass or takes a controller to manual may change nothing by itself and yet take
away what would have stopped the next one.  So it is judged under a bounded worst case as well: after it, one more operator action is
taken, the worst of those an operator's screen allows (`challenges`).  A defence counts as lost when, in futures that the untouched defence
would have held, the guarded value goes past the trip limit by more than a set part of its range, or an invariant falls.  The trip limit is
the one that stood before the command; where that was beyond its design already, the design's: defences taken away one after the other would
each be held against what the last left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sandbox import risk
from sandbox.replay import Replay, furthest, merged
from sandbox.risk import F8
from sentinel.model.tags import Tag, TagRole
from sentinel.twin.engine import Rollout, Writes
from sentinel.twin.expression import Expression, Op, leaves
from sentinel.twin.plant import Plant
from sentinel.twin.snapshot import Snapshot

CHALLENGE_MEMBERS = 16
MAX_CHALLENGES = 128  # what fits a held command's time; a larger plant is tried in the order of its file


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """An interlock as an operator reads it: while the value is past the limit, something is tripped.  ``limit`` names a tag."""

    name: str
    value: Tag
    limit: str
    is_upper: bool
    bypass: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairment:
    tag: str
    guards: tuple[Guard, ...]  # that are weaker for it, or alone from now on
    takes_manual: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """What the worst single operator action does once the defence is impaired."""

    impairment: Impairment
    action: str
    bound: str  # the interlock or invariant that is passed
    value: Tag
    limit: float
    is_upper: bool
    reached: float  # median of the furthest values
    lost: int  # futures that pass the bound now and would not have
    members: int
    low: float  # lower confidence bound of the share lost


def guards_of(plant: Plant) -> tuple[Guard, ...]:
    """The interlocks whose limit is a tag; a limit that is built in cannot be moved."""
    found = []
    for interlock in plant.interlocks:
        if interlock.condition.op is not Op.GREATER:
            continue
        for place, (value, limit) in enumerate((interlock.condition.arguments, interlock.condition.arguments[::-1])):
            sensor = next((one.tag for one in plant.sensors if _same(one.expression, value)), None)
            if sensor is None or limit.op is not Op.INPUT:
                continue
            switches = sorted(leaves([interlock.tripped], Op.INPUT) - leaves([interlock.condition], Op.INPUT))
            bypass = switches[0] if switches else None
            found.append(Guard(name=interlock.name, value=sensor, limit=limit.name, is_upper=place == 0, bypass=bypass))
            break
    return tuple(found)


def _same(a: Expression, b: Expression) -> bool:
    return a is b or (a.op is Op.STATE and b.op is Op.STATE and a.name == b.name)


def impairments(plant: Plant, now: Mapping[str, float], writes: Writes) -> tuple[Impairment, ...]:
    """A limit that is put back to where the plant file has it was never a weaker one."""
    guards = guards_of(plant)
    design = {one.tag.name: one.start for one in plant.inputs}
    found = []
    for tag, value in writes.items():
        was = now.get(tag)
        if was is None or value == was:
            continue
        moved = tuple(guard for guard in guards if guard.limit == tag and _is_beyond(value, (was, design[tag]), guard))
        passed_by = tuple(guard for guard in guards if guard.bypass == tag) if value != 0 else ()
        left = [controller.name for controller in plant.controllers if controller.auto_tag == tag] if value == 0 else []
        names = ", ".join(guard.name for guard in moved + passed_by)
        if moved:
            says = f"{tag} moves the limit of {names} from {was:g} to {value:g} {moved[0].value.unit}"
            found.append(Impairment(tag=tag, guards=moved, takes_manual=False, says=says))
        if passed_by:
            found.append(Impairment(tag=tag, guards=passed_by, takes_manual=False, says=f"{tag} puts {names} out of action"))
        if left:
            found.append(Impairment(tag=tag, guards=guards, takes_manual=True, says=f"{tag} takes {', '.join(left)} out of automatic"))
    return tuple(found)


def _is_beyond(value: float, limits: Sequence[float], guard: Guard) -> bool:
    return value > max(limits) if guard.is_upper else value < min(limits)


def challenges(plant: Plant, now: Mapping[str, float], spared: frozenset[str]) -> Iterator[tuple[str, Writes]]:
    """(what is done, writes): single actions an operator's screen allows, at their extremes, none of which touches a spared tag."""
    controllers = plant.controllers
    automatic = {controller.auto_tag for controller in controllers}
    outputs = {controller.op for controller in controllers}
    bypasses = {guard.bypass for guard in guards_of(plant)}
    for one in plant.inputs:
        tag = one.tag
        if tag.name in spared or tag.name in automatic | outputs | bypasses or tag.role is TagRole.LIMIT:
            continue
        if tag.role is TagRole.MODE:
            opposite = 0.0 if now[tag.name] else 1.0
            yield f"{tag.name} written to {opposite:g}", {tag.name: opposite}
            continue
        for end in (tag.low, tag.high):
            yield f"{tag.name} written to {end:g} {tag.unit}", {tag.name: end}
    by_name = plant.tags.by_name
    for controller in controllers:
        if {controller.auto_tag, controller.op} & spared:
            continue
        for end in (by_name[controller.op].low, by_name[controller.op].high):
            yield f"{controller.name} driven to {end:g} % by hand", {controller.auto_tag: 0.0, controller.op: end}


def worst_case(
    replay: Replay,
    snapshot: Snapshot,
    before: Writes,
    writes: Writes,
    now: Mapping[str, float],
    weakened: Sequence[Impairment],
    breach: float,
    confidence: float,
) -> WorstCase | None:
    """The challenge that an impaired defence loses most clearly; None when there is nothing to guard or nothing to do."""
    if not any(one.guards for one in weakened):
        return None  # a loop in manual may leave the envelope: without an interlock there is nothing that it could be held against
    watched = tuple(sorted({guard.value.name for one in weakened for guard in one.guards}))
    worst: WorstCase | None = None
    for action, challenge in islice(challenges(replay.plant, now, frozenset(writes)), MAX_CHALLENGES):
        impaired = replay.run(snapshot, merged(before, writes, challenge), CHALLENGE_MEMBERS, watched)
        intact = replay.without(snapshot, merged(before, challenge), CHALLENGE_MEMBERS, watched)
        both = impaired.valid & intact.valid
        if not both.any():
            continue
        gone = int((intact.valid & ~impaired.valid).sum())  # driven out of what the twin can follow, which the defence prevents
        members = int(intact.valid.sum())
        for one in weakened:
            for bound in _bounds(replay, one, now, breach, impaired, intact):
                lost = gone + int(((bound.past > 0.0) & (bound.past_otherwise <= 0.0))[both].sum())
                if worst is not None and lost < worst.lost:
                    continue
                case = WorstCase(
                    impairment=one,
                    action=action,
                    bound=bound.name,
                    value=bound.value,
                    limit=bound.limit,
                    is_upper=bound.is_upper,
                    reached=float(np.median(bound.reached[both])),
                    lost=lost,
                    members=members,
                    low=risk.bounds(lost, members, confidence)[0],
                )
                if worst is None or (case.lost, _excess(case)) > (worst.lost, _excess(worst)):
                    worst = case
    return worst


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bound:
    name: str
    value: Tag
    limit: float
    is_upper: bool
    reached: F8  # the furthest value per member, with the defence impaired
    past: F8  # how far past the bound, positive = past
    past_otherwise: F8


def _bounds(
    replay: Replay, found: Impairment, now: Mapping[str, float], breach: float, impaired: Rollout, intact: Rollout
) -> Iterator[_Bound]:
    design = {one.tag.name: one.start for one in replay.plant.inputs}
    for guard in found.guards:
        tag, limit = guard.value, (min if guard.is_upper else max)(now[guard.limit], design[guard.limit])
        sign, allowed = (1.0 if guard.is_upper else -1.0), breach * (tag.high - tag.low)
        reached = furthest(impaired, tag.name, guard.is_upper)
        yield _Bound(
            name=guard.name,
            value=tag,
            limit=limit,
            is_upper=guard.is_upper,
            reached=reached,
            past=sign * (reached - limit) - allowed,
            past_otherwise=sign * (furthest(intact, tag.name, guard.is_upper) - limit) - allowed,
        )
    if found.takes_manual:  # a controller's work is to hold the envelope: without it the envelope may be left, the trip limits may not
        return
    for row, invariant in enumerate(replay.plant.invariants):
        sign = 1.0 if invariant.is_upper else -1.0
        yield _Bound(
            name=invariant.name,
            value=invariant.tag,
            limit=invariant.limit,
            is_upper=invariant.is_upper,
            reached=invariant.limit - sign * impaired.robustness[row],
            past=-impaired.robustness[row],
            past_otherwise=-intact.robustness[row],
        )


def _excess(case: WorstCase) -> float:
    """How far past its limit, as a share of the tag's range."""
    return (case.reached - case.limit) * (1.0 if case.is_upper else -1.0) / (case.value.high - case.value.low)
