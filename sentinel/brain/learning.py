"""The life of the appliance's baselines: learn the first, keep a candidate beside it, put it before people, promote it, take it back.

Everything but the enforcer's two verbs runs on the spine's thread, which owns the analysis.  Learning is kept every `CHECKPOINT_S` and at
an orderly end; after a restart it goes on from there.  A promotion is an action: one person asks, another approves, it can be
released for as long as the action lasts, and then the anchor stays.  The candidate that is promoted is the one that was put before them.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sentinel.baseline.anchor import Statement
from sentinel.baseline.drift import Moved
from sentinel.baseline.store import Baseline
from sentinel.brain.anchors import CANDIDATE, CHECKPOINT, PREVIOUS, Anchors, Kept
from sentinel.candidate import Candidate
from sentinel.clock import Clock
from sentinel.errors import InputError
from sentinel.model.action import Action, ActionKind, Receipt
from sentinel.model.codec import to_jsonable
from sentinel.model.detection import Detection, Severity
from sentinel.model.ids import ActionId, AssetId, Digest, short_id
from sentinel.model.observation import Outage
from sentinel.model.time import NS_PER_S, Instant, after, iso, seconds_between
from sentinel.pipeline import Analysis
from sentinel.ports import Spec, Stability
from sentinel.respond.lifecycle import MAX_LASTS_S, RefusedError
from sentinel.settings import Learning as Settings

CHECKPOINT_S = 300.0
CHECKPOINTS = 20  # of the first learning, at least
WEEK_S = 7 * 86_400.0
MAX_APART = 1.0  # deviations between what people last approved and what is promoted without them, however long it takes
ENFORCER = "baseline"
_TARGET = AssetId("baseline")

Think = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of a tick: ``entry`` is an audit action with its details."""

    entry: tuple[str, Mapping[str, Any]] | None = None
    detections: list[Detection] = field(default_factory=list)


def action_of(candidate: Digest) -> ActionId:
    return ActionId(short_id("action", candidate, ActionKind.PROMOTE))


