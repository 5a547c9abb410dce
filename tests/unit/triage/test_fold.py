from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.codec import from_json, to_json
from sentinel.model.command import Command
from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId, VerdictId
from sentinel.model.observation import Outage, TurnedAway
from sentinel.model.time import Instant
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.ports import Outcome
from sentinel.triage.case import MAX_COMMANDS, MAX_FRAMES
from sentinel.triage.fold import QUIET_S, Triage
from sentinel.triage.lifecycle import TRANSITIONS, FindingEvent, after_event
from tests.observations import MASTER, PLC, STRANGER, at, detection
from tests.unit.detect.test_limits import write

ACTOR = f"actor:{STRANGER}"


def _verdict(command: Command, judgement: Judgement, probability: float | None = None, second: float = 2.0) -> Verdict:
    return Verdict(
        id=VerdictId("v1"),
        command=command.id,
        judgement=judgement,
        intent=Intent.UNKNOWN,
        reason="T101-overfill falls after 312 s",
        invariant="T101-overfill",
        probability=probability,
        techniques=("T0836",),
        judged=Instant(at(second)),
    )


def test_all_that_one_actor_does_is_one_finding() -> None:
    triage = Triage()
    for second in range(200):
        more = {"feature": f"feature {second % 5}", "why": f"because {second % 5}", "frames": (second + 1,), "frame": second + 1}
        triage.fold([detection(second, ACTOR, source=AssetId(STRANGER), target=AssetId(PLC), **more)])
    (finding,) = triage.findings
    assert (finding.detection_count, finding.frame_count, len(finding.detections)) == (200, 200, 5)
    assert finding.assets == (STRANGER, PLC)
    assert finding.why == tuple(f"because {i}" for i in range(5))
    assert (finding.first_frame, finding.first_seen, finding.last_seen) == (1, at(0), at(199))


def test_frames_are_counted_exactly_and_kept_boundedly() -> None:
    triage = Triage()
    frames = tuple(range(1, 3001))
    triage.fold([detection(0, ACTOR, frames=frames), detection(0, ACTOR, feature="another", frames=frames[:10])])
    (finding,) = triage.findings
    assert (finding.frame_count, len(finding.frames)) == (3000, MAX_FRAMES)
    assert all(len(kept.frames) <= 16 for kept in finding.detections)


def test_frames_are_those_of_one_sensor() -> None:
    """Two sensors count alike: a number of the one would fetch another packet from the other."""
    triage = Triage()
    triage.fold([detection(0, ACTOR, frames=())], "silent")
    triage.fold([detection(1, ACTOR, frames=(5, 6))], "east")
    triage.fold([detection(2, ACTOR, frames=(1, 6, 7))], "west")
    (finding,) = triage.fold([detection(3, ACTOR, frames=(8,))], "east")
    assert (finding.source, finding.frames, finding.frame_count) == ("east", (5, 6, 8), 6)
    again = Triage()
    again.restore([finding])
    (finding,) = again.fold([detection(4, ACTOR, frames=(9,))], "west")
    assert (finding.source, finding.frames, finding.frame_count) == ("east", (5, 6, 8), 7)


def test_the_gravest_news_gives_the_title_and_independent_voices_add_up() -> None:
    triage = Triage()
    triage.fold([detection(0, ACTOR, title="knocks", severity=Severity.MEDIUM, confidence=0.5)])
    triage.fold([detection(1, ACTOR, title="writes", severity=Severity.CRITICAL, detector="rules", confidence=0.5)])
    triage.fold([detection(2, ACTOR, title="reads", severity=Severity.HIGH)])
    (finding,) = triage.findings
    assert (finding.title, finding.severity, finding.confidence) == ("writes", Severity.CRITICAL, 0.75)


def test_a_symptom_joins_what_strikes_its_asset_and_a_habit_only_its_own_actor() -> None:
    triage = Triage()
    triage.fold([detection(0, ACTOR, source=AssetId(STRANGER), target=AssetId(PLC))])
    triage.fold([detection(10, f"rhythm:{PLC}", target=AssetId(PLC), severity=Severity.MEDIUM)])
    triage.fold([detection(11, f"habit:{MASTER}", source=AssetId(MASTER), target=AssetId(PLC), severity=Severity.LOW)])
    triage.fold([detection(12, f"protocol:{STRANGER}", source=AssetId(STRANGER), severity=Severity.LOW)])
    assert [(finding.cause, finding.detection_count) for finding in triage.findings] == [(ACTOR, 3), (f"habit:{MASTER}", 1)]


