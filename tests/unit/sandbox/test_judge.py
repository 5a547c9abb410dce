"""Verdicts on the reference plant, rule by rule."""

from dataclasses import replace

import numpy as np
import pytest

from sandbox.config import Thresholds
from sandbox.judge import judge, undecided
from sandbox.protocol import Context, Step
from sandbox.replay import Replay
from sentinel.model.codec import to_json
from sentinel.model.command import Command, TagWrite
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant, after
from sentinel.model.verdict import Course, Intent, Judgement, Verdict
from sentinel.twin.engine import Model, initial, rollout
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, command, degraded, in_step, lost

TERMS = Thresholds()


def verdict_on(asked: Command, snapshot: Snapshot, replay: Replay, context: Context | None = None) -> Verdict:
    return judge(asked, snapshot, replay, context or Context(), TERMS, 7, NOW)


def test_a_level_setpoint_above_the_envelope_is_unsafe(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.9}), snapshot, replay)
    assert verdict.judgement is Judgement.UNSAFE
    assert verdict.invariant == "T101-overfill"
    assert verdict.probability is not None
    assert verdict.probability > 0.98
    assert verdict.time_to_violation_s is not None
    assert 20 < verdict.time_to_violation_s < 200
    assert (
        f"would rise above 1.60 m after {verdict.time_to_violation_s:.0f} s in 256 of 256 futures (0 of 256 without it)" in verdict.reason
    )
    assert "T0879" in verdict.techniques
    assert any("outside its engineered range" in line for line in verdict.evidence)
    assert (verdict.members, verdict.horizon_s, verdict.seed) == (256, 600.0, 7)
    assert verdict.snapshot == snapshot.fingerprint()


def test_the_recovery_that_the_verdict_names_does_save_the_plant(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.9}), snapshot, replay)
    line = next(line for line in verdict.evidence if "writing the previous values back" in line)
    last_s = float(line.split("within ")[1].split(" s")[0])
    row = [one.name for one in replay.plant.invariants].index("T101-overfill")

    def saved(at_s: float) -> float:
        run = rollout(replay.model, snapshot, [(0.0, {"LIC101.SP": 1.9}), (at_s, {"LIC101.SP": 1.2})], 600.0)
        return float((run.robustness[row] >= 0).mean())

    assert saved(last_s - 1) >= 0.9
    assert saved(last_s + 15) < 0.9


@pytest.mark.parametrize("writes", [{"LIC101.SP": 1.25}, {"TIC201.SP": 62.0}, {"SIC301.SP": 6500.0}, {"P102.RUN": 1.0}])
def test_routine_writes_are_safe(snapshot: Snapshot, replay: Replay, writes: dict[str, float]) -> None:
    verdict = verdict_on(command(writes), snapshot, replay)
    assert verdict.judgement is Judgement.SAFE, verdict.reason
    assert verdict.probability is not None
    assert verdict.probability < TERMS.safe_below
    assert verdict.intent is Intent.UNKNOWN
    assert verdict.techniques == ()


def test_a_pump_stop_is_judged_by_physics_and_not_by_its_name(snapshot: Snapshot, replay: Replay) -> None:
    """P102 may stop: LIC101 throttles the inflow.  P301 may not: nothing else cools the bearing."""
    run = rollout(replay.model, snapshot, {"P102.RUN": 0.0}, 600.0)
    assert (run.robustness >= 0).all()
    assert verdict_on(command({"P102.RUN": 0.0}), snapshot, replay).judgement is Judgement.SAFE
    stopped = verdict_on(command({"P301.RUN": 0.0}), snapshot, replay)
    assert (stopped.judgement, stopped.invariant) == (Judgement.UNSAFE, "B301-overheat")


def test_the_valve_shut_by_hand_and_the_inflow_left_open(snapshot: Snapshot, replay: Replay) -> None:
    shut = {"LIC102.AUTO": 0.0, "LIC102.OP": 0.0}
    assert verdict_on(command(shut), snapshot, replay).judgement is Judgement.SAFE  # LIC101 still throttles P101
    both = shut | {"LIC101.AUTO": 0.0, "LIC101.OP": 60.0}
    verdict = verdict_on(command(both), snapshot, replay)
    assert verdict.judgement is Judgement.UNSAFE
    assert "T0836" in verdict.techniques


