"""The spine, pure: observations, readings, commands, verdicts, outcomes and outages come in; new and changed findings go out.

No clock, socket, disk or event loop: packet time drives everything, so a replayed capture gives the findings that the live wire gave.
The caller feeds one `Analysis` from one thread and drains `take_commands` and `take_readings` (what was seen on the wire) for court and
twin.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.baseline.drift import Levels
from sentinel.baseline.gather import Gather
from sentinel.baseline.inventory import Inventory
from sentinel.baseline.lifecycle import BaselineEvent, BaselineState, after_event
from sentinel.baseline.store import Baseline
from sentinel.baseline.tagging import Tagging
from sentinel.candidate import Candidate, Fresh
from sentinel.detect.catalogue import detectors as all_detectors
from sentinel.detect.memory import freeze, thaw
from sentinel.errors import InputError
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command, Origin
from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import Finding
from sentinel.model.ids import AssetId
from sentinel.model.observation import SLOT_NS, Heard, Messages, Outage, Readings, TurnedAway
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.model.window import Window
from sentinel.ports import Detector, Lasting, Outcome, Prompt
from sentinel.triage.fold import Triage

_DRIFT_HABITS = 50  # so many new small habits since activation ask for a person's review
MIN_REPEATED, MIN_REPEATED_SHARE = 1000, 0.1  # packets heard twice, of all: fewer are chance, or no harm


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far learning has come.  ``withheld``: windows that were reported and therefore not learnt."""

    state: BaselineState
    windows: int
    withheld: int
    learnt_s: float
    assets: int
    conduits: int
    late_rows: int