def test_symptoms_do_not_keep_a_finding_alive_for_ever() -> None:
    triage = Triage()
    triage.fold([detection(0, ACTOR, source=AssetId(STRANGER), target=AssetId(PLC))])
    for second in range(10, 1000, 30):
        triage.fold([detection(second, f"rhythm:{PLC}", target=AssetId(PLC), severity=Severity.MEDIUM)])
    assert [finding.cause for finding in triage.findings] == [ACTOR, f"rhythm:{PLC}"]


def test_a_cause_that_turns_grave_or_comes_back_opens_a_new_finding() -> None:
    triage = Triage()
    triage.fold([detection(0, ACTOR, severity=Severity.LOW)])
    triage.fold([detection(1, ACTOR, severity=Severity.HIGH)])
    triage.fold([detection(2, ACTOR, severity=Severity.LOW)])
    triage.fold([detection(QUIET_S + 10, ACTOR, severity=Severity.HIGH)])
    assert [finding.detection_count for finding in triage.findings] == [1, 2, 1]
    assert len({finding.id for finding in triage.findings}) == 3


def test_a_dismissed_finding_takes_no_news() -> None:
    triage = Triage()
    (first,) = triage.fold([detection(0, ACTOR)])
    triage.labelled(replace(first, state=FindingState.DISMISSED))
    (second,) = triage.fold([detection(1, ACTOR)])
    assert second.id != first.id


def test_an_unsafe_verdict_opens_a_finding_or_raises_the_one_of_its_command() -> None:
    command = write(1, "LIC101.SP", 1.9)
    alone = Triage()
    assert alone.command(command) == []
    (opened,) = alone.verdict(_verdict(command, Judgement.UNSAFE, 0.95))
    assert (opened.severity, opened.cause, opened.commands, opened.verdicts) == (Severity.CRITICAL, ACTOR, (command.id,), ("v1",))
    assert opened.title == f"{STRANGER} commands LIC101.SP = 1.9 m on {PLC}: T101-overfill falls after 312 s"
    assert opened.tags == ("LIC101.SP",)

    triage = Triage()
    triage.command(command)
    (seen,) = triage.fold([detection(1.5, ACTOR, source=AssetId(STRANGER), severity=Severity.MEDIUM)])
    assert seen.commands == (command.id,)
    (raised,) = triage.verdict(_verdict(command, Judgement.UNSAFE, 0.6))
    assert (raised.id, raised.severity) == (seen.id, Severity.HIGH)


def test_a_safe_verdict_lowers_what_rests_on_nothing_else() -> None:
    command = write(1, "LIC101.SP", 1.1)
    triage = Triage()
    triage.command(command)
    triage.fold([detection(1, f"habit:{STRANGER}", source=AssetId(STRANGER), severity=Severity.LOW)])
    (lowered,) = triage.verdict(_verdict(command, Judgement.SAFE))
    assert lowered.severity is Severity.INFO
    strong = Triage()
    strong.command(command)
    strong.fold([detection(1, ACTOR, source=AssetId(STRANGER))])
    assert strong.verdict(_verdict(command, Judgement.SAFE))[0].severity is Severity.HIGH
    assert strong.verdict(_verdict(write(9, "other", 1.0), Judgement.SAFE)) == []


def test_a_refusal_that_no_finding_explains_is_one() -> None:
    command = write(1, "LIC101.SP", 1.1)
    outcome = Outcome(command=command.id, forwarded=False, ruled=False, held_ms=200.0, reason="no verdict in time", at=Instant(at(1.2)))
    triage = Triage()
    triage.command(command)
    assert triage.outcome(replace(outcome, forwarded=True)) == []
    (told,) = triage.outcome(outcome)
    assert (told.severity, told.cause) == (Severity.LOW, f"gate:{STRANGER}")
    assert "at its deadline, without a ruling" in told.why[0]


