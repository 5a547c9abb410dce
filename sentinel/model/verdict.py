"""A verdict: what the twin lived through when it was given a command."""

from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.command import TagWrite
from sentinel.model.ids import CommandId, Digest, VerdictId
from sentinel.model.time import Instant


class Judgement(StrEnum):
    SAFE = "safe"
    UNSAFE = "unsafe"
    UNDECIDED = "undecided"


GRAVITY = {Judgement.SAFE: 0, Judgement.UNDECIDED: 1, Judgement.UNSAFE: 2}


class Intent(StrEnum):
    TARGETED = "targeted"
    MISTAKE = "mistake"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantOutcome:
    """One invariant over all members, with and without the command.  Probabilities are shares of members, 0 to 1."""

    invariant: str
    broken_with: float
    broken_without: float
    robustness: float  # 5th percentile over members of the smallest signed distance to the limit, in the invariant's unit
    unit: str
    time_to_violation_s: float | None = None  # median over the members that break it


class Course(StrEnum):
    """What a person may do about a command that the court does not decide."""

    FORWARD = "forward"  # once, as it is
    FORWARD_NEAREST = "forward_nearest"  # the nearest value that breaks nothing, instead
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """``harm``: the share of futures in which any invariant falls within the horizon, and its upper confidence bound; None = unknown."""

    course: Course
    writes: tuple[TagWrite, ...] = ()
    harm: float | None = None
    harm_at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``complete``: False while intent, evidence, nearest safe value and options are still being worked out; the judgement stands.
    ``refers``: the verdict on the same command that this one looks into once more, by playing its octets to an emulated device."""

    id: VerdictId
    command: CommandId
    refers: VerdictId | None = None
    judgement: Judgement
    intent: Intent = Intent.UNKNOWN
    reason: str  # one sentence: which invariant, when, how sure, or why undecided
    invariant: str | None = None  # the one that falls first
    probability: float | None = None  # lower confidence bound of the added risk when unsafe, upper when safe
    time_to_violation_s: float | None = None
    outcomes: tuple[InvariantOutcome, ...] = ()
    nearest_safe: tuple[TagWrite, ...] = ()  # instead of an unsafe or doubtful value: the nearest that breaks nothing
    evidence: tuple[str, ...] = ()  # intent evidence, a sentence each
    techniques: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()  # of an undecided command, the most permissive first
    complete: bool = True
    members: int = 0
    horizon_s: float = 0.0
    seed: int = 0
    model: Digest | None = None
    snapshot: Digest | None = None
    judged: Instant
    took_ms: float = 0.0