class Analysis:
    """``baseline`` given: active at once.  ``learn_until``: learn what lies before this instant, then activate by itself and report only
    what begins later.  Neither: learning until `activate`; what needs no baseline (rules, protocol checks) is reported meanwhile.
    ``judging_only``: never learn; only what needs no baseline is judged.  ``servers``: whose values and writes carry the plant's tags;
    none named = everybody's.  ``fresh`` makes detectors like the given ones: with it a `Candidate` goes on learning beside the anchor."""

    def __init__(
        self,
        *,
        tag_map: TagMap | None = None,
        baseline: Baseline | None = None,
        learn_until: Instant | None = None,
        judging_only: bool = False,
        detectors: Sequence[Detector] | None = None,
        servers: Iterable[AssetId] = (),
        fresh: Fresh | None = None,
    ) -> None:
        self._tagging = Tagging(tag_map, servers)
        self._fresh = fresh
        self._levels = Levels()
        self._candidate: Candidate | None = None
        self._detectors = list(detectors) if detectors is not None else all_detectors(tag_map)
        self._prompt = [detector for detector in self._detectors if isinstance(detector, Prompt)]
        self._inventory = Inventory()
        self._triage = Triage(tag_map, self._inventory.is_controller)
        self._gathers: dict[str, Gather] = {}
        self._learn_until = learn_until
        self._judging_only = judging_only
        self._state = BaselineState.LEARNING
        self._windows = self._withheld = self._habits = 0
        self._learnt_from = self._learnt_until = 0
        self._reached = Instant(0)  # the end of the newest window
        self._lost: dict[str, int] = {}  # by source: dropped packets that were told of
        self._repeated: dict[str, int] = {}  # as many, of packets that were heard twice
        if baseline is not None:
            self.restore(baseline)

    # -- what comes in --

    def heard(self, heard: Heard) -> list[Finding]:
        gather = self._gather(heard.source)
        findings = [*self._windows_in(gather.hear(heard)), *self._foretold(heard.source, gather.fresh())]
        counters, seen = heard.counters, max(heard.until, self._reached)
        if _has_doubled(self._lost, heard.source, counters.dropped):
            findings = [*findings, *self._triage.loss(heard.source, counters.dropped, seen)]
        is_doubled = counters.repeated >= max(MIN_REPEATED, MIN_REPEATED_SHARE * counters.accepted)
        if is_doubled and _has_doubled(self._repeated, heard.source, counters.repeated):
            findings = [*findings, *self._triage.repetition(heard.source, counters.repeated, counters.accepted, seen)]
        return _latest(findings)

    def readings(
        self, source: str, readings: Readings, until: Instant, residuals: Readings | None = None, forecasts: Readings | None = None
    ) -> list[Finding]:
        """Where the twin is in step, ``forecasts``: what it shows of the same tags, and ``residuals``: readings minus these, in standard
        deviations."""
        return self._windows_in(self._gather(source).read(readings, until, residuals, forecasts))

    def command(self, command: Command) -> list[Finding]:
        """Judged at once, without waiting for its second to end: a held write waits for nobody."""
        findings = self._triage.command(command)
        if command.origin not in (Origin.WIRE, Origin.GATE):  # a person or a planner asks "what if": nothing happened
            return findings
        window = Window(source=f"command:{command.origin}", start=command.seen, end=Instant(command.seen + SLOT_NS), commands=(command,))
        return _latest([*findings, *self._windows_in([window])])

    def verdict(self, verdict: Verdict) -> list[Finding]:
        return self._triage.verdict(verdict)

    def outcome(self, outcome: Outcome) -> list[Finding]:
        return self._triage.outcome(outcome)

    def outage(self, outage: Outage) -> list[Finding]:
        return self._triage.outage(outage)

    def told(self, detections: Sequence[Detection]) -> list[Finding]:
        """What the appliance noticed of itself."""
        return self._triage.fold(detections)

    def turned_away(self, told: TurnedAway) -> list[Finding]:
        return self._triage.turned_away(told)

    def tick(self, now: Instant) -> list[Finding]:
        """Let go of findings that no news can reach any more, by packet time where there is any.

        Windows close by their sources' watermarks alone: a source that lags, or that is sent again after an outage, must not come too late.
        """
        self._triage.tick(self._reached or now)
        return []

    def flush(self) -> list[Finding]:
        """The sources have ended: judge what is still open."""
        found = self._windows_in([window for gather in self._gathers.values() for window in gather.flush()])
        if self._learn_until is not None and self._state is BaselineState.LEARNING:
            self.activate()
        return found

    def labelled(self, finding: Finding) -> None:
        self._triage.labelled(finding)

    # -- what goes out --

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._triage.findings

    @property
    def assets(self) -> tuple[Asset, ...]:
        return self._inventory.assets

    @property
    def conduits(self) -> tuple[Conduit, ...]:
        return self._inventory.conduits

    @property
    def untaken_dropped(self) -> int:
        return self._tagging.untaken_dropped

    def take_commands(self) -> list[Command]:
        """Writes seen on the wire since the last call (only with a tag map)."""
        return self._tagging.take_commands()

    def take_readings(self) -> list[Readings]:
        """Tag values seen on the wire since the last call (only with a tag map)."""
        return self._tagging.take_readings()

    # -- learning --

    @property
    def state(self) -> BaselineState:
        return self._state

    @property
    def learning(self) -> bool:
        return self._state is BaselineState.LEARNING

    def progress(self) -> Progress:
        return Progress(
            state=self._state,
            windows=self._windows,
            withheld=self._withheld,
            learnt_s=(self._learnt_until - self._learnt_from) / SLOT_NS,
            assets=len(self._inventory.assets),
            conduits=len(self._inventory.conduits),
            late_rows=sum(gather.late_rows for gather in self._gathers.values()),
        )

    def activate(self) -> None:
        """Fix all thresholds.  May take seconds (the one PyOD model is fitted here): call it off the event loop."""
        for detector in self._detectors:
            detector.activate()
        self._state = after_event(self._state, BaselineEvent.ACTIVATE)
        if self._fresh is not None:
            self._begin_candidate(self.baseline())

    def review(self) -> None:
        """A person looked at a drifting baseline and keeps it."""
        self._state = after_event(self._state, BaselineEvent.REVIEW)
        self._habits = 0

    def baseline(self) -> Baseline:
        return Baseline(
            detectors={**{each.spec.name: dict(each.state()) for each in self._detectors}, "levels": self._levels.state()},
            sources=tuple(sorted(self._gathers)),
            learnt_from=self._learnt_from,
            learnt_until=self._learnt_until,
            windows=self._windows,
        )

    def restore(self, baseline: Baseline, findings: Iterable[Finding] = ()) -> None:
        """Active with this baseline; ``findings``: those still open before a restart.

        Raises InputError when a detector cannot read its part.
        """
        _restored(self._detectors, baseline)
        self._triage.restore(findings)
        self._judge_by(baseline)

    def promote(self, baseline: Baseline) -> None:
        """Judge by another baseline from now on; findings stay, a candidate begins beside it.  Raises InputError as `restore`."""
        if self._fresh is None:
            raise InputError("this analysis has no other detectors to judge by")
        detectors = list(self._fresh())
        _restored(detectors, baseline)
        self._detectors, self._prompt, self._habits = detectors, [each for each in detectors if isinstance(each, Prompt)], 0
        self._judge_by(baseline)

    def _judge_by(self, baseline: Baseline) -> None:
        self._windows, self._learnt_from, self._learnt_until = baseline.windows, baseline.learnt_from, baseline.learnt_until
        self._levels = Levels.restored(baseline.detectors.get("levels", Levels().state()))
        self._state = BaselineState.ACTIVE
        self._begin_candidate(baseline)

    def _begin_candidate(self, anchor: Baseline) -> None:
        self._candidate = Candidate(anchor, self._fresh) if self._fresh is not None else None

    @property
    def candidate(self) -> Candidate | None:
        return self._candidate

    @property
    def levels(self) -> Levels:
        """Those of the anchor; while learning, so far."""
        return self._levels

    def checkpoint(self) -> Baseline:
        """Learning as far as it has come: of the first anchor, or of the candidate beside it with what the judging detectors follow."""
        if self.learning:
            parts: dict[str, Mapping[str, Any]] = {f"learning {each.spec.name}": freeze(each) for each in self._detectors}
            parts["levels"] = self._levels.state()
        else:
            parts = self._candidate.checkpoint() if self._candidate is not None else {}
            parts |= {f"lasting {each.spec.name}": each.lasting() for each in self._detectors if isinstance(each, Lasting)}
        return Baseline(
            detectors=parts,
            learnt_from=self._learnt_from,
            learnt_until=self._learnt_until,
            windows=self._windows,
            notes={"state": "learning" if self.learning else "active", "withheld": self._withheld},
        )

    def resume(self, checkpoint: Baseline) -> None:
        """After `restore`, or before anything was heard.  Raises InputError where it does not fit; what was restored stays."""
        parts = checkpoint.detectors
        try:
            if (checkpoint.notes["state"] == "learning") is not self.learning:
                raise InputError(f"the checkpoint is of a baseline that is {checkpoint.notes['state']}, this one is {self._state}")
            if self.learning:
                levels = Levels.restored(parts["levels"])
                for detector in self._detectors:
                    thaw(detector, parts[f"learning {detector.spec.name}"])
                self._levels, self._withheld = levels, int(checkpoint.notes["withheld"])
                self._windows, self._learnt_from, self._learnt_until = checkpoint.windows, checkpoint.learnt_from, checkpoint.learnt_until
                return
            for detector in self._detectors:
                if isinstance(detector, Lasting) and (kept := parts.get(f"lasting {detector.spec.name}")) is not None:
                    detector.go_on(kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the checkpoint cannot be read: {error!r}") from error
        if self._candidate is not None:
            self._candidate.resume(parts)

    # -- the road --

    def _gather(self, source: str) -> Gather:
        if source not in self._gathers:
            self._gathers[source] = Gather(source, edge=self._learn_until)
        return self._gathers[source]

    def _windows_in(self, windows: Iterable[Window]) -> list[Finding]:
        changed: list[Finding] = []
        for window in windows:
            if self.learning and self._learn_until is not None and window.start >= self._learn_until:
                self.activate()
            self._reached = max(self._reached, window.end)
            self._inventory.observe(window)
            changed += self._one(*self._tagging.enriched(window))
        return _latest(changed)

    def _foretold(self, source: str, messages: Messages) -> list[Finding]:
        """What single messages are enough for, before their second is over.  In order of slots, whatever arrives together."""
        if not len(messages) or (self.learning and self._learn_until is not None):
            return []
        return self._triage.foretell([found for detector in self._prompt for found in detector.at_once(messages)], source)

    def _one(self, window: Window, heard: Sequence[Command]) -> list[Finding]:
        """``heard``: those of its commands that its own messages carry."""
        if self.learning and self._learn_until is not None:
            self._learn(window)
            self._remember(heard, window.source)
            return []
        said = [(detector, detector.score(window)) for detector in self._detectors]
        detections: list[Detection] = [detection for _, found in said for detection in found]
        if any(found and detector in self._prompt for detector, found in said):  # else single messages have no news either
            self._foretold(window.source, window.messages)  # a slot that came at once has told nothing yet; of others it is no news
        self._remember(heard, window.source)
        if self.learning and not self._judging_only:
            if any(detection.severity >= Severity.HIGH for detection in detections):
                self._withheld += 1
            else:
                self._learn(window)
        findings = self._triage.fold(detections, window.source)
        unlearnt = [each for each in detections if not self._triage.is_learnt(each)]
        if self._candidate is not None and (news := self._candidate.take(window, unlearnt, self._detectors)):
            self._drifts()
            findings = _latest([*findings, *self._triage.fold(news)])
        self._watch_drift(detections)
        return findings

    def _remember(self, commands: Sequence[Command], source: str) -> None:
        """The fold of this very window reports what they change."""
        for command in commands:
            self._triage.command(command, source)

    def _learn(self, window: Window) -> None:
        for detector in self._detectors:
            detector.learn(window)
        self._levels.learn(window.readings)
        self._windows += 1
        self._learnt_from = min(self._learnt_from or window.start, window.start)
        self._learnt_until = max(self._learnt_until, window.end)

    def _watch_drift(self, detections: Sequence[Detection]) -> None:
        self._habits += sum(detection.cause.startswith("habit:") for detection in detections)
        if self._habits > _DRIFT_HABITS:
            self._drifts()

    def _drifts(self) -> None:
        if self._state is BaselineState.ACTIVE:
            self._state = after_event(self._state, BaselineEvent.DRIFT)


def _restored(detectors: Iterable[Detector], baseline: Baseline) -> None:
    for detector in detectors:
        state: Mapping[str, Any] | None = baseline.detectors.get(detector.spec.name)
        if state is None:
            raise InputError(f"the baseline knows nothing of the detector {detector.spec.name}: learn it again")
        try:
            detector.restore(state)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the baseline's part for {detector.spec.name} cannot be read: {error!r}") from error


def _has_doubled(told: dict[str, int], source: str, count: int) -> bool:
    """Is a source's count news: the first that is not zero, or twice what was told?  It starts again with a sensor that began anew."""
    before = told.get(source, 0) if count >= told.get(source, 0) else 0
    is_news = count > 0 and count >= 2 * before
    told[source] = count if is_news else before
    return is_news


def _latest(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, in its newest form, oldest finding first."""
    newest = {finding.id: finding for finding in findings}
    return sorted(newest.values(), key=lambda finding: (finding.first_seen, finding.first_frame, finding.id))
