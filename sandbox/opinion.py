"""The opinion: what the judgement rests on, as a `Verdict` with its numbers, evidence and techniques."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox import risk
from sandbox.case import Case
from sandbox.defences import Impairment
from sandbox.replay import Replay
from sandbox.risk import Pair
from sandbox.words import amount, duration, futures, named
from sentinel.model.command import TagWrite
from sentinel.model.ids import VerdictId, short_id
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.model.verdict import Course, Intent, InvariantOutcome, Judgement, Option, Verdict
from sentinel.twin.engine import Rollout, Writes
from sentinel.twin.plant import Invariant

MODIFY_PARAMETER, MANIPULATION_OF_CONTROL, UNAUTHORIZED_COMMAND = "T0836", "T0831", "T1692.001"
MODIFY_ALARM_SETTINGS, ALARM_SUPPRESSION, LOSS_OF_PROTECTION = "T0838", "T0878", "T0837"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """By which model, with which seed and at what time opinions are written."""

    replay: Replay
    seed: int
    now: Instant

    def opinion(
        self,
        case: Case,
        judgement: Judgement,
        reason: str,
        *,
        pairs: tuple[Pair, ...] = (),
        invariant: Invariant | None = None,
        probability: float | None = None,
        time_s: float | None = None,
        intent: Intent = Intent.UNKNOWN,
        instead: Writes | None = None,
        evidence: tuple[str, ...] = (),
        techniques: tuple[str, ...] = (),
        options: tuple[Option, ...] = (),
        complete: bool = True,
    ) -> Verdict:
        replay, snapshot = self.replay, case.snapshot.fingerprint()
        return Verdict(
            id=VerdictId(short_id("verdict", case.command.id, snapshot, replay.model.digest, str(self.seed))),
            command=case.command.id,
            judgement=judgement,
            intent=intent,
            reason=reason,
            invariant=invariant.name if invariant else None,
            probability=probability,
            time_to_violation_s=time_s,
            outcomes=tuple(outcome(one, pair) for one, pair in zip(replay.plant.invariants, pairs, strict=False)),
            nearest_safe=tuple(_named_write(replay.plant.tags.by_name[tag], value) for tag, value in (instead or {}).items()),
            evidence=(*evidence, *outside_range(case, replay.plant.tags)),
            techniques=techniques,
            options=options,
            complete=complete,
            members=pairs[0].members if pairs else 0,
            horizon_s=replay.horizon_s,
            seed=self.seed,
            model=replay.model.digest,
            snapshot=snapshot,
            judged=self.now,
        )


def option(course: Course, writes: Writes, run: Rollout, tags: TagMap, confidence: float) -> Option:
    """The share of futures that lose any invariant at all, and its upper bound; None where no future could be followed."""
    hits, trials = int((run.robustness[:, run.valid].min(axis=0) < 0.0).sum()), int(run.valid.sum())
    return Option(
        course=course,
        writes=tuple(_named_write(tags.by_name[tag], value) for tag, value in writes.items()),
        harm=hits / trials if trials else None,
        harm_at_most=risk.bounds(hits, trials, confidence)[1] if trials else None,
    )


def unknown_options(case: Case) -> tuple[Option, ...]:
    """Where the twin has nothing to say a person still chooses, and is told so."""
    return (Option(course=Course.FORWARD, writes=case.command.writes), Option(course=Course.REFUSE))


def _named_write(tag: Tag, value: float) -> TagWrite:
    raw = float(tag.modbus.encode(value)[0]) if tag.modbus and tag.modbus.registers == 1 else value
    return TagWrite(tag=tag.name, point=tag.name, raw=raw, value=value, unit=tag.unit)


def outcome(invariant: Invariant, pair: Pair) -> InvariantOutcome:
    return InvariantOutcome(
        invariant=invariant.name,
        broken_with=pair.broken_with / pair.members,
        broken_without=pair.broken_without / pair.members,
        robustness=pair.tail_with,
        unit=invariant.tag.unit,
        time_to_violation_s=pair.time_s,
    )


def limit_of(invariant: Invariant) -> str:
    return f"{invariant.limit:g} starts" if invariant.counts else amount(invariant.limit, invariant.tag.unit)


def falls(invariant: Invariant, pair: Pair) -> str:
    goes = "rise above" if invariant.is_upper else "fall below"
    when = duration(pair.time_s or 0.0)
    return f"{named(invariant.tag)} would {goes} {limit_of(invariant)} {when} in {futures(pair.broken_with, pair.members)}"


def outside_range(case: Case, tags: TagMap) -> tuple[str, ...]:
    """Written values that no operator's screen would allow: no judgement, but a fact."""
    known = ((tags.by_name[tag], value) for tag, value in case.writes.items())
    return tuple(
        f"{tag.name} = {value:g} {tag.unit} is outside its engineered range, {tag.low:g} to {tag.high:g}"
        for tag, value in known
        if not tag.low <= value <= tag.high
    )


def techniques_of(case: Case, weakened: Sequence[Impairment], impact: str | None, tags: TagMap) -> tuple[str, ...]:
    """ATT&CK for ICS, of an unsafe command."""
    found = {MANIPULATION_OF_CONTROL} | ({impact} if impact else set())
    if case.context.source_is_new:
        found.add(UNAUTHORIZED_COMMAND)
    if any(tags.by_name[tag].role is not TagRole.MODE for tag in case.writes):
        found.add(MODIFY_PARAMETER)
    for one in weakened:
        if not one.takes_manual:
            found.add(MODIFY_ALARM_SETTINGS if tags.by_name[one.tag].role is TagRole.LIMIT else ALARM_SUPPRESSION)
    return tuple(sorted(found))
