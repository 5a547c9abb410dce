"""What a person does not want to hear of for a time, and what he hears of all the same."""

from dataclasses import replace

from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import VerdictId
from sentinel.model.time import Instant
from sentinel.model.verdict import Judgement, Verdict
from sentinel.triage.fold import QUIET_S, Triage
from tests.observations import STRANGER, at, detection
from tests.unit.detect.test_limits import write

ACTOR = f"actor:{STRANGER}"
UNTIL = Instant(at(3600))


def hushed(triage: Triage, *, learnt: bool = False) -> Finding:
    (finding,) = triage.fold([detection(0, ACTOR, feature="port scan")])
    triage.labelled(replace(finding, state=FindingState.DISMISSED, quiet_until=UNTIL, learnt=learnt))
    return finding


def test_what_was_told_is_not_told_again_until_the_end_and_then_it_is() -> None:
    triage = Triage()
    finding = hushed(triage)
    told = [again for second in range(1, 1000) for again in triage.fold([detection(second, ACTOR, feature="port scan")])]
    assert {again.id for again in told} == {finding.id}
    assert [again.detection_count for again in told] == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert triage.quieted == 999
    (back,) = triage.fold([detection(3600, ACTOR, feature="port scan")])
    assert back.id != finding.id
    assert back.state is FindingState.OPEN


def test_another_feature_and_a_graver_one_are_told() -> None:
    triage = Triage()
    finding = hushed(triage)
    (other,) = triage.fold([detection(1, ACTOR, feature="foreign write")])
    (graver,) = triage.fold([detection(2, ACTOR, feature="port scan", severity=Severity.CRITICAL)])
    assert finding.id not in {other.id, graver.id}
    assert triage.fold([detection(3, ACTOR, feature="port scan")])[0].id == finding.id


def test_harm_that_the_twin_saw_is_told() -> None:
    triage, command = Triage(), write(1, "LIC101.SP", 1.9)
    (finding,) = triage.fold([detection(0, f"actor:{command.source}", feature="foreign write")])
    triage.labelled(replace(finding, state=FindingState.DISMISSED, quiet_until=UNTIL))
    triage.command(command)
    unsafe = Verdict(id=VerdictId("v"), command=command.id, judgement=Judgement.UNSAFE, reason="it overflows", judged=Instant(at(2)))
    (told,) = triage.verdict(unsafe)
    assert (told.cause, told.state) == (finding.cause, FindingState.OPEN)
    assert told.id != finding.id


def test_it_is_kept_in_mind_while_nothing_happens_and_let_go_after_its_end() -> None:
    triage = Triage()
    finding = hushed(triage)
    triage.tick(Instant(at(3 * QUIET_S)))
    assert [kept.id for kept in triage.findings] == [finding.id]
    triage.tick(UNTIL)
    assert triage.findings == ()
    assert triage._quiet == {}


def test_it_outlives_a_restart() -> None:
    triage = Triage()
    finding = replace(hushed(triage), state=FindingState.DISMISSED, quiet_until=UNTIL)
    after = Triage()
    after.restore([finding])
    assert after.fold([detection(10, ACTOR, feature="port scan")])[0].id == finding.id


def test_a_person_may_take_it_back() -> None:
    triage = Triage()
    finding = hushed(triage)
    triage.labelled(replace(finding, state=FindingState.OPEN))
    (again,) = triage.fold([detection(1, ACTOR, feature="port scan")])
    assert (again.id, again.state) == (finding.id, FindingState.OPEN)


def test_only_what_is_normal_for_a_time_may_be_learnt() -> None:
    for learnt in (False, True):
        triage = Triage()
        hushed(triage, learnt=learnt)
        assert triage.is_learnt(detection(1, ACTOR, feature="port scan")) is learnt
        assert not triage.is_learnt(detection(1, ACTOR, feature="foreign write"))
        assert not triage.is_learnt(detection(3600, ACTOR, feature="port scan"))


def test_what_is_quiet_is_not_told_ahead_of_its_window_either() -> None:
    triage = Triage()
    hushed(triage)
    assert triage.foretell([detection(1, ACTOR, feature="port scan")], "sensor") == []
    (told,) = triage.foretell([detection(1, ACTOR, feature="foreign write")], "sensor")
    assert told.state is FindingState.OPEN
