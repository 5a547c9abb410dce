"""The judgement: a command, the snapshot it would meet, and a verdict.  Pure: equal input gives equal bits.

The rule, in this order:
1. *undecided* when nothing can be said: the command writes nothing that can be named, the frame says something else than was read from
   it, the twin is lost or its snapshot too old, no written tag is known to the twin, or too few members came through.
2. *unsafe* when an invariant falls because of the command: the lower bound of its added risk (`risk.Pair`) is above ``unsafe_above``, or it
   falls in all futures.  An invariant that falls without the command as well is not blamed on it.
3. *unsafe* when it is harmless in itself but breaks an invariant as soon as what stands still runs again (`dormant`), is a step of a
   stranger's drift that leads out of the envelope (`drift`), or takes away a defence that the worst single operator action would then need
   (`defences`).
4. *safe* when every invariant that the command touches keeps an upper bound below ``safe_below`` and a margin to its limit in 95 of 100
   futures, no defence that it takes away is needed in any, every written tag is known, and the twin follows the tags that matter.
5. *undecided* otherwise; so is a drift of a source that is known to write the tag: its next move comes before the court itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox import intent
from sandbox.case import Case, open_case
from sandbox.config import Thresholds
from sandbox.defences import Impairment, WorstCase, impairments, worst_case
from sandbox.dormant import awakened
from sandbox.drift import Trend, trend_of
from sandbox.octets import contradiction
from sandbox.opinion import LOSS_OF_PROTECTION, Author, falls, limit_of, option, techniques_of, unknown_options
from sandbox.protocol import Context
from sandbox.replay import Pausing, Replay, current, merged
from sandbox.risk import Pair, compare
from sandbox.words import amount, futures, listed, named
from sentinel.model.command import Command
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import Instant, seconds_between
from sentinel.model.verdict import Course, Intent, Judgement, Option, Verdict
from sentinel.twin.engine import Rollout
from sentinel.twin.snapshot import Deviation, Grade, Snapshot


def judge(command: Command, snapshot: Snapshot, replay: Replay, context: Context, terms: Thresholds, seed: int, now: Instant) -> Verdict:
    """The complete verdict."""
    *_, last = hearing(command, snapshot, replay, context, terms, seed, now)
    assert last is not None
    return last


def hearing(
    command: Command, snapshot: Snapshot, replay: Replay, context: Context, terms: Thresholds, seed: int, now: Instant
) -> Iterator[Verdict | None]:
    """The judgement as soon as it is known, then pauses (None) in which something else may be served, then the complete verdict.

    Where there is nothing to complete the first verdict is the last.  The complete one judges as the first did: it adds intent, evidence,
    a nearest safe value and options.
    """
    author = Author(replay=replay, seed=seed, now=now)
    return _Judge(replay, terms, seed, author).hear(open_case(command, snapshot, replay, context))


def undecided(command: Command, snapshot: Snapshot, replay: Replay, reason: str, seed: int, now: Instant) -> Verdict:
    case = open_case(command, snapshot, replay, Context())
    return Author(replay=replay, seed=seed, now=now).opinion(case, Judgement.UNDECIDED, reason)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Heard:
    """What the rollouts and the surroundings have told about a case.  ``pairs``: one per invariant, in the plant's order."""

    case: Case
    lived: Rollout
    without: Rollout
    pairs: tuple[Pair, ...]
    standing: dict[str, float]
    weakened: tuple[Impairment, ...]
    trends: tuple[Trend, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Harm:
    """Why a command is refused: an invariant that falls (``row`` and its ``pair``), or a lost defence (its ``probability``).

    ``run`` is the future in which it falls, of ``writes`` after ``before``; ``is_at_once``: of the command as it stands.
    """

    reason: str
    row: int | None = None
    pair: Pair | None = None
    probability: float | None = None
    before: Mapping[str, float] = field(default_factory=dict)
    writes: Mapping[str, float] = field(default_factory=dict)
    run: Rollout | None = None
    is_at_once: bool = False


@dataclass(frozen=True, slots=True)
class _Judge:
    replay: Replay
    terms: Thresholds
    seed: int
    author: Author

    def hear(self, case: Case) -> Iterator[Verdict | None]:
        objection = self._objection(case)
        if objection:
            yield self.author.opinion(case, Judgement.UNDECIDED, objection, options=unknown_options(case))
            return
        replay = self.replay
        lived = replay.run(case.snapshot, merged(case.before, case.writes))
        without = replay.without(case.snapshot, merged(case.before, case.instead))
        pairs = self._pairs(lived, without)
        if not pairs:
            gone = int((~(lived.valid & without.valid)).sum())
            reason = f"the twin cannot follow: {futures(gone, len(lived.valid))} leave what it can compute"
            yield self.author.opinion(case, Judgement.UNDECIDED, reason, options=unknown_options(case))
            return
        standing = current(replay.plant, case.snapshot, merged(case.before, case.instead))
        weakened = impairments(replay.plant, standing, case.writes)
        heard = _Heard(
            case=case, lived=lived, without=without, pairs=pairs, standing=standing, weakened=weakened, trends=self._trends(case)
        )
        harm = self._breaking(heard) or self._dormant(heard)
        drift = None if harm else self._drifting(heard)
        if case.context.is_stranger:
            harm = harm or drift
        worst = None if harm else self._worst(heard)
        harm = harm or self._defenceless(worst)
        yield from self._refuse(heard, harm) if harm else self._weigh(heard, worst, drift)

    # -- rule 1

    def _objection(self, case: Case) -> str | None:
        command, health = case.command, case.snapshot.health
        if not command.writes:
            return f"{command.operation} writes nothing that can be named: the twin cannot live through it"
        mismatch = contradiction(command, self.replay.plant.tags)
        if mismatch:
            return mismatch
        if not case.writes:
            return f"the twin does not know {listed(case.unknown)} of {command.target}"
        if not self.replay.plant.invariants:
            return "the plant file names no invariant: there is nothing to judge by"
        if health.grade is Grade.LOST:
            return f"the twin is out of step with the plant: {health.reason}"
        age_s = seconds_between(case.snapshot.at, command.seen)
        if age_s > self.terms.stale_s:
            return f"the twin's last snapshot is {age_s:.0f} s older than the command"
        return None

    def _pairs(self, lived: Rollout, without: Rollout) -> tuple[Pair, ...]:
        """Empty when too few members came through both."""
        both = lived.valid & without.valid
        if both.mean() < self.terms.valid_members:
            return ()
        confidence = self.terms.confidence
        return tuple(
            compare(lived.robustness[row][both], without.robustness[row][both], lived.time_to_violation_s[row][both], confidence)
            for row in range(len(self.replay.plant.invariants))
        )

    def _trends(self, case: Case) -> tuple[Trend, ...]:
        """Of all sources together and of this one alone: neither may hide its steps among another's."""
        by_name, steps = self.replay.plant.tags.by_name, case.context.steps
        own = [step for step in steps if step.source == case.command.source]
        found: list[Trend] = []
        for tag, value in case.writes.items():
            if by_name[tag].role is not TagRole.MODE:
                runs = [trend_of(by_name[tag], value, some, case.command.seen, case.context.is_stranger) for some in (steps, own)]
                found += sorted((run for run in runs if run is not None), key=lambda run: run.moves)[-1:]
        return tuple(found)

    # -- rule 2

    def _fallen(self, pairs: Sequence[Pair]) -> int | None:
        """The invariant that is broken; of several, the one that falls first."""
        broken = [row for row, pair in enumerate(pairs) if pair.low > self.terms.unsafe_above or pair.breaks_all]
        return min(broken, key=lambda row: (pairs[row].time_s, row)) if broken else None

    def _breaking(self, heard: _Heard) -> _Harm | None:
        row = self._fallen(heard.pairs)
        if row is None:
            return None
        case, pair = heard.case, heard.pairs[row]
        reason = f"{falls(self.replay.plant.invariants[row], pair)} ({pair.broken_without} of {pair.members} without it)"
        return _Harm(reason=reason, row=row, pair=pair, before=case.before, writes=case.writes, run=heard.lived, is_at_once=True)

    def _recovery(self, heard: _Heard, row: int) -> Pausing[str]:
        case = heard.case
        undo = {tag: heard.standing[tag] for tag in case.writes}
        last_s = yield from self.replay.point_of_no_return_s(
            case.snapshot, merged(case.before, case.writes), undo, row, heard.pairs[row].time_s or 0.0
        )
        if last_s is None:
            return "writing the previous values back would not help, not even at once"
        return f"writing the previous values back within {last_s:.0f} s would still save 95 of 100 futures"

    # -- rule 3

    def _dormant(self, heard: _Heard) -> _Harm | None:
        """On what the write does once the plant is as the plant file starts it."""
        case, plant = heard.case, self.replay.plant
        awake = awakened(plant, heard.standing, case.writes)
        if not awake:
            return None
        lived = self.replay.run(case.snapshot, merged(case.before, case.writes, awake))
        pairs = self._pairs(lived, self.replay.without(case.snapshot, merged(case.before, case.instead, awake)))
        row = self._fallen(pairs)
        if row is None:
            return None
        waits = listed([f"{tag} is {amount(value, plant.tags.by_name[tag].unit)}" for tag, value in awake.items()])
        reason = f"harmless at the moment, but once {waits} again, {falls(plant.invariants[row], pairs[row])}"
        return _Harm(reason=reason, row=row, pair=pairs[row], before=merged(case.before, awake), writes=case.writes, run=lived)

    def _drifting(self, heard: _Heard) -> _Harm | None:
        """On the drift that this step belongs to, when it leads out of the envelope.  Tags that drift together are run ahead together."""
        if not heard.trends:
            return None
        case, plant = heard.case, self.replay.plant
        led_to = {trend.tag: trend.ahead for trend in heard.trends}
        before = merged(case.before, case.writes)
        ahead = self.replay.run(case.snapshot, merged(before, led_to))
        pairs = self._pairs(ahead, heard.without)
        row = self._fallen(pairs)
        if row is None:
            return None
        trend = max(heard.trends, key=lambda one: one.moves)
        unit = plant.tags.by_name[trend.tag].unit
        reason = (
            f"harmless alone, but it is the last of {trend.moves} moves of {trend.tag} in one direction, from "
            f"{amount(trend.first, unit)} to {amount(trend.value, unit)}; {trend.led} and the {falls(plant.invariants[row], pairs[row])}"
        )
        return _Harm(reason=reason, row=row, pair=pairs[row], before=before, writes=led_to, run=ahead)

    def _worst(self, heard: _Heard) -> WorstCase | None:
        """The worst single action once a defence is taken away; None where none is."""
        case, terms = heard.case, self.terms
        if not heard.weakened:
            return None
        return worst_case(
            self.replay, case.snapshot, case.before, case.writes, heard.standing, heard.weakened, terms.breach, terms.confidence
        )

    def _defenceless(self, worst: WorstCase | None) -> _Harm | None:
        if worst is None or worst.low <= self.terms.unsafe_above:
            return None
        return _Harm(reason=_loss(worst), probability=worst.low)

    def _refuse(self, heard: _Heard, harm: _Harm) -> Iterator[Verdict | None]:
        if harm.run is None:  # a lost defence: all that there is to say is known
            yield self._unsafe(heard, harm, None)
            return
        yield self._unsafe(heard, harm, None, complete=False)
        case = heard.case
        percentile = yield from intent.harm_percentile(self.replay, case.snapshot, harm.before, harm.writes, harm.run, self.seed)
        if not harm.is_at_once or harm.row is None:
            yield self._unsafe(heard, harm, percentile)
            return
        recovery = yield from self._recovery(heard, harm.row)
        instead = yield from self._instead(heard)
        nearest = (_nearest(instead, self.replay.plant.tags),) if instead else ()
        yield self._unsafe(heard, harm, percentile, instead=instead, evidence=(recovery, *nearest))

    def _instead(self, heard: _Heard) -> Pausing[dict[str, float] | None]:
        case = heard.case
        return self.replay.nearest_safe(case.snapshot, case.before, heard.standing, case.writes)

    def _unsafe(
        self,
        heard: _Heard,
        harm: _Harm,
        percentile: float | None,
        *,
        instead: dict[str, float] | None = None,
        evidence: tuple[str, ...] = (),
        complete: bool = True,
    ) -> Verdict:
        case, plant, pair = heard.case, self.replay.plant, harm.pair
        invariant = None if harm.row is None else plant.invariants[harm.row]
        pieces = intent.gather(case.command, case.context, heard.weakened, heard.trends, self._contradicting(case), percentile)
        impact = invariant.impact if invariant else LOSS_OF_PROTECTION
        return self.author.opinion(
            case,
            Judgement.UNSAFE,
            harm.reason,
            pairs=heard.pairs,
            invariant=invariant,
            probability=pair.low if pair else harm.probability,
            time_s=pair.time_s if pair else None,
            intent=intent.weigh(pieces) if complete else Intent.UNKNOWN,
            instead=instead,
            evidence=(*(piece.says for piece in pieces), *evidence),
            techniques=techniques_of(case, heard.weakened, impact, plant.tags),
            complete=complete,
        )

    # -- rules 4 and 5

    def _weigh(self, heard: _Heard, worst: WorstCase | None, drift: _Harm | None) -> Iterator[Verdict | None]:
        case, pairs = heard.case, heard.pairs
        notes = tuple(f"{one.says}; no single operator action after it breaks more than it would have before" for one in heard.weakened)
        doubt = self._doubt(heard)
        if not doubt and worst is not None and worst.lost:
            doubt = f"{_loss(worst)}: too many to pass, too few to refuse"
        if not doubt and drift is not None:
            doubt = drift.reason
        if doubt:
            yield self.author.opinion(case, Judgement.UNDECIDED, doubt, pairs=pairs, evidence=notes, complete=False)
            instead = None if case.unknown else (yield from self._instead(heard))
            yield None
            options = self._options(heard, instead)
            yield self.author.opinion(case, Judgement.UNDECIDED, doubt, pairs=pairs, instead=instead, evidence=notes, options=options)
            return
        all_of_them = futures(pairs[0].members, pairs[0].members)
        reason = f"every invariant holds for {self.replay.horizon_s:.0f} s with the command, in {all_of_them}"
        if any(pair.broken_with for pair in pairs):
            reason = f"the command makes nothing worse in {all_of_them}; what falls, falls without it as well"
        highest = max(pair.high for pair in pairs)
        yield self.author.opinion(case, Judgement.SAFE, reason, pairs=pairs, probability=highest, evidence=notes)

    def _options(self, heard: _Heard, instead: Mapping[str, float] | None) -> tuple[Option, ...]:
        """What a person may choose from.  The twin's word, however much it is doubted: who chooses reads the reason beside it."""
        case, replay, confidence = heard.case, self.replay, self.terms.confidence
        written = {Course.FORWARD: (case.writes, heard.lived)}
        if instead:
            written[Course.FORWARD_NEAREST] = dict(instead), replay.run(case.snapshot, merged(case.before, instead))
        written[Course.REFUSE] = {}, replay.without(case.snapshot, case.before)
        return tuple(option(course, writes, run, replay.plant.tags, confidence) for course, (writes, run) in written.items())

    def _doubt(self, heard: _Heard) -> str | None:
        case = heard.case
        for invariant, pair in zip(self.replay.plant.invariants, heard.pairs, strict=True):
            tag, limit = invariant.tag, limit_of(invariant)
            margin = self.terms.margin * invariant.span
            if pair.high > self.terms.safe_below and not pair.added:
                return f"{pair.members} futures are too few to call anything safe"
            if pair.high > self.terms.safe_below:
                passing = futures(pair.added, pair.members)
                return f"{named(tag)} would pass {limit} in {passing} that hold without the command: too many to pass, too few to refuse"
            touched = pair.tail_with < pair.tail_without - margin
            if touched and pair.tail_with < margin:
                left, side = amount(abs(pair.tail_with), tag.unit), "short of" if pair.tail_with >= 0.0 else "past"
                return f"{named(tag)} would come to {left} {side} its limit of {limit} in 5 of 100 futures"
        if off := self._not_followed(case):
            return f"the twin does not follow {listed(off)}, in the part of the plant that the command moves: {case.snapshot.health.reason}"
        if case.unknown:
            return f"the twin does not know {listed(case.unknown)} of {case.command.target}; the rest is harmless"
        return None

    def _not_followed(self, case: Case) -> list[str]:
        """Where one reading is not believed, nothing is certified in its whole section: state and parameters are found together."""
        by_name = self.replay.plant.tags.by_name
        return [named(by_name[one.tag]) for one in self._deviations(case)]

    def _contradicting(self, case: Case) -> tuple[Deviation, ...]:
        """Who is silent says nothing, and so nothing else."""
        return tuple(one for one in self._deviations(case) if one.distance is not None)

    def _deviations(self, case: Case) -> tuple[Deviation, ...]:
        parts = self.replay.sections
        moved = frozenset[int]().union(*(parts[tag] for tag in case.writes))
        return tuple(one for one in case.snapshot.health.deviations if parts.get(one.tag, moved) & moved)


def _nearest(instead: Mapping[str, float], tags: TagMap) -> str:
    values = " and ".join(f"{tag} = {amount(value, tags.by_name[tag].unit)}" for tag, value in instead.items())
    return f"the nearest that breaks nothing is {values}"


def _loss(worst: WorstCase) -> str:
    unit, past = worst.value.unit, "above" if worst.is_upper else "below"
    reached, limit = amount(worst.reached, unit), amount(worst.limit, unit)
    return (
        f"harmless alone, but {worst.impairment.says}: with {worst.action}, {named(worst.value)} would then reach {reached}, {past} the "
        f"limit of {limit} ({worst.bound}), in {futures(worst.lost, worst.members)} that would have been held"
    )
