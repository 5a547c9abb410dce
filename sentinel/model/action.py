"""An action: what a person may let the appliance do about a finding."""

from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.ids import ActionId, AssetId, CommandId, FindingId
from sentinel.model.time import Instant


class ActionKind(StrEnum):
    QUARANTINE = "quarantine"  # cut an asset off from the assets behind the choke point
    SETPOINT = "setpoint"  # write an approved value
    PERMIT = "permit"  # let one doubtful write of the target pass, once
    PROMOTE = "promote"  # let a candidate baseline judge


class ActionState(StrEnum):
    PROPOSED = "proposed"
    REQUESTED = "requested"  # one person asks for it
    APPROVED = "approved"  # another person agrees
    APPLYING = "applying"
    APPLIED = "applied"
    FAILED = "failed"  # the enforcer could not: not enforced
    RELEASING = "releasing"
    RELEASED = "released"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """The rehearsal: which conversations the action would end, by what the baseline knows of them."""

    cut: tuple[str, ...] = ()  # "10.0.0.66 -> 10.0.0.10 modbus:502"
    kept: int = 0  # conversations to the protected assets that go on
    refused: str | None = None  # why the interlock forbids it
    twin: str | None = None  # what the twin says of the plant without these conversations


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    id: ActionId
    kind: ActionKind
    state: ActionState = ActionState.PROPOSED
    target: AssetId
    protects: tuple[AssetId, ...] = ()
    finding: FindingId | None = None
    command: CommandId | None = None  # the write that a permit is for
    reason: str
    enforcer: str  # "dry_run", "gate", "nftables", "permit", "baseline"
    dry_run: bool = True
    lasts_s: float
    proposed: Instant
    changed: Instant
    requested_by: str | None = None
    approved_by: str | None = None
    expires: Instant | None = None
    rehearsal: BlastRadius = BlastRadius()
    note: str | None = None  # of the last change: the enforcer's answer, or why it failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an enforcer says it did.  ``verified`` only when it looked again and saw the effect."""

    action: ActionId
    enforcer: str
    applied: bool
    verified: bool
    at: Instant
    message: str
    took_ms: float = 0.0
