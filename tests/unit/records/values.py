"""One value of every type that is kept."""

from dataclasses import replace
from typing import Any

from sentinel.model.action import Action, ActionKind, Receipt
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import ActionId, AssetId, CommandId, Digest, FindingId, VerdictId
from sentinel.model.observation import Counters, Outage
from sentinel.model.plan import Plan
from sentinel.model.record import Credential, Excerpt, Invitation, Label, PlanRun, Signature, SnapshotMark, Tally
from sentinel.model.time import Instant
from sentinel.model.verdict import InvariantOutcome, Judgement, Verdict

A, B = AssetId("10.0.0.66"), AssetId("10.0.0.10")
D = Digest("ab" * 32)


def finding(name: str = "f", **changes: Any) -> Finding:
    one = Finding(
        id=FindingId(name),
        cause=f"cause of {name}",
        title="Über-limit write; DROP TABLE findings; --",
        severity=Severity.HIGH,
        confidence=0.5,
        first_seen=Instant(1),
        last_seen=Instant(2),
        first_frame=3,
        frames=(3,),
        frame_count=1,
        assets=(A, B),
        why=("because",),
    )
    return replace(one, **changes)


def action(name: str = "a", **changes: Any) -> Action:
    one = Action(
        id=ActionId(name),
        kind=ActionKind.QUARANTINE,
        target=A,
        reason="r",
        enforcer="dry_run",
        lasts_s=60.0,
        proposed=Instant(1),
        changed=Instant(2),
    )
    return replace(one, **changes)


EVERY: tuple[tuple[Any, str], ...] = (
    (Asset(id=A, roles=("client",), first_seen=Instant(1), last_seen=Instant(2)), A),
    (Conduit(client=A, server=B, protocol="modbus", port=502, first_seen=Instant(1), last_seen=Instant(2)), f"{A} {B} modbus 502"),
    (finding(), "f"),
    (Label(finding=FindingId("f"), state=FindingState.CONFIRMED, by="alice", at=Instant(5)), "f 5 alice"),
    (
        Command(
            id=CommandId("c"),
            origin=Origin.GATE,
            seen=Instant(1),
            source=A,
            target=B,
            protocol="modbus",
            operation="write_single_register",
            unit=1,
            writes=(TagWrite(tag="LIC101.SP", point="holding 0", raw=1900.0, value=1.9, unit="m"),),
            frame=D,
            octets="0601",
        ),
        "c",
    ),
    (
        Verdict(
            id=VerdictId("v"),
            command=CommandId("c"),
            judgement=Judgement.UNSAFE,
            reason="T101 overflows",
            outcomes=(InvariantOutcome(invariant="T101-overfill", broken_with=0.9, broken_without=0.0, robustness=-0.1, unit="m"),),
            judged=Instant(9),
        ),
        "v",
    ),
    (action(), "a"),
    (Signature(action=ActionId("a"), step="request", by="alice", key=D, at=Instant(3)), "a request 3 alice"),
    (Receipt(action=ActionId("a"), enforcer="gate", applied=True, verified=True, at=Instant(4), message="cut"), "a gate 4 1"),
    (Outage(process="gate", since=Instant(1), until=Instant(2), reason="killed"), "gate 1"),
    (Tally(source="gate", start=Instant(1), messages=3, counters=Counters(accepted=3)), "gate 1"),
    (Excerpt(digest=D, kind="pcap", octets=24, at=Instant(1), dropped=Instant(2)), D),
    (SnapshotMark(digest=D, at=Instant(1), model=D, in_step=True), D),
    (
        PlanRun(
            id="p",
            at=Instant(1),
            by="eve",
            problem={"jobs": [1, {"x": None}]},
            plan=Plan(kind="k", status="optimal", objective=1.0, bound=1.0, gap=0.0, unit="s"),
        ),
        "p",
    ),
    (
        Credential(
            serial="1f", name="alice", roles=("viewer",), fingerprint=D, key=D, issued=Instant(1), expires=Instant(2), issued_by="x"
        ),
        "1f",
    ),
    (Invitation(code=D, name="bob", roles=("viewer",), made=Instant(1), expires=Instant(2), made_by="x"), D),
)