class Learning:
    """An enforcer too: of promotions.  ``think`` runs work on the spine's thread."""

    spec: ClassVar[Spec] = Spec(
        name=ENFORCER, summary="lets a candidate baseline judge, or the one before it again", stability=Stability.STABLE
    )

    def __init__(self, analysis: Analysis, anchors: Anchors, settings: Settings, clock: Clock, think: Think, anchor: Kept | None) -> None:
        self._analysis, self._anchors, self._settings = analysis, anchors, settings
        self._clock, self._think = clock, think
        self._anchor: Statement | None = anchor[1] if anchor is not None else None
        self._approved_until = _approved_until(anchor[0]) if anchor is not None else 0
        self._offered: Statement | None = None
        self._began = self._marked = clock.now()
        self.learnt_until = Instant(anchor[0].learnt_until) if anchor is not None else None

    # -- on the spine's thread --

    def begin(self) -> tuple[Outage | None, list[Detection]]:
        """Take up what was left; the outage, when learning of the first anchor was interrupted, and what was refused."""
        now, outage = self._clock.now(), None
        offered, kept = self._anchors.read(CANDIDATE), self._anchors.read(CHECKPOINT)
        self._offered = offered[1] if offered is not None else None
        if kept is not None and self._is_past(kept):
            self._anchors.forget(CHECKPOINT)
            kept = None
        if kept is not None:
            try:
                self._analysis.resume(kept[0])
            except InputError as error:  # of a version that remembered otherwise
                outage = Outage(process="baseline", since=kept[1].at, until=now, reason=f"learning begins anew: {error}")
                kept = None
        if not self._analysis.learning:
            self._anchors.unfinished.unlink(missing_ok=True)
        elif self._anchors.unfinished.exists() and outage is None:
            since, reason = Instant(self._anchors.unfinished.stat().st_mtime_ns), "learning was interrupted and begins anew"
            if kept is not None:
                since, reason = kept[1].at, "learning was interrupted and goes on where it stood"
                self._began = after(now, -float(kept[0].notes["elapsed_s"]))
            outage = Outage(process="baseline", since=since, until=now, reason=reason)
        if self._analysis.learning and kept is None:
            self._anchors.unfinished.touch()
        self._marked = Instant(0) if self._analysis.learning else now  # the first second of learning is kept at once
        return outage, [_refused(reason, now) for reason in self._anchors.refused]

    def _is_past(self, kept: Kept) -> bool:
        """Killed between the two files: what that learning led to, or another anchor, judges already."""
        return (kept[0].notes.get("state") == "learning") is not self._analysis.learning or (
            self._anchor is not None and kept[1].at < self._anchor.at
        )

    def elapsed_s(self) -> float:
        """Of learning the first anchor, without what was missed."""
        return seconds_between(self._began, self._clock.now())

    def tick(self) -> Step:
        now = self._clock.now()  # the thread may have been busy since it was asked
        if self._analysis.learning:
            if self.elapsed_s() >= self._settings.lasts_s:
                self._analysis.activate()
                self._judges(self._anchors.keep(self._analysis.baseline(), "sentinel", now), now)
                self._anchors.unfinished.unlink(missing_ok=True)
                known = self._analysis.progress()
                return Step(entry=("baseline.activate", {"windows": known.windows, "withheld": known.withheld, "assets": known.assets}))
        elif (found := self._within_cap()) is not None:
            self._analysis.promote(found)
            self._judges(self._anchors.keep(found, "sentinel", now), now, approved_until=self._approved_until)
            return Step(entry=("baseline.promote", {"within": self._settings.promote_within, "windows": found.windows}))
        often_s = min(CHECKPOINT_S, self._settings.lasts_s / CHECKPOINTS) if self._analysis.learning else CHECKPOINT_S
        if seconds_between(self._marked, now) >= often_s:
            self.mark(now)
        return Step()

    def mark(self, now: Instant) -> None:
        """Keep how far learning has come."""
        checkpoint = self._analysis.checkpoint()
        checkpoint = dataclasses.replace(checkpoint, notes={**checkpoint.notes, "elapsed_s": self.elapsed_s()})
        self._anchors.mark(checkpoint, now)
        self._marked = now

    def _judges(self, kept: Kept, now: Instant, approved_until: int | None = None) -> None:
        self._anchor, self.learnt_until = kept[1], Instant(kept[0].learnt_until) if kept[0].learnt_until else now
        self._approved_until = _approved_until(kept[0]) if approved_until is None else approved_until
        self._offered = None
        for name in (CANDIDATE, CHECKPOINT):
            self._anchors.forget(name)

    def _within_cap(self) -> Baseline | None:
        """The candidate, where the configuration lets it judge without people: nothing new, and no farther off than the weeks allow.

        It is held against the levels that people approved last, not against the anchor that it replaces: many small steps are one walk.
        """
        candidate = self._analysis.candidate
        if self._settings.promote_within <= 0.0 or candidate is None or self._age_s(candidate) < max(self._settings.quarantine_s, WEEK_S):
            return None
        weeks = (candidate.learnt_until - self._approved_until) / NS_PER_S / WEEK_S
        allowed = min(self._settings.promote_within * weeks, MAX_APART)
        if candidate.added or candidate.drift.moved() or candidate.levels.apart(self._analysis.levels) > allowed:
            return None
        found = candidate.baseline(levels=self._analysis.levels)
        return dataclasses.replace(found, notes={**found.notes, "approved_until": self._approved_until})

    def _age_s(self, candidate: Candidate) -> float:
        return (candidate.learnt_until - candidate.learnt_from) / NS_PER_S

    def _offer(self, by: str) -> Action:
        candidate, now = self._analysis.candidate, self._clock.now()
        if candidate is None or not candidate.windows:
            raise RefusedError("no candidate has learnt anything yet")
        if (age_s := self._age_s(candidate)) < self._settings.quarantine_s:
            raise RefusedError(
                f"the candidate has learnt for {age_s:.0f} s; it stays in quarantine for {self._settings.quarantine_s:.0f} s"
            )
        _, self._offered = self._anchors.offer(candidate.baseline(), by, now)
        moved = ", ".join(f"{each.tag} by {each.deviations:+.1f} deviations" for each in candidate.drift.moved()[:8]) or "no tag"
        return Action(
            id=action_of(self._offered.digest),
            kind=ActionKind.PROMOTE,
            target=_TARGET,
            reason=f"a candidate of {candidate.windows} windows, {iso(Instant(candidate.learnt_from))} to "
            f"{iso(Instant(candidate.learnt_until))}; since the anchor: {moved} drifted, {len(candidate.added)} things became usual; "
            f"{candidate.withheld} windows were not learnt",
            enforcer=ENFORCER,
            dry_run=False,
            lasts_s=MAX_LASTS_S,
            proposed=now,
            changed=now,
        )

    def _promote(self, action: Action) -> tuple[bool, str]:
        if self._anchor is not None and action_of(self._anchor.digest) == action.id:
            return True, f"the baseline {self._anchor.digest[:12]} judges"
        kept, now = self._anchors.read(CANDIDATE), self._clock.now()
        if kept is None or action_of(kept[1].digest) != action.id:
            return False, "the candidate that this is about is not there any more: another one was put forward, or another anchor judges"
        self._analysis.promote(kept[0])
        by = " and ".join(name for name in (action.requested_by, action.approved_by) if name)
        self._judges(self._anchors.keep(kept[0], by, now), now)
        return True, f"the baseline {kept[1].digest[:12]} judges; the one before it comes back when this is released"

    def _put_back(self, action: Action) -> tuple[bool, str]:
        if self._anchor is None or action_of(self._anchor.digest) != action.id:
            return True, "another baseline judges already"
        kept, now = self._anchors.read(PREVIOUS), self._clock.now()
        if kept is None or kept[1].digest != self._anchor.previous:
            return False, "the baseline before it is not there any more"
        self._analysis.promote(kept[0])
        self._judges(self._anchors.keep(kept[0], kept[1].by, now), now)
        return True, f"the baseline {kept[1].digest[:12]} judges again"

    def _shown(self) -> Mapping[str, Any]:
        return account(str(self._analysis.state), self._anchor, self._analysis.candidate, self._offered, self._anchors.refused)

    # -- what people ask --

    async def shown(self) -> Mapping[str, Any]:
        shown: Mapping[str, Any] = await self._think(self._shown)
        return shown

    async def offer(self, by: str) -> Action:
        """Takes seconds.  Raises RefusedError while there is no candidate that may be promoted."""
        action: Action = await self._think(self._offer, by)
        return action

    async def apply(self, action: Action) -> Receipt:
        return self._receipt(action, *await self._think(self._promote, action))

    async def release(self, action: Action) -> Receipt:
        return self._receipt(action, *await self._think(self._put_back, action))

    def _receipt(self, action: Action, applied: bool, message: str) -> Receipt:
        return Receipt(action=action.id, enforcer=ENFORCER, applied=applied, verified=applied, at=self._clock.now(), message=message)


