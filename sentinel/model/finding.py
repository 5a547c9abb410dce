"""A finding: everything that rests on one cause, for the analyst."""

from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.detection import Detection, Severity
from sentinel.model.ids import AssetId, CommandId, Digest, FindingId, VerdictId
from sentinel.model.time import Instant


class FindingState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"  # a person says: true
    DISMISSED = "dismissed"  # a person says: harmless
    CLOSED = "closed"


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
    tags: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    why: tuple[str, ...]
    detections: tuple[Detection, ...] = ()  # the first of each detector and feature
    detection_count: int = 1
    commands: tuple[CommandId, ...] = ()
    verdicts: tuple[VerdictId, ...] = ()
    evidence: Digest | None = None  # of the capture excerpt
    advice: str | None = None  # what to do where a cut is the wrong answer
