"""A candidate: learning that goes on beside the anchor, in quarantine.  It judges nothing; people may promote it.

In: windows that were judged by the anchor, with what was said of them.  Out: how far the candidate has drifted from the anchor, and, when
it is asked for, the baseline that it would be.  A window with news of some weight is never learnt, nor is what follows grave news for a
while: what an attacker does while he is seen does not become normal.  What he does unseen shows as drift, against an anchor that stands.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel.baseline.drift import LISTING, MAX_ADDED, Drift, Levels, Moved, listed
from sentinel.baseline.store import Baseline
from sentinel.detect.memory import freeze, thaw
from sentinel.errors import InputError
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import SLOT_NS
from sentinel.model.time import Instant, iso
from sentinel.model.window import Window
from sentinel.ports import Beside, Detector

WITHHELD_NS = 900 * SLOT_NS  # after grave news
_ABOUT = "baseline"

Fresh = Callable[[], Sequence[Detector]]


class Candidate:
    """``anchor``: what judges; ``fresh`` makes new detectors of the same kinds."""

    def __init__(self, anchor: Baseline, fresh: Fresh) -> None:
        self._fresh = fresh
        self._detectors = list(fresh())
        self._known = listed(anchor.detectors)
        self.levels = Levels()
        self.drift = Drift(Levels.restored(anchor.detectors.get("levels", Levels().state())))
        self.added: dict[str, Instant] = {}  # what the anchor does not list, and since when
        self.windows = self.withheld = 0
        self.learnt_from = self.learnt_until = 0
        self._grave_until = 0
        self._told: set[str] = set()

    def take(self, window: Window, said: Sequence[Detection], judges: Sequence[Detector] = ()) -> list[Detection]:
        """Learn it, or not; the drift that is news.  ``judges`` have scored it."""
        worst = max((each.severity for each in said), default=Severity.INFO)
        if worst >= Severity.HIGH:
            self._grave_until = max(self._grave_until, window.end + WITHHELD_NS)
        if worst >= Severity.MEDIUM or window.start < self._grave_until:
            self.withheld += 1
            return []
        ended = self.drift.take(window.readings, window.start)
        self.levels.learn(window.readings)
        beside = {each.spec.name: each for each in judges}
        for detector in self._detectors:
            judge = beside.get(detector.spec.name)
            if judge is not None and isinstance(detector, Beside):
                detector.learn_beside(judge, window)
            else:
                detector.learn(window)
        self.windows += 1
        self.learnt_from = min(self.learnt_from or window.start, window.start)
        self.learnt_until = max(self.learnt_until, window.end)
        return self._news(window.start) if ended else []

    def _news(self, now: Instant) -> list[Detection]:
        states = {each.spec.name: each.state() for each in self._detectors if each.spec.name in LISTING}
        for what in sorted(listed(states) - self._known):
            if len(self.added) < MAX_ADDED:
                self.added.setdefault(what, now)
        fresh = [each for each in self.drift.moved() if f"level of {each.tag}" not in self._told]
        added = [what for what in self.added if what not in self._told]
        self._told.update((f"level of {each.tag}" for each in fresh), added)
        return [*(_walked(each, now) for each in fresh), *([_grown(added, now)] if added else [])]

    # -- promotion --

    def baseline(self, *, levels: Levels | None = None) -> Baseline:
        """What it would be if it judged; it goes on learning.  Takes seconds.  ``levels``: drift is held against these, not its own."""
        made = list(self._fresh())
        for detector, learnt in zip(made, self._detectors, strict=True):
            thaw(detector, freeze(learnt))
            detector.activate()
        states: dict[str, Mapping[str, Any]] = {detector.spec.name: dict(detector.state()) for detector in made}
        return Baseline(
            detectors={**states, "levels": (levels or self.levels).state()},
            learnt_from=self.learnt_from,
            learnt_until=self.learnt_until,
            windows=self.windows,
            notes={"withheld": self.withheld},
        )

    # -- over a restart --

    def checkpoint(self) -> dict[str, Mapping[str, Any]]:
        """Every part as arrays and JSON values."""
        own = {
            "added": sorted(self.added.items()),
            "told": sorted(self._told),
            "numbers": [self.windows, self.withheld, self.learnt_from, self.learnt_until, self._grave_until],
        }
        parts = {"candidate": own, "candidate levels": self.levels.state(), "candidate drift": self.drift.state()}
        return {**parts, **{f"candidate {each.spec.name}": freeze(each) for each in self._detectors}}

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises InputError where these are not the parts of a candidate of these detectors."""
        try:
            own = parts["candidate"]
            levels, detectors = Levels.restored(parts["candidate levels"]), list(self._fresh())
            for detector in detectors:
                thaw(detector, parts[f"candidate {detector.spec.name}"])
            added = {str(what): Instant(int(since)) for what, since in own["added"]}
            numbers = [int(number) for number in own["numbers"]]
            self.windows, self.withheld, self.learnt_from, self.learnt_until, self._grave_until = numbers
            self.drift.restore(parts["candidate drift"])
            self._told, self.added, self.levels, self._detectors = set(map(str, own["told"])), added, levels, detectors
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the candidate's checkpoint cannot be read: {error!r}") from error


def _walked(moved: Moved, now: Instant) -> Detection:
    since = iso(moved.since)
    return Detection(
        detector=_ABOUT,
        title=f"{moved.tag} has drifted away from the baseline since {since}",
        seen=now,
        tags=(moved.tag,),
        cause=f"{_ABOUT}:drift",
        feature=f"level of {moved.tag}",
        observed=f"{moved.level:.4g} in the newest hour",
        expected=f"{moved.anchor:.4g}, as the anchor was learnt",
        score=abs(moved.deviations),
        threshold=1.0,
        why=f"{moved.tag} is {abs(moved.deviations):.1f} of its deviations {'above' if moved.deviations > 0 else 'below'} the anchor, "
        f"off since {since}: {moved.level:.4g} instead of {moved.anchor:.4g}.  Season, wear, another way to run the plant, or somebody "
        "who has time; learning beside the anchor follows it, what judges does not.",
        severity=Severity.MEDIUM,
        confidence=0.4,
    )


def _grown(added: Sequence[str], now: Instant) -> Detection:
    shown = "; ".join(added[:8]) + (f" and {len(added) - 8} more" if len(added) > 8 else "")
    return Detection(
        detector=_ABOUT,
        title=f"{len(added)} things became usual that the baseline does not know",
        seen=now,
        cause=f"{_ABOUT}:drift",
        feature="things that became usual",
        observed=shown,
        expected="what the anchor lists",
        score=float(len(added)),
        threshold=0.0,
        why=f"New since the anchor, and too small to be news one by one: {shown}.",
        severity=Severity.LOW,
        confidence=0.5,
    )
