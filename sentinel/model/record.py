"""What is kept beside the flow's own types: people's answers, certificates, counts per slot, evidence, the audit log's entries."""

from dataclasses import dataclass, field
from typing import Any

from sentinel.model.finding import FindingState
from sentinel.model.ids import ActionId, Digest, FindingId, VerdictId
from sentinel.model.observation import Counters
from sentinel.model.plan import Plan
from sentinel.model.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person says of a finding.  The newest label's state is the finding's state, whatever the fold says later.

    A dismissed one may stay ``quiet_until`` an instant: what it tells already is not told again before.  ``learnt``: it is normal
    meanwhile, and what learns beside the baseline may learn it.
    """

    finding: FindingId
    state: FindingState
    by: str
    at: Instant
    note: str | None = None
    quiet_until: Instant | None = None
    learnt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who took which step of an action, with which key: what the second person is compared with."""

    action: ActionId
    step: str  # "request", "approve", "reject", "release"
    by: str
    key: Digest  # of the SubjectPublicKeyInfo of the certificate that was used
    at: Instant
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one source delivered in one slot, as counts."""

    source: str
    start: Instant
    messages: int = 0
    packets: int = 0
    octets: int = 0
    readings: int = 0
    commands: int = 0
    defects: int = 0
    counters: Counters = Counters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A file of evidence.  ``digest`` is the plain SHA-256 of its octets, so that ``sha256sum`` names it."""

    digest: Digest
    kind: str  # "pcapng", "text", "case"
    octets: int
    at: Instant
    of: Digest | VerdictId | None = None  # a text: the capture that it dissects; a case: its verdict
    dropped: Instant | None = None  # when the bounded store let go of it


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMark:
    """That the twin had this snapshot; the arrays themselves are not kept in rows."""

    digest: Digest
    at: Instant
    model: Digest
    in_step: bool
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRun:
    """``problem`` is as it was posted."""

    id: str
    at: Instant
    by: str
    problem: dict[str, Any]
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate that our authority issued to a person or a device."""

    serial: str  # hexadecimal
    name: str
    device: bool = False
    roles: tuple[str, ...]
    fingerprint: Digest  # SHA-256 of the certificate
    key: Digest  # SHA-256 of its SubjectPublicKeyInfo
    issued: Instant
    expires: Instant
    issued_by: str
    revoked: Instant | None = None
    revoked_by: str | None = None
    reason: str | None = None  # of the revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A one-time enrolment code, of which only the digest is kept."""

    code: Digest
    name: str
    device: bool = False
    roles: tuple[str, ...]
    made: Instant
    expires: Instant
    made_by: str
    used: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """``hash`` = SHA-256 over ``previous`` and the canonical JSON of the fields above; the sequence rises, whatever the clock does."""

    sequence: int
    at: Instant
    actor: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any] = field(default_factory=dict)
    previous: Digest
    hash: Digest