def test_an_invariant_that_is_broken_anyway_is_not_blamed_on_the_command(model: Model, replay: Replay) -> None:
    start = initial(model, 256, at=NOW)
    states = start.states.copy()
    states[:, model.states.index("T101.level")] = 1.75
    states.flags.writeable = False
    broken = in_step(replace(start, states=states))
    harmless = verdict_on(command({"TIC201.SP": 61.0}), broken, replay)
    assert harmless.judgement is Judgement.SAFE
    assert "nothing worse" in harmless.reason
    overfill = next(outcome for outcome in harmless.outcomes if outcome.invariant == "T101-overfill")
    assert overfill.broken_with == overfill.broken_without == 1.0


def test_a_twin_that_is_lost_says_nothing(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.9}), lost(snapshot), replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert "nothing has been read for 60 s" in verdict.reason


def test_a_degraded_twin_may_speak_of_what_it_follows(snapshot: Snapshot, replay: Replay) -> None:
    moved = verdict_on(command({"LIC101.SP": 1.35}), degraded(snapshot, "LT101"), replay)
    assert moved.judgement is Judgement.UNDECIDED
    assert "level of T101 (LT101)" in moved.reason
    assert verdict_on(command({"TIC201.SP": 65.0}), degraded(snapshot, "LT101"), replay).judgement is Judgement.SAFE
    assert verdict_on(command({"LIC101.SP": 1.9}), degraded(snapshot, "TT201"), replay).judgement is Judgement.UNSAFE


def test_readings_that_contradict_the_plant_where_it_is_moved_speak_for_intent(snapshot: Snapshot, replay: Replay) -> None:
    def pieces(tag: str) -> list[str]:
        verdict = verdict_on(command({"LIC101.SP": 1.9}), degraded(snapshot, tag), replay)
        assert verdict.judgement is Judgement.UNSAFE
        return [line for line in verdict.evidence if "readings contradict the plant" in line]

    assert len(pieces("FT101")) == 1
    assert "FT101" in pieces("FT101")[0]
    assert pieces("TT301") == []


def test_an_old_snapshot_says_nothing(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.25}, seen=after(NOW, 45.0)), snapshot, replay)
    assert (verdict.judgement, verdict.reason) == (Judgement.UNDECIDED, "the twin's last snapshot is 45 s older than the command")


