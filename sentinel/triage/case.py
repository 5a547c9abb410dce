"""A case: one finding while it grows.  Every list in it is bounded; the counts are exact."""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field, fields, replace

from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId, CommandId, FindingId, VerdictId, short_id
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant
from sentinel.model.verdict import GRAVITY, Intent, Judgement, Verdict
from sentinel.triage.explanation import hypotheses
from sentinel.triage.severity import reckoned, together

Controls = Callable[[AssetId], bool]  # is this asset a controller, as far as is known?

MAX_FRAMES = 1000
MAX_ASSETS = 64
MAX_TAGS = 64
MAX_DETECTIONS = 64  # the first of each detector and feature
MAX_FRAMES_PER_DETECTION = 16  # in what is kept with the finding
MAX_WHY = 64
MAX_COMMANDS = 256


@dataclass(slots=True, kw_only=True)
class Case:
    id: FindingId
    cause: str
    title: str
    severity: Severity
    title_rank: tuple[Severity, float]
    first_seen: Instant
    last_seen: Instant
    struck: Instant  # when the thing itself was last seen, not its symptoms
    first_frame: int
    state: FindingState = FindingState.OPEN
    frames: list[int] = field(default_factory=list)
    frame_count: int = 0
    source: str | None = None  # of the frames
    assets: list[AssetId] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    techniques: list[str] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    features: dict[tuple[str, str], float] = field(default_factory=dict)  # (detector, feature): its best confidence
    detection_count: int = 0
    commands: list[CommandId] = field(default_factory=list)
    verdicts: list[VerdictId] = field(default_factory=list)
    safe_commands: set[CommandId] = field(default_factory=set)
    judgement: Judgement | None = None
    intent: Intent | None = None
    controller: AssetId | None = None
    quiet_until: Instant | None = None
    learnt: bool = False

    @classmethod
    def opened(cls, cause: str, title: str, severity: Severity, seen: Instant, frame: int) -> "Case":
        return cls(
            id=FindingId(short_id("finding", cause, str(seen), str(frame))),
            cause=cause,
            title=title,
            severity=severity,
            title_rank=(severity, 0.0),
            first_seen=seen,
            last_seen=seen,
            struck=seen,
            first_frame=frame,
        )

    @classmethod
    def resumed(cls, finding: Finding) -> "Case":
        """From what was kept of it, after a restart."""
        case = cls.opened(finding.cause, finding.title, finding.severity, finding.first_seen, finding.first_frame)
        case.id, case.state, case.last_seen, case.struck = finding.id, finding.state, finding.last_seen, finding.last_seen
        case.frames, case.frame_count, case.source = list(finding.frames), finding.frame_count, finding.source
        case.assets, case.tags, case.techniques = list(finding.assets), list(finding.tags), list(finding.techniques)
        case.why, case.detections, case.detection_count = list(finding.why), list(finding.detections), finding.detection_count
        case.features = {(d.detector, d.feature): d.confidence for d in finding.detections}
        case.commands, case.verdicts = list(finding.commands), list(finding.verdicts)
        case.judgement, case.intent, case.controller = finding.judgement, finding.intent, finding.controller
        case.quiet_until, case.learnt = finding.quiet_until, finding.learnt
        return case

    def copied(self) -> "Case":
        """What is added to the one does not show in the other."""
        return Case(**{each.name: copy(getattr(self, each.name)) for each in fields(self)})

    def add(self, detection: Detection, *, strikes: bool) -> None:
        """``strikes``: it is the thing itself, not a symptom of it."""
        self.detection_count += 1
        key = (detection.detector, detection.feature)
        if key not in self.features:
            if len(self.detections) < MAX_DETECTIONS:
                self.detections.append(replace(detection, frames=detection.frames[:MAX_FRAMES_PER_DETECTION]))
            self.explain(detection.why)
        self.features[key] = max(detection.confidence, self.features.get(key, 0.0))
        self.involve((detection.source, detection.target), detection.tags, detection.techniques)
        self.last_seen = max(self.last_seen, detection.seen)
        self.raise_to(detection.severity, detection.title, detection.confidence)
        if strikes:
            self.struck = max(self.struck, detection.seen)

    def raise_to(self, severity: Severity, title: str, confidence: float) -> None:
        """The title is the gravest news, the surest where two are equally grave."""
        if (severity, confidence) > self.title_rank:
            self.title, self.title_rank = title, (severity, confidence)
        self.severity = max(self.severity, severity)

    def add_frames(self, frames: Iterable[int], source: str | None = None) -> None:
        """The frames of one fold: each counts once, however many detections rest on it.  A number means something only together with
        its sensor: those of the first one are listed, those of others counted."""
        fresh = sorted(set(frames))
        self.frame_count += len(fresh)
        if fresh and not self.frames:
            self.source = source
        if source == self.source:
            self.frames += fresh[: MAX_FRAMES - len(self.frames)]

    def involve(self, assets: Iterable[AssetId | None], tags: Iterable[str], techniques: Iterable[str]) -> None:
        for kept, items, limit in ((self.assets, assets, MAX_ASSETS), (self.tags, tags, MAX_TAGS), (self.techniques, techniques, 64)):
            for item in items:
                if item is not None and item not in kept and len(kept) < limit:
                    kept.append(item)  # type: ignore[arg-type]

    def explain(self, sentence: str) -> None:
        if sentence not in self.why and len(self.why) < MAX_WHY:
            self.why.append(sentence)

    def note(self, verdict: Verdict) -> None:
        """What the court said of one of its commands; the gravest is remembered."""
        if verdict.id not in self.verdicts and len(self.verdicts) < MAX_COMMANDS:
            self.verdicts.append(verdict.id)
        gravity = GRAVITY[verdict.judgement], verdict.intent is Intent.TARGETED
        if self.judgement is None or gravity >= (GRAVITY[self.judgement], self.intent is Intent.TARGETED):
            self.judgement, self.intent = verdict.judgement, verdict.intent
        self.last_seen = max(self.last_seen, verdict.judged)
        self.explain(f"The twin judged {verdict.judgement}: {verdict.reason}")
        for sentence in verdict.evidence:
            self.explain(sentence)

    def finding(self, tags: TagMap | None, controls: Controls) -> Finding:
        """As it stands, with its risk and its explanations.  ``tags`` and ``controls``: what is at stake in this plant."""
        self.controller = self.controller or next((asset for asset in self.assets if controls(asset)), None)
        bare = self._bare()
        risk, reckoning = reckoned(bare, tags)
        likeliest, look_into = hypotheses(bare)
        return replace(bare, risk=risk, reckoning=reckoning, hypotheses=likeliest, look_into=look_into)

    def _bare(self) -> Finding:
        return Finding(
            id=self.id,
            cause=self.cause,
            title=self.title,
            state=self.state,
            severity=self.severity,
            confidence=together(list(self.features.values())),
            first_seen=self.first_seen,
            last_seen=self.last_seen,
            first_frame=self.first_frame,
            frames=tuple(self.frames),
            frame_count=self.frame_count,
            source=self.source,
            assets=tuple(self.assets),
            controller=self.controller,
            tags=tuple(self.tags),
            techniques=tuple(self.techniques),
            why=tuple(self.why),
            detections=tuple(self.detections),
            detection_count=self.detection_count,
            commands=tuple(self.commands),
            verdicts=tuple(self.verdicts),
            judgement=self.judgement,
            intent=self.intent,
            quiet_until=self.quiet_until,
            learnt=self.learnt,
        )
