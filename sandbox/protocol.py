"""What client and court say to each other: frames of `sentinel.model.framing` over a unix socket.  Sans-io.

client: SNAPSHOT (octets of a `Snapshot`), JUDGE (JSON `Request`).  court: HELLO (empty) once it has taken a connection; BEGUN (empty) when
it turns to a command, so that what ends it is given to no other; VERDICT (JSON `Verdict`) or FAILURE (JSON {"problem"}); these three with
the sequence of the JUDGE that they answer.  The first VERDICT on a held command may be incomplete; a second one with the same sequence
completes it.  A SNAPSHOT is answered by FAILURE only when it is refused.  Both sides treat the other as hostile:
lengths are capped before anything is parsed, values are checked against their types, and names must match what was asked.
"""

import math
from dataclasses import dataclass

from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.command import Command
from sentinel.model.exchange import Failure
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.ids import AssetId, Digest, VerdictId
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict

MAX_REQUEST_OCTETS = 16 * 1024 * 1024  # a snapshot of 4096 members with 400 numbers each stays below
MAX_ANSWER_OCTETS = 256 * 1024
MAX_STEPS = 512
MAX_WRITES = 2000  # more coils than one Modbus request can set (1968)
_MAX_TEXT = 4000
_MAX_LIST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One value that somebody has tried to write before.  ``applied``: it is believed to have reached the plant."""

    seen: Instant
    source: AssetId
    tag: str
    value: float
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known around a command: earlier writes of all sources (oldest first), and what the baseline says of its source."""

    steps: tuple[Step, ...] = ()
    source_is_new: bool = False  # has never written before, as far as the baseline knows
    source_scanned: bool = False  # has looked around before
    source_days_without: int = 0  # it has written for so many days and never at this time of day; 0 = it has, or nobody knows

    @property
    def is_stranger(self) -> bool:
        return self.source_is_new or self.source_scanned


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    command: Command
    snapshot: Digest  # fingerprint of a snapshot that was sent before
    context: Context = Context()
    urgent: bool = False  # held inline: served before everything else
    patience_s: float = 5.0  # the client stops waiting then
    refers: VerdictId | None = None  # of the wire tier: the court's verdict that it looks into
    first: Verdict | None = None  # that verdict: where the tier judges as it did, what completes the judgement is not searched for again


def request_of(frame: Frame) -> Request:
    """Raises CodecError."""
    request = from_json(Request, frame.payload)
    if len(request.context.steps) > MAX_STEPS or len(request.command.writes) > MAX_WRITES:
        raise CodecError("Request: too many steps or writes")
    numbers = [step.value for step in request.context.steps]
    numbers += [number for write in request.command.writes for number in (write.raw, write.value) if number is not None]
    if not all(math.isfinite(number) for number in numbers):
        raise CodecError("Request: a value that is not finite")
    return request


HELLO = Frame(FrameKind.HELLO, 0, b"")


def begun(sequence: int) -> Frame:
    return Frame(FrameKind.BEGUN, sequence, b"")


def failure(sequence: int, problem: str) -> Frame:
    return Frame(FrameKind.FAILURE, sequence, to_json(Failure(problem=problem[:_MAX_TEXT])))


def problem_of(frame: Frame) -> str:
    return from_json(Failure, frame.payload).problem[:_MAX_TEXT]


def answer(sequence: int, verdict: Verdict) -> Frame:
    return Frame(FrameKind.VERDICT, sequence, to_json(verdict))


def verdict_of(frame: Frame, request: Request, model: Digest) -> Verdict:
    """Raises CodecError when the octets are no verdict, or none on this request from this snapshot by this model."""
    verdict = from_json(Verdict, frame.payload)
    if verdict.command != request.command.id:
        raise CodecError(f"Verdict: it is about command {verdict.command[:64]!r}, asked was {request.command.id!r}")
    if verdict.snapshot != request.snapshot or verdict.model != model:
        raise CodecError("Verdict: it rests on another snapshot or another model than was asked")
    if verdict.refers != request.refers or verdict.id == request.refers:
        raise CodecError("Verdict: it refers to another verdict than was asked, or to itself")
    shares = [verdict.probability] if verdict.probability is not None else []
    shares += [share for outcome in verdict.outcomes for share in (outcome.broken_with, outcome.broken_without)]
    shares += [share for option in verdict.options for share in (option.harm, option.harm_at_most) if share is not None]
    if not all(0.0 <= share <= 1.0 for share in shares):
        raise CodecError("Verdict: a probability outside 0 to 1")
    times = [verdict.time_to_violation_s, *(outcome.time_to_violation_s for outcome in verdict.outcomes)]
    numbers = [verdict.took_ms, verdict.horizon_s, *(time for time in times if time is not None)]
    if not all(math.isfinite(number) and number >= 0.0 for number in numbers):
        raise CodecError("Verdict: a time that is none")
    if not all(math.isfinite(outcome.robustness) for outcome in verdict.outcomes):
        raise CodecError("Verdict: a robustness that is not finite")
    texts = (verdict.reason, *verdict.evidence, *verdict.techniques)
    if any(len(text) > _MAX_TEXT or not text.isprintable() for text in texts):
        raise CodecError("Verdict: a text that is too long or holds control characters")
    if max(len(verdict.outcomes), len(verdict.evidence), len(verdict.techniques), len(verdict.options)) > _MAX_LIST:
        raise CodecError("Verdict: a list that is too long")
    return verdict


def completes(first: Verdict, second: Verdict) -> bool:
    """The second adds to the first and takes nothing back: what the gate was told stands."""
    said = (first.id, first.judgement, first.reason, first.invariant, first.probability, first.time_to_violation_s, first.outcomes)
    again = (second.id, second.judgement, second.reason, second.invariant, second.probability, second.time_to_violation_s, second.outcomes)
    return second.complete and said == again