def test_an_unknown_tag_is_named(snapshot: Snapshot, replay: Replay) -> None:
    stray = TagWrite(tag=None, point="holding 77", raw=5.0)
    alone = verdict_on(replace(command({}), writes=(stray,)), snapshot, replay)
    assert (alone.judgement, alone.reason) == (Judgement.UNDECIDED, "the twin does not know holding 77 of 10.0.0.10")
    beside_safe = replace(command({"LIC101.SP": 1.25}), writes=(*command({"LIC101.SP": 1.25}).writes, stray))
    verdict = verdict_on(beside_safe, snapshot, replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert "holding 77" in verdict.reason
    beside_unsafe = replace(command({}), writes=(*command({"LIC101.SP": 1.9}).writes, stray))
    assert verdict_on(beside_unsafe, snapshot, replay).judgement is Judgement.UNSAFE


def test_a_read_only_tag_is_unknown_as_an_input(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LT101": 1.0}), snapshot, replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert "holding 0 (LT101)" in verdict.reason


def test_what_writes_nothing_nameable_is_undecided(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({}, operation="diagnostics"), snapshot, replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert verdict.reason.startswith("diagnostics writes nothing that can be named")


def test_few_futures_are_never_safe(model: Model, replay: Replay) -> None:
    few = in_step(initial(model, 32, at=NOW))
    verdict = verdict_on(command({"LIC101.SP": 1.25}), few, replay)
    assert (verdict.judgement, verdict.reason) == (Judgement.UNDECIDED, "32 futures are too few to call anything safe")


def test_members_that_the_twin_cannot_compute_leave_it_undecided(snapshot: Snapshot, replay: Replay) -> None:
    states = snapshot.states.copy()
    states[:100, replay.model.states.index("B301.temperature")] = 1e9  # kelvin
    verdict = verdict_on(command({"LIC101.SP": 1.25}), replace(snapshot, states=states), replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert "100 of 256 futures leave what it can compute" in verdict.reason


def test_a_value_between_safe_and_unsafe_goes_to_a_person(snapshot: Snapshot, replay: Replay) -> None:
    """Somewhere between 1.5 and 1.6 m some futures overshoot and others do not."""
    found = {
        judgement: value
        for value in np.arange(1.50, 1.62, 0.005)
        for judgement in [verdict_on(command({"LIC101.SP": float(value)}), snapshot, replay).judgement]
    }
    assert set(found) == set(Judgement)
    assert found[Judgement.SAFE] < found[Judgement.UNDECIDED] < found[Judgement.UNSAFE]


def test_writes_that_came_after_the_snapshot_count(snapshot: Snapshot, replay: Replay) -> None:
    """Somebody has just driven P101 to full speed by hand: to take LIC102's valve away now is judged from there."""

    def step(tag: str, value: float, applied: bool) -> Step:
        return Step(seen=after(NOW, 0.2), source=AssetId("10.0.0.20"), tag=tag, value=value, applied=applied)

    asked = command({"LIC101.SP": 1.3}, seen=after(NOW, 0.5))
    driven = Context(steps=(step("LIC101.AUTO", 0.0, True), step("LIC101.OP", 100.0, True)))
    verdict = verdict_on(asked, snapshot, replay, driven)
    assert next(outcome.broken_without for outcome in verdict.outcomes if outcome.invariant == "T101-overfill") == 1.0
    refused = Context(steps=(step("LIC101.AUTO", 0.0, False), step("LIC101.OP", 100.0, False)))
    assert verdict_on(asked, snapshot, replay, refused).judgement is Judgement.SAFE


def test_the_second_of_two_equal_writes_is_not_harmless_for_being_the_second(snapshot: Snapshot, replay: Replay) -> None:
    """The snapshot holds the first one already: compared is with what stood before."""
    row = [one.tag.name for one in replay.plant.inputs].index("LIC101.SP")
    inputs = snapshot.inputs.copy()
    inputs[row] = 1.9
    written = replace(snapshot, inputs=inputs)

    def step(value: float, before_s: float) -> Step:
        return Step(seen=after(NOW, -before_s), source=AssetId("10.0.0.66"), tag="LIC101.SP", value=value, applied=True)

    again = verdict_on(command({"LIC101.SP": 1.9}), written, replay, Context(steps=(step(1.2, 60.0), step(1.9, 2.0))))
    assert again.judgement is Judgement.UNSAFE
    assert "(0 of 256 without it)" in again.reason
    assert any("previous values back within" in line for line in again.evidence)
    fast = verdict_on(command({"LIC101.SP": 1.9}), snapshot, replay, Context(steps=(step(1.9, -0.1),)))
    assert fast.judgement is Judgement.UNSAFE


def test_a_write_that_waits_for_a_stopped_pump_is_judged_as_if_the_pump_ran(snapshot: Snapshot, replay: Replay) -> None:
    """During a pump changeover a setpoint at the rim does nothing, and would fill the tank a second later."""
    stopped = Context(steps=(Step(seen=after(NOW, 0.2), source=AssetId("10.0.0.20"), tag="P101.RUN", value=0.0, applied=True),))
    verdict = verdict_on(command({"LIC101.SP": 1.95}, seen=after(NOW, 0.5)), snapshot, replay, stopped)
    assert (verdict.judgement, verdict.invariant) == (Judgement.UNSAFE, "T101-overfill")
    assert "harmless at the moment, but once P101.RUN is 1.00 again" in verdict.reason
    harmless = verdict_on(command({"LIC101.SP": 1.25}, seen=after(NOW, 0.5)), snapshot, replay, stopped)
    assert harmless.judgement is Judgement.SAFE, harmless.reason
    another = verdict_on(command({"P201.RUN": 0.0}, seen=after(NOW, 0.5)), snapshot, replay, stopped)
    assert "once" not in another.reason, "modes are not judged by what other modes might become"


def test_a_slow_drift_is_unsafe_before_it_leaves_the_envelope(snapshot: Snapshot, replay: Replay) -> None:
    steps: list[Step] = []
    judged: list[tuple[float, Verdict]] = []
    for number, value in enumerate((1.20, 1.25, 1.30, 1.35, 1.40, 1.45)):
        seen = after(NOW, 20.0 * number)
        asked = command({"LIC101.SP": value}, seen=seen, source="10.0.0.66")
        judged.append((value, verdict_on(asked, replace(snapshot, at=seen), replay, Context(steps=tuple(steps), source_is_new=True))))
        steps.append(Step(seen=seen, source=AssetId("10.0.0.66"), tag="LIC101.SP", value=value, applied=True))
    first = next(value for value, verdict in judged if verdict.judgement is Judgement.UNSAFE)
    assert first == 1.40
    verdict = dict(judged)[1.40]
    assert "4 moves of LIC101.SP in one direction, from 1.20 m to 1.40 m" in verdict.reason
    assert verdict.intent is Intent.TARGETED
    assert verdict_on(command({"LIC101.SP": 1.40}), snapshot, replay).judgement is Judgement.SAFE  # alone it is


def test_a_known_source_may_ramp_through_its_range_and_a_person_is_asked_as_it_leaves_it(snapshot: Snapshot, replay: Replay) -> None:
    """Long before the level comes to its limit of 1.60 m; a ramp to another grade is nobody's attack, and its next move may never come."""
    steps: list[Step] = []
    judged: dict[float, Verdict] = {}
    for number, value in enumerate((1.20, 1.25, 1.30, 1.35, 1.40, 1.45, 1.50, 1.51)):
        seen = after(NOW, 60.0 * number)
        asked = command({"LIC101.SP": value}, seen=seen, source="10.0.0.20")
        judged[value] = verdict_on(asked, replace(snapshot, at=seen), replay, Context(steps=tuple(steps)))
        steps.append(Step(seen=seen, source=AssetId("10.0.0.20"), tag="LIC101.SP", value=value, applied=True))
    assert [value for value, verdict in judged.items() if verdict.judgement is Judgement.UNSAFE] == []
    assert [value for value, verdict in judged.items() if verdict.judgement is Judgement.UNDECIDED] == [1.51]
    assert "7 moves of LIC101.SP in one direction" in judged[1.51].reason
    assert {one.course for one in judged[1.51].options} >= {Course.FORWARD, Course.REFUSE}
    further = command({"LIC101.SP": 1.95}, seen=after(NOW, 500.0), source="10.0.0.20")
    verdict = verdict_on(further, replace(snapshot, at=further.seen), replay, Context(steps=tuple(steps)))
    assert verdict.judgement is Judgement.UNSAFE, "the move that does harm is refused when it comes"
    assert verdict_on(command({"LIC101.SP": 1.51}), snapshot, replay).judgement is not Judgement.UNSAFE  # alone it is none


def test_a_drift_does_not_hide_among_another_s_writes(snapshot: Snapshot, replay: Replay) -> None:
    def step(number: int, source: str, value: float) -> Step:
        return Step(seen=after(NOW, number - 20.0), source=AssetId(source), tag="LIC101.SP", value=value, applied=True)

    drifting = [step(2 * number, "10.0.0.66", 1.2 + 0.05 * number) for number in range(4)]
    operating = [step(2 * number + 1, "10.0.0.20", 1.2) for number in range(4)]
    context = Context(steps=tuple(drifting + operating), source_scanned=True)
    assert verdict_on(command({"LIC101.SP": 1.40}), snapshot, replay, context).judgement is Judgement.UNSAFE
    assert verdict_on(command({"LIC101.SP": 1.40}, source="10.0.0.20"), snapshot, replay, context).judgement is Judgement.SAFE


def test_an_unsafe_value_comes_with_the_nearest_that_breaks_nothing(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.95}), snapshot, replay)
    (nearest,) = verdict.nearest_safe
    assert nearest.tag == "LIC101.SP"
    assert nearest.value is not None
    assert 1.4 < nearest.value < 1.6
    assert nearest.raw == round(nearest.value * 1000), "what the register carries"
    assert f"the nearest that breaks nothing is LIC101.SP = {nearest.value:.2f} m" in verdict.evidence
    again = verdict_on(command({"LIC101.SP": nearest.value}), snapshot, replay)
    assert again.judgement is not Judgement.UNSAFE
    assert verdict_on(command({"SIC301.SP": 9500.0}), snapshot, replay).nearest_safe[0].value == pytest.approx(9000.0, abs=60.0)


def test_there_is_nothing_between_on_and_off(snapshot: Snapshot, replay: Replay) -> None:
    off = verdict_on(command({"P201.RUN": 0.0, "TIC201.HH": 100.0, "H201.HH": 200.0, "P201.LL": 0.0}), snapshot, replay)
    assert off.judgement is Judgement.UNSAFE
    assert off.nearest_safe == ()


def test_a_trip_limit_below_the_level_wears_out_what_it_stops(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.HH": 1.15}), snapshot, replay)
    assert (verdict.judgement, verdict.invariant) == (Judgement.UNSAFE, "P101-short-cycle")
    assert "run P101 (P101.RUN) would rise above 6 starts after" in verdict.reason
    changeover = verdict_on(command({"P101.RUN": 0.0}), snapshot, replay)
    assert changeover.judgement is Judgement.SAFE, changeover.reason


@pytest.mark.parametrize("writes", [{"BYPASS": 1.0}, {"LIC101.HH": 2.0}, {"P201.LL": 0.0}, {"SP301.HH": 120.0}])
def test_taking_the_last_defence_away_is_unsafe(snapshot: Snapshot, replay: Replay, writes: dict[str, float]) -> None:
    verdict = verdict_on(command(writes), snapshot, replay)
    assert verdict.judgement is Judgement.UNSAFE
    assert verdict.reason.startswith("harmless alone, but")
    assert verdict.invariant is None
    assert "T0837" in verdict.techniques
    assert ("T0878" in verdict.techniques) == ("BYPASS" in writes)
    assert ("T0838" in verdict.techniques) == ("BYPASS" not in writes)
    assert all(outcome.broken_with == 0.0 for outcome in verdict.outcomes)


@pytest.mark.parametrize("writes", [{"LIC101.HH": 1.85}, {"LIC101.HH": 1.7}, {"LIC101.AUTO": 0.0}, {"BYPASS": 0.0}])
def test_what_leaves_the_defences_standing_is_safe_and_says_so(snapshot: Snapshot, replay: Replay, writes: dict[str, float]) -> None:
    verdict = verdict_on(command(writes), snapshot, replay)
    assert verdict.judgement is Judgement.SAFE, verdict.reason
    weakened = writes in ({"LIC101.HH": 1.85}, {"LIC101.AUTO": 0.0})
    assert any("no single operator action" in line for line in verdict.evidence) == weakened


def test_defences_taken_away_one_after_the_other_are_held_against_the_design(snapshot: Snapshot, replay: Replay) -> None:
    """Each alone leaves the other standing; without both, T102 is filled past where its trip was."""
    limit, manual = {"LIC102.HH": 2.46}, {"LIC101.AUTO": 0.0}

    def after_it(writes: dict[str, float]) -> Context:
        applied = [
            Step(seen=after(NOW, 1.0), source=AssetId("10.0.0.20"), tag=tag, value=value, applied=True) for tag, value in writes.items()
        ]
        return Context(steps=tuple(applied))

    assert verdict_on(command(limit), snapshot, replay).judgement is Judgement.SAFE
    assert verdict_on(command(manual), snapshot, replay).judgement is Judgement.SAFE
    for first, then in ((limit, manual), (manual, limit)):
        verdict = verdict_on(command(then, seen=after(NOW, 5.0)), snapshot, replay, after_it(first))
        assert verdict.judgement is Judgement.UNSAFE, verdict.reason
        assert "LAHH102" in verdict.reason or "T102" in verdict.reason


@pytest.mark.parametrize(("limit", "safe", "unsafe"), [("LIC101.HH", 1.85, 1.9), ("SP301.HH", 85.0, 95.0), ("TIC201.HH", 86.0, 92.0)])
def test_a_defence_that_some_futures_need_is_neither_certified_nor_refused(
    snapshot: Snapshot, replay: Replay, limit: str, safe: float, unsafe: float
) -> None:
    """Where the limit may stand and where it may not lie close together: halved until neither can be said."""
    for _ in range(16):
        between = (safe + unsafe) / 2
        verdict = verdict_on(command({limit: between}), snapshot, replay)
        if verdict.judgement is Judgement.UNDECIDED:
            break
        safe, unsafe = (between, unsafe) if verdict.judgement is Judgement.SAFE else (safe, between)
    assert verdict.judgement is Judgement.UNDECIDED
    assert verdict.reason.endswith("of 16 futures that would have been held: too many to pass, too few to refuse")


@pytest.mark.parametrize(
    ("context", "intent"),
    [
        (Context(), Intent.MISTAKE),
        (Context(source_is_new=True), Intent.TARGETED),
        (Context(source_scanned=True), Intent.TARGETED),
        (Context(source_is_new=True, source_scanned=True), Intent.TARGETED),
    ],
)
def test_intent_follows_the_evidence(snapshot: Snapshot, replay: Replay, context: Context, intent: Intent) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.9}), snapshot, replay, context)
    assert verdict.intent is intent
    assert ("T1692.001" in verdict.techniques) == context.source_is_new