def test_whom_a_gate_turns_away_is_a_finding_of_his_own_and_counts() -> None:
    triage = Triage()
    told = TurnedAway(
        gate="gate-opcua",
        source=AssetId("192.0.2.7"),
        target=AssetId("192.0.2.1"),
        at=Instant(at(0)),
        subject="CN=HMI",
        reason="the certificate 00 of 'CN=HMI' is not trusted",
    )
    (finding,) = triage.turned_away(told)
    assert (finding.cause, finding.severity, finding.assets) == ("actor:192.0.2.7", Severity.MEDIUM, ("192.0.2.7", "192.0.2.1"))
    assert "refused 192.0.2.7 a channel" in finding.title
    assert "the certificate of CN=HMI" in finding.why[0]
    (other,) = triage.turned_away(replace(told, source=AssetId("192.0.2.8"), subject="", reason="its certificate cannot be read: no ASN.1"))
    assert "its certificate cannot be read: no ASN.1.  What it showed names nobody." in other.why[0]
    (again,) = triage.turned_away(replace(told, at=Instant(at(60)), times=9))
    assert (again.id, again.detection_count) == (finding.id, 10)


def test_a_server_that_is_another_one_than_was_trusted_is_a_finding() -> None:
    server = AssetId("192.0.2.1")
    told = TurnedAway(
        gate="poll-opcua", source=server, target=server, at=Instant(at(0)), subject="CN=PLC", reason="it is not trusted", is_server=True
    )
    (finding,) = Triage().turned_away(told)
    assert (finding.cause, finding.severity, finding.assets) == ("actor:192.0.2.1", Severity.MEDIUM, ("192.0.2.1",))
    assert finding.title == "poll-opcua opens no channel to 192.0.2.1 and reads nothing there: it is not trusted"


def test_an_outage_is_a_finding() -> None:
    triage = Triage()
    (finding,) = triage.outage(Outage(process="capture", since=Instant(at(0)), until=Instant(at(3)), reason="killed by signal 9"))
    assert finding.title == "Blind spot: capture was away for 3.0 s (killed by signal 9)"
    (again,) = triage.outage(Outage(process="capture", since=Instant(at(9)), until=Instant(at(10)), reason="killed by signal 9"))
    assert (again.id, again.detection_count) == (finding.id, 2)


def test_findings_come_back_after_a_restart() -> None:
    before, after = Triage(), Triage()
    before.fold([detection(0, ACTOR, source=AssetId(STRANGER), frames=(1, 2))])
    after.restore([from_json(Finding, to_json(finding)) for finding in before.findings])
    assert after.findings == before.findings
    (more,) = after.fold([detection(1, ACTOR, frames=(3,))])
    assert (more.id, more.frame_count) == (before.findings[0].id, 3)


_CAUSES = [ACTOR, f"habit:{MASTER}", f"rhythm:{PLC}", "link:02:00:00:00:00:01"]


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(_CAUSES), st.sampled_from(list(Severity)), st.integers(0, 50)), max_size=40)
)
def test_nothing_is_lost_and_order_within_a_window_does_not_matter(rows: list[tuple[int, str, Severity, int]]) -> None:
    def run(reverse: bool) -> tuple[Finding, ...]:
        triage = Triage()
        for second in sorted({row[0] for row in rows}):
            window: list[Detection] = [
                detection(second, cause, severity=severity, frame=frame, frames=(frame,) if frame else (), feature=f"{severity}{frame}")
                for at_second, cause, severity, frame in dict.fromkeys(rows)
                if at_second == second
            ]
            triage.fold(window[::-1] if reverse else window)
        return triage.findings

    findings = run(False)
    assert findings == run(True)
    assert sum(finding.detection_count for finding in findings) == len(dict.fromkeys(rows))
    assert len({finding.id for finding in findings}) == len(findings)


@pytest.mark.parametrize("state", list(FindingState))
@pytest.mark.parametrize("event", list(FindingEvent))
def test_the_life_of_a_finding_follows_its_table(state: FindingState, event: FindingEvent) -> None:
    if event in TRANSITIONS[state]:
        assert after_event(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(ValueError, match="cannot"):
            after_event(state, event)


def test_a_thousand_unsafe_commands_are_one_finding_of_bounded_size() -> None:
    triage = Triage()
    for turn in range(MAX_COMMANDS + 20):
        command = write(2.0 + turn / 100, "LIC101.SP", 1.9)
        triage.command(command)
        verdict = replace(_verdict(command, Judgement.UNSAFE, 0.9), id=VerdictId(f"v{turn}"))
        (found,) = triage.verdict(verdict)
    assert len({finding.id for finding in triage.findings}) == 1
    assert len(found.commands) == len(found.verdicts) == MAX_COMMANDS
