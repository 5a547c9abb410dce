"""A detection: one detector says that something deviates, which feature, how far, compared with what."""

from dataclasses import dataclass
from enum import IntEnum

from sentinel.model.ids import AssetId
from sentinel.model.observation import NO_FRAME
from sentinel.model.time import Instant


class Severity(IntEnum):
    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    detector: str
    title: str
    seen: Instant
    frame: int = NO_FRAME  # the first frame it rests on
    frames: tuple[int, ...] = ()  # all of them, in order
    source: AssetId | None = None  # who does it
    target: AssetId | None = None  # to whom
    tags: tuple[str, ...] = ()
    cause: str  # what it is about; detections of one cause fold into one finding
    feature: str
    observed: str
    expected: str
    score: float  # higher = stranger
    threshold: float
    why: str  # one sentence a person can check
    techniques: tuple[str, ...] = ()  # ATT&CK for ICS
    severity: Severity = Severity.MEDIUM
    confidence: float = 0.5  # 0 to 1
