"""What the frames between a collector and the brain carry beside the vocabulary's own values, and how they are ordered.

Two lanes share one connection and one sequence: an urgent frame overtakes bulk ones that wait, so that a held write never stands behind a
batch of observations.  Order is kept within a lane.  An `Ack` covers every frame of its lane up to its sequence, wherever the sender left
numbers out (it drops the oldest bulk when its outbox is full); a sequence that a lane has passed marks a frame that was sent twice.
"""

from dataclasses import dataclass, field

from sentinel.model.action import Receipt
from sentinel.model.framing import FrameKind
from sentinel.model.ids import ActionId, AssetId, FindingId
from sentinel.model.observation import Counters, Readings
from sentinel.model.time import Instant

URGENT = frozenset({FrameKind.COMMAND, FrameKind.OUTCOME, FrameKind.RECEIPT, FrameKind.OUTAGE, FrameKind.TURNED_AWAY})
BULK = frozenset({FrameKind.HEARD_MESSAGES, FrameKind.HEARD_FLOWS, FrameKind.HEARD_DETAILS, FrameKind.HEARD, FrameKind.READINGS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first frame of a connection.  ``start`` names one life of the process: sequences count from 1 in each."""

    process: str
    pid: int
    start: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    sequence: int
    urgent: bool  # the lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Closes HEARD_MESSAGES, HEARD_FLOWS and, where there are any, HEARD_DETAILS."""

    source: str
    until: Instant
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """Readings of one source; every reading received before ``until`` has been handed over."""

    source: str
    until: Instant
    readings: Readings = field(default_factory=Readings.empty)
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineOrder:
    action: ActionId
    target: AssetId
    expires: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrder:
    action: ActionId
    target: AssetId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptOf:
    """A receipt and the sequence of the frame that asked for it; None when a quarantine ended by itself."""

    request: int | None
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcerptOrder:
    finding: FindingId
    frames: tuple[int, ...]
    since: Instant = Instant(0)  # the frames were heard between these two: a number begins anew where a sensor lost its memory
    until: Instant = Instant(2**63 - 1)
    anew: bool = False  # there is an excerpt of fewer of them: one without the first of them would be no better


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A collector came or went, as its connection shows; the same ``start`` coming back means that only the connection was lost."""

    process: str
    start: str
    present: bool
    at: Instant
