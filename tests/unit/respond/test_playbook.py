from dataclasses import replace

import pytest

from sentinel.model.action import ActionState
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.respond.interlock import Rules
from sentinel.respond.playbook import Policy, advise, propose
from sentinel.respond.rehearse import MAX_LISTED, rehearse
from tests.unit.respond.values import ATTACKER, BOX, CONDUITS, HMI, LEARNT, NOW, PLC, SECOND_HMI, START, conduit, finding, verdict

RULES = Rules(appliance=frozenset({BOX}), learnt_until=LEARNT)
POLICY = Policy(enforcer="nftables", rules=RULES)


def proposed(found: Finding, judged: Verdict | None, policy: Policy = POLICY) -> list[str]:
    return [action.target for action in propose(found, judged, (), CONDUITS, NOW, policy)]


def test_an_unsafe_command_of_a_stranger() -> None:
    (action,) = propose(finding(), verdict(Judgement.UNSAFE), (), CONDUITS, NOW, POLICY)
    assert (action.state, action.target, action.protects) == (ActionState.PROPOSED, ATTACKER, (PLC,))
    assert (action.enforcer, action.dry_run, action.lasts_s) == ("nftables", False, 3600)
    assert "T101-overfill falls in 41 s" in action.reason
    assert action.rehearsal.cut == ("10.0.0.66 -> 10.0.0.10 modbus:502",)
    assert action.rehearsal.kept == 2
    assert action.rehearsal.refused is None


def test_the_same_finding_gives_the_same_id() -> None:
    (first,) = propose(finding(), verdict(Judgement.UNSAFE), (), CONDUITS, NOW, POLICY)
    (grown,) = propose(replace(finding(), frame_count=90), verdict(Judgement.UNSAFE), (), CONDUITS[:1], NOW, POLICY)
    assert first.id == grown.id


@pytest.mark.parametrize(
    ("found", "judged", "targets"),
    [
        (finding(ATTACKER, "T0848"), None, [ATTACKER]),
        (finding(ATTACKER, "T1692.001"), verdict(Judgement.UNDECIDED), [ATTACKER]),
        (finding(ATTACKER, "T0848"), verdict(Judgement.SAFE, Intent.MISTAKE), [ATTACKER]),  # no operator: not its mistake to make
        (finding(ATTACKER), verdict(Judgement.SAFE, Intent.TARGETED), [ATTACKER]),
        (finding(ATTACKER), verdict(Judgement.SAFE), []),
        (finding(ATTACKER), None, []),
        (finding(ATTACKER, "T0830"), None, []),  # the address is borrowed
        (finding(ATTACKER, "T0848", severity=Severity.LOW), None, []),
        (finding(HMI, "T0848"), None, []),
        (finding(HMI), verdict(Judgement.UNSAFE, Intent.MISTAKE), []),
        (finding(AssetId("00:11:22:33:44:55"), "T0848"), None, []),
        (replace(finding(ATTACKER, "T0848"), state=FindingState.DISMISSED), None, []),
        (replace(finding(ATTACKER, "T0848"), assets=()), None, []),
    ],
)
def test_what_is_proposed(found: Finding, judged: Verdict | None, targets: list[str]) -> None:
    assert proposed(found, judged) == targets


def test_a_target_that_is_cut_already_is_not_proposed_again() -> None:
    assert proposed(finding(), verdict(Judgement.UNSAFE), replace(POLICY, in_force=frozenset({ATTACKER}))) == []


def test_what_the_interlock_forbids_is_shown_as_rejected() -> None:
    (action,) = propose(finding(HMI), verdict(Judgement.UNSAFE, Intent.TARGETED), (), CONDUITS, NOW, POLICY)
    assert action.state is ActionState.REJECTED
    assert action.rehearsal.refused is not None
    assert "last operator station" in action.rehearsal.refused
    assert "last operator station" in (action.note or "")
    two = (*CONDUITS, conduit(SECOND_HMI, PLC))
    (action,) = propose(finding(HMI), verdict(Judgement.UNSAFE, Intent.TARGETED), (), two, NOW, POLICY)
    assert action.state is ActionState.PROPOSED


def test_a_mistake_is_talked_about() -> None:
    said = advise(finding(HMI), verdict(Judgement.UNSAFE, Intent.MISTAKE), CONDUITS, RULES)
    assert said is not None
    assert "Talk to whoever sits at 10.0.0.20" in said
    assert "T101-overfill" in said
    assert advise(finding(), verdict(Judgement.UNSAFE, Intent.MISTAKE), CONDUITS, RULES) is None
    assert advise(finding(HMI), None, CONDUITS, RULES) is None


def test_the_default_is_a_dry_run() -> None:
    (action,) = propose(finding(), verdict(Judgement.UNSAFE), (), CONDUITS, NOW)
    assert (action.enforcer, action.dry_run) == ("dry_run", True)


def test_the_rehearsal_forgets_the_distant_past_and_is_bounded() -> None:
    old = conduit(ATTACKER, AssetId("10.0.0.11"), last=START)
    week_later = type(NOW)(START + 8 * 86400 * 10**9)
    assert rehearse(ATTACKER, (PLC,), (old,), week_later).cut == ()
    many = tuple(conduit(ATTACKER, AssetId(f"10.1.{n // 250}.{n % 250 + 1}")) for n in range(500))
    radius = rehearse(ATTACKER, (), many, NOW)
    assert len(radius.cut) == MAX_LISTED + 1
    assert radius.cut[-1] == f"and {500 - MAX_LISTED} more"