def account(
    state: str, anchor: Statement | None, candidate: Candidate | None, offered: Statement | None, refused: list[str]
) -> dict[str, Any]:
    """What judges, what learns beside it, how far apart they are, and what waits for people; JSON-able."""
    shown: dict[str, Any] = {
        "state": state,
        "anchor": to_jsonable(anchor) if anchor is not None else None,
        "candidate": None,
        "offered": {**to_jsonable(offered), "action": action_of(offered.digest)} if offered is not None else None,
        "refused": list(refused),
    }
    if candidate is not None:
        moved: tuple[Moved, ...] = candidate.drift.moved()
        numbers = ("windows", "withheld", "learnt_from", "learnt_until")
        shown["candidate"] = {
            **{name: getattr(candidate, name) for name in numbers},
            "apart": round(candidate.levels.apart(candidate.drift.anchor), 3),
            "drift": [to_jsonable(each) for each in moved],
            "added": [{"what": what, "since": since} for what, since in sorted(candidate.added.items())],
        }
    return shown


def _approved_until(baseline: Baseline) -> int:
    return int(baseline.notes.get("approved_until", baseline.learnt_until))


def _refused(reason: str, now: Instant) -> Detection:
    """Whoever changes what the appliance takes for normal hides what is not."""
    return Detection(
        detector="baseline",
        title="A baseline, or what the twin had learnt, was refused: this appliance did not make it, it was changed, or it counts no more",
        seen=now,
        cause="baseline:anchor",
        feature="seal",
        observed="a file whose seal does not hold, or not the one that judged last",
        expected="the seal of this appliance, on what the audit chain names",
        score=1.0,
        threshold=0.0,
        why=reason,
        severity=Severity.HIGH,
        confidence=0.9,
    )
