"""A finding: everything that rests on one cause, for the analyst."""

from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.detection import Detection, Severity
from sentinel.model.ids import AssetId, CommandId, Digest, FindingId, VerdictId
from sentinel.model.time import Instant
from sentinel.model.verdict import Intent, Judgement


class FindingState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"  # a person says: true
    DISMISSED = "dismissed"  # a person says: harmless
    CLOSED = "closed"


class Explanation(StrEnum):
    ATTACK = "attack"
    FAULT = "fault"  # of an instrument, an actuator, a machine or the network
    MAINTENANCE = "maintenance"  # somebody does his work: a device replaced, firmware updated, a test
    MISCONFIGURATION = "misconfiguration"  # somebody set something up wrongly, or erred


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One explanation, with the sentences that speak for it and against it."""

    explanation: Explanation
    share: float  # 0 to 1, of all four; by judgement, not calibrated
    supporting: tuple[str, ...] = ()
    contradicting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A line of the sum that a risk is."""

    what: str
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    id: FindingId
    cause: str
    title: str
    state: FindingState = FindingState.OPEN
    severity: Severity
    confidence: float
    first_seen: Instant
    last_seen: Instant
    first_frame: int
    frames: tuple[int, ...]  # the first ones, bounded; `frame_count` is exact
    frame_count: int
    source: str | None = None  # whose frames these are: the sensor that heard them
    assets: tuple[AssetId, ...]  # who does it first
    controller: AssetId | None = None  # the first of them that controls the process, as far as was heard
    tags: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    why: tuple[str, ...]
    detections: tuple[Detection, ...] = ()  # the first of each detector and feature
    detection_count: int = 1
    commands: tuple[CommandId, ...] = ()
    verdicts: tuple[VerdictId, ...] = ()
    evidence: Digest | None = None  # of the capture excerpt
    advice: str | None = None  # what to do where a cut is the wrong answer
    judgement: Judgement | None = None  # the gravest verdict on its commands, and
    intent: Intent | None = None  # what it takes for their purpose
    risk: float = 0.0  # 0 to 100: consequence times likelihood (IEC 62443-3-2, 4.6); the order in which to look
    reckoning: tuple[Term, ...] = ()  # how the risk comes about: the consequence's terms, and what the likelihood takes off
    hypotheses: tuple[Hypothesis, ...] = ()  # the likeliest first
    look_into: tuple[str, ...] = ()  # what would tell them apart, most telling first
    quiet_until: Instant | None = None  # a person says: not again before then
    learnt: bool = False  # and: it is normal meanwhile
