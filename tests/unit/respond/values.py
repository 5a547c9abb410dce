"""Small plants for the tests of this room: values with everything that does not matter filled in."""

from typing import Any

from sentinel.model.action import Action, ActionKind, ActionState, Receipt
from sentinel.model.asset import Asset, Conduit
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.ids import ActionId, AssetId, CommandId, FindingId, VerdictId
from sentinel.model.time import Instant, after
from sentinel.model.verdict import Intent, Judgement, Verdict

START = Instant(1_700_000_000_000_000_000)
LEARNT = after(START, 3600)
NOW = after(START, 7200)
PLC, HMI, SECOND_HMI, ATTACKER, BOX = (AssetId(f"10.0.0.{host}") for host in (10, 20, 21, 66, 5))


def enforcer_config(**changes: Any) -> dict[str, Any]:
    """What the enforcing process reads."""
    return {"socket": "enforcer.sock", "journal": "enforcer.jsonl", "never_cut": [], "safety_pairs": [], **changes}


def conduit(client: AssetId, server: AssetId, first: Instant = START, last: Instant = NOW, port: int = 502) -> Conduit:
    return Conduit(client=client, server=server, protocol="modbus", port=port, first_seen=first, last_seen=last, messages=9)


def asset(name: AssetId, last: Instant = NOW, safety: bool = False) -> Asset:
    return Asset(id=name, first_seen=START, last_seen=last, safety=safety)


ATTACK = conduit(ATTACKER, PLC, first=after(LEARNT, 60))
CONDUITS = (conduit(HMI, PLC), conduit(BOX, PLC), ATTACK)


def finding(actor: AssetId = ATTACKER, *techniques: str, severity: Severity = Severity.HIGH) -> Finding:
    return Finding(
        id=FindingId("f1"),
        cause="c",
        title="t",
        severity=severity,
        confidence=0.9,
        first_seen=NOW,
        last_seen=NOW,
        first_frame=1,
        frames=(1,),
        frame_count=1,
        assets=(actor, PLC),
        techniques=techniques,
        why=("because",),
    )


def verdict(judgement: Judgement, intent: Intent = Intent.UNKNOWN) -> Verdict:
    return Verdict(
        id=VerdictId("v"), command=CommandId("c"), judgement=judgement, intent=intent, reason="T101-overfill falls in 41 s", judged=NOW
    )


def action(state: ActionState = ActionState.PROPOSED, **changes: object) -> Action:
    values: dict[str, object] = {
        "id": ActionId("a1"),
        "kind": ActionKind.QUARANTINE,
        "state": state,
        "target": ATTACKER,
        "reason": "test",
        "enforcer": "dry_run",
        "lasts_s": 60.0,
        "proposed": NOW,
        "changed": NOW,
    }
    return Action(**(values | changes))  # type: ignore[arg-type]


def receipt(applied: bool, name: str = "a1") -> Receipt:
    return Receipt(action=ActionId(name), enforcer="dry_run", applied=applied, verified=applied, at=NOW, message="said")