def test_the_same_case_gives_the_same_bits(model: Model, snapshot: Snapshot) -> None:
    def octets(asked: Command) -> bytes:
        fresh = Replay(model=model, members=256, horizon_s=600.0)  # nothing remembered
        return to_json(judge(asked, Snapshot.from_octets(snapshot.to_octets()), fresh, Context(), TERMS, 3, NOW))

    for writes in ({"LIC101.SP": 1.9}, {"LIC101.SP": 1.25}, {"BYPASS": 1.0}):
        assert octets(command(writes)) == octets(command(writes))


def test_a_frame_that_says_something_else_is_undecided(snapshot: Snapshot, replay: Replay) -> None:
    verdict = verdict_on(command({"LIC101.SP": 1.25}, octets="0600000708"), snapshot, replay)
    assert verdict.judgement is Judgement.UNDECIDED
    assert "the frame says something else" in verdict.reason


def test_undecided_names_command_and_snapshot(snapshot: Snapshot, replay: Replay) -> None:
    verdict = undecided(command({"LIC101.SP": 1.9}), snapshot, replay, "because", 0, Instant(5))
    assert (verdict.judgement, verdict.reason, verdict.judged) == (Judgement.UNDECIDED, "because", 5)
    assert (verdict.command, verdict.snapshot) == ("c-1", snapshot.fingerprint())


