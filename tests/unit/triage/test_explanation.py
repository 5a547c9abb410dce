"""What is behind a finding, and how much is at stake."""

from typing import Any

import pytest

from sentinel.detect.catalogue import CATALOGUE
from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import Explanation, Finding
from sentinel.model.ids import CommandId, VerdictId
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.triage.explanation import MAX_LOOK_INTO
from sentinel.triage.fold import Triage
from sentinel.triage.severity import MAX_RISK
from sentinel.triage.signs import SIGNS, sign_of
from tests.observations import MASTER, PLC, STRANGER, at, detection
from tests.unit.detect.test_limits import write

ACTOR = f"actor:{STRANGER}"
ATTACK, FAULT, MAINTENANCE, MISCONFIGURATION = Explanation
PLANT = TagMap(
    (
        Tag(name="LIC101.SP", role=TagRole.SETPOINT, unit="m", low=0.0, high=2.0),
        Tag(name="LSHH101", role=TagRole.LIMIT, unit="m", low=0.0, high=2.0, safety=True),
    )
)


def folded(*detections: Detection, triage: Triage | None = None) -> Finding:
    return (triage or Triage()).fold(list(detections))[-1]


def said(detector: str, feature: str, cause: str = ACTOR, **more: Any) -> Detection:
    return detection(0, cause, detector=detector, feature=feature, source=STRANGER, target=PLC, **more)


def test_every_detector_has_a_sign_and_every_sign_its_detector() -> None:
    assert {sign.detector for sign in SIGNS} == set(CATALOGUE) | {"baseline", "backlog"}
    for at_, sign in enumerate(SIGNS):
        assert sign_of(sign.detector, sign.feature) is sign, f"sign {at_} is hidden by one before it"


@pytest.mark.parametrize(
    ("detections", "likeliest"),
    [
        ([said("lower", "relay", "link:02:00:00:00:00:42")], ATTACK),
        ([said("novelty", "turned client")], ATTACK),
        ([said("scans", "port scan"), said("novelty", "foreign write")], ATTACK),
        ([said("covert_channel", "the last 4 digits of 12 registers", f"channel:{MASTER} {PLC}")], ATTACK),
        ([said("spectrum", "spectrum", "process:P101")], FAULT),
        ([said("strokes", "stroke rate: closes faster", "process:FV101")], FAULT),
        ([said("timing", "silence", f"rhythm:{PLC}")], FAULT),
        ([said("identity", "firmware", f"identity:{PLC}")], MAINTENANCE),
        ([said("credentials", "password in clear text", "protocol:passwords in clear text")], MISCONFIGURATION),
        ([said("protocol", "exceptions", f"protocol:{MASTER}")], MISCONFIGURATION),
    ],
)
def test_the_likeliest_explanation_comes_first_and_gives_its_reasons(detections: list[Detection], likeliest: Explanation) -> None:
    finding = folded(*detections)
    first, *others = finding.hypotheses
    assert first.explanation is likeliest
    assert first.supporting
    assert {one.explanation for one in finding.hypotheses} == set(Explanation)
    assert sum(one.share for one in finding.hypotheses) == pytest.approx(1.0, abs=0.003)
    assert all(first.share >= one.share for one in others)
    assert 1 <= len(finding.look_into) <= MAX_LOOK_INTO
    assert not any("{" in place for place in finding.look_into)


def test_what_speaks_against_is_said_too() -> None:
    by = {one.explanation: one for one in folded(said("spectrum", "spectrum", "process:P101", tags=("VT101",))).hypotheses}
    assert by[ATTACK].contradicting == ("nobody on the network did anything new",)
    assert by[MISCONFIGURATION].contradicting == ("a machine sounds otherwise than it does",)


def verdict(command: CommandId, judgement: Judgement, intent: Intent) -> Verdict:
    return Verdict(
        id=VerdictId(f"{command} {judgement}"), command=command, judgement=judgement, intent=intent, reason="so", judged=Instant(at(2))
    )


@pytest.mark.parametrize(
    ("judgement", "intent", "likeliest"),
    [
        (Judgement.UNSAFE, Intent.TARGETED, ATTACK),
        (Judgement.UNSAFE, Intent.MISTAKE, MISCONFIGURATION),
        (Judgement.SAFE, Intent.UNKNOWN, MAINTENANCE),
    ],
)
def test_what_the_court_saw_is_a_sign(judgement: Judgement, intent: Intent, likeliest: Explanation) -> None:
    triage, command = Triage(PLANT), write(0, "LIC101.SP", 1.9)
    triage.fold([detection(0, f"habit:{command.source}", detector="writers", feature="new point", severity=Severity.LOW)])
    triage.command(command)
    (finding,) = triage.verdict(verdict(command.id, judgement, intent))[-1:]
    assert finding.hypotheses[0].explanation is likeliest
    assert (finding.judgement, finding.intent) == (judgement, intent)


def test_the_gravest_verdict_stands_whatever_comes_after_it() -> None:
    triage, one, other = Triage(PLANT), write(0, "LIC101.SP", 1.9), write(1, "LIC101.SP", 1.0)
    for command, judgement in ((one, Judgement.UNSAFE), (other, Judgement.SAFE)):
        triage.command(command)
        triage.verdict(verdict(command.id, judgement, Intent.TARGETED if command is one else Intent.UNKNOWN))
    (finding,) = triage.findings
    assert (finding.judgement, finding.intent) == (Judgement.UNSAFE, Intent.TARGETED)


def test_a_risk_is_the_sum_that_it_shows() -> None:
    triage = Triage(PLANT, controls=lambda asset: asset == PLC)
    plain = folded(said("limits", "write: range", confidence=0.5, severity=Severity.MEDIUM))
    grave = folded(said("limits", "write: range", confidence=0.5, severity=Severity.MEDIUM, tags=("LIC101.SP", "LSHH101")), triage=triage)
    assert plain.risk == 17.5
    assert [(term.points, term.what) for term in grave.reckoning[:-1]] == [
        (35.0, "what was seen is medium"),
        (5.0, f"{PLC} is a controller, on ISA-95 level 1"),
        (10.0, "LSHH101 is a limit of an alarm or interlock"),
        (20.0, "LSHH101 belongs to a safety-instrumented function"),
    ]
    for finding in (plain, grave):
        assert sum(term.points for term in finding.reckoning) == pytest.approx(finding.risk)
        assert 0.0 <= finding.risk <= MAX_RISK


def test_harm_that_the_twin_saw_raises_the_risk_and_harmlessness_lowers_it() -> None:
    risks = {}
    for judgement in Judgement:
        triage, command = Triage(PLANT), write(0, "LIC101.SP", 1.9)
        triage.fold([detection(0, f"habit:{command.source}", severity=Severity.MEDIUM, confidence=0.8)])
        triage.command(command)
        risks[judgement] = triage.verdict(verdict(command.id, judgement, Intent.UNKNOWN))[-1].risk
    assert risks[Judgement.SAFE] < risks[Judgement.UNDECIDED] < risks[Judgement.UNSAFE]