@pytest.mark.parametrize("tag", ["LT101", "FT101", "ST101"])
@pytest.mark.parametrize("writes", [{"LIC101.SP": 1.25}, {"LIC102.SP": 0.85}, {"P102.RUN": 0.0}, {"LIC101.HH": 1.75}])
def test_nothing_is_certified_in_a_section_of_which_one_reading_is_not_believed(
    snapshot: Snapshot, replay: Replay, tag: str, writes: dict[str, float]
) -> None:
    verdict = verdict_on(command(writes), degraded(snapshot, tag), replay)
    assert verdict.judgement is Judgement.UNDECIDED, verdict.reason
    assert f"({tag}), in the part of the plant that the command moves" in verdict.reason
    assert verdict_on(command(writes), degraded(snapshot, "TT301"), replay).judgement is Judgement.SAFE


def test_who_is_unsure_names_what_a_person_may_choose_and_what_it_risks(snapshot: Snapshot, replay: Replay) -> None:
    asked = command({"LIC101.SP": 1.35})
    verdict = verdict_on(asked, degraded(snapshot, "LT101"), replay)
    assert [one.course for one in verdict.options] == [Course.FORWARD, Course.FORWARD_NEAREST, Course.REFUSE]
    forward, nearest, refuse = verdict.options
    assert [(one.tag, one.value) for one in forward.writes] == [("LIC101.SP", 1.35)]
    assert nearest.writes == verdict.nearest_safe
    assert (nearest.harm, refuse.harm, refuse.writes) == (0.0, 0.0, ())
    assert forward.harm is not None
    assert forward.harm_at_most is not None
    assert forward.harm <= forward.harm_at_most <= 1.0
    run = rollout(replay.model, snapshot, {"LIC101.SP": 1.35}, 600.0)
    assert forward.harm == float((run.robustness < 0).any(axis=0).mean())


def test_where_the_twin_has_nothing_to_say_the_harm_of_each_option_is_unknown(snapshot: Snapshot, replay: Replay) -> None:
    options = verdict_on(command({"LIC101.SP": 1.25}), lost(snapshot), replay).options
    assert [(one.course, one.harm, one.harm_at_most) for one in options] == [(Course.FORWARD, None, None), (Course.REFUSE, None, None)]


def test_a_decided_command_has_no_options(snapshot: Snapshot, replay: Replay) -> None:
    assert verdict_on(command({"LIC101.SP": 1.25}), snapshot, replay).options == ()
    assert verdict_on(command({"LIC101.SP": 1.9}), snapshot, replay).options == ()
